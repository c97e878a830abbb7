"""Which columns of a table may be shared: those that are described, and those in which nobody stands alone.

A column stays if BIDS defines it and its values fit; or if the data dictionary describes it and they fit; or
if nobody can be told by it. All others are left out whole, and named. No value is altered but ``acq_time``,
which is shifted by whole days, and ``age``, which is capped at 89 years.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.privacy.ages import cap_ages
from bidsdeface.privacy.dates import shift_back
from bidsdeface.privacy.identifiers import KINDS
from bidsdeface.privacy.leftout import NAME, LeftOut
from bidsdeface.privacy.looks import is_moment, looks_like, personal_kind, plain
from bidsdeface.privacy.policy import KEEP, load_policy
from bidsdeface.privacy.rows import INDEX_COLUMNS, are_labels, is_about_people
from bidsdeface.privacy.tables import Table
from bidsdeface.privacy.values import TO_FILL_IN, objection, texts_in
from bidsdeface.schema import MISSING, NUMBER, ColumnRule, table_columns

SHIFTED, AGE, NOT_KNOWN = "acq_time", "age", "n/a"

# Of a column that nobody has described: so many values at most, each in so many people at least; and numbers
# below the least that may be a record number.
MOST_VALUES, FEWEST_PEOPLE, LARGE = 10, 3, 1000
NEARLY_ALL = 0.9
TEXT = "text"  # free text about people
# Columns of stimuli and sensors that are called like those of people.
_OF_THINGS = {
    "name", "names", "device", "operator", "contact", "city", "county", "town", "village", "department",
    "school", "university", "station", "street", "url", "website", "timestamp", "date", "time", "serial",
    "uid", "uuid", "license",
}  # fmt: skip
_PERSON_COLUMNS = Path(__file__).with_name("columns.tsv")
_LIMITS = (("Minimum", -math.inf), ("Maximum", math.inf))


@dataclass(frozen=True)
class Spread:
    """How the values of a column spread over people.

    Attributes
    ----------
    people : mapping of str to int
        How many people share a value.
    largest : float
        Of the numbers, without their signs; infinite if not all values are numbers.
    """

    people: Mapping[str, int]
    largest: float

    def hides(self, values: Collection[str]) -> bool:
        """Return True if there are few values, each shared by several people, and these are among them."""
        few = len(self.people) <= MOST_VALUES and min(self.people.values(), default=0) >= FEWEST_PEOPLE
        return few and self.people.keys() >= set(values)

    @property
    def may_number_people(self) -> bool:
        """Whether the values are large numbers of which nearly every person has another."""
        return self.largest >= LARGE and len(self.people) >= NEARLY_ALL * sum(self.people.values())


def spread_of(pairs: Iterable[tuple[str, str]]) -> Spread:
    """Return how values spread over people; what is missing does not count.

    Parameters
    ----------
    pairs : iterable of tuple of str
        Person and value.
    """
    people: dict[str, set[str]] = defaultdict(set)
    for person, value in pairs:
        if value not in MISSING:
            people[value].add(person)
    return Spread({value: len(some) for value, some in people.items()}, _largest(people))


ALONE = Spread({"": 1}, math.inf)  # of a column of which nothing is known


@dataclass(frozen=True)
class TableOptions:
    """What decides about the columns of a table, beside its own values.

    Attributes
    ----------
    dictionary : mapping
        The table's data dictionary.
    spread : callable
        Returns how the values of a column spread over the people of the dataset; for tables of one
        participant.
    is_telling : callable
        Returns True if a text holds an identifier of this dataset.
    days : callable
        Returns by how many days the dates of a participant go back, or None where dates are dropped.
    keep, drop : collection of str
        Columns to keep as they are and to drop, as ``NAME`` or ``TABLE:NAME``; dropping wins.
    """

    dictionary: Mapping[str, Any]
    spread: Callable[[str], Spread]
    is_telling: Callable[[str], bool] = lambda text: False
    days: Callable[[str], int | None] = lambda subject: None
    keep: Sequence[str] = ()
    drop: Sequence[str] = ()


@dataclass(frozen=True)
class ScrubbedTable:
    """A table that may be shared, and what of it may not.

    Attributes
    ----------
    table : Table
    left_out : tuple of LeftOut
    """

    table: Table
    left_out: tuple[LeftOut, ...]

    def dropped(self, table: Table) -> tuple[str, ...]:
        """Return the columns of the table it was made of that it has not."""
        return tuple(column for column in table.columns if column not in self.table.columns)


def kept_of(table: str, keep_columns: Iterable[str]) -> list[str]:
    """Return the columns to keep of tables with a suffix, of those given as ``NAME`` or ``TABLE:NAME``."""
    return [name for of, _, name in (one.rpartition(":") for one in keep_columns) if of in ("", table)]


def person_column(column: str) -> str | None:
    """Return what a column tells of a person by its name, if it does: a kind of identifier, or ``text``.

    Examples
    --------
    >>> [person_column(column) for column in ("Date of Birth", "MRN", "comments_2", "group")]
    ['day', 'whole', 'text', None]
    """
    return _person_columns().get(re.sub(r"_?\d+$|[\W_]", "", plain(column)).casefold())


def told_by(column: str, path: PurePosixPath) -> str | None:
    """Return the kind of personal information that the name of a column in a table announces, or None.

    In a table that is not about people, free text is about things, and so are a name, a device, a city.

    Examples
    --------
    >>> [told_by("name", PurePosixPath(path)) for path in ("participants.tsv", "a_events.tsv")]
    ['person', None]
    """
    kind = person_column(column)
    is_of_thing = kind == TEXT or column.casefold() in _OF_THINGS
    return None if is_of_thing and not is_about_people(path) else kind


def scrub_columns(table: Table, path: PurePosixPath, options: TableOptions) -> ScrubbedTable:
    """Leave out the columns that nobody has described and that may tell a person.

    Parameters
    ----------
    table : Table
        From `check_rows`.
    path : PurePosixPath
        Relative to the dataset.
    options : TableOptions

    Returns
    -------
    ScrubbedTable
    """
    columns = table_columns(path)
    left_out: list[LeftOut] = []
    kept: list[str] = []
    for column in table.columns:
        suffix, detail = path.stem.rpartition("_")[2], ""
        names, keep_it = {column, f"{suffix}:{column}"}, f"--keep-column {suffix}:{NAME}"
        reason: str | None = None
        if is_about_people(path) and _is_index(column, table, columns.get(column)):
            pass
        elif names & set(options.drop):
            reason, keep_it = "you said so", ""
        elif names & set(options.keep):
            pass
        elif column == SHIFTED:
            table, reason, bad = _shifted(table, path, options)
            lines = (f"line {line} of {column}" for line in bad)
            left_out += [LeftOut(path, "no date that can be shifted", line) for line in lines]
            keep_it = "--work-dir DIR, so that dates are shifted by a private key"
        elif plain(column).strip().casefold() == AGE and is_about_people(path):
            values, reason = cap_ages(table.values(column), options.dictionary.get(column))
            table = table.with_values(column, values)
            keep_it = f'describe it in {_dictionary_name(path)} with "Units": "year" (or month, week, day)'
        elif found := _why_left_out(column, table, path, columns.get(column), options):
            reason, detail = found
            if "described" in reason:
                keep_it = f"describe it in {_dictionary_name(path)} (Levels, or Units), or {keep_it}"
        if reason is None:
            kept.append(column)
        else:
            left_out.append(LeftOut(path, reason, f"column {column}", keep_it, detail=detail))
    return ScrubbedTable(table.keep_columns(kept), tuple(left_out))


def _is_index(column: str, table: Table, rule: ColumnRule | None) -> bool:
    """Return True if a column says what each row is about, in labels; a visit's, that are no days."""
    if column not in INDEX_COLUMNS or not are_labels(column, table):
        return False
    is_visit = column == "session_id" and not any(map(looks_like, table.values(column)))
    return is_visit or (rule is not None and rule.is_index)


def _shifted(table: Table, path: PurePosixPath, options: TableOptions) -> tuple[Table, str | None, list[int]]:
    """Shift the dates of acquisition; return the lines of those that could not be, which are missing now."""
    values, bad = [], []
    subject = path.parts[0].removeprefix("sub-") if path.parts[0].startswith("sub-") else ""
    has_people = "participant_id" in table.columns
    people = table.values("participant_id") if has_people else [f"sub-{subject}"] * len(table.rows)
    for value, person, line in zip(table.values(SHIFTED), people, table.lines, strict=True):
        days = options.days(person.removeprefix("sub-")) if person != "sub-" else None
        if days is None:
            return table, "is a date, and there is no private key to shift it by", []
        shifted = value if value in MISSING else shift_back(value, days)
        if shifted is None:
            bad.append(line)
        values.append(shifted or NOT_KNOWN)
    return table.with_values(SHIFTED, values), None, bad


def _why_left_out(
    column: str, table: Table, path: PurePosixPath, rule: ColumnRule | None, options: TableOptions
) -> tuple[str, str] | None:
    """Return why a column is left out, and in which line that shows; None if it stays."""
    lines = dict(zip(reversed(table.values(column)), reversed(table.lines), strict=True))
    lines = {value: line for value, line in lines.items() if value not in MISSING}
    entry, about_people = options.dictionary.get(column), is_about_people(path)
    if looks_like(column) or options.is_telling(column):
        return "its name tells a person, a date or a place", ""
    if rule is None and told_by(column, path):
        return "may tell who somebody is", ""
    is_numeric = all(NUMBER.fullmatch(value) for value in lines)
    if lines and is_numeric and all(is_moment(float(value)) for value in lines):
        return "its numbers are dates, or a computer's clock", ""
    if about_people and is_numeric and rule is None:  # whole numbers: parts of decimals are nobody's
        whole = {value: line for value, line in lines.items() if value.strip().isdecimal()}
        line = next((line for value, line in whole.items() if options.is_telling(value)), None)
    else:
        line = None if is_numeric else _first_telling(lines, rule, options)
    if line:
        return "holds a date, an address, or a name or number of this dataset's people", f"line {line}"
    misfit = next((line for value, line in lines.items() if rule and not rule.fits(value)), None)
    if rule and not misfit and not (rule.is_free and about_people and not _is_known(column, lines)):
        return None  # BIDS defines it
    if not lines or (is_numeric and not about_people):
        return None
    spread = _spread(column, table, options)
    reason = _why_not_described(lines, entry, spread, is_numeric)
    if reason is None or spread.hides(lines) or (is_numeric and spread.largest < LARGE):
        return None
    return (f"not a value that BIDS has for it; {reason[0]}", f"line {misfit}") if misfit else reason


def _why_not_described(
    lines: Mapping[str, int], entry: Any, spread: Spread, is_numeric: bool
) -> tuple[str, str] | None:
    """Return why the data dictionary does not describe a column, and in which line; None if it does."""
    if not isinstance(entry, Mapping) or not entry:
        return "not described, and fewer than three people share a value", ""
    if TO_FILL_IN in texts_in(entry):
        return "described by a draft that is not filled in", ""
    levels = entry.get("Levels")
    named = set(map(str, levels)) if isinstance(levels, Mapping | list) else set()
    if lines.keys() <= named:
        return None
    if not is_numeric:
        line = next(line for value, line in lines.items() if value not in named)
        return "not described by its Levels, and fewer than three people share a value", f"line {line}"
    low, high = (_limit(entry.get(key), default) for key, default in _LIMITS)
    for value, line in lines.items():
        if not low <= float(value) <= high:
            return "outside what is described by Minimum and Maximum", f"line {line}"
    has_scale = bool(entry.get("Units")) or (math.isfinite(low) and math.isfinite(high))
    if spread.may_number_people and not has_scale:
        return "described without Units; its numbers of 1,000 and more differ for nearly everybody", ""
    return None


def _spread(column: str, table: Table, options: TableOptions) -> Spread:
    if "participant_id" in table.columns:
        return spread_of(zip(table.values("participant_id"), table.values(column), strict=True))
    return options.spread(column)


def _first_telling(lines: Mapping[str, int], rule: ColumnRule | None, options: TableOptions) -> int | None:
    """Return the line of the first value that holds what no kept text may hold."""
    if rule and rule.levels and all(map(rule.fits, lines)):
        return None
    may_be_dated = bool(rule and rule.pattern)  # names of stimuli
    for value, line in lines.items():
        if (
            personal_kind(value)
            or options.is_telling(value)
            or (not may_be_dated and "date" in looks_like(value))
        ):
            return line
    return None


def _is_known(column: str, values: Iterable[str]) -> bool:
    """Return True if the policy for sidecars knows all values of the field of the same name (species)."""
    rule = load_policy().get(column.capitalize())
    if rule is None or rule.action != KEEP:
        return False
    return all(objection(column, value, rule.kind) is None for value in values)


def _limit(value: Any, default: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _largest(values: Iterable[str]) -> float:
    largest = 0.0
    for value in values:
        if not NUMBER.fullmatch(value):
            return math.inf
        largest = max(largest, abs(float(value)))
    return largest


def _dictionary_name(path: PurePosixPath) -> str:
    """Return where a person may describe the columns of a table, for all participants at once."""
    task = re.search(r"task-[A-Za-z0-9+]+_", path.name)
    return f"{task[0] if task else ''}{path.stem.rpartition('_')[2]}.json"


@lru_cache(maxsize=1)
def _person_columns() -> Mapping[str, str]:
    with _PERSON_COLUMNS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert all(row["tells"] in (*KINDS, TEXT) for row in rows)
    return {row["column"]: row["tells"] for row in rows}
