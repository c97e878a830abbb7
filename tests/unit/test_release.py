"""What a release says of itself: one version everywhere."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
VERSION = (REPOSITORY / "version").read_text().strip()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("Dockerfile", r"^ARG VERSION=(\S+)$"),
        ("CITATION.cff", r"^version: (\S+)$"),
        ("CHANGES.md", r"^## (\S+)"),
    ],
)
def test_the_version_is_the_same_everywhere(name, pattern):
    found = re.search(pattern, (REPOSITORY / name).read_text(), flags=re.MULTILINE)
    assert found and found[1] == VERSION
