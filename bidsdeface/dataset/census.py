"""Count over the people of a dataset: values of columns, where each has a table of their own; texts of EDF.

It is asked only about a column that nobody has described, or a text that is no usual one; then all tables of
that kind, or all recordings, are read, once.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from bidsdeface.dataset.names import FileName, parse_name
from bidsdeface.errors import BidsdefaceError
from bidsdeface.privacy.columns import ALONE, FEWEST_PEOPLE, Spread, spread_of
from bidsdeface.privacy.edf import texts_in_edf
from bidsdeface.privacy.tables import parse_table

_Kind = tuple[str, str | None]  # suffix and task
_Pairs = Mapping[str, list[tuple[str, str]]]  # people and values, by column


class Census:
    """How values spread over people.

    Parameters
    ----------
    root : pathlib.Path
        Of the raw dataset.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[_Kind, _Pairs] = {}
        self._texts: Mapping[str, set[str]] | None = None

    def spread(self, table: PurePosixPath, column: str) -> Spread:
        """Return how the values of a column spread over people.

        Parameters
        ----------
        table : PurePosixPath
            Relative to the dataset. All tables of its suffix and task count; one above participants is
            everybody's.
        column : str
        """
        name = parse_name(table)
        if name is None:
            return ALONE
        kind = name.suffix, name.entities.get("task")
        if kind not in self._seen:
            self._seen[kind] = self._count(kind)
        pairs = self._seen[kind].get(column)
        return ALONE if pairs is None else spread_of(pairs)

    def is_shared(self, text: str) -> bool:
        """Return True if recordings (EDF, BDF) of three participants or more have a text as label or note."""
        if self._texts is None:
            self._texts = self._count_texts()
        return len(self._texts.get(text, ())) >= FEWEST_PEOPLE

    def _count_texts(self) -> Mapping[str, set[str]]:
        people: dict[str, set[str]] = defaultdict(set)
        for depth in ("sub-*/*/", "sub-*/*/*/"):
            for path in self._root.glob(f"{depth}*.[eb]df"):
                try:
                    texts = texts_in_edf(path)
                except (OSError, ValueError):
                    continue  # it is left out by itself
                for text in texts:
                    people[text].add(path.relative_to(self._root).parts[0])
        return people

    def _count(self, kind: _Kind) -> _Pairs:
        suffix, task = kind
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        everybody = [path.name for path in self._root.glob("sub-*") if path.is_dir()]
        # glob does not follow links to folders at every depth: BIDS has a table at three depths at most.
        for depth in ("", "sub-*/", "sub-*/*/", "sub-*/*/*/"):
            for path in sorted(self._root.glob(f"{depth}*{suffix}.tsv")):
                name = parse_name(PurePosixPath(path.relative_to(self._root)))
                if name is None or (name.suffix, name.entities.get("task")) != kind:
                    continue
                for column, values in self._columns(path, name).items():
                    people = [name.path.parts[0]] if depth else everybody
                    pairs[column] += [(person, value) for value in values for person in people]
        return pairs

    def _columns(self, path: Path, name: FileName) -> Mapping[str, set[str]]:
        try:
            table = parse_table(path.read_bytes(), name.path)
        except (BidsdefaceError, OSError):
            return {}  # it is left out by itself
        return {column: set(table.values(column)) for column in table.columns}
