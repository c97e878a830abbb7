"""The leak check: read every file of a dataset about to be shared, and name what still identifies.

Findings name the place and the kind, never the value. A file that cannot be checked is a finding as well.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path, PurePosixPath

from bidsdeface.companions.select import is_root_text
from bidsdeface.dataset.annex import annexed_content, is_fetched
from bidsdeface.dataset.inheritance import JsonError, merged_metadata, read_json
from bidsdeface.dataset.names import DESCRIPTION, parse_name, suffix_of
from bidsdeface.dataset.people import Census
from bidsdeface.deidentify.columns import TableOptions, columns_to_keep
from bidsdeface.deidentify.contents import START_BYTES, gzip_extras, kind_of, open_unpacked, read_lines
from bidsdeface.deidentify.patterns import LONGEST_NUMBER, SHORT_DATE, find_pii
from bidsdeface.deidentify.policy import Policy, load_policy
from bidsdeface.deidentify.tables import GRADIENTS, find_identifying_number
from bidsdeface.errors import printable
from bidsdeface.leakcheck import inspect
from bidsdeface.output.record import read_record

FaceTest = Callable[[Path], str | None]
REPOSITORIES = (".git", ".datalad")  # of whoever shares the dataset
HISTORIES = (".svn", ".hg", ".heudiconv", ".dcm2bids", ".ipynb_checkpoints", "__MACOSX")
_HEADERLESS = re.compile(r"(.*_)?(physio|stim|motion|physioevents)\.tsv(\.gz)?|.*\.bv(al|ec)")
OWN_TABLES = (
    "descriptions.tsv",
    "impact.tsv",
    "missing.tsv",
    "quality.tsv",
    "reidentification.tsv",
)  # written by this program
_SHORT_DATE = re.compile(rf"(?<=ses-){SHORT_DATE}(?!\w)")
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
    """Something that may identify a person.

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
    """The files of a dataset that are to be checked.

    Attributes
    ----------
    files : collection of PurePosixPath
        Relative to the dataset; links to folders too.
    histories : collection of Finding
        Folders in which other programs keep earlier versions: findings as a whole.
    notice : str
        One line about what is not searched: repositories of git and DataLad in or around the dataset (content
        that the dataset's links lead to is searched). Empty if there is none.
    """

    files: Collection[PurePosixPath]
    histories: Collection[Finding] = ()
    notice: str = ""


def survey_dataset(root: Path, passed_over: tuple[str, ...] = ()) -> Survey:
    """List the files of a dataset that are to be checked, hidden ones too; no file is opened.

    Parameters
    ----------
    root : pathlib.Path
    passed_over : tuple of str, optional
        Folders whose names begin like this are left aside.
    """
    files: list[PurePosixPath] = []
    histories, repositories = [], []
    for folder, names, others in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root))
        links = {name for name in names if Path(folder, name).is_symlink()}
        repositories += [str(here / name) for name in REPOSITORIES if name in {*names, *others}]
        histories += [
            Finding(printable(here / name), "history of the dataset", "folder")
            for name in HISTORIES
            if name in names
        ]
        files += [here / name for name in sorted({*others, *links}) if name not in REPOSITORIES]
        searched = {*names} - {*links, *REPOSITORIES, *HISTORIES}
        names[:] = sorted(name for name in searched if not name.startswith(passed_over))
    contents = filter(None, (annexed_content(root / path) for path in files))
    if not all(content.is_relative_to(root.resolve()) for content in contents):
        repositories.append("the enclosing repository")
    notice = (
        f"{', '.join(repositories)}: not searched; whoever gets the repository gets earlier versions of "
        "files as well: if one of them must not be seen, share a copy of the dataset without its repository"
    )
    return Survey(files, histories, notice if repositories else "")


@dataclass(frozen=True)
class _Dataset:
    """A dataset to check, and how; the attributes are parameters of `find_leaks`."""

    root: Path
    described_in: Path
    policy: Policy
    keep_columns: Sequence[str]
    shows_face: FaceTest | None
    data_dictionary: Path | None
    look_at_labels: bool
    accepted_texts: Collection[str]

    @cached_property
    def census(self) -> Census:
        """How values spread over the people of the dataset."""
        return Census(self.described_in)

    @cached_property
    def made_by_010(self) -> bool:
        """Whether version 0.1.0 of this program made the dataset."""
        with suppress(JsonError, OSError, TypeError):
            return ("bidsdeface", "0.1.0") in [
                (program.get("Name"), program.get("Version"))
                for program in read_json(self.root / DESCRIPTION).get("GeneratedBy", ())
                if isinstance(program, Mapping)
            ]
        return False

    def options_for(self, table: PurePosixPath) -> TableOptions:
        """Return what decides about the columns of a table."""
        name = parse_name(table)
        return TableOptions(
            merged_metadata(self.described_in, name, additions=self.data_dictionary) if name else {},
            lambda column: self.census.spread(table, column),
            keep=self.keep_columns if name else (),
        )


def find_leaks(
    root: Path,
    *,
    survey: Survey | None = None,
    described_in: Path | None = None,
    policy: Policy | None = None,
    keep_columns: Sequence[str] = (),
    shows_face: FaceTest | None = None,
    data_dictionary: Path | None = None,
    look_at_labels: bool = True,
    accepted_texts: Collection[str] = (),
) -> Iterator[Finding]:
    """Check every file of a dataset, hidden ones too, but for `REPOSITORIES`.

    Parameters
    ----------
    root : pathlib.Path
    survey : Survey, optional
        What to check; by default all that `survey_dataset` finds.
    described_in : pathlib.Path, optional
        Dataset whose data dictionaries describe the tables, and whose people are counted, if not all are in
        this one yet.
    policy : Policy, optional
        For sidecar fields, from `load_policy`; by default the built-in one.
    keep_columns : sequence of str, optional
        Table columns that a person has inspected, as ``NAME`` or ``TABLE:NAME``.
    shows_face : callable, optional
        From `face_test`; without it, images are not tested.
    data_dictionary : pathlib.Path, optional
        A folder of more dictionaries.
    look_at_labels : bool, optional
        False if labels of participants and sessions are not to be checked, as a run has named them before.
    accepted_texts : collection of str, optional
        Names of texts at the root that a person has read, such as ``README``.

    Yields
    ------
    Finding
        In the order of paths.
    """
    dataset = _Dataset(
        root,
        described_in or root,
        policy or load_policy(),
        keep_columns,
        shows_face,
        data_dictionary,
        look_at_labels,
        accepted_texts,
    )
    survey = survey or survey_dataset(root)
    yield from survey.histories
    for path in sorted(survey.files):
        findings: dict[Finding, None] = {}
        try:
            for kind, place in _check_file(dataset, path):
                findings[Finding(printable(path), kind, place)] = None
        except Exception as error:  # whatever a file is made of, the others are checked
            cause = inspect.UNREADABLE.get(type(error), ("cannot be read", type(error).__name__))
            findings[Finding(printable(path), *cause)] = None
        if os.path.lexists(root / path):  # else another run has removed it meanwhile
            yield from findings


def _check_file(dataset: _Dataset, path: PurePosixPath) -> inspect.Found:
    yield from _check_path(path, dataset.look_at_labels)
    file = dataset.root / path
    is_annexed = annexed_content(file)  # into a repository in or around the dataset: its content is checked
    leads_within = file.is_file() and file.resolve().is_relative_to(dataset.root.resolve())
    is_there = not file.is_symlink() or is_annexed or leads_within
    if not is_there or (file.is_symlink() and os.path.isabs(os.readlink(file))):
        yield "link", "leads nowhere, or out of the dataset"
    if is_there and not (is_annexed or file.is_file()):
        yield "no plain file", "whole file"
    elif is_there and not (file.is_file() and is_fetched(file)):
        yield "not looked into: its content is not here; run: datalad get", "whole file"
    elif is_there:
        yield from _check_content(dataset, path, file)


def _check_content(dataset: _Dataset, path: PurePosixPath, file: Path) -> inspect.Found:
    yield from (("gzip header", extra) for extra in sorted(gzip_extras(file)))
    with open_unpacked(file) as stream:
        kind, _, maker = kind_of(stream.read(START_BYTES)).partition(" ")
    name, extension, is_text = parse_name(path), path.suffix.lower(), is_root_text(path)
    closed = "Bruker image" if path.name.lower() == "2dseq" else _CLOSED_SUFFIXES.get(extension)
    if kind == "empty" or (path.name in dataset.accepted_texts and (is_text or path == DESCRIPTION)):
        return
    match kind, extension:
        case "nifti", _:
            yield from inspect.inspect_nifti(file)
            is_own_mask = suffix_of(file) == "defacemask" and "Version" in read_record(file)
            if dataset.shows_face and not is_own_mask and (shown := dataset.shows_face(file)):
                yield "face", shown
        case "scanner", _:
            yield "scanner's own file", maker
        case "edf", _:
            yield from inspect.inspect_edf(file, dataset.census.is_shared)
        case "picture", _:
            yield from inspect.inspect_picture(file, maker, bool(_OWN_PICTURE.fullmatch(str(path))))
        case _ if closed or kind != "text":
            yield "not looked into", closed or maker or "unknown kind of file"
        case _, ".json" if path.name == DESCRIPTION.name:
            yield from inspect.inspect_description(file)
        case _, ".json":
            yield from inspect.inspect_json(
                file, dataset.policy, name, columns_to_keep(suffix_of(path), dataset.keep_columns)
            )
        case _ if _HEADERLESS.fullmatch(path.name):
            if number := find_identifying_number(read_lines(file), gradients=extension in GRADIENTS):
                yield number
        case _, ".tsv" if path.name not in OWN_TABLES:
            yield from inspect.inspect_table(file, path, dataset.options_for(path), dataset.made_by_010)
        case _:
            yield from inspect.inspect_text(file, is_text, path.name in OWN_TABLES)


def _check_path(path: PurePosixPath, with_labels: bool) -> inspect.Found:
    """Check the names of a file and its folders.

    Labels of participants may be numbers; one that reads as a date or is long is a finding.
    """
    is_bids = parse_name(path) is not None
    for part in dict.fromkeys((*path.parts[:-1], path.name)):
        shown = part if with_labels else re.sub(r"(sub|ses)-[A-Za-z0-9+]+", "", part)
        labels = re.findall(r"(?<=-)[A-Za-z0-9]+", shown)
        odd = {
            "date": _SHORT_DATE.search(shown) or any("date" in find_pii(label) for label in labels),
            "record number": any(label.isdecimal() and len(label) > LONGEST_NUMBER for label in labels),
        }
        kinds = {*compress(odd, odd.values()), *find_pii(shown.partition(".")[2])}
        kinds |= set() if is_bids and shown == path.name else set(find_pii(shown.replace("_", " ")))
        yield from ((kind, "path") for kind in sorted(kinds))
