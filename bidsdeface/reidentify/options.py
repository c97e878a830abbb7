"""The options of the re-identification audit."""

from dataclasses import dataclass

from bidsdeface.output.request import Request


@dataclass(frozen=True, kw_only=True)
class AuditOptions(Request):
    """How the published scans are attacked.

    Attributes
    ----------
    reidentify : bool
        Whether the group level tries face recognition on the scans.
    strict : bool
        Whether scans that are still recognised are withdrawn.
    keep_renders : bool
        Whether pictures of heads, before and after, stay in the work dir.
    """

    reidentify: bool = False
    strict: bool = False
    keep_renders: bool = False
