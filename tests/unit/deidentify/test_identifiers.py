"""What is looked for, and where it is found: whole words of fields about people, however they are written."""

import pytest

from bidsdeface.deidentify.identifiers import DAY, PERSON, WHOLE, identifiers_in


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("Doe^Jane", PERSON, "thanks to JANE"),
        ("Doe^Jane", PERSON, "jane_doe2"),
        ("Doe^Jane", PERSON, "Jane's brain"),
        ("MÜLLER^José", PERSON, "mu\u0308ller"),
        ("Müller", PERSON, "MULLER"),
        ("Li^Wu", PERSON, "by Wu Li,"),
        (["Dr. Roe", "Poe"], PERSON, "poe"),
        ({"a": ["Roe"]}, PERSON, "Roe"),
        ("A-27182818", WHOLE, "record A 27182818"),
        (48213, WHOLE, "no. 48213."),
        (27182818.0, WHOLE, "27182818"),
        ("St. Mary's Hospital, Springfield", WHOLE, "at St Mary\u2019s Hospital (Springfield)"),
        ("1.2.840.31415.92653", WHOLE, "uid 1.2.840.31415.92653"),
        ("19780304", DAY, "born 1978-03-04"),
        ("2018-06-04T19:31:49", DAY, "file_20180604.nii"),
    ],
)  # fmt: skip
def test_an_identifier_is_found_as_whole_words(value, kind, text):
    assert identifiers_in(value, kind).are_in(text)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("Doe^Jane", PERSON, "Janet does"),
        ("Li^Wu", PERSON, "Li or Wu"),
        ("Anonymous", PERSON, "anonymous"),
        ("Dr. A", PERSON, "dr a"),
        ("sub 01", PERSON, "sub-01"),
        ("2019", WHOLE, "in 2019"),
        ("1234", WHOLE, "1234"),
        ("MR1", WHOLE, "MR1"),
        ("University Hospital", WHOLE, "a university hospital"),
        ("Springfield General", WHOLE, "Springfield"),
        ("19780304", DAY, "2018-06-04"),
        ("none", DAY, "none"),
        (True, PERSON, "True"),
        (None, WHOLE, "None"),
    ],
)  # fmt: skip
def test_parts_of_words_titles_and_short_codes_are_not(value, kind, text):
    assert not identifiers_in(value, kind).are_in(text)
