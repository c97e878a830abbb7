"""The leak check: read every file of a dataset about to be shared and name what still identifies.

Findings say where and what kind; never the value. What cannot be looked into is a finding as well.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path, PurePosixPath

from bidsdeface.companions.select import is_root_text
from bidsdeface.dataset.annex import is_fetched, leads_to_annex
from bidsdeface.dataset.inheritance import JsonError, files_above, merged_metadata, read_json
from bidsdeface.dataset.names import DESCRIPTION, FileName, parse_name, suffix_of
from bidsdeface.dataset.people import Census
from bidsdeface.deidentify.columns import ALONE, TableOptions, columns_to_keep
from bidsdeface.deidentify.contents import START_BYTES, gzip_extras, kind_of, open_unpacked
from bidsdeface.deidentify.patterns import find_pii
from bidsdeface.deidentify.policy import Policy, load_policy
from bidsdeface.errors import printable
from bidsdeface.leakcheck import inspect
from bidsdeface.output.record import read_record

FaceTest = Callable[[Path], str | None]
REPOSITORIES = (".git", ".datalad")  # of whoever shares the dataset
HISTORIES = (".svn", ".hg", ".heudiconv", ".dcm2bids", ".ipynb_checkpoints", "__MACOSX")
_HEADERLESS = re.compile(r"(.*_)?(physio|stim|motion|physioevents)\.tsv(\.gz)?|.*\.bv(al|ec)")
LABEL_DIGITS = 8
SHOWN_FACE = "face"
OWN_TABLES = ("descriptions.tsv", "quality.tsv", "reidentification.tsv")  # written by this program
# Sessions are often called by their day, 180604 or 040618.
_SHORT_DATE = re.compile(
    r"(?<=ses-)(\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])|([0-2]\d|3[01])(0[1-9]|1[0-2])\d\d)(?!\w)"
)
_OWN_PICTURE = re.compile(r"(.*/)?figures/[^/]*_desc-(defaced|noface)_[^/]*\.png")
_CLOSED_SUFFIXES = {
    ".rec": "Philips image", ".dat": "raw data", ".ima": "DICOM file",
    ".dcm": "DICOM file", ".fif": "FIF file", ".set": "EEGLAB file", ".raw": "raw data",
    ".nrrd": "NRRD image",
    ".nhdr": "NRRD image", ".mhd": "MetaImage", ".mha": "MetaImage", ".vhdr": "BrainVision file",
    ".vmrk": "BrainVision file", ".eml": "e-mail", ".mbox": "e-mail",
    **dict.fromkeys((".obj", ".stl", ".ply", ".off", ".vtk", ".vtp", ".gii"), "surface"),
    **dict.fromkeys((".pos", ".hsp", ".elp", ".sfp", ".elc", ".mrk"), "shape of a head"),
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Finding:
    """Something that may tell who it is.

    Attributes
    ----------
    path : str
        Relative to the dataset.
    kind : str
    place : str
        Where in the file.
    """

    path: str
    kind: str
    place: str


@dataclass(frozen=True)
class Survey:
    """What there is to look into in a dataset.

    Attributes
    ----------
    files : tuple of PurePosixPath
        Relative to the dataset; links to folders too.
    histories : tuple of Finding
        Folders that other programs keep, findings as a whole.
    notice : str
        One line about what is not searched: repositories of git and DataLad in or around the dataset. Content
        that the dataset's links lead to is. Empty if there is none.
    """

    files: tuple[PurePosixPath, ...]
    histories: tuple[Finding, ...]
    notice: str


def survey_dataset(root: Path, passed_over: tuple[str, ...] = ()) -> Survey:
    """List what there is to look into in a dataset, hidden files too; no file is opened.

    Parameters
    ----------
    root : pathlib.Path
    passed_over : tuple of str, optional
        How the names of folders begin that are left aside.
    """
    files: list[PurePosixPath] = []
    histories, repositories = [], []
    for folder, names, plain in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root))
        links = {name for name in names if Path(folder, name).is_symlink()}
        kept_by_others = [name for name in HISTORIES if name in names]
        aside = {*links, *REPOSITORIES, *kept_by_others}
        repositories += [str(here / name) for name in REPOSITORIES if name in {*names, *plain}]
        histories += [
            Finding(printable(here / name), "history of the dataset", "folder") for name in kept_by_others
        ]
        names[:] = sorted(name for name in names if name not in aside and not name.startswith(passed_over))
        files += [here / name for name in sorted({*plain, *links}) if name not in REPOSITORIES]
    if any(_leads_above(root, path) for path in files):
        repositories.append("the enclosing repository")
    notice = (
        f"{', '.join(repositories)}: not searched; whoever gets the repository gets earlier versions of "
        "files as well: if one of them must not be seen, share a copy of the dataset without its repository"
    )
    return Survey(tuple(files), tuple(histories), notice if repositories else "")


def _leads_above(root: Path, path: PurePosixPath) -> bool:
    """Return True for a link into the annex of a repository that encloses the dataset."""
    link = root / path
    if not leads_to_annex(link):
        return False
    content = Path(os.path.normpath(link.parent.resolve() / os.readlink(link)))
    return not content.is_relative_to(root.resolve())


def find_leaks(
    root: Path,
    *,
    policy: Policy | None = None,
    keep_columns: Collection[str] = (),
    shows_face: FaceTest | None = None,
    files: Collection[PurePosixPath] | None = None,
    described_in: Path | None = None,
    data_dictionary: Path | None = None,
    look_at_labels: bool = True,
    accepted_texts: Collection[str] = (),
) -> Iterator[Finding]:
    """Look for what identifies in every file of a dataset, hidden ones too, but for `REPOSITORIES`.

    Parameters
    ----------
    root : pathlib.Path
    policy : mapping of str to Rule, optional
        For sidecar fields; from `load_policy`.
    keep_columns : collection of str, optional
        Columns that a person has looked at.
    shows_face : callable, optional
        Takes an image file and says what of a face it shows, or None. Slow; without it, no image is
        looked at.
    files : collection of PurePosixPath, optional
        Look at these alone; relative to `root`.
    described_in : pathlib.Path, optional
        Dataset whose data dictionaries describe the tables, and whose people are counted, where not all are
        in this one yet.
    data_dictionary : pathlib.Path, optional
        Folder of more dictionaries.
    look_at_labels : bool, optional
        Whether the labels of participants and sessions are looked at; a run has named them before.
    accepted_texts : collection of str, optional
        Names of texts at the root that a person has read, such as ``README``.

    Yields
    ------
    Finding
        In the order of paths.
    """
    at = _Dataset(
        root,
        load_policy() if policy is None else policy,
        keep_columns,
        described_in or root,
        data_dictionary,
        Census(described_in or root),
        _is_made_by_010(root),
        look_at_labels,
        accepted_texts,
    )
    if files is None:
        survey = survey_dataset(root)
        yield from survey.histories
        files = survey.files
    for path in sorted(files):
        found: dict[Finding, None] = {}
        try:
            for kind, place in _look(at, path, shows_face):
                found[Finding(printable(path), kind, place)] = None
        except Exception as error:  # whatever a file is made of, the others are looked at
            told = inspect.UNREADABLE.get(type(error), ("cannot be read", type(error).__name__))
            found[Finding(printable(path), *told)] = None
        if os.path.lexists(root / path):  # else another run has taken it away meanwhile
            yield from found


@dataclass(frozen=True)
class _Dataset:
    """What is to be known of a dataset to look into one of its files."""

    root: Path
    policy: Policy
    keep_columns: Collection[str]
    described_in: Path
    data_dictionary: Path | None
    census: Census
    made_by_010: bool
    look_at_labels: bool
    accepted_texts: Collection[str]

    def options_for(self, table: FileName) -> TableOptions:
        """Return what decides about the columns of a table."""
        places = filter(None, (self.described_in, self.data_dictionary))
        sidecars = {one.path: one for place in places for one in files_above(place, table)}
        return TableOptions(
            merged_metadata(self.described_in, table, sidecars.values(), self.data_dictionary),
            lambda column: self.census.spread(table.path, column),
            keep=tuple(self.keep_columns),
        )


def _look(at: _Dataset, path: PurePosixPath, shows_face: FaceTest | None) -> inspect.Told:
    yield from _look_at_path(path, at.look_at_labels)
    file = at.root / path
    is_annexed = leads_to_annex(file)  # into a repository in or around the dataset: its content is looked at
    leads_within = file.is_file() and file.resolve().is_relative_to(at.root.resolve())
    is_there = not file.is_symlink() or is_annexed or leads_within
    if not is_there or (file.is_symlink() and os.path.isabs(os.readlink(file))):
        yield "link", "leads nowhere, or out of the dataset"
    if is_there and not (is_annexed or file.is_file()):
        yield "no plain file", "whole file"
    elif is_there and not (file.is_file() and is_fetched(file)):
        yield "not looked into: its content is not here; run: datalad get", "whole file"
    elif is_there:
        yield from _look_into(at, path, file, shows_face)


def _look_into(at: _Dataset, path: PurePosixPath, file: Path, shows_face: FaceTest | None) -> inspect.Told:
    for told in sorted(gzip_extras(file)):
        yield "gzip header", told
    with open_unpacked(file) as stream:
        kind, _, maker = kind_of(stream.read(START_BYTES)).partition(" ")
    name, extension = parse_name(path), path.suffix.lower()
    closed = "Bruker image" if path.name.lower() == "2dseq" else _CLOSED_SUFFIXES.get(extension)
    is_text = is_root_text(path)
    if kind == "empty" or (path.name in at.accepted_texts and (is_text or path == DESCRIPTION)):
        return
    if kind == "nifti":
        yield from inspect.inspect_nifti(file)
        is_own_mask = suffix_of(file) == "defacemask" and "Version" in read_record(file)
        if shows_face and not is_own_mask and (shown := shows_face(file)):
            yield SHOWN_FACE, shown
    elif kind == "scanner":
        yield "scanner's own file", maker
    elif kind == "edf":
        yield from inspect.inspect_edf(file, at.census.is_shared)
    elif kind == "picture":
        yield from inspect.inspect_picture(file, maker, own=_OWN_PICTURE.fullmatch(str(path)) is not None)
    elif closed or kind != "text":
        yield "not looked into", closed or maker or "unknown kind of file"
    elif extension == ".json" and path.name == DESCRIPTION.name:
        yield from inspect.inspect_description(file)
    elif extension == ".json":
        keep = columns_to_keep(suffix_of(path), at.keep_columns)
        yield from inspect.inspect_json(file, at.policy, name, keep)
    elif _HEADERLESS.fullmatch(path.name):
        yield from inspect.inspect_recording(file)
    elif extension == ".tsv" and path.name not in OWN_TABLES:
        options = at.options_for(name) if name else TableOptions({}, lambda column: ALONE)
        yield from inspect.inspect_table(file, path, options, at.made_by_010)
    else:
        yield from inspect.inspect_text(file, is_text, path.name in OWN_TABLES)


def _look_at_path(path: PurePosixPath, with_labels: bool) -> inspect.Told:
    name = parse_name(path)
    for part in dict.fromkeys((*path.parts[:-1], path.name)):
        shown = part if with_labels else re.sub(r"(sub|ses)-[A-Za-z0-9+]+", "", part)
        # Labels of participants are numbers by right; what reads as a date or is long is no label.
        labels = re.findall(r"(?<=-)[A-Za-z0-9]+", shown)
        odd = {
            "date": _SHORT_DATE.search(shown) or any("date" in find_pii(label) for label in labels),
            "record number": any(label.isdecimal() and len(label) >= LABEL_DIGITS for label in labels),
        }
        kinds = {*compress(odd, odd.values()), *find_pii(shown.partition(".")[2])}
        kinds |= set(find_pii(shown.replace("_", " ")) if name is None or shown != path.name else ())
        yield from ((kind, "path") for kind in sorted(kinds))


def _is_made_by_010(root: Path) -> bool:
    try:
        generators = read_json(root / DESCRIPTION).get("GeneratedBy")
    except (JsonError, OSError):
        return False
    return {"Name": "bidsdeface", "Version": "0.1.0"} in [
        {key: one.get(key) for key in ("Name", "Version")}
        for one in (generators if isinstance(generators, list) else [])
        if isinstance(one, Mapping)
    ]
