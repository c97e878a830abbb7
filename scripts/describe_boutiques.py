"""Write ``boutiques/bidsdeface.json``: the command line, described for Boutiques (https://boutiques.github.io).

Run it after every change of options or version.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bidsdeface.errors import Exit
from bidsdeface.options import DESCRIPTION, make_parser

REPOSITORY = Path(__file__).resolve().parents[1]
DESCRIPTOR = REPOSITORY / "boutiques" / "bidsdeface.json"
# Folders are made by the program, if they are not there: for Boutiques these are no files.
FILES = ("bids_dir", "bids_filter_file", "config_file", "key_file", "mask", "metadata_policy", "review")
TYPES = dict.fromkeys(FILES, "File")
# bosh replaces the image's entrypoint by a login shell, which has another PATH.
PROGRAM = "/opt/venv/bin/python -I /run.py"
NUMBERS = {"guard_mm": False, "mem_mb": True, "n_procs": True, "omp_nthreads": True}  # whether they are whole


def main() -> None:
    """Write the descriptor."""
    DESCRIPTOR.parent.mkdir(exist_ok=True)
    DESCRIPTOR.write_text(descriptor(), encoding="utf-8")


def descriptor() -> str:
    """Return the descriptor as JSON."""
    version = (REPOSITORY / "version").read_text().strip()
    parser = make_parser()
    actions = [action for action in parser._actions if action.dest not in ("help", "version")]
    inputs = [_input(action) for action in actions]
    content = {
        "name": "bidsdeface",
        "tool-version": version,
        "schema-version": "0.5",
        "description": " ".join(DESCRIPTION.split()),
        "author": "The bidsdeface developers",
        "tags": {"domain": ["neuroinformatics", "mri"], "app": ["bids"]},
        "container-image": {"type": "docker", "image": f"bidsdeface:{version}"},
        "command-line": " ".join([PROGRAM, *(one["value-key"] for one in inputs)]),
        "inputs": inputs,
        "groups": [
            {"id": f"{_name(members[0])}_or", "name": "one of", "members": list(map(_name, members))}
            | {"mutually-exclusive": True}
            for group in parser._mutually_exclusive_groups
            if (members := group._group_actions)
        ],
        "output-files": [
            {"id": "output", "name": "the defaced dataset", "path-template": "[OUTPUT_DIR]"},
        ],
        "error-codes": [
            {"code": code.value, "description": code.meaning} for code in Exit if code is not Exit.DONE
        ],
        "suggested-resources": {"cpu-cores": 1, "ram": 2},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _name(action: argparse.Action) -> str:
    """Return the option as people spell it, with underscores: its `dest` may be another."""
    spellings = [option for option in action.option_strings if option.startswith("--")] or [action.dest]
    return spellings[0].lstrip("-").replace("-", "_")


def _input(action: argparse.Action) -> dict[str, Any]:
    name = _name(action)
    kind = "Flag" if action.nargs == 0 else "Number" if name in NUMBERS else TYPES.get(name, "String")
    found: dict[str, Any] = {
        "id": name,
        "name": name.replace("_", " "),
        "type": kind,
        "description": (action.help or "") % {"default": action.default},
        "value-key": f"[{name.upper()}]",
    }
    if action.option_strings:
        found |= {"command-line-flag": "--" + name.replace("_", "-"), "optional": True}
    if isinstance(action.nargs, str):
        found["list"] = True
    if NUMBERS.get(name):
        found |= {"integer": True, "minimum": 1}
    if action.choices:
        found["value-choices"] = list(action.choices)
    if action.option_strings and action.default != argparse.SUPPRESS and kind != "Flag":
        found["default-value"] = action.default
    return found


if __name__ == "__main__":
    main()
