"""The command that writes a small BIDS dataset to try the program on: the built-in average head."""

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bidsdeface import __version__
from bidsdeface.errors import BidsdefaceError, UsageError, code_of_run, storage_errors
from bidsdeface.templates.source import AVERAGE

DESCRIPTION = {
    "Name": "bidsdeface demo: the average of many heads",
    "BIDSVersion": "1.11.1",
    "DatasetType": "raw",
    "License": "MIT",
    "Acknowledgements": "Whole-head average of pydeface, doi:10.5281/zenodo.3524400",
}
README = """\
# An average head

`sub-average` is the whole-head average that bidsdeface registers to every scan (from pydeface, MIT licence):
the face of nobody, to show what bidsdeface does.
"""
SIDECAR = {
    "Modality": "MR",
    "Manufacturer": "n/a",
    "InstitutionName": "Example Hospital",
    "StationName": "MR1",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``bidsdeface-demo`` and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="bidsdeface-demo", description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("dataset", type=Path, metavar="DIR", help="where to write it: a new folder")
    parser.add_argument("--version", action="version", version=f"bidsdeface {__version__}")
    try:
        dataset = parser.parse_args(arguments).dataset
        write_dataset(dataset)
    except BidsdefaceError as error:
        print(f"bidsdeface-demo: {error}", file=sys.stderr)
        return code_of_run(error)
    output = f"{dataset}-defaced"
    for level in ("participant", "group"):
        print(shlex.join(["bidsdeface", str(dataset), output, level]))
    print(f"# These deface it. The report will be {output}/report.html")
    return 0


def write_dataset(dataset: Path) -> None:
    """Write the demo dataset to a new folder.

    Parameters
    ----------
    dataset : pathlib.Path

    Raises
    ------
    UsageError
        The folder holds something.
    BidsdefaceError
        It cannot be written.
    """
    stem = dataset / "sub-average" / "anat" / "sub-average_T1w"
    with storage_errors(dataset):
        if dataset.is_dir() and any(dataset.iterdir()):
            raise UsageError(f"{dataset}: not empty; give DIR a new folder")
        stem.parent.mkdir(parents=True)
        shutil.copyfile(AVERAGE, f"{stem}.nii.gz")
        Path(f"{stem}.json").write_text(json.dumps(SIDECAR, indent=2) + "\n")
        (dataset / "dataset_description.json").write_text(json.dumps(DESCRIPTION, indent=2) + "\n")
        (dataset / "participants.tsv").write_text("participant_id\tspecies\nsub-average\thomo sapiens\n")
        (dataset / "README.md").write_text(README)
