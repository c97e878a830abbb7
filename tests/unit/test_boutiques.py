"""The Boutiques descriptor: it is valid, and says what the command line takes."""

import json

import boutiques
from bidsdeface.options import parse
from scripts.describe_boutiques import DESCRIPTOR, descriptor


def test_the_descriptor_is_up_to_date():
    assert DESCRIPTOR.read_text(encoding="utf-8") == descriptor(), "run python -m scripts.describe_boutiques"


def test_boutiques_takes_the_descriptor():
    boutiques.validate(str(DESCRIPTOR))


def test_the_command_line_that_boutiques_makes_is_understood(tmp_path):
    invocation = tmp_path / "invocation.json"
    given = {"bids_dir": str(tmp_path), "output_dir": "out", "level": "participant"}
    invocation.write_text(json.dumps({**given, "participant_label": ["01", "02"], "guard_mm": 5}))
    made = boutiques.execute("simulate", "-i", str(invocation), str(DESCRIPTOR)).shell_command
    settings = parse(made.split()[made.split().index(str(tmp_path)) :])
    assert (settings.level, settings.participants, settings.guard_mm) == ("participant", ("01", "02"), 5)
