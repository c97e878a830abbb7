"""The parser behind the command line: kinds of values, configuration file, answers to unknown options."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

from bidsdeface.errors import OPTIONAL, UsageError, read_errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Options of fMRIPrep that have no counterpart, and what to do instead.
_ANSWERS = {
    "--reports-only": "run the group level: it writes the report about all published scans",
    "--boilerplate-only": "no text is generated; see docs/method.md for the method, CITATION.cff to cite it",
    "--bids-database-dir": "no database is needed: finding the scans takes about a second; leave it out",
    "--fs-license-file": "no licence is needed; leave it out",
    "--output-spaces": "each scan stays on its own grid; leave it out",
    "--notrack": "nothing is ever sent anywhere; leave it out",
}


class Parser(argparse.ArgumentParser):
    """A parser that takes underscores for hyphens, and answers unknown long options with the nearest."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse arguments, after a check of the names of all long options."""
        arguments = [_with_hyphens(argument) for argument in args]
        for name in (argument.partition("=")[0] for argument in arguments):
            if name.startswith("--") and name != "--" and name not in self._option_string_actions:
                nearest = get_close_matches(name, self._option_string_actions, 1)
                advice = f"did you mean {nearest[0]}?" if nearest else "see --help"
                self.error(f"{name}: {_ANSWERS.get(name) or f'no such option; {advice}'}")
        return super().parse_known_args(arguments, namespace)


class Words(argparse.Action):
    """Collect words that are separated by spaces or commas. The option's `type` returns a list."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Add the words of one occurrence of the option."""
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, ()), *chain.from_iterable(values)])


def parse_with_config(parser: Parser, argv: Sequence[str]) -> dict[str, Any]:
    """Return the values of all options: those of the command line, of ``--config-file``, and defaults.

    The command line takes precedence. An option that takes several values is replaced, not extended.

    Raises
    ------
    UsageError
        The configuration file cannot be read, or holds something other than options.
    """
    given = vars(parser.parse_args(argv))
    path = given.pop("config_file", None)
    if path is None:
        return given
    positionals = [str(given["bids_dir"]), str(given["output_dir"]), given["level"]]
    program, parser.prog = parser.prog, f"{parser.prog}: {path}"
    configured = parser.parse_args([*positionals, *_arguments_in(path)])
    parser.prog = program
    for name in [name for name, value in given.items() if isinstance(value, list)]:
        vars(configured).pop(name, None)
    given = vars(parser.parse_args(argv, configured))
    del given["config_file"]
    return given


def _arguments_in(path: Path) -> Iterator[str]:
    """Yield the options in a TOML file as arguments, such as ``n-procs = 8`` as ``--n-procs=8``."""
    try:
        with read_errors(path, "give --config-file a TOML file", UsageError):
            options = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: not TOML ({error}); write options as in n-procs = 8") from error
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) for one in values):
            raise UsageError(f"{path}: {name} is no option with its value; write options as in n-procs = 8")
        if isinstance(value, list):
            yield from (f"--{name}", *map(str, value)) if value else ()
        elif value is not False:
            yield f"--{name}" if value is True else f"--{name}={value}"


def _with_hyphens(argument: str) -> str:
    """Spell a long option with hyphens: ``--work_dir=a_b`` becomes ``--work-dir=a_b``."""
    name, equals, value = argument.partition("=")
    return (name.replace("_", "-") if name.startswith("--") else name) + equals + value


def local_path(text: str) -> Path:
    """Return a path. An address such as ``s3://…`` is refused, with the way out."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text}: not a folder of this machine; fetch the data first, as with "
            f"`aws s3 sync {text} FOLDER` or `datalad clone`, or mount it, and give the folder"
        )
    return Path(text)


def labels(prefix: str) -> Callable[[str], list[str]]:
    """Return a function that splits labels at commas, and removes the prefix of their entity."""
    return lambda text: [label.removeprefix(prefix) for label in text.split(",")]


def exit_codes(text: str) -> list[str]:
    """Return codes of ``--fail-on`` from a list with commas."""
    choices, words = [*(str(code.value) for code in OPTIONAL), "none"], text.split(",")
    if unknown := [word for word in words if word not in choices]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(choices)}")
    return words


def count(text: str) -> int:
    """Return a whole number of 1 or more."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
