"""The command line of the leak check: read a dataset about to be shared, and name what still identifies."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bidsdeface import __version__
from bidsdeface.errors import BidsdefaceError, Exit, UsageError, code_of_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``bidsdeface-check`` and return its exit code: 0 clean, 5 with findings, else see `Exit`."""
    options = _parser().parse_args(arguments)
    try:
        return _check(options)
    except BidsdefaceError as error:
        print(f"bidsdeface-check: {error}", file=sys.stderr)
        return code_of_run(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _check(options: argparse.Namespace) -> int:
    dataset = options.dataset
    if not dataset.is_dir():
        raise UsageError(f"{dataset}: no such folder; give DIR the root of a dataset")
    if unknown := [name for name in options.accept_text if not (dataset / name).is_file()]:
        raise UsageError(f"--accept-text {unknown[0]}: no such file in {dataset}; correct the name")
    from bidsdeface.dataset.files import EXTENSIONS
    from bidsdeface.deidentify.policy import load_policy
    from bidsdeface.leakcheck.find import find_leaks, survey_dataset

    shows_face = None
    if options.faces:
        from bidsdeface.leakcheck.faces import face_test

        shows_face = face_test()
    survey = survey_dataset(options.dataset)
    if survey.notice:
        print(survey.notice, file=sys.stderr)
    findings = []
    for finding in find_leaks(
        options.dataset,
        policy=load_policy(options.metadata_policy, options.keep_field),
        keep_columns=options.keep_column,
        shows_face=shows_face,
        survey=survey,
        look_at_labels=not options.accept_labels,
        accepted_texts=options.accept_text,
    ):
        findings.append(finding)
        if not options.json:
            print(f"{finding.path}, {finding.place}: {finding.kind}", flush=True)
    if options.json:
        print(json.dumps({"version": __version__, "findings": [*map(asdict, findings)]}, indent=2))
    else:
        images = sum(path.name.endswith(EXTENSIONS) for path in survey.files)
        untested = "" if options.faces else ", not tested for faces"
        print(
            f"{len(findings)} findings in {len(survey.files)} files, {images} images{untested}",
            file=sys.stderr,
        )
    return Exit.LEAK if findings else Exit.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bidsdeface-check",
        usage="%(prog)s DIR [options]",
        description="Read every file of a dataset about to be shared and name what still identifies: place "
        "and kind, never the value. A clean result is no proof: names in plain text look like any other "
        "word. Exit codes: 0 nothing is found, 5 something is, 2 wrong usage, 1 an error.",
        allow_abbrev=False,
    )
    parser.add_argument("dataset", metavar="DIR", type=Path, help="root of the dataset; only read")
    parser.add_argument("--json", action="store_true", help="write the findings as JSON")
    parser.add_argument(
        "--no-faces",
        dest="faces",
        action="store_false",
        help="do not look for faces in images (some seconds each)",
    )
    parser.add_argument(
        "--metadata-policy",
        type=Path,
        metavar="FILE",
        help="table of sidecar fields on top of the built-in one",
    )
    for option, metavar, text in (
        ("--keep-field", "NAME", "sidecar fields that you have looked at"),
        ("--keep-column", "TABLE:NAME", "table columns that you have looked at, as in participants:notes"),
        ("--accept-text", "FILE", "texts that you have read, such as README"),
    ):
        parser.add_argument(option, nargs="+", action="extend", default=[], metavar=metavar, help=text)
    parser.add_argument(
        "--accept-labels",
        action="store_true",
        help="labels that read as dates, record numbers or names are as they should be",
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


if __name__ == "__main__":
    sys.exit(main())
