"""List the files below a folder of a raw dataset, through links to folders too."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bidsdeface.errors import BidsdefaceError


def files_in(root: Path, folder: str) -> Iterator[PurePosixPath]:
    """Yield the files below a folder, relative to the dataset; a folder that is not there has none.

    Raises
    ------
    BidsdefaceError
        A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise BidsdefaceError(
                f"{error.filename}: cannot be read ({error.strerror}); correct it"
            ) from error

    seen: set[str] = set()
    for place, folders, names in os.walk(root / folder, followlinks=True, onerror=refuse):
        here = PurePosixPath(Path(place).relative_to(root))
        seen.add(os.path.realpath(place))
        folders[:] = [one for one in folders if os.path.realpath(Path(place, one)) not in seen]  # no circles
        yield from (here / name for name in names)
