"""Texts go byte for byte, or wait for a person; labels that tell wait as well."""

from pathlib import PurePosixPath

import pytest

from bidsdeface.companions.review import label_folders, telling_labels, why_text_waits
from bidsdeface.deidentify.identifiers import PERSON, WHOLE, Identifiers, identifiers_in

README = PurePosixPath("README")
KNOWN = identifiers_in("Hopper^Grace", PERSON) | identifiers_in("Essen Hospital", WHOLE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A study.\nThanks to Grace Hopper.\n", "line 2: a name or number"),
        ("family-names: HOPPER\n", "line 1"),
        ("at Essen\nHospital\n", "line 1"),
        ("MRN: A471142\n", "record number"),
        ("patient ID 48213", "record number"),
        ("born on 4 March 1978", "date of birth"),
        ("\n\nDOB: 04.03.1978", "line 3: date of birth"),
        ("SSN 123-45-6789", "person's number"),
        ("personnummer 19780304-1234", "person's number"),
        ("hetu 040378-123A", "person's number"),
        ("RSSMRA78C04H501X", "person's number"),
        ("身份证 110105197803041234", "person's number"),
        ("NIR: 2 78 03 75 123 456 78", "person's number"),
        ("NHS number 943 476 5919", "person's number"),
        ("PESEL: 78030412345", "person's number"),
        ("Fallnummer 41207", "record number"),
        ("KIS-ID 4120733", "record number"),
        ("geboren am 7. Mai 1978", "date of birth"),
        ("born 04.03.78", "date of birth"),
        ("née le 5 août 1979", "date of birth"),
    ],
)
def test_a_text_that_tells_a_person_waits_and_says_where(text, said):
    waits = why_text_waits(text.encode(), README, KNOWN)
    assert waits.waits and said in waits.reason and waits.remedy == "edit it, or --accept-text README"
    assert not any(word in waits.reason for word in ("Hopper", "471142", "48213", "1978", "6789"))


@pytest.mark.parametrize(
    "text",
    [
        "Contact: Ann Author, ann.author@uni-nowhere.edu, ORCID 0000-0002-1825-0097, +49 201 123 4567\n",
        "- Year(s) that the project ran: 2017-2019; IRB protocol 2019-00123 approved 2019-02-11.\n",
        "1.0.0 2020-11-05\n  - Initial release\n",
        "Grant 5R01MH102377-03, NIH; DFG 390685689; accession ds000117, GSE123456; doi:10.1038/n.20190312\n",
        "Serial numbers were removed. In 1978, 48213 trials. See https://x.org/patient/48213\n",
        "graceful hoppers\n",
        "NSERC (RGPIN 355979-2013), 250094-1219; CIHR MOP 123456-2015; Omaha, NE. Released 2019-03-04\n",
        "NIR 760-850 nm, NIR 690.830 nm; CPR 1234; NHS: 2015-2018; Health insurance 1999-2001\n",
        "Case No 2019-0456 of the ethics committee; case no. 2017/1234; Fall-Nr 2017-0123\n",
        "'Born 12 Monkeys 1995', birth weight 12 grams 2010, birth cohort 1 May 2018\n",
        "See https://openneuro.org\u2014the platform; ssh://git@github.com/org/repo.git; /Data/README\n",
        "Babies born at 30 weeks, 20 of them before 1990; born between 1950 and 1980; 12 insurance forms\n",
    ],
)
def test_addresses_grants_and_releases_are_no_findings(text):
    assert why_text_waits(text.encode(), README, KNOWN) is None


def test_a_text_that_is_not_utf_8_waits_since_it_cannot_be_read():
    waits = why_text_waits("Universität".encode("latin-1"), README, Identifiers())
    assert waits.waits and "UTF-8" in waits.reason


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("sub-01/ses-20190312", "date"),
        ("sub-01/ses-190312", "date"),
        ("sub-20190312", "date"),
        ("sub-27182818", "record number"),
        ("sub-hopper", "field about a person"),
        ("sub-01", None),
        ("sub-1234567", None),
        ("sub-01/ses-01", None),
        ("sub-01/ses-19010312", None),
        ("sub-01/ses-123456", None),
    ],
)
def test_labels_that_read_as_dates_or_people_wait(folder, said):
    known = Identifiers(labels=frozenset({("sub", "hopper")}))
    found = list(telling_labels([PurePosixPath(folder)], known))
    assert [said in one.reason for one in found] == ([True] if said else [])
    assert all(one.waits and "--accept-labels" in one.remedy for one in found)


def test_labels_are_looked_at_in_what_was_asked_for(tmp_path):
    for name in ("sub-01/ses-20190312", "sub-01/ses-b", "sub-02"):
        (tmp_path / name).mkdir(parents=True)
    assert list(map(str, label_folders(tmp_path, ["01"], ["b"]))) == ["sub-01", "sub-01/ses-b"]
