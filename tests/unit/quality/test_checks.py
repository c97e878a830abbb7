"""From measures to what speaks against a result: each limit, on both sides of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsdeface.quality.checks import failed_checks, failed_without_brain
from bidsdeface.quality.limits import BRAIN_AGREES_MM, CHECKS, bids_name, is_brain_trusted, limit_used

GOOD = {check.measure: check.best for check in CHECKS if check.measure != "reference_likeness"}
NO_BRAIN = {name: value for name, value in GOOD.items() if not name.startswith("brain_")}
TRUST = [check for check in CHECKS if check.of_trust]
DECISIVE = [check for check in CHECKS if not check.of_trust]
LIMITS = [
    pytest.param(check, limit, beyond, id=f"{check.measure} {limit}")
    for check in DECISIVE
    for limit, beyond in ((check.least, -math.inf), (check.most, math.inf))
    if math.isfinite(limit)
]
LIMITED = [check for check in DECISIVE if check.limits]
by_name = pytest.mark.parametrize("check", LIMITED, ids=lambda check: check.measure)


OBJECTING = {**GOOD, "brain_shift_mm": BRAIN_AGREES_MM + 0.1}


def good_for(check):
    """Return the measures of a good result that this check decides about."""
    return next(measures for measures in (GOOD, OBJECTING, NO_BRAIN) if check.decides(measures))


def test_a_result_that_could_not_be_better_has_no_fault_and_no_strain():
    assert failed_checks(GOOD) == {}
    assert limit_used(GOOD) == 0


@pytest.mark.parametrize(("check", "limit", "beyond"), LIMITS)
def test_each_limit_is_still_good_and_what_lies_beyond_is_a_fault(check, limit, beyond):
    assert failed_checks({**good_for(check), check.measure: limit}) == {}
    found = failed_checks({**good_for(check), check.measure: math.nextafter(limit, beyond)})
    assert list(found) == [check.measure]


def test_where_brain_and_outline_both_agree_the_face_need_not_be_there():
    """Somebody may have removed it; where one of them objects, or cannot be asked, an empty mask is wrong."""
    nothing = {**GOOD, "face_found": 0.0}
    assert failed_checks(nothing) == {}
    for objection in (
        {"brain_shift_mm": BRAIN_AGREES_MM + 0.1},
        {"brain_ml": 0.0},
        {"outline_shift_mm": 12.1},
        {"outline_correlation": 0.74},
        {"outline_shift_mm": math.nan},
    ):
        assert "face_found" in failed_checks({**nothing, **objection})
    unasked = {name: value for name, value in nothing.items() if name != "outline_correlation"}
    assert list(failed_checks(unasked)) == ["face_found"]


def test_a_mask_that_holds_far_more_than_a_face_is_wrong_where_the_brain_cannot_tell():
    """As in a CT without a trusted brain: the outline agreed, and the frontal lobes were in the mask."""
    found = failed_checks({**GOOD, "brain_ml": 0.0, "face_found": 2.75})
    assert list(found) == ["face_found"] and "275%" in found["face_found"]


def test_where_a_reference_vouches_for_a_scan_no_other_witness_is_asked():
    asked_of_slabs = ("similarity", "lead", "start_disagreement_mm")
    others = ("outline_shift_mm", "outline_correlation", "face_found", "brain_shift_mm", "face_shift_mm")
    bad = {**NO_BRAIN, **dict.fromkeys(others, math.inf), "face_found": 0.0, "reference_likeness": 0.9}
    assert failed_checks(bad) == {}
    for name in asked_of_slabs:
        assert name in failed_checks({**bad, name: 6.0 if name.endswith("mm") else 0.07})
    for doubt in ({"reference_likeness": 0.89}, {"reference_likeness": math.nan}, {"lead": 0.07}):
        assert "outline_shift_mm" in failed_checks({**bad, **doubt})


@pytest.mark.parametrize("check", DECISIVE, ids=lambda check: check.measure)
def test_what_is_not_a_number_is_a_fault_and_says_so(check):
    assert failed_checks({**good_for(check), check.measure: math.nan}) == {
        check.measure: f"{check.measure} could not be measured"
    }


@pytest.mark.parametrize("check", TRUST, ids=lambda check: check.measure)
def test_a_brain_beyond_a_limit_is_no_fault_but_not_trusted(check):
    assert is_brain_trusted(GOOD) and not is_brain_trusted(NO_BRAIN)
    for limit, beyond in ((check.least, -math.inf), (check.most, math.inf)):
        if math.isfinite(limit):
            doubtful = {**GOOD, check.measure: math.nextafter(limit, beyond)}
            assert is_brain_trusted({**GOOD, check.measure: limit}) and not is_brain_trusted(doubtful)
            assert failed_checks(doubtful) == {}
    assert not is_brain_trusted({**GOOD, check.measure: math.nan})


def test_the_outline_is_asked_only_where_the_brain_objects_or_is_not_trusted():
    bad = {**GOOD, "face_shift_mm": 20.0, "outline_shift_mm": 30.0, "outline_correlation": 0.5}
    for agreeing in (0.0, BRAIN_AGREES_MM):
        assert failed_checks({**bad, "brain_shift_mm": agreeing}) == {}
    objecting, untrusted = {"brain_shift_mm": BRAIN_AGREES_MM + 0.1}, {"brain_fit_mm": 9.0}
    assert list(failed_checks({**bad, **objecting})) == ["face_shift_mm", "outline_correlation"]
    # Two witnesses that contradict each other are none, even if the middle between them is right.
    assert list(failed_checks({**GOOD, **objecting, "face_shift_mm": 0.0, "witness_gap_mm": 30.0})) == [
        "witness_gap_mm"
    ]
    assert list(failed_checks({**bad, **untrusted})) == ["outline_correlation", "outline_shift_mm"]
    assert failed_checks({**GOOD, **objecting}) == failed_checks({**GOOD, **untrusted}) == {}
    assert list(failed_without_brain(bad)) == ["outline_correlation", "outline_shift_mm"]


def test_a_trusted_brain_that_moves_the_face_far_is_a_fault_whatever_the_outline_says():
    assert list(failed_checks({**GOOD, "brain_shift_mm": 16.5})) == ["brain_shift_mm"]
    assert failed_checks({**GOOD, "brain_shift_mm": 300.0, "brain_fit_mm": 9.0}) == {}  # it knows nothing


def test_another_placement_that_fits_as_well_counts_where_the_brain_is_not_trusted():
    assert failed_checks({**GOOD, "lead": 0.0}) == {}
    assert list(failed_checks({**GOOD, "lead": 0.0, "brain_lead": 1.0})) == ["lead"]


@by_name
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_what_is_infinite_is_a_fault_but_on_the_side_without_limit(check, value):
    found = failed_checks({**good_for(check), check.measure: value})
    if math.isfinite(check.most if value > 0 else check.least):
        assert list(found) == [check.measure]
    else:
        assert found == {}


@by_name
def test_a_fault_is_told_in_words_with_its_limit(check):
    for limit in filter(math.isfinite, (check.least, check.most)):
        value = 2 * limit if limit == check.most else limit - 1
        words = failed_checks({**good_for(check), check.measure: value})[check.measure]
        assert words and "{" not in words and "}" not in words and "\n" not in words
        assert any(written in words for written in (f"{limit:g}", f"{limit:.2f}", f"{limit:.0%}", str(limit)))


def test_all_faults_are_told_in_the_order_of_the_table():
    worst = {check.measure: math.nan for check in reversed(CHECKS)}
    assert [*failed_checks(worst)] == [check.measure for check in CHECKS if check.decides(worst)]


def test_a_measure_that_was_not_taken_is_no_fault():
    """Such as those of a mask that a person drew; which measures must be there, their makers say."""
    assert failed_checks({}) == {} and failed_checks({"seconds": 99.0}) == {}


def test_the_worst_measure_tells_how_near_a_result_is_to_being_rejected():
    assert limit_used({"tissue_left_ml": 0.25, "stray_tissue_ml": 0.1}) == pytest.approx(0.5)


@pytest.mark.parametrize(("check", "limit", "beyond"), LIMITS)
def test_a_strain_is_1_at_the_limit_and_half_of_it_half_way(check, limit, beyond):
    assert check.limit_used(limit) == pytest.approx(1)
    assert check.limit_used((check.best + limit) / 2) == pytest.approx(0.5)


@given(st.sampled_from(LIMITED), st.floats(-1e6, 1e6))
def test_a_strain_is_above_1_exactly_where_there_is_a_fault(check, value):
    beyond = check.limit_used(value) > 1
    assert beyond == bool(failed_checks({**good_for(check), check.measure: value})) or check.limit_used(
        value
    ) == pytest.approx(1)


@by_name
def test_what_is_better_than_the_best_is_no_strain(check):
    if math.isinf(check.least):
        assert check.limit_used(check.best - 1) <= 0
    if math.isinf(check.most):
        assert check.limit_used(check.best + 1) <= 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_could_not_be_measured_is_the_worst_of_all(value):
    assert limit_used({**GOOD, "similarity": value}) == math.inf
    assert limit_used({}) == math.inf


def test_every_check_says_what_it_measures_and_where_its_best_lies():
    assert len({bids_name(check.measure) for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.description and check.least <= check.best <= check.most
        assert bool(check.fault) == (bool(check.limits) and not check.of_trust)


def test_names_follow_bids():
    assert bids_name("start_disagreement_mm") == "StartDisagreementMM"
    assert bids_name("stray_tissue_ml") == "StrayTissueML"
