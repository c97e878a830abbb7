"""One head of fake scans, defaced without the engine."""

import numpy as np
import pytest

from bidsdeface.dataset.query import find_heads
from bidsdeface.head import choose_mask
from bidsdeface.head.deface import Tools, deface_head
from bidsdeface.head.mask import Masked
from bidsdeface.head.review import read_decisions
from bidsdeface.runtime.workdir import open_state
from bidsdeface.settings import Settings
from tests.conftest import make_dataset


@pytest.fixture
def run(tmp_path, templates, monkeypatch):
    """Deface a head of fake scans, for which `find` is told what to find."""

    def run_head(found, scans=("sub-01/anat/sub-01_T1w.nii.gz",), **options):
        if not (tmp_path / "bids").exists():
            make_dataset(tmp_path, scans)
            (tmp_path / "out").mkdir()

        def find(loaded, reference, templates, accepted):
            run_head.references[loaded.scan.stem] = reference
            result = found(loaded) if callable(found) else found
            if isinstance(result, Exception):
                raise result
            mask = np.zeros(loaded.image.stored.shape, bool, order="F")
            mask[:, 22:] = not result.get("no_face")
            return Masked(**{"mask": mask, "affine": loaded.image.affine, "measures": {}, **result})

        monkeypatch.setattr(choose_mask, "mask_from_template", find)
        bids_dir, output_dir = tmp_path / "bids", tmp_path / "out"
        settings = Settings(bids_dir=bids_dir, output_dir=output_dir, level="participant", **options)
        state = open_state(settings.work_dir) if settings.work_dir else None
        (head,) = find_heads(bids_dir, suffixes=options.get("suffixes", ())).heads
        tools = Tools(settings, templates, read_decisions(settings, state))
        outcomes = list(deface_head(tools, head))
        return {outcome.scan: outcome for outcome in outcomes}, head

    run_head.references = {}
    return run_head
