"""What the rows of a table are about, and which rows do not say it."""

import re
from pathlib import PurePosixPath

from bidsdeface.privacy.leftout import LeftOut
from bidsdeface.privacy.tables import Table, TableError
from bidsdeface.schema import MISSING, table_columns

# Their rows are people, or visits of people.
ABOUT_PEOPLE = ("participants", "sessions", "scans", "samples")
# What each row is about; these must be plain labels and file names.
INDEX_COLUMNS = {
    "participant_id": (re.compile(r"sub-[A-Za-z0-9+]+"), "sub-<label>"),
    "session_id": (re.compile(r"ses-[A-Za-z0-9+]+"), "ses-<label>"),
    "sample_id": (re.compile(r"sample-[A-Za-z0-9+]+"), "sample-<label>"),
    "filename": (re.compile(r"[A-Za-z0-9+._/-]+"), "the file's path below the participant's folder"),
}


def is_about_people(path: PurePosixPath) -> bool:
    """Return True if each row of a table is about a person, a visit, a scan or a sample."""
    return path.parts[0] == "phenotype" or path.stem.rpartition("_")[2] in ABOUT_PEOPLE


def are_labels(column: str, table: Table) -> bool:
    """Return True if all values of an index column are labels, or missing."""
    form, _ = INDEX_COLUMNS[column]
    return all(value in MISSING or form.fullmatch(value) for value in table.values(column))


def check_rows(table: Table, path: PurePosixPath) -> tuple[Table, list[LeftOut]]:
    """Return a table without lines that are no rows, and rows that do not say what they are about.

    White space around an identifier is put right. In a table that is not about people, one bad line costs
    the file: rows depend on each other there.

    Raises
    ------
    TableError
        See above; or a table about people has no row with an identifier.
    """
    rules = table_columns(path)
    required = [name for name, rule in rules.items() if rule.is_required]
    if not is_about_people(path) and required and not set(required) & set(table.columns):
        raise TableError(f"{path}: has no column {required[0]}, or no header; add it")
    if not is_about_people(path):
        if table.bad_lines:
            raise TableError(
                f"{path}: line {table.bad_lines[0]} has not one value for each column; correct it"
            )
        return table, []
    left_out = [
        LeftOut(path, "has not one value for each column", f"line {line}", "correct the line")
        for line in table.bad_lines
    ]
    needed = [name for name, rule in rules.items() if rule.is_index] or ["participant_id"]
    index = [column for column in table.columns if column in needed]
    if not index:
        raise TableError(f"{path}: has no column {needed[0]}; add it, or correct its name")
    for column in index:
        values = [value.strip().replace("\\", "/") for value in table.values(column)]
        table = table.with_values(column, values)
    seen: set[tuple[str, ...]] = set()
    good = set()
    places = [table.columns.index(column) for column in index]
    for line, row in zip(table.lines, table.rows, strict=True):
        labels = tuple(row[place] for place in places)
        bad = [
            column
            for column, label in zip(index, labels, strict=True)
            if not INDEX_COLUMNS[column][0].fullmatch(label)
        ]
        if bad:
            form = INDEX_COLUMNS[bad[0]][1]
            left_out.append(LeftOut(path, f"its {bad[0]} is none", f"line {line}", f"write {form}"))
        elif labels in seen and path.parts[0] != "phenotype":  # which may hold several visits
            left_out.append(
                LeftOut(path, f"repeats a {index[0]} of an earlier line", f"line {line}", "keep one of them")
            )
        else:
            seen.add(labels)
            good.add(line)
    if table.lines and not good:
        form = INDEX_COLUMNS[index[0]][1]
        raise TableError(f"{path}: no line has a {index[0]}; write {form}")
    rows = [row for line, row in zip(table.lines, table.rows, strict=True) if line in good]
    return Table(table.columns, tuple(rows), tuple(line for line in table.lines if line in good)), left_out
