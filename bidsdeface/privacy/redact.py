"""Search text for identifiers that stood in headers, sidecars and tables, and put a mark in their place."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice, zip_longest

from bidsdeface.privacy.days import days_in
from bidsdeface.privacy.folding import IDEOGRAPHS, fold_with_places
from bidsdeface.privacy.identifiers import Identifiers

MARK, MARK_IN_NAMES = "[removed]", "removed"  # the second where brackets may not stand
SHORTEST_GENITIVE = 4
FEWEST_WORDS = 2  # that tell a line from others
_RUN = re.compile(rf"[{IDEOGRAPHS}]|[^\W\d_{IDEOGRAPHS}]+|\d+")


def redact(text: str, identifiers: Identifiers, mark: str = MARK) -> tuple[str, int]:
    """Replace identifiers in a text where they stand as words, also where digits or a genitive's s follow.

    Accents, invisible characters and what stands between the words of a name make no difference.

    Returns
    -------
    text : str
    count : int
        Of replacements.

    Examples
    --------
    >>> from bidsdeface.privacy.identifiers import identifiers_in
    >>> redact("Thanks to JANE DOE!", identifiers_in(["Doe^Jane"]))
    ('Thanks to [removed]!', 1)
    """
    text, count = _redact(text, identifiers, mark, join_lines=False)
    if "\n" not in text:
        return text, count
    text, more = _redact(text, identifiers, mark, join_lines=True)
    return text, count + more


def redact_again(text: str, earlier: Iterable[str], identifiers: Identifiers) -> str:
    """Redact what is redacted in earlier versions of a text, though nobody may know the name any more.

    Parameters
    ----------
    text : str
        Redacted by what is known today.
    earlier : iterable of str
        Of each line with a mark, and of the line before if it has little else, that text is looked for.
    identifiers : Identifiers
        That were redacted in `text`.

    Examples
    --------
    >>> redact_again("Thanks to Jane Doe!", ["Thanks to [removed]!"], Identifiers())
    'Thanks to [removed]!'
    """
    for version in earlier:
        lines = [line.strip() for line in redact(version, identifiers)[0].splitlines() if line.strip()]
        for before, line in zip(["", *lines], lines, strict=False):
            if MARK not in line:
                continue
            if _words_in(line) >= FEWEST_WORDS:
                around = r"^\s*" + _whatever_space(line)
            elif not before:
                around = r"\A\s*" + _whatever_space(line)
            elif _words_in(before + line):
                around = rf"^\s*{_whatever_space(before)}\s+{_whatever_space(line)}"
            else:
                continue  # nothing tells where it stood
            text = re.sub(rf"{around}[^\S\n]*$", _with_marks, text, flags=re.MULTILINE)
    return text


def _words_in(text: str) -> int:
    return len(re.findall(r"\w+", text.replace(MARK, "")))


def _whatever_space(line: str) -> str:
    """Return a pattern of a line, with something in each mark's place."""
    some = (re.sub(r"(?:\\\s|\s)+", r"\\s+", re.escape(part)) for part in line.split(MARK))
    return r"(.{1,100}?)".join(some)


def _with_marks(match: re.Match[str]) -> str:
    parts, end = [], match.start()
    for number in range(1, len(match.groups()) + 1):
        parts += [match.string[end : match.start(number)], MARK]
        end = match.end(number)
    return "".join((*parts, match.string[end : match.end()]))


def _redact(text: str, identifiers: Identifiers, mark: str, *, join_lines: bool) -> tuple[str, int]:
    candidates = _by_first_runs(identifiers)
    if not candidates and not identifiers.days:
        return text, 0
    if text.isascii() and "&" not in text and not join_lines:
        folded, places = text, None
    else:
        folded, places = fold_with_places(text, join_lines=join_lines)
    days = _ends_of_days(folded, identifiers)
    runs = list(_RUN.finditer(folded))
    parts, end, after_mark, count = [], 0, 0, 0
    for run, after in zip_longest(runs, runs[1:]):
        if run.start() < end:
            continue
        found = days.get(run.start()) or _end_of_name(folded, run, after, candidates)
        if found:
            first, last = (run.start(), found) if places is None else (places[run.start()], places[found])
            parts += [text[after_mark:first], mark]
            end, after_mark, count = found, last, count + 1
    return "".join((*parts, text[after_mark:])), count


def _ends_of_days(text: str, identifiers: Identifiers) -> dict[int, int]:
    """Return where days that are searched for end, by where they begin."""
    found: dict[int, int] = {}
    if identifiers.days:
        for start, end, days in days_in(text):
            if days & identifiers.days:
                found[start] = max(end, found.get(start, 0))
    return found


def _end_of_name(
    text: str,
    run: re.Match[str],
    after: re.Match[str] | None,
    candidates: Mapping[tuple[str, str], list[tuple[str, bool]]],
) -> int | None:
    """Return where the longest identifier ends that begins with a run of letters or digits, if any does."""
    first, second = run[0].lower(), after[0].lower() if after else ""
    keys = [(first, second), (first, second.removesuffix("s")), (first, ""), (first.removesuffix("s"), "")]
    for one, any_case in (one for key in dict.fromkeys(keys) for one in candidates.get(key, ())):
        if match := _pattern(one, any_case).match(text, run.start()):
            return match.end()
    return None


@lru_cache(maxsize=16)
def _by_first_runs(identifiers: Identifiers) -> Mapping[tuple[str, str], list[tuple[str, bool]]]:
    """Sort identifiers, and whether any case will do, by their first two runs of letters or digits.

    There may be a hundred thousand: one pattern of all of them would take hours.
    """
    found: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for some, any_case in ((identifiers.names, True), (identifiers.words, False)):
        for one in some:
            if runs := list(islice(_RUN.finditer(one), 2)):
                first, second = runs[0][0].lower(), runs[1][0].lower() if len(runs) > 1 else ""
                found[first, second].append((one[runs[0].start() :], any_case))
    return {runs: sorted(ones, key=lambda one: (-len(one[0]), one)) for runs, ones in found.items()}


@lru_cache(maxsize=1 << 14)
def _pattern(identifier: str, any_case: bool) -> re.Pattern[str]:
    """Match an identifier that does not go on in letters, or in digits, whichever it ends with.

    Whatever stands between its words and numbers may be something else.
    """
    runs = _RUN.findall(identifier)
    parts = [re.escape(runs[0])]
    for before, run in zip(runs, runs[1:], strict=False):
        is_boundary = before[-1].isdigit() != run[0].isdigit() or re.match(f"[{IDEOGRAPHS}]", run)
        parts += [r"[\W_]{0,3}" if is_boundary else r"[\W_]{1,3}", re.escape(run)]
    last = runs[-1]
    after = r"(?!\d)" if last.isdigit() else "" if re.match(f"[{IDEOGRAPHS}]", last) else r"(?![^\W\d_])"
    genitive = "(?:['\u2019]?s)?" if len(identifier) >= SHORTEST_GENITIVE and last.isalpha() else ""
    return re.compile("".join((*parts, genitive, after)), re.IGNORECASE if any_case else 0)
