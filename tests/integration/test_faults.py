"""Faults that real machines have: each costs its own scan, tears nothing, tells nothing, says one line."""

import base64
import gzip
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import zlib
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bidsdeface.dataset.query import find_heads
from bidsdeface.errors import Exit
from bidsdeface.head import deface
from bidsdeface.head.review import read_decisions
from bidsdeface.imaging.image import read_image, write_image
from bidsdeface.runtime.workdir import open_state
from bidsdeface.settings import Settings
from tests.conftest import make_dataset
from tests.heads import find_head
from tests.integration.conftest import bidsdeface, command, files, published
from tests.integration.test_killed import check_whole, wait_for, workers_of

pytestmark = pytest.mark.slow
PAGE = 4096
USER = "nurse-joy"
ANATOMY = "sub-{0}/anat/sub-{0}_T1w.nii.gz"
# How the head of the first two lies, from the template: what a registration finds is the way back.
TURN = nib.affines.from_matvec(
    Rotation.from_euler("xyz", [11.3, -4.7, 7.9], degrees=True).as_matrix(), [6.31, -8.77, 12.43]
)


def failures(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("ERROR FAILED ")]


def turned_head():
    average = nib.load(find_head("average"))
    return nib.Nifti1Image(np.asanyarray(average.dataobj), TURN @ average.affine)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """Return a dataset in a telling place: two good heads, one cut short, one that is still being copied."""
    scans = dict.fromkeys((ANATOMY.format(label) for label in ("Adam17", "Bela23")), turned_head())
    scans |= dict.fromkeys((ANATOMY.format(label) for label in ("Cora31", "Dora47")), find_head("average"))
    bids_dir = make_dataset(tmp_path_factory.mktemp("ClinicOfDrSmith"), scans)
    cut_short = bids_dir / ANATOMY.format("Cora31")
    cut_short.write_bytes(cut_short.read_bytes()[:300_000])
    os.truncate(bids_dir / ANATOMY.format("Dora47"), 100_000_000)  # its place is reserved: long to read
    return bids_dir


def contents(path: Path) -> list[bytes]:
    """Return the bytes of a file, and what they unpack to."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        return [raw, gzip.decompress(raw)]
    if path.suffix == ".png":
        chunks, at = [], 8
        while at < len(raw):
            size = int.from_bytes(raw[at : at + 4], "big")
            chunks.append((raw[at + 4 : at + 8], raw[at + 8 : at + 8 + size]))
            at += size + 12
        assert {kind for kind, _ in chunks} <= {b"IHDR", b"IDAT", b"IEND", b"PLTE", b"sRGB", b"gAMA", b"tEXt"}
        return [raw, zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))]
    return [raw]


def hashes_of(scan: Path) -> dict[str, bytes]:
    """Return every plain hash by which somebody who has the original could know it."""
    raw = scan.read_bytes()
    originals = {"file": raw}
    if 300_000 < len(raw) < 100_000_000:  # whole
        originals |= {"unpacked": gzip.decompress(raw), "voxels": read_image(scan).stored.tobytes(order="F")}
    found = {}
    for what, content in originals.items():
        for kind in ("md5", "sha1", "sha256"):
            digest = hashlib.new(kind, content).digest()
            forms = (digest, digest.hex().encode(), digest.hex().upper().encode(), base64.b64encode(digest))
            found |= {f"{kind} of {what}, {n}": form for n, form in enumerate(forms)}
    return found


def numbers_in(content: object) -> list[float]:
    if isinstance(content, dict):
        return [number for value in content.values() for number in numbers_in(value)]
    if isinstance(content, list):
        return [number for value in content for number in numbers_in(value)]
    return [float(content)] if isinstance(content, (int, float)) else []


def check_tells_nothing(folder: Path, bids_dir: Path) -> None:
    """Search every name and every byte below a folder."""
    labels = [path.name.removeprefix("sub-") for path in bids_dir.glob("sub-*")]
    telling = {
        "place": bids_dir.parent.name.encode(),
        "home": str(Path.home()).encode(),
        "user": USER.encode(),
        "host": os.uname().nodename.encode(),
        "this folder": str(folder).encode(),
    }
    # In unpacked pixels, three or four letters turn up by chance.
    telling = {what: name for what, name in telling.items() if len(name) > 4}
    for label in labels:
        telling |= {f"{label}: {k}": v for k, v in hashes_of(bids_dir / ANATOMY.format(label)).items()}
    way = np.concatenate([TURN[:3].ravel(), np.linalg.inv(TURN)[:3].ravel()])
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        assert not re.search(r"\.mat\b|\.h5\b|warp|affine|lock", name, re.IGNORECASE), name
        owner = re.match(r"sub-(\w+?)(?:[/_.]|$)", name)
        strangers = [label for label in labels if not owner or label != owner[1]]
        assert not any(label in name for label in strangers), name
        if not path.is_file():
            continue
        for content in contents(path):
            assert [what for what, bytes_ in telling.items() if bytes_ in content] == [], name
            assert [label for label in strangers if label.encode() in content] == [], name
        if path.suffix in (".json", ".tsv"):
            assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b", path.read_text()), name
        if path.suffix == ".json":
            numbers = np.array(numbers_in(json.loads(path.read_text())))
            assert not (np.abs(numbers[:, None] - way) < 1e-4).any(), name


def test_runs_with_failures_and_killed_ones_tell_nothing_and_leave_nothing(clinic, tmp_path):
    home, temporary, output_dir = tmp_path / "home", tmp_path / "tmp", tmp_path / "out"
    home.mkdir()
    temporary.mkdir()
    outside = {"HOME": str(home), "TMPDIR": str(temporary), "USER": USER, "LOGNAME": USER}
    copied, over = clinic / ANATOMY.format("Dora47"), threading.Event()

    def copy_on():
        for moment in itertools.count():
            os.utime(copied, ns=(moment, moment))
            if over.wait(0.001):
                return

    copying = threading.Thread(target=copy_on)
    copying.start()
    try:
        run = bidsdeface(clinic, output_dir, "--n-procs", "2", "--skip-bids-validation", **outside)
    finally:
        over.set()
        copying.join()
    assert run.code == 75 and "Traceback" not in run.said  # for the one that is being copied
    assert len(failures(run.said)) == 2, run.said
    assert sorted(run.said.splitlines()[-1].split(": ")[1].split(", ")) == ["2 failed", "2 passed"]
    said = " ".join(failures(run.said))
    assert "Cora31_T1w.nii.gz: its gzip stream is damaged or cut short" in said
    assert "Dora47_T1w.nii.gz: changed while it was read; run again when the copy is complete" in said
    assert len(published(output_dir)) == 10
    check_whole(output_dir)
    check_tells_nothing(output_dir, clinic)
    assert list(temporary.iterdir()) == [] and list(home.iterdir()) == []

    one = ("--participant-label", "Adam17")
    validated = bidsdeface(clinic, output_dir, *one, **outside)  # with the validator, and all kept
    assert validated.code == 0 and list(temporary.iterdir()) == [] and list(home.iterdir()) == []

    before = files(output_dir)
    killed = subprocess.Popen(
        command(clinic, output_dir, *one, "--force", "--skip-bids-validation"),
        env={**os.environ, **outside},
        start_new_session=True,
    )
    wait_for(lambda: workers_of(killed.pid))  # which start when the private folder is there, and guarded
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    wait_for(lambda: not list(temporary.iterdir()), seconds=10)
    assert list(home.iterdir()) == []
    del before["sub-Adam17.html"]  # until it is written anew, it might tell of a result that is gone
    assert files(output_dir) == before
    check_tells_nothing(output_dir, clinic)

    assert bidsdeface(clinic, output_dir, *one, "--skip-bids-validation", **outside).code == 0
    assert list(temporary.iterdir()) == []


# Run by Python at its start: the first worker gets an address space in which the libraries do not fit.
STARVE_ONE = """
import os, resource, sys
if "--multiprocessing-fork" in sys.orig_argv:
    try:
        os.mkdir(os.path.join(os.path.dirname(__file__), "taken"))
        resource.setrlimit(resource.RLIMIT_AS, (600 * 2**20,) * 2)
    except FileExistsError:
        pass
"""


def test_a_worker_without_memory_costs_its_own_head_and_says_so(clinic, tmp_path):
    (tmp_path / "path").mkdir()
    (tmp_path / "path/sitecustomize.py").write_text(STARVE_ONE)
    options = ("--participant-label", "Adam17", "Bela23", "--n-procs", "2", "--skip-bids-validation")
    run = bidsdeface(clinic, tmp_path / "out", *options, PYTHONPATH=str(tmp_path / "path"))
    assert run.code == 75 and "Traceback" not in run.said
    (line,) = failures(run.said)
    assert "most likely for memory; give the job more memory or lower --n-procs" in line
    assert len(published(tmp_path / "out")) == 5
    check_whole(tmp_path / "out")


def draw_mask(path):
    """Write a face mask for the average head, as a person would draw it."""
    image = read_image(find_head("average"))
    mask = np.zeros(image.stored.shape, image.stored.dtype)
    mask[30:70, 90:, 40:80] = 1
    write_image(path, image.header, np.asfortranarray(mask))


@pytest.fixture
def by_hand(tmp_path):
    """Return a function that defaces one head into a folder, in this process, with a mask drawn by hand."""
    bids_dir = make_dataset(tmp_path, {ANATOMY.format("01"): find_head("average")})
    draw_mask(tmp_path / "mask.nii.gz")
    (head,) = find_heads(bids_dir).heads

    @cache
    def prepare(output_dir):
        settings = Settings(
            bids_dir=bids_dir, output_dir=output_dir, level="participant", mask=tmp_path / "mask.nii.gz"
        )
        return deface.prepare(settings, read_decisions(settings, None))

    def run(output_dir):
        (outcome,) = prepare(output_dir)(head)
        return outcome

    return run


def mount(folder: Path, *options: str) -> bool:
    line = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(line, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mount(disk, "size=100k"):
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_disk_that_fills_at_any_moment_tears_nothing_and_with_more_room_it_completes(
    by_hand, small_disk, tmp_path
):
    (tmp_path / "whole").mkdir()
    assert by_hand(tmp_path / "whole").verdict == "by hand"
    expected = files(tmp_path / "whole")
    written = ("defaced_T1w.nii.gz", "defacemask.nii.gz", "defacemask.json", "defaced_T1w.json", ".png")
    sizes = [len(content) for end in written for name, content in expected.items() if name.endswith(end)]
    needed = np.cumsum([-(-size // PAGE) * PAGE for size in sizes])
    for size in (PAGE, *(needed - PAGE)):  # one page short for each file in turn
        assert mount(small_disk, "remount", f"size={size}")
        outcome = by_hand(small_disk)
        assert outcome.verdict == "failed" and "No space left on device" in outcome.reasons[0], size
        assert outcome.code is Exit.RETRY, size
        assert files(small_disk) == {}, size
    assert mount(small_disk, "remount", "size=10m")
    assert by_hand(small_disk).verdict == "by hand"
    assert files(small_disk) == expected
    assert mount(small_disk, "remount", f"size={needed[-1] + 5 * PAGE}")
    assert by_hand(small_disk).verdict == "failed"  # two of them do not fit
    assert files(small_disk) == {}  # as documented: a result that is done again and fails is withdrawn


def test_a_disk_that_becomes_read_only_is_one_clear_line(by_hand, small_disk, monkeypatch):
    assert mount(small_disk, "remount", "size=10m")
    (small_disk / "sub-01").mkdir()
    draw = deface.draw

    def meanwhile(*arguments):
        draw(*arguments)
        assert mount(small_disk / "sub-01", "ro")

    monkeypatch.setattr(deface, "draw", meanwhile)
    outcome = by_hand(small_disk)
    (reason,) = outcome.reasons
    assert outcome.code is Exit.ERROR
    subprocess.run(["umount", small_disk / "sub-01"], check=True)
    assert "cannot be written (Read-only file system); free some space, change the permissions" in reason
    assert files(small_disk) == {}
    monkeypatch.undo()
    assert by_hand(small_disk).verdict == "by hand" and len(files(small_disk)) == 5


def test_an_output_that_vanishes_is_one_clear_line_and_is_not_made_anew(by_hand, tmp_path, monkeypatch):
    output_dir, away = tmp_path / "out", tmp_path / "away"
    output_dir.mkdir()
    draw = deface.draw

    def meanwhile(*arguments):
        output_dir.rename(away)
        draw(*arguments)

    monkeypatch.setattr(deface, "draw", meanwhile)
    outcome = by_hand(output_dir)
    (reason,) = outcome.reasons
    assert outcome.code is Exit.ERROR
    assert f"{output_dir}: cannot be written (No such file or directory)" in reason
    monkeypatch.undo()
    assert by_hand(output_dir).verdict == "failed" and not output_dir.exists()
    away.rename(output_dir)
    assert by_hand(output_dir).verdict == "by hand"
    assert len(files(output_dir)) == 5  # and what the first left is swept


def test_a_full_work_dir_is_one_clear_line_a_scan(clinic, small_disk, tmp_path):
    assert mount(small_disk, "remount", "size=8k")
    options = ("-w", str(small_disk), "--participant-label", "Adam17", "--skip-bids-validation")
    run = bidsdeface(clinic, tmp_path / "out", *options)
    assert run.code == 75 and "Traceback" not in run.said
    (line,) = failures(run.said)
    assert f"{small_disk}/bidsdeface" in line and "No space left on device" in line
    assert published(tmp_path / "out") == []
    assert sorted(os.listdir(small_disk / "bidsdeface")) == ["fingerprints", "key", "logs", "outcomes"]
    (log,) = (small_disk / "bidsdeface/logs").iterdir()
    assert "DEBUG" in log.read_text() and "DEBUG" not in run.said


def test_a_changed_input_is_done_again_and_withdrawn_if_that_fails(tmp_path):
    bids_dir = make_dataset(tmp_path, {ANATOMY.format("01"): find_head("average")})
    scan, output_dir = bids_dir / ANATOMY.format("01"), tmp_path / "out"
    output_dir.mkdir()
    (head,) = find_heads(bids_dir).heads
    settings = Settings(bids_dir=bids_dir, output_dir=output_dir, level="participant")
    run = deface.prepare(settings, read_decisions(settings, open_state(tmp_path / "work")))

    def verdict():
        (outcome,) = run(head)
        return outcome.verdict

    assert [verdict(), verdict()] == ["passed", "kept"]
    image = read_image(scan)
    voxels = image.stored.copy(order="F")
    voxels[2, 2, 2] += 1
    write_image(scan, image.header, voxels)
    assert [verdict(), verdict()] == ["passed", "kept"]
    assert (
        read_image(output_dir / "sub-01/anat/sub-01_desc-defaced_T1w.nii.gz").stored[2, 2, 2]
        == voxels[2, 2, 2]
    )
    scan.write_bytes(scan.read_bytes()[:-5000])
    assert verdict() == "failed" and files(output_dir) == {}


def test_many_tasks_of_a_cluster_share_an_output_and_a_work_dir(tmp_path):
    labels = ("01", "02", "03", "04")
    scans = [ANATOMY.format(label) for label in labels]
    bids_dir, output_dir = (
        make_dataset(tmp_path, dict.fromkeys(scans, find_head("average"))),
        tmp_path / "out",
    )
    draw_mask(tmp_path / "mask.nii.gz")  # the registration is not what this is about

    def begin(*more, level="participant"):
        options = ("-w", str(tmp_path / "work"), "--skip-bids-validation", "--n-procs", "1", *more)
        line = command(bids_dir, output_dir, *options, level=level)
        return subprocess.Popen(line, stderr=subprocess.PIPE, text=True)

    by_hand = ("--mask", str(tmp_path / "mask.nii.gz"))
    tasks = [begin("--participant-label", label, *by_hand) for label in labels * 2]  # each scan twice
    group = begin(level="group")
    ends = [(task.communicate(timeout=300)[1], task.returncode) for task in tasks]
    assert [code for _, code in ends] == [0] * 8, ends
    assert "Traceback" not in group.communicate()[1]
    assert group.returncode in (0, 1)  # 1: nothing was done yet
    assert list(output_dir.glob(".bidsdeface-*")) == []
    done = [{name: c for name, c in files(output_dir).items() if f"sub-{one}" in name} for one in labels]
    images = [[c for name, c in sorted(one.items()) if name.endswith(".nii.gz")] for one in done]
    assert all(len(one) == 6 for one in done) and all(one == images[0] for one in images)
    assert begin(level="group").wait() == 0
    assert len((output_dir / "quality.tsv").read_text().splitlines()) == 1 + len(labels)
    assert len(list((tmp_path / "work/bidsdeface/fingerprints").iterdir())) == len(labels)
    again = begin()
    assert again.communicate()[1].splitlines()[-1] == "INFO in all: 4 kept" and again.returncode == 0
