"""Which sidecar fields may be shared, and what their values must look like: the table in ``policy.tsv``.

Each row has a field, what becomes of it (keep, generalise, drop), the kind of value that may pass, the
reason and the source. A person's own table and wishes go on top of it.
"""

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from bidsdeface.errors import UsageError
from bidsdeface.privacy.values import objection

KEEP, GENERALISE, DROP = "keep", "generalise", "drop"
ACTIONS = (KEEP, GENERALISE, DROP)
GENERALISED_KINDS = ("age", "midnight")
OBJECT_KINDS = ("object", "filters")
FILES = "files"
_TABLE = Path(__file__).with_name("policy.tsv")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


@dataclass(frozen=True)
class Rule:
    """What becomes of a field.

    Attributes
    ----------
    action : str
        ``keep``, ``generalise`` or ``drop``.
    kind : str
        What a value must look like to pass (see `objection`); empty where a person takes it as it is. Of a
        dropped field: ``text`` if it may hold any text, and empty if it is about somebody.
    reason : str
        Of a dropped field: why it goes.
    """

    action: str
    kind: str = ""
    reason: str = field(default="", compare=False)


Policy = Mapping[str, Rule]


def load_policy(table: Path | None = None, keep: Iterable[str] = (), drop: Iterable[str] = ()) -> Policy:
    """Return the policy: ours, then a person's table, then the fields they name; dropping wins.

    Parameters
    ----------
    table : pathlib.Path, optional
        Tab-separated like ``policy.tsv``; of its columns, ``field`` and ``action`` are needed. A field
        without a ``kind`` has that of ours if the action is the same; else a kept one passes as it is.
    keep, drop : iterable of str, optional
        Fields to keep as they are and to drop.

    Returns
    -------
    dict of str to Rule

    Raises
    ------
    UsageError
        The table is not such a table.
    """
    ours = _own_policy()
    policy = {**ours, **(_read_policy(table, ours) if table else {})}
    policy |= {name: Rule(KEEP) for name in keep}
    policy |= {name: Rule(DROP, _own_kind(ours, name, DROP), "asked for") for name in drop}
    return policy


def file_fields(policy: Policy, among: Iterable[str] | None = None) -> frozenset[str]:
    """Return the fields whose values name files.

    Parameters
    ----------
    policy : mapping of str to Rule
    among : iterable of str, optional
        Only these fields matter.

    Examples
    --------
    >>> sorted(file_fields(load_policy()))[-2:]
    ['ReferenceSignal', 'SpatialReference']
    """
    names = policy if among is None else policy.keys() & set(among)
    return frozenset(name for name in names if policy[name].kind == FILES)


def policy_mark(policy: Policy) -> str:
    """Return what stands for a policy in a result: ``built-in``, or letters that change with the policy.

    Examples
    --------
    >>> policy_mark(load_policy())
    'built-in'
    """
    if policy == _own_policy():
        return "built-in"
    rules = repr(sorted((name, rule.action, rule.kind) for name, rule in policy.items()))
    # No digits: none that could read as a date or a record number.
    return hashlib.sha256(rules.encode()).hexdigest()[:12].translate(_LETTERS)


@lru_cache(maxsize=1)
def _own_policy() -> Policy:
    return _read_policy(_TABLE, {})


def _read_policy(path: Path, ours: Policy) -> dict[str, Rule]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); give --metadata-policy a readable table"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a text table ({error}); save it as UTF-8, tab-separated") from error
    policy = {}
    for number, row in enumerate(rows, start=2):
        name, action = row.get("field"), row.get("action")
        if not name or action not in ACTIONS:
            raise UsageError(
                f"{path}: line {number} has no field, or no action of {', '.join(ACTIONS)}; correct it"
            )
        kind = row.get("kind") or _own_kind(ours, name, action)
        try:
            _check_kind(action, kind)
        except (ValueError, re.error) as error:
            raise UsageError(f"{path}: line {number}: {error}; correct its kind") from error
        policy[name] = Rule(action, kind, row.get("reason") or "")
    return policy


def _own_kind(ours: Policy, name: str, action: str) -> str:
    """Return the kind of value that our table has for a field, if it does the same with it."""
    return ours[name].kind if name in ours and ours[name].action == action else ""


def _check_kind(action: str, kind: str) -> None:
    """Raise ValueError if there is no such kind."""
    if action == GENERALISE and kind not in GENERALISED_KINDS:
        raise ValueError(f"nothing generalises to {kind!r}; choose from {', '.join(GENERALISED_KINDS)}")
    if action == KEEP and kind not in OBJECT_KINDS:
        objection("", ["x", 0], kind)
