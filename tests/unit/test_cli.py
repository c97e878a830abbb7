"""The command line: what it accepts, what it says, and with which code it ends."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from bidsdeface import cli
from bidsdeface.errors import BidsdefaceError, Exit, storage_error
from tests.conftest import make_dataset


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run main on a small dataset with the levels replaced; return (exit code, settings)."""
    bids_dir = make_dataset(tmp_path)

    def run_main(*options, level="participant", result=frozenset()):
        seen = []

        def fake_run(settings):
            seen.append(settings)
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(cli, "_run", fake_run)
        code = cli.main([str(bids_dir), str(tmp_path / "out"), level, *options])
        return code, seen[0] if seen else None

    yield run_main
    logging.getLogger("bidsdeface").handlers.clear()


def test_defaults_are_those_the_help_names(run):
    code, settings = run()
    assert code == 0
    assert (settings.template, settings.guard_mm, settings.regions) == ("WholeHead", 3.0, ("face",))
    assert settings.validate and settings.validate_output and not settings.force and not settings.dry_run
    assert settings.participants == settings.sessions == ()
    assert settings.n_procs >= 1 and settings.omp_nthreads == 1


@pytest.mark.parametrize("option", ["--participant-label", "--participant_label"])
def test_labels_come_with_or_without_prefix_and_in_both_spellings(run, option):
    _, settings = run(option, "sub-01", "02", "--session_label", "ses-a", "b")
    assert settings.participants == ("01", "02")
    assert settings.sessions == ("a", "b")


def test_the_audit_is_asked_for_at_the_group_level_and_off_by_default(run, tmp_path):
    settings = run(level="group")[1]
    assert not (settings.reidentify or settings.strict or settings.keep_renders)
    settings = run("--reidentify", "--strict", "--keep_renders", "-w", str(tmp_path / "w"), level="group")[1]
    assert settings.reidentify and settings.strict and settings.keep_renders


@pytest.mark.parametrize(
    "option",
    ["--skip-bids-validation", "--skip_bids_validation", "--skip_bids_validator"],
)
def test_validation_is_skipped_in_every_spelling(run, option):
    assert not run(option)[1].validate


def test_underscores_in_a_value_stay(run, tmp_path):
    assert run(f"--work_dir={tmp_path}/a_b")[1].work_dir.name == "a_b"


def test_regions_can_include_the_ears(run):
    assert run("--regions", "face,ears")[1].regions == ("face", "ears")


def test_scans_to_accept_are_taken_by_name(run):
    assert run()[1].accept == ()
    assert run("--accept", "sub-01_T1w", "sub-02_T1w", "--accept", "sub-03_T1w")[1].accept == (
        "sub-01_T1w",
        "sub-02_T1w",
        "sub-03_T1w",
    )


def test_a_private_report_needs_a_place_of_its_own(run, tmp_path, capsys):
    code, settings = run("--private-report")
    assert (code, settings) == (2, None)
    assert "--private-report: shows faces" in capsys.readouterr().err
    code, settings = run("--private_report", "-w", str(tmp_path / "work"))
    assert code == 0 and settings.private_report


@pytest.mark.parametrize(
    "options",
    [
        ["--no-such-option"],
        ["--accept"],
        ["--n-procs", "0"],
        ["--omp-nthreads", "-1"],
        ["--guard-mm", "thick"],
        ["--regions", "brain"],
        ["--part", "01"],
        ["-v", "-q"],
        ["--fail-on"],
        ["--fail-on", "1"],
        ["--fail-on", "75"],
        ["--fail-on", "4,"],
    ],
)
def test_wrong_options_end_with_2(run, options):
    with pytest.raises(SystemExit) as ended:
        run(*options)
    assert ended.value.code == 2


def test_a_request_that_does_not_fit_the_files_ends_with_2_and_one_line(run, capsys):
    code, settings = run("--guard-mm", "nan")
    assert (code, settings) == (2, None)
    message = capsys.readouterr().err
    assert message.startswith("bidsdeface: error: --guard-mm nan: ") and message.count("\n") == 1


def test_an_error_for_the_person_ends_with_1_and_one_line(run, capsys):
    code, _ = run(result=BidsdefaceError("a.nii: broken; mend it"))
    assert code == 1
    assert capsys.readouterr().err == "bidsdeface: error: a.nii: broken; mend it\n"


def test_the_worst_of_what_came_up_is_the_exit_code(run):
    assert run(result={Exit.FAILED, Exit.RETRY})[0] == 75
    assert run(result={Exit.FAILED, Exit.LEAK, Exit.ERROR})[0] == 5


@pytest.mark.parametrize(
    ("options", "codes", "expected"),
    [
        (["--fail-on", "4", "5"], {Exit.FAILED}, 0),
        (["--fail-on", "4", "5"], {Exit.FAILED, Exit.WAITS}, 4),
        (["--fail-on", "4", "--fail-on", "5"], {Exit.FAILED, Exit.LEAK}, 5),
        (["--fail-on", "4,5"], {Exit.FAILED, Exit.WAITS}, 4),
        (["--fail_on", "3"], {Exit.FAILED, Exit.LEAK}, 3),
        (["--fail-on", "none"], {Exit.FAILED, Exit.WAITS, Exit.LEAK}, 0),
        (["--fail-on", "none"], {Exit.FAILED, Exit.ERROR}, 1),
        (["--fail-on", "3"], {Exit.RETRY}, 75),
    ],
)
def test_fail_on_says_which_codes_count(run, options, codes, expected):
    assert run(*options, result=codes)[0] == expected


def test_fail_on_none_stands_alone(run, capsys):
    for words in (("none", "5"), ("none,5",)):
        assert run("--fail-on", *words) == (2, None)
        assert "--fail-on none cannot be combined" in capsys.readouterr().err


def test_codes_that_fail_on_does_not_know_are_named_with_those_that_it_does(run, capsys):
    with pytest.raises(SystemExit):
        run("--fail-on", "4,7")
    assert "'7' is not one of 3, 4, 5, none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch"),
        BidsdefaceError("x: broken", retry=True),
        storage_error("x", OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))),
    ],
)
def test_a_run_that_may_succeed_later_ends_with_75_and_one_line(run, error, capsys):
    assert run(result=error)[0] == 75
    said = capsys.readouterr().err
    assert said.startswith("bidsdeface: error: ") and said.count("\n") == 1 and "report this" not in said


def test_a_full_disk_where_the_output_is_to_be_made_is_no_wrong_usage(run, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert run() == (75, None)


def test_a_fault_of_the_program_ends_with_its_traceback(run):
    with pytest.raises(ZeroDivisionError):  # and Python with 1
        run(result=ZeroDivisionError())


def test_an_interrupt_ends_with_130_and_one_line(run, capsys):
    assert run(result=KeyboardInterrupt())[0] == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_log_lines_carry_level_and_message(run, capsys):
    run("-q")
    logging.getLogger("bidsdeface.dataset").info("not shown")
    logging.getLogger("bidsdeface.dataset").warning("shown")
    assert capsys.readouterr().err == "WARNING shown\n"


def test_sigterm_unwinds_the_stack_and_ends_with_143(tmp_path):
    script = (
        "import sys, time; from bidsdeface import cli\n"
        "def work(settings):\n"
        "    try:\n"
        "        print('ready', flush=True); time.sleep(30)\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "cli._run = work\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    arguments = [str(make_dataset(tmp_path)), str(tmp_path / "out"), "participant"]
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGTERM)
    rest, _ = process.communicate(timeout=20)
    assert (rest, process.returncode) == ("cleaned up\n", 143)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(option):
    script = (
        "import sys; from bidsdeface import cli\n"
        "try: cli.main([sys.argv[1]])\n"
        "finally: print(*sys.modules, file=sys.stderr)\n"
    )
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", script, option], capture_output=True, text=True, check=True
    )
    assert time.perf_counter() - start < 2  # half a second on a quiet machine
    assert not {"numpy", "nibabel", "bids", "ants", "scipy"} & set(result.stderr.split())


def test_help_names_every_group_and_an_example(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "which scans:",
        "how to deface:",
        "how to run:",
        "example:",
        "in mm (default: 3)",
        "75 try again",
    ):
        assert words in text


def test_what_fmriprep_users_type_is_understood(run, tmp_path):
    (tmp_path / "f.json").write_text('{"t1w": {"acquisition": "mprage"}}')
    line = (
        f"--participant-label 01 02 --bids-filter-file {tmp_path}/f.json --nprocs 8 --omp-nthreads 2 "
        f"--mem-mb 16000 -w {tmp_path}/scratch --skip-bids-validation --stop-on-first-crash -vv"
    )
    code, settings = run(*line.split())
    assert code == 0
    assert settings.participants == ("01", "02") and settings.filters == {"t1w": {"acquisition": "mprage"}}
    assert (settings.n_procs, settings.omp_nthreads, settings.verbosity) == (8, 2, 1)
    assert settings.work_dir == tmp_path / "scratch"
    assert settings.stop_on_first_crash and not settings.validate


@pytest.mark.parametrize(
    "option", ["--n-procs", "--n_procs", "--nprocs", "--n-cpus", "--n_cpus", "--nthreads"]
)
def test_processes_have_the_names_of_other_programs(run, option):
    assert run(option, "3")[1].n_procs == 3


@pytest.mark.parametrize(("memory_mb", "n_procs"), [("1", 1), ("4000", 2), ("7999", 3), ("64000", 6)])
def test_short_memory_means_fewer_processes(run, memory_mb, n_procs):
    assert run("--nprocs", "6", "--mem-mb", memory_mb)[1].n_procs == n_procs


def test_labels_may_be_separated_by_commas(run):
    _, settings = run("--participant-label", "sub-01,02", "03", "--session-id", "ses-a,b")
    assert (settings.participants, settings.sessions) == (("01", "02", "03"), ("a", "b"))


def test_a_config_file_holds_options_and_the_command_line_takes_precedence(run, tmp_path):
    config = tmp_path / "deface.toml"
    config.write_text(
        'participant-label = ["01", "02"]\nn_procs = 3\nguard-mm = 4.5\nforce = true\nlongitudinal = false\n'
        'keep-field = ["EchoTime"]\nfail-on = "4,5"\nsuffixes = []\n'
    )
    settings = run("--config-file", str(config))[1]
    assert (settings.participants, settings.n_procs, settings.guard_mm) == (("01", "02"), 3, 4.5)
    assert settings.force and not settings.longitudinal and settings.template == "WholeHead"
    assert settings.keep_fields == ("EchoTime",) and settings.fail_on == (Exit.WAITS, Exit.LEAK)
    settings = run("--config-file", str(config), "--participant-label", "03", "--guard-mm", "3")[1]
    assert (settings.participants, settings.n_procs, settings.guard_mm) == (("03",), 3, 3.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n-procs 8", "not TOML"),
        ("[execution]\nn-procs = 8", "execution is no option with its value"),
        ("n-proc = 8", "--n-proc: no such option; did you mean --n-procs?"),
        ("n-procs = 0", "deface.toml: error: argument --n-procs"),
        ('dry-run = "yes"', "deface.toml: error: argument --dry-run"),
        (None, "cannot be read"),
    ],
)
def test_a_config_file_that_is_wrong_is_named(run, tmp_path, capsys, text, message):
    config = tmp_path / "deface.toml"
    if text is not None:
        config.write_text(text)
    try:
        code = run("--config-file", str(config))[0]
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2 and str(config) in error and message in error


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("--particpant_label", "did you mean --participant-label?"),
        ("--mem", "did you mean --mem-mb?"),
        ("--xyzzy", "see --help"),
        ("--reports-only", "run the group level"),
        ("--boilerplate-only", "docs/method.md"),
        ("--bids-database-dir=/tmp/db", "no database is needed"),
    ],
)
def test_an_unknown_option_is_answered_wherever_it_stands(run, capsys, option, answer):
    for options in ([option, "01"], ["--participant-label", "01", option, "x"]):
        with pytest.raises(SystemExit) as ended:
            run(*options)
        assert ended.value.code == 2 and answer in capsys.readouterr().err


def test_an_address_is_answered_with_what_to_do(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["s3://openneuro.org/ds000001", "out", "participant"])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and "aws s3 sync s3://openneuro.org/ds000001 FOLDER" in error
