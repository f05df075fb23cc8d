import math

import pytest

from circuits.graphs.verdict import judge


def test_a_number_that_random_ones_do_not_reach_is_better_than_chance() -> None:
    verdict = judge(0.87, [0.01 * k for k in range(39)], ideal=1)
    assert (verdict.beaten, verdict.draws, verdict.p_value) == (39, 39, 1 / 40)
    assert verdict.better is True
    assert verdict.text("this picture") == "better than 39 of 39 random selections (p = 0.025)"


def test_a_number_that_random_ones_reach_is_not_to_be_trusted() -> None:
    verdict = judge(0.87, [0.9, 0.95, 0.99, *[0.1] * 36], ideal=1)
    assert (verdict.beaten, verdict.p_value) == (36, 0.1)
    assert verdict.better is False
    assert verdict.text("this picture") == (
        "better than 36 of 39 random selections (p = 0.10): not better than chance, do not trust "
        "this picture"
    )


@pytest.mark.parametrize(("reach", "better"), [(0, True), (1, True), (2, False)])
def test_at_most_one_in_twenty_may_reach_it(reach: int, *, better: bool) -> None:
    assert judge(0.5, [0.6] * reach + [0.1] * (39 - reach), ideal=1).better is better


def test_near_to_what_it_should_be_counts_on_both_sides() -> None:
    others = [0.0, 0.8, 1.3, 3.0]
    assert judge(1.1, others, ideal=1).beaten == 4
    assert judge(1.25, others, ideal=1).beaten == 3
    assert judge(-0.5, [0.4, -0.6, 2.0], ideal=0).beaten == 2
    assert judge(2.0, others).beaten == 3


def test_ties_rounding_and_silence_count_against_the_circuit() -> None:
    assert judge(1.0, [1.0, 1.0 - 1e-9, 0.5], ideal=1).beaten == 1
    assert judge(math.nan, [0.0, 0.5, math.nan], ideal=1).beaten == 0
    assert judge(math.nan, [0.5]).beaten == 0
    # A random selection under which the target is silent keeps nothing of it.
    assert judge(0.2, [math.nan], ideal=1).beaten == 1
    assert judge(-0.2, [math.nan], ideal=1).beaten == 0


def test_too_few_draws_can_tell_nothing() -> None:
    few = judge(1.0, [0.0] * 18, ideal=1)
    assert few.better is None
    assert few.text("this").startswith("18 random selections are too few to tell")
    assert few.text("this").endswith("19 are needed")
    assert judge(1.0, [0.0] * 19, ideal=1).better is True
