"""Ranks, curves, AUC and intervals, against cases worked out by hand and against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bidsdeface.reidentify.findings import auc, cluster_interval, curve, exact_interval, rate, true_ranks

MISS = [np.nan] * 4


@pytest.mark.parametrize(
    ("row", "own", "to_attacker", "to_others", "area"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0, 1, 1, 1.0),  # found at once
        ([0.1, 0.2, 0.3, 0.4], 2, 3, 3, 1 / 3),  # two are nearer
        ([0.1, 0.2, 0.3, 0.4], 3, 4, 4, 0.0),
        ([0.2, 0.2, 0.3, 0.4], 0, 1, 2, 2.5 / 3),  # a tie for the first place
        ([0.2, 0.2, 0.2, 0.2], 1, 1, 4, 0.5),  # nothing told apart
        ([0.1, 0.3, 0.3, 0.3], 3, 2, 4, 1 / 3),
        (MISS, 1, np.inf, np.inf, 0.5),
        ([0.1, np.nan, 0.3, 0.4], 0, np.inf, np.inf, 0.5),  # something missing is a miss
    ],
)
def test_ranks_and_auc_of_one_probe_as_worked_out_by_hand(row, own, to_attacker, to_others, area):
    distances, truth = np.array([row]), np.array([own])
    assert true_ranks(distances, truth) == [to_attacker]
    assert true_ranks(distances, truth, ties_to_attacker=False) == [to_others]
    assert auc(distances, truth) == pytest.approx(area)


def test_a_curve_as_worked_out_by_hand_counts_misses_at_no_rank():
    assert np.allclose(curve(np.array([1, 1, 3, np.inf]), 4), [0.5, 0.5, 0.75, 0.75])


@st.composite
def tables(draw):
    people = draw(st.integers(2, 7))
    probes = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    distances = rng.integers(0, draw(st.integers(1, 6)), (probes, people)).astype(float)  # many ties
    distances[rng.random(probes) < draw(st.floats(0, 1))] = np.nan
    return distances, rng.integers(0, people, probes)


@given(tables())
def test_ranks_are_what_sorting_by_hand_gives(table):
    distances, truth = table
    for row, own, first, last in zip(
        distances, truth, true_ranks(*table), true_ranks(*table, ties_to_attacker=False), strict=True
    ):
        if np.isnan(row).any():
            assert first == last == np.inf
            continue
        order = sorted(range(len(row)), key=lambda person: (row[person], person != own))
        assert first == order.index(own) + 1
        order = sorted(range(len(row)), key=lambda person: (row[person], person == own))
        assert last == order.index(own) + 1


@given(tables())
def test_a_curve_never_falls_and_ends_at_the_share_of_probes_that_were_no_miss(table):
    distances, truth = table
    found = curve(true_ranks(*table), distances.shape[1])
    assert (np.diff(found) >= 0).all()
    assert found[-1] == pytest.approx(1 - np.isnan(distances).any(axis=1).mean())


@given(tables())
def test_auc_is_the_mean_over_all_pairs_and_turns_round_with_the_distances(table):
    distances, truth = table
    scores = [
        0.5 if np.isnan(row).any() else np.mean([(d > row[t]) + (d == row[t]) / 2 for d in np.delete(row, t)])
        for row, t in zip(distances, truth, strict=True)
    ]
    assert auc(*table) == pytest.approx(np.mean(scores))
    assert auc(-distances, truth) == pytest.approx(1 - auc(*table))


@given(tables(), st.integers(0, 2**32))
def test_the_order_of_people_and_of_probes_does_not_matter(table, seed):
    distances, truth = table
    rng = np.random.default_rng(seed)
    people, probes = (rng.permutation(n) for n in distances.shape[::-1])
    shuffled = distances[probes][:, people], np.argsort(people)[truth[probes]]
    assert np.array_equal(true_ranks(*shuffled), true_ranks(*table)[probes])
    assert auc(*shuffled) == pytest.approx(auc(*table))


@pytest.mark.parametrize(
    ("hits", "count", "expected"),
    [  # as printed in tables of exact binomial limits
        (0, 10, (0.0, 0.3085)),
        (10, 10, (0.6915, 1.0)),
        (5, 10, (0.1871, 0.8129)),
        (1, 100, (0.0003, 0.0545)),
        (0, 0, (0.0, 1.0)),
    ],
)
def test_exact_intervals_are_those_of_printed_tables(hits, count, expected):
    assert exact_interval(hits, count) == pytest.approx(expected, abs=1e-4)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_at_the_ends_of_an_exact_interval_what_was_seen_has_a_probability_of_a_fortieth(case):
    hits, count = case
    low, high = exact_interval(hits, count)
    assert low <= hits / count <= high
    if hits:
        assert binom.sf(hits - 1, count, low) == pytest.approx(0.025, rel=1e-6)
    if hits < count:
        assert binom.cdf(hits, count, high) == pytest.approx(0.025, rel=1e-6)


def test_clusters_that_are_alike_inside_widen_the_interval():
    hit = np.repeat([True, False] * 5, 10)
    own = [str(number) for number in range(100)]
    shared = [str(number // 10) for number in range(100)]
    independent, clustered = (np.diff(cluster_interval(hit, c))[0] for c in (own, shared))
    assert clustered > 2.5 * independent
    assert independent == pytest.approx(2 * 1.96 * 0.05, rel=0.15)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), min_size=1, max_size=30))
def test_a_clustered_interval_holds_the_means_that_clusters_can_have(probes):
    hit, clusters = np.array([h for h, _ in probes]), [c for _, c in probes]
    low, high = cluster_interval(hit, clusters)
    assert 0 <= low <= high <= 1
    if len(set(clusters)) == 1:
        assert (low, high) == (0, 1)  # one cluster tells nothing of another
    assert (low, high) == cluster_interval(hit, clusters)  # the same every time


def test_a_rate_is_above_chance_only_if_chance_lies_below_its_interval():
    people = [str(number) for number in range(100)]
    assert rate(np.arange(100) < 8, people, 0.01).above_chance
    assert not rate(np.arange(100) < 3, people, 0.01).above_chance
    assert rate(np.arange(100) < 8, people, 0.01).value == 0.08
    assert np.isnan(rate(np.zeros(0, bool), [], 0.01).value)
