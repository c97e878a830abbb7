"""Decide which columns of a table may be shared.

A column stays if BIDS defines it and its values fit; or if the data dictionary describes it and they fit; or
if its values identify nobody. All others are left out whole, and named. No value is altered but ``acq_time``,
which is shifted by whole days, and ``age``, which is capped at 89 years.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from bidsdeface.deidentify.altered import cap_ages, shift_back
from bidsdeface.deidentify.excluded import NAME, Excluded
from bidsdeface.deidentify.patterns import PERSONAL, find_pii, is_timestamp, unaccented
from bidsdeface.deidentify.policy import KEEP, UNKNOWN, load_policy
from bidsdeface.deidentify.tables import INDEX_COLUMNS, Table, is_about_people, read_rows
from bidsdeface.deidentify.values import TO_FILL_IN, is_number, objection, texts_in
from bidsdeface.errors import first_of
from bidsdeface.schema import MISSING, NUMBER, ColumnRule, table_columns

SHIFTED, AGE = "acq_time", "age"

# An undescribed column stays if it has at most MOST_VALUES values, each shared by FEWEST_PEOPLE at least, or
# only numbers below LARGE, as record numbers are larger.
MOST_VALUES, FEWEST_PEOPLE, LARGE = 10, 3, 1000
NEARLY_ALL = 0.9
# Columns about people whose names are also used for stimuli and sensors.
_OF_THINGS = {
    "name", "names", "device", "operator", "contact", "city", "county", "town", "village", "department",
    "school", "university", "station", "street", "url", "website", "timestamp", "date", "time", "serial",
    "uid", "uuid", "license",
}  # fmt: skip
_LIMITS = {"Minimum": -math.inf, "Maximum": math.inf}


@dataclass(frozen=True)
class Spread:
    """How many people share each value of a column.

    Attributes
    ----------
    people : mapping of str to int
        The number of people by value.
    """

    people: Mapping[str, int]

    def hides(self, values: Collection[str]) -> bool:
        """Return True if the column has few values, each shared by several people, these among them."""
        fewest = min(self.people.values(), default=0)
        return len(self.people) <= MOST_VALUES and fewest >= FEWEST_PEOPLE and {*values} <= self.people.keys()

    @property
    def largest(self) -> float:
        """The largest absolute number; infinite if some value is no number."""
        return max(
            (abs(float(value)) if NUMBER.fullmatch(value) else math.inf for value in self.people), default=0.0
        )

    @property
    def may_number_people(self) -> bool:
        """Whether the values are large numbers that differ for nearly every person."""
        return self.largest >= LARGE and len(self.people) >= NEARLY_ALL * sum(self.people.values())


def spread_of(pairs: Iterable[tuple[str, str]]) -> Spread:
    """Count the people who share each value; missing values are ignored.

    Parameters
    ----------
    pairs : iterable of tuple of str
        Person and value.
    """
    return Spread(Counter(value for _, value in set(pairs) if value not in MISSING))


ALONE = Spread({"": 1})  # of a column about which nothing is known


def own_spread(column: str, table: Table) -> Spread | None:
    """Count the people who share each value of a column, if the table has a column of participants."""
    has_people = "participant_id" in table.columns
    return spread_of(zip(*map(table.values, ("participant_id", column)), strict=True)) if has_people else None


@dataclass(frozen=True)
class TableOptions:
    """What decides about the columns of a table, apart from its own values.

    Attributes
    ----------
    dictionary : mapping
        The table's data dictionary.
    spread : callable
        Returns the `Spread` of a column over the people of the dataset, for tables of one participant.
    identifies : callable
        Returns True if a text holds an identifier of this dataset.
    days : callable or None
        Returns by how many days the dates of a participant go back; without it, dates are dropped.
    keep, drop : collection of str
        Columns to keep as they are and to drop, as ``NAME`` or ``TABLE:NAME``; dropping wins.
    """

    dictionary: Mapping[str, Any]
    spread: Callable[[str], Spread]
    identifies: Callable[[str], bool] = lambda text: False
    days: Callable[[str], int] | None = None
    keep: Sequence[str] = ()
    drop: Sequence[str] = ()


def columns_to_keep(table: str, keep_columns: Iterable[str]) -> list[str]:
    """Return the columns to keep of tables with a suffix, of those given as ``NAME`` or ``TABLE:NAME``."""
    return [name for of, _, name in (column.rpartition(":") for column in keep_columns) if of in ("", table)]


def personal_kind(column: str, path: PurePosixPath | None = None) -> str | None:
    """Return the personal information that the name of a column announces: a kind of identifier, or ``text``.

    In a table that is not about people, free text is about things, and so are a name, a device, a city.

    Parameters
    ----------
    column : str
    path : PurePosixPath, optional
        Of its table, relative to the dataset.

    Examples
    --------
    >>> [personal_kind(column) for column in ("Date of Birth", "MRN", "comments_2", "group")]
    ['day', 'whole', 'text', None]
    >>> [personal_kind("name", PurePosixPath(path)) for path in ("participants.tsv", "a_events.tsv")]
    ['person', None]
    """
    kind = _personal_kinds().get(re.sub(r"_?\d+$|[\W_]", "", unaccented(column)).casefold())
    is_of_thing = kind == "text" or column.casefold() in _OF_THINGS
    return None if is_of_thing and path and not is_about_people(path) else kind


def scrub_columns(table: Table, path: PurePosixPath, options: TableOptions) -> tuple[Table, list[Excluded]]:
    """Leave out the columns that are not described and that may identify a person.

    Parameters
    ----------
    table : Table
        From `check_rows`.
    path : PurePosixPath
        Relative to the dataset.
    options : TableOptions

    Returns
    -------
    table : Table
    left_out : list of Excluded
    """
    suffix, rules = path.stem.rpartition("_")[2], table_columns(path)
    left_out: list[Excluded] = []
    for column in table.columns:
        rule, entry, reason, detail = rules.get(column), options.dictionary.get(column), None, ""
        names, keep_it = {column, f"{suffix}:{column}"}, f"--keep-column {suffix}:{NAME}"
        is_dropped = not names.isdisjoint(options.drop)
        is_index = is_about_people(path) and _is_index(column, table, rule)
        if is_index or not (is_dropped or names.isdisjoint(options.keep)):
            continue
        if is_dropped:
            reason, keep_it = "as you asked", ""
        elif column == SHIFTED:
            table, reason, bad = _shifted(table, path, options)
            left_out += [Excluded(path, "no date that can be shifted", line) for line in bad]
            keep_it = "--work-dir DIR, so that dates are shifted by a private key"
        elif unaccented(column).strip().casefold() == AGE and is_about_people(path):
            values, reason = cap_ages(table.values(column), entry)
            table = table.with_values(column, values)
            keep_it = f'describe it in {_dictionary_name(path)} with "Units": "year" (or month, week, day)'
        else:
            reason, detail = _why_left_out(column, table, path, rule, options) or ("", "")
            if "described" in reason:
                keep_it = f"describe it in {_dictionary_name(path)} (Levels, or Units), or {keep_it}"
        if reason:
            left_out.append(Excluded(path, reason, f"column {column}", keep_it, detail=detail))
    dropped = {excluded.what for excluded in left_out}
    return table.keep_columns([name for name in table.columns if f"column {name}" not in dropped]), left_out


def _is_index(column: str, table: Table, rule: ColumnRule | None) -> bool:
    """Return True if a column holds labels that say what each row is about; a date is no label of a visit."""
    values = [value for value in table.values(column) if value not in MISSING]
    if column not in INDEX_COLUMNS or not all(map(INDEX_COLUMNS[column][0].fullmatch, values)):
        return False
    is_visit = column == "session_id" and not any(map(find_pii, values))
    return is_visit or (rule is not None and rule.is_index)


def _shifted(table: Table, path: PurePosixPath, options: TableOptions) -> tuple[Table, str | None, list[str]]:
    """Shift the dates of acquisition; also return the lines of those that cannot be shifted, now missing."""
    own = path.parts[0] if path.parts[0].startswith("sub-") else "sub-"
    people = table.values("participant_id") if "participant_id" in table.columns else (own,) * len(table.rows)
    if options.days is None or "sub-" in people:
        return table, "is a date, and there is no private key to shift it by" if people else None, []
    dates = [
        value if value in MISSING else shift_back(value, options.days(person.removeprefix("sub-")))
        for value, person in zip(table.values(SHIFTED), people, strict=True)
    ]
    bad = [f"line {line} of {SHIFTED}" for line, date in zip(table.rows, dates, strict=True) if date is None]
    return table.with_values(SHIFTED, [date or "n/a" for date in dates]), None, bad


def _why_left_out(
    column: str, table: Table, path: PurePosixPath, rule: ColumnRule | None, options: TableOptions
) -> tuple[str, str] | None:
    """Return why a column is left out, and in which line that shows; None if it stays."""
    last_first = zip(reversed(table.values(column)), reversed(table.rows), strict=True)
    lines = {value: line for value, line in last_first if value not in MISSING}
    about_people, is_numeric = is_about_people(path), all(map(NUMBER.fullmatch, lines))
    identifying = _first_identifying(lines, is_numeric, rule, about_people, options)
    at_once = {
        ("its name tells a person, a date or a place", ""): find_pii(column) or options.identifies(column),
        ("may tell who somebody is", ""): rule is None and personal_kind(column, path),
        ("its numbers are dates, or a computer's clock", ""): (
            is_numeric and lines and all(is_timestamp(float(value)) for value in lines)
        ),
        (
            "holds a date, an address, or a name or number of this dataset's people",
            f"line {identifying}",
        ): identifying,
    }
    if found := first_of(at_once):
        return found
    misfit = next((line for value, line in lines.items() if rule and not rule.fits(value)), None)
    any_text_fits = not (rule and (rule.is_number or rule.levels or rule.pattern))
    is_vague = rule is None or (any_text_fits and about_people and not _is_known(column, lines))
    if not (misfit or is_vague) or not lines or (is_numeric and not about_people):
        return None  # BIDS defines it, or it holds nothing, or its numbers are not about people
    spread = own_spread(column, table) or options.spread(column)
    undescribed = _why_not_described(lines, options.dictionary.get(column), spread, is_numeric)
    if undescribed is None or spread.hides(lines) or (is_numeric and spread.largest < LARGE):
        return None
    return (
        (f"not a value that BIDS has for it; {undescribed[0]}", f"line {misfit}") if misfit else undescribed
    )


def _first_identifying(
    lines: Mapping[str, int],
    is_numeric: bool,
    rule: ColumnRule | None,
    about_people: bool,
    options: TableOptions,
) -> int | None:
    """Return the line of the first value that no kept column may hold."""
    if rule and (is_numeric or (rule.levels and all(map(rule.fits, lines)))):
        return None
    kinds = {*PERSONAL} if rule and rule.pattern else {*PERSONAL, "date"}  # names of stimuli may have a date

    def is_identifying(value: str) -> bool:
        if is_numeric:  # whole numbers may be somebody's; parts of decimals are nobody's
            return about_people and value.strip().isdecimal() and options.identifies(value)
        return options.identifies(value) or not kinds.isdisjoint(find_pii(value))

    return next((line for value, line in lines.items() if is_identifying(value)), None)


def _why_not_described(
    lines: Mapping[str, int], entry: Any, spread: Spread, is_numeric: bool
) -> tuple[str, str] | None:
    """Return why the data dictionary does not describe a column, and in which line; None if it does."""
    entry = entry if isinstance(entry, Mapping) else {}
    levels = entry.get("Levels")
    named = set(map(str, levels)) if isinstance(levels, Mapping | list) else set()
    unnamed = next((f"line {line}" for value, line in lines.items() if value not in named), "")
    low, high = (entry[key] if is_number(entry.get(key)) else end for key, end in _LIMITS.items())
    numbers = lines if is_numeric and unnamed else {}
    outside = next((f"line {numbers[one]}" for one in numbers if not low <= float(one) <= high), "")
    has_scale = entry.get("Units") or (math.isfinite(low) and math.isfinite(high))
    reasons = {
        ("not described, and fewer than three people share a value", ""): not entry,
        ("described by a draft that is not filled in", ""): TO_FILL_IN in texts_in(entry),
        ("not described by its Levels, and fewer than three people share a value", unnamed): (
            unnamed and not is_numeric
        ),
        ("outside what is described by Minimum and Maximum", outside): outside,
        ("described without Units; its numbers of 1,000 and more differ for nearly everybody", ""): (
            unnamed and spread.may_number_people and not has_scale
        ),
    }
    return first_of(reasons)


def _is_known(column: str, values: Iterable[str]) -> bool:
    """Return True if the policy for sidecars knows all values of the field of the same name (species)."""
    rule = load_policy().get(column.capitalize(), UNKNOWN)
    return rule.action == KEEP and all(objection(column, value, rule.kind) is None for value in values)


def _dictionary_name(path: PurePosixPath) -> str:
    """Return where a person may describe the columns of a table, for all participants at once."""
    task = re.search(r"task-[A-Za-z0-9+]+_", path.name)
    return f"{task[0] if task else ''}{path.stem.rpartition('_')[2]}.json"


@cache
def _personal_kinds() -> Mapping[str, str]:
    return {row["column"]: row["kind"] for row in read_rows(Path(__file__).with_name("columns.tsv"))}
