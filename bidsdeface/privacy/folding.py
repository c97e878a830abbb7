"""Fold text to what it reads like, so that one spelling stands for many: accents, entities, soft hyphens."""

import html
import re
import unicodedata

_ENTITY_OR_BREAK = re.compile(
    r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,10}\d{0,2});|(?<=[^\W\d_])[-\u2010]\s*\n\s*(?=[^\W\d_])",
    re.IGNORECASE,
)
# Letters that are no letter with an accent to Unicode.
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "ł": "l", "Ł": "L", "đ": "d", "ı": "i", "œ": "oe"}
)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
# Written one after another, without blanks.
IDEOGRAPHS = "\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"


def fold(text: str) -> str:
    """Return a text without accents, entities and invisible characters; upper and lower case stay.

    Examples
    --------
    >>> fold("M\u00fcller"), fold("Mu\u0308l\u00adler"), fold("M&uuml;ller")
    ('Muller', 'Muller', 'Muller')
    """
    return text if text.isascii() and "&" not in text else fold_with_places(text)[0]


def fold_with_places(text: str, *, join_lines: bool = False) -> tuple[str, list[int]]:
    """Fold a text, and say where each of its characters comes from.

    Parameters
    ----------
    text : str
    join_lines : bool, optional
        Whether words that a hyphen divides at the end of a line are put together.

    Returns
    -------
    folded : str
    places : list of int
        Of each character, and of the end.
    """
    parts: list[str] = []
    places: list[int] = []
    at = 0
    while at < len(text):
        match = _ENTITY_OR_BREAK.match(text, at) if text[at] in "&-\u2010" else None
        end = match.end() if match else at + 1
        if match and not match[0].startswith("&"):
            told = "" if join_lines else match[0]
        else:
            told = _fold_characters(html.unescape(text[at:end]))
        parts.append(told)
        places += [at] * len(told)
        at = end
    return "".join(parts), [*places, len(text)]


def _fold_characters(text: str) -> str:
    if text.isascii():
        return text
    spelled = text.translate(_LETTERS).translate(_DASHES)
    if not re.match(f"[{IDEOGRAPHS}]", spelled):
        spelled = unicodedata.normalize("NFKD", spelled).translate(_DASHES)
    return "".join(one for one in spelled if unicodedata.category(one) not in ("Mn", "Cf"))
