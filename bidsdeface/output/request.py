"""The options that concern every step of a run: input, output, and which scans to deface."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bidsdeface.dataset.kinds import ANATOMICAL, DEFAULT, suffixes_looked_at, suffixes_of_heads
from bidsdeface.dataset.names import Scan
from bidsdeface.deidentify.policy import Policy, load_policy
from bidsdeface.output.names import BIDS, DERIVATIVES
from bidsdeface.output.publish import OutputDataset


@dataclass(frozen=True, kw_only=True)
class Request:
    """The part of the settings that concerns every step of a run.

    Attributes
    ----------
    bids_dir, output_dir : Path
        The dataset to read and the folder to write to.
    participants, sessions : tuple of str
        Labels without ``sub-`` or ``ses-``; empty for all.
    filters : mapping of str to mapping
        The BIDS filter file: lower-case suffix to pybids query.
    suffixes : tuple of str
        Suffixes to deface, as given; empty for the default of the layout, see `to_deface`.
    output_layout : str
        ``"derivatives"`` for a derivative dataset, ``"bids"`` for a complete one with the names of the input.
    metadata_policy : Path, optional
        A table of sidecar fields that overrides the built-in one.
    keep_fields, drop_fields : tuple of str
        Sidecar fields to keep as they are, and to drop.
    keep_columns : tuple of str
        Columns of tables to keep as they are, as ``NAME`` or ``TABLE:NAME``.
    n_procs : int
        Number of worker processes.
    dry_run : bool
        Print the plan and stop.
    force : bool
        Redo results of earlier runs.
    validate_output : bool
        Whether the whole output goes through the BIDS validator at the end.
    verbosity : int
        -1 warnings only, 0 normal, 1 debug.
    """

    bids_dir: Path
    output_dir: Path
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    suffixes: tuple[str, ...] = ()
    output_layout: str = DERIVATIVES
    metadata_policy: Path | None = None
    keep_fields: tuple[str, ...] = ()
    drop_fields: tuple[str, ...] = ()
    keep_columns: tuple[str, ...] = ()
    n_procs: int = 1
    dry_run: bool = False
    force: bool = False
    validate_output: bool = True
    verbosity: int = 0

    @cached_property
    def output(self) -> OutputDataset:
        """The output dataset."""
        return OutputDataset(self.output_dir, self.output_layout)

    @property
    def is_about_all(self) -> bool:
        """Whether the run is about all participants and sessions of the input."""
        return not (self.participants or self.sessions)

    def asks_for(self, scan: Scan) -> bool:
        """Return True if a scan is of a participant and a session that were asked for."""
        is_of_participant = not self.participants or scan.subject in self.participants
        return is_of_participant and (not self.sessions or scan.session in self.sessions)

    @property
    def is_complete(self) -> bool:
        """Whether the output is a complete dataset, not a derivative one."""
        return self.output_layout == BIDS

    @property
    def to_deface(self) -> tuple[str, ...]:
        """Suffixes of images to deface; ``anat`` stands for all anatomical ones.

        By default, anatomical images, and in a complete dataset all images of heads. A complete dataset also
        inspects images that may or may not show a face, whatever was requested.
        """
        default = suffixes_of_heads() if self.is_complete else (ANATOMICAL,)
        given = self.suffixes or (DEFAULT,)
        asked = (name for one in given for name in (default if one == DEFAULT else (one,)))
        return tuple(dict.fromkeys((*asked, *(suffixes_looked_at() if self.is_complete else ()))))

    def option_to_deface(self, *suffixes: str) -> str:
        """Return the option that defaces images with these suffixes in addition to those of this run."""
        return f"--suffixes {' '.join(dict.fromkeys((*(self.suffixes or (DEFAULT,)), *suffixes)))}"

    @cached_property
    def policy(self) -> Policy:
        """The rule for each sidecar field. The file is read once, so an edit during a run has no effect."""
        return load_policy(self.metadata_policy, self.keep_fields, self.drop_fields)
