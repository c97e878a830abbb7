"""Tell what has the form of a person's name. No name is known here: only forms, and how often each stands."""

import re
from collections.abc import Sequence

from bidsdeface.privacy.folding import IDEOGRAPHS

LONGEST_NAME = 40
_LETTER = r"[^\W\d_]"
_WORD = rf"(?:[^\W\d_a-z](?:['’-]?{_LETTER})*)"  # with a capital: Jane, DOE, O'Brien, Jean-Luc
_MIXED = r"[^\W\d_a-z][^\W\d_]*[a-z][^\W\d_]*"
_PARTICLE = r"(?:van|von|der|den|de|del|della|di|da|dos|la|le|ter|ten|bin|al)"
_TITLE = r"(?:Dr|Prof|Mr|Mrs|Ms|Miss|Herr|Frau|Hr|Fr|Mme|Mlle|Sr|Sra)\b\.?"
# Dr. med. Doe; J. Doe; Doe, J.: a title or an initial makes a name of any word.
_TITLED = re.compile(
    rf"{_TITLE} ?(?:med\.? |rer\. ?nat\. )?(?:[A-Z]\. ?)?{_WORD}(?: {_WORD})?"
    rf"|[A-Z]\. ?(?:[A-Z]\. ?)?{_MIXED}|{_MIXED}, ?[A-Z]\.?"
)
# Jane Doe; Doe, Jane; DOE, JANE: levels of a study look the same, but are not most of a column.
_NAME = re.compile(rf"{_MIXED}([ ,_-]+|, ){_MIXED}\.?|{_WORD}, ?{_WORD}(?: {_WORD})?")
# Any words that may be two or three names; ideographs.
_MAY_BE_NAME = re.compile(
    rf"(?:{_PARTICLE} )*{_WORD}(?: (?:{_PARTICLE} )*(?:{_WORD}|[A-Z]\.?)){{1,3}}"
    rf"|[a-z]+[_.][a-z]+(?:[_.][a-z]+)?|[A-Z][a-z]+(?:[A-Z][a-z]+){{1,2}}|[{IDEOGRAPHS}]{{2,4}}"
)
FEWEST_NAMES = 3  # of fewer, groups and diagnoses are as different


def is_titled(text: str) -> bool:
    """Tell whether a text is a name with a title or an initial.

    Examples
    --------
    >>> [is_titled(text) for text in ("Dr. Doe", "J. Doe", "Doe, J.", "Ms Doe", "Group A", "Mr")]
    [True, True, True, True, False, False]
    """
    return _TITLED.fullmatch(text) is not None


def are_names(values: Sequence[str], count: int, of_people: bool) -> bool:
    """Tell whether the values of a column are names of persons.

    Parameters
    ----------
    values : sequence of str
        As often as they stand in the column.
    count : int
        Of all values, those that need no look as well.
    of_people : bool
        Whether each row is about a person. Then values that are mostly different, in their first word too,
        are names if they may be: groups and diagnoses come again, and stimuli are not in such tables.

    Returns
    -------
    bool

    Examples
    --------
    >>> are_names(["DOE JANE", "ROE RICHARD", "POE ANN"], 3, True)
    True
    >>> are_names(["Group A", "Group B", "Group C"], 3, True)
    False
    """
    short = {value for value in values if len(value) <= LONGEST_NAME}
    if 2 * sum(_NAME.fullmatch(value) is not None for value in short) > count:
        return True
    first_words = {re.split(r"[ _.]", value)[0] for value in short if _MAY_BE_NAME.fullmatch(value)}
    return of_people and len(first_words) >= FEWEST_NAMES and 2 * len(first_words) > count
