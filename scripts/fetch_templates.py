"""Put templates of TemplateFlow into TEMPLATEFLOW_HOME, when a container image is built."""

import argparse

from bidsdeface.templates.source import find_template

NONE = "none"


def main() -> None:
    """Fetch what bidsdeface needs of each template; what cannot be had ends the build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="+", help=f"templates, or {NONE}: needs no network")
    names = parser.parse_args().names
    # The first import fills TEMPLATEFLOW_HOME, which is read-only when the app runs.
    import templateflow  # noqa: F401

    for name in names if names != [NONE] else ():
        find_template(name)


if __name__ == "__main__":
    main()
