"""The leak check at the end of a run: one line for each finding, no value in it, and exit code 5."""

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from bidsdeface.errors import Exit
from bidsdeface.leakcheck import faces as shownface
from bidsdeface.leakcheck import run as leakcheck
from bidsdeface.leakcheck.faces import FACE
from bidsdeface.leakcheck.run import check_leaks, check_whole_output, files_of_run
from bidsdeface.output.faceless import remember_faceless
from bidsdeface.runtime.workdir import open_state
from bidsdeface.runtime.workers import Lost
from bidsdeface.settings import Settings
from tests.conftest import fake_head


@pytest.fixture
def settings(tmp_path):
    settings = Settings(bids_dir=tmp_path / "bids", output_dir=tmp_path / "out", level="participant")
    put(settings, "sub-01/anat/sub-01_T1w.json", json.dumps({"EchoTime": 0.003}))
    return settings


def put(settings, name, text):
    path = settings.output_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return PurePosixPath(name)


def found(settings, tmp_path, caplog, files=None):
    if files is None:
        codes = check_whole_output(settings, None, tmp_path)
    else:
        codes = check_leaks(settings, None, tmp_path, files)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("LEAK")]
    assert codes == ({Exit.LEAK} if lines else set())
    return lines


def test_what_is_clean_is_not_spoken_of(settings, tmp_path, caplog):
    assert found(settings, tmp_path, caplog) == []


def test_a_finding_is_one_line_with_place_and_kind_and_without_the_value(settings, tmp_path, caplog):
    put(settings, "notes.txt", "nothing\nask jane.doe@hospital.org\n")
    put(settings, "sub-01/anat/sub-01_T2w.json", json.dumps({"PatientName": "Doe"}))
    assert found(settings, tmp_path, caplog) == [
        "LEAK notes.txt, line 2: e-mail",
        "LEAK sub-01/anat/sub-01_T2w.json, field PatientName: identifying or unknown field",
    ]


def test_files_of_others_are_not_looked_at(settings, tmp_path, caplog):
    put(settings, "notes.txt", "ask jane.doe@hospital.org\n")
    assert found(settings, tmp_path, caplog, [PurePosixPath("sub-01/anat/sub-01_T1w.json")]) == []


def test_what_a_person_keeps_is_no_leak(settings, tmp_path, caplog):
    put(settings, "sub-01/anat/sub-01_T2w.json", json.dumps({"PatientName": "Doe"}))
    assert found(replace(settings, keep_fields=("PatientName",)), tmp_path, caplog) == []


def test_private_folders_of_runs_that_go_on_are_passed_over(settings, tmp_path, caplog):
    put(settings, ".bidsdeface-0-x/notes.txt", "ask jane.doe@hospital.org\n")
    assert found(settings, tmp_path, caplog) == []


def test_repositories_are_not_searched_and_one_line_says_so(settings, tmp_path, caplog):
    for name in (".git/config", ".datalad/config", "sub-01/.git/annex/objects/k/k", "sub-01/.hg/hgrc"):
        put(settings, name, "ask jane.doe@hospital.org\n")
    assert found(settings, tmp_path, caplog) == ["LEAK sub-01/.hg, folder: history of the dataset"]
    (notice,) = [line for line in caplog.messages if "not searched" in line]
    assert notice.startswith(".git, .datalad, sub-01/.git: not searched; ")


def test_a_run_answers_for_its_own_folders_and_the_root_whichever_run_wrote_them(settings):
    own = ["README", "sub-01/anat/sub-01_T1w.json", "sub-01/figures/sub-01_ses-a_x.png"]
    own += ["sub-01/ses-a/anat/sub-01_ses-a_T1w.json", "sub-01/sub-01_sessions.tsv"]
    others = ["sub-01/ses-b/anat/sub-01_ses-b_T1w.json", "sub-01/figures/sub-01_ses-b_x.png"]
    more = ["sub-02/anat/sub-02_T1w.json", "derivatives/x.txt"]
    for name in (*own, *others, *more, ".git/config", ".bidsdeface-0-x/face.nii"):
        put(settings, name, "{}")

    def names(**asked):
        return sorted(map(str, files_of_run(replace(settings, **asked))))

    assert names() == sorted([*own, *others, *more])
    assert names(participants=("01",)) == sorted([*own, *others])
    assert names(participants=("01",), sessions=("a",)) == sorted(own)
    assert names(sessions=("a",)) == sorted([*own, more[0]])


@pytest.fixture
def looked_at(monkeypatch):
    """Replace the face test by one that sees a face in what holds the word; return what was looked at."""
    seen = []

    def in_this_process(prepare, arguments, items, n_procs):
        work = prepare(*arguments)
        for item in items:
            yield from ((item, result) for result in work(item))

    def look(path):
        seen.append(path.name)
        return FACE if b"face" in path.read_bytes() else None

    monkeypatch.setattr(leakcheck, "run_in_workers", in_this_process)
    monkeypatch.setattr(shownface, "face_test", lambda: look)
    return seen


def put_image(settings, name, descrip=b""):
    path = settings.output_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = fake_head()
    image.header["descrip"] = descrip
    path.write_bytes(image.to_bytes())
    return PurePosixPath(name)


def test_a_face_is_a_finding_under_a_functional_name_too(settings, tmp_path, caplog, looked_at):
    path = put_image(settings, "sub-01/func/sub-01_task-a_sbref.nii", b"face")
    for _ in range(2):
        found_now = found(settings, tmp_path, caplog)
        assert f"LEAK {path}, {FACE}: face" in found_now
        caplog.clear()
    assert looked_at == [path.name] * 2


def test_an_image_without_a_face_is_looked_at_once_if_there_is_private_state(settings, tmp_path, looked_at):
    path = put_image(settings, "sub-01/func/sub-01_task-a_bold.nii")
    state = open_state(tmp_path / "work")
    for _ in range(2):
        assert check_leaks(settings, state, tmp_path, [path]) == set()
    assert len(looked_at) == 1
    put_image(settings, str(path), b"face")
    for _ in range(2):
        assert check_leaks(settings, state, tmp_path, [path]) == {Exit.LEAK}
    assert len(looked_at) == 3


def test_an_image_that_was_verified_when_it_was_defaced_is_looked_at_if_it_is_another_now(
    settings, tmp_path, looked_at
):
    path = put_image(settings, "sub-01/anat/sub-01_T1w.nii")
    published = settings.output_dir / path
    state, other = open_state(tmp_path / "work"), open_state(tmp_path / "other")
    remember_faceless(state, published, published.read_bytes())
    assert check_leaks(settings, state, tmp_path, [path]) == set() and looked_at == []
    copy = put_image(settings, "sub-02/anat/sub-02_T1w.nii")
    check_leaks(settings, state, tmp_path, [copy])  # the same bytes at another place
    check_leaks(settings, other, tmp_path, [path])  # another key
    check_leaks(settings, None, tmp_path, [path])
    assert looked_at == [copy.name, path.name, path.name]
    put_image(settings, str(path), b"face")
    assert check_leaks(settings, state, tmp_path, [path]) == {Exit.LEAK}


def test_an_image_that_became_a_link_into_an_annex_is_still_known(settings, tmp_path, looked_at):
    path = put_image(settings, "sub-01/anat/sub-01_T1w.nii")
    published, state = settings.output_dir / path, open_state(tmp_path / "work")
    remember_faceless(state, published, published.read_bytes())
    content = tmp_path / ".git" / "annex" / "objects" / "content.nii"
    content.parent.mkdir(parents=True)
    published.rename(content)
    published.symlink_to(content)
    check_leaks(settings, state, tmp_path, [path])
    assert looked_at == []


def test_a_process_that_is_lost_is_no_leak_but_the_check_is_to_be_done_again(
    settings, tmp_path, caplog, monkeypatch
):
    path = put_image(settings, "sub-01/func/sub-01_task-a_bold.nii")
    monkeypatch.setattr(
        leakcheck, "run_in_workers", lambda *arguments: [(item, Lost("killed")) for item in arguments[2]]
    )
    assert check_leaks(settings, None, tmp_path, [path]) == {Exit.RETRY}
    assert "LEAK check: killed" in caplog.messages


def test_what_was_verified_is_not_looked_at_and_a_mask_is_not_either(settings, tmp_path, looked_at):
    path = put_image(settings, "sub-01/anat/sub-01_T1w.nii", b"face")
    mask = put_image(settings, "sub-01/anat/sub-01_mod-T1w_defacemask.nii")
    check_leaks(settings, None, tmp_path, [path, mask], verified=[path])
    assert looked_at == []
