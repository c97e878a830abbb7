"""The workflow with its profiles: past a failed scan to `group`; only what may pass is tried again."""

import pytest

from tests.container.conftest import FOLDER

SLURM = (  # this Slurm has no accounting; the plugin waits 40 s by default before it looks
    *("--default-resources", "slurm_partition=test", "--slurm-no-account"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"),
)
# A bidsdeface that notes each try and ends with another code for each participant.
ENDING = """\
#!/bin/sh
case "$*" in *sub-01*) code={0} ;; *sub-02*) code={1} ;; *) code=0 ;; esac
echo "$code" >>tries
exit $code
"""


def snakemake(cluster, place, profile, mixed, *options, config=(), check=True):
    where = "/repository/workflow"
    return cluster(
        *("bash", "-c", 'cd "$0" && PATH=$0/bin:/opt/tools/bin:$PATH exec snakemake "$@"', place),
        *("--snakefile", f"{where}/Snakefile", "--profile", f"{where}/profiles/{profile}", *options),
        *("--config", f"bids_dir={mixed}", "output_dir=out", "log_dir=log", *config),
        check=check,
    )


@pytest.mark.parametrize(("profile", "options"), [("local", ("--cores", "2")), ("slurm", SLURM)])
def test_group_is_reached_with_a_failed_scan_in_the_middle(cluster, mixed, place, profile, options):
    image = f"image={FOLDER / 'bidsdeface.sif'}"
    said = snakemake(cluster, place, profile, mixed, *options, config=(image,))
    assert f"sub-02: exit code 3; see {place}/log/sub-02.txt" in said
    codes = {path.name: path.read_text().strip() for path in (place / "log" / "done").iterdir()}
    assert codes == {"sub-01": "0", "sub-02": "3", "group": "0"}
    scans = [line.partition("\t")[0] for line in (place / "out" / "quality.tsv").read_text().splitlines()[1:]]
    assert [scan.partition("/")[0] for scan in scans] == ["sub-01", "sub-02"]
    assert not list((place / "out").rglob("*T2w*"))
    missing = (place / "out" / "missing.tsv").read_text()
    assert missing.startswith("scan\treason\nsub-02_T2w\tits image file is damaged or cannot be used")


@pytest.mark.parametrize(
    ("codes", "tries"),
    [
        ((75, 0), ["0", "75", "75", "75"]),
        ((137, 3), ["137", "137", "137", "3"]),
        ((1, 5), ["1", "5"]),
    ],
)
def test_only_what_may_pass_is_tried_again(cluster, mixed, place, codes, tries):
    (place / "bin").mkdir()
    (place / "bin" / "bidsdeface").write_text(ENDING.format(*codes))
    (place / "bin" / "bidsdeface").chmod(0o755)
    snakemake(cluster, place, "local", mixed, "--cores", "1", check=False)
    assert sorted((place / "tries").read_text().split()) == sorted(tries)
    assert not (place / "log" / "done" / "group").exists()
    assert (place / "log" / "done" / "sub-02").read_text().strip() == str(codes[1])


def test_a_job_that_slurm_kills_for_memory_is_tried_again_and_a_failed_check_is_not(cluster, mixed, place):
    """On the first try Slurm ends the jobs for memory; on the second one scan of sub-02 fails."""
    little = "participant:mem_mb=150 if attempt == 1 else 2000"
    image = f"image={FOLDER / 'bidsdeface.sif'}"
    snakemake(cluster, place, "slurm", mixed, *SLURM, "--set-resources", little, config=(image,))
    ended = [one for one in cluster.records() if one["WorkDir"] == str(place)]
    assert [one["JobState"] for one in ended] == ["FAILED"] * 2 + ["COMPLETED"] * 3
    killed = list((place / ".snakemake").rglob("slurm_logs/rule_participant/*/*.log"))
    assert len(killed) == 2  # those of jobs that succeed are removed
    assert all("memory limit" in path.read_text() for path in killed)
    codes = {path.name: path.read_text().strip() for path in (place / "log" / "done").iterdir()}
    assert codes == {"sub-01": "0", "sub-02": "3", "group": "0"}
