"""The benchmark takes the time of functions by their names, and the program keeps them under these."""

import importlib

import pytest

from benchmarks.child import STEPS


@pytest.mark.parametrize("module", STEPS)
def test_each_timed_step_is_a_function_that_the_module_calls(module):
    there = vars(importlib.import_module(f"bidsdeface.{module}"))
    assert set(STEPS[module]) <= set(there)
