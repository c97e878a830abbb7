"""A work dir, and the folder of the private report in it."""

import pytest

from bidsdeface.report.private_pages import report_folder
from bidsdeface.runtime.workdir import open_state


@pytest.fixture
def state(tmp_path):
    return open_state(tmp_path / "work")


@pytest.fixture
def folder(state, tmp_path):
    return report_folder(state, tmp_path / "out")
