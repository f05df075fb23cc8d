import inspect
import math

import pytest

from circuits.ablation.chance import DRAWS, compare_with_chance
from circuits.ablation.effects import unit_effects
from circuits.cli.ablate import ablate


def test_draws_that_go_as_far_in_the_same_direction() -> None:
    found = compare_with_chance(0.0, 0.6, [0.1, 0.7, 0.6, -0.9])
    assert (found.mean, found.low, found.high) == (pytest.approx(0.125), -0.9, 0.7)
    assert (found.draws, found.unknown, found.reached) == (4, 0, 0.5)
    assert found.p_value == pytest.approx(3 / 5)
    down = compare_with_chance(1.0, 0.2, [0.1, 0.3, 2.0])
    assert (down.reached, down.p_value) == (pytest.approx(1 / 3), 0.5)


def test_an_edit_that_changes_nothing_is_reached_by_all() -> None:
    assert compare_with_chance(1.0, 1.0, [0.5, 2.0]).p_value == 1


def test_angles_have_a_distance() -> None:
    found = compare_with_chance(10.0, 350.0, [30.0, 0.0, 180.0], period=360.0)
    assert found.reached == pytest.approx(2 / 3)


def test_draws_without_a_number_count_as_far() -> None:
    found = compare_with_chance(0.0, 1.0, [math.nan, 0.5])
    assert (found.unknown, found.mean, found.reached) == (1, 0.5, 0.5)


def test_nothing_to_compare() -> None:
    none = compare_with_chance(0.0, 1.0, [])
    assert none.draws == 0
    assert math.isnan(none.p_value)
    silent = compare_with_chance(0.0, math.nan, [0.5])
    assert math.isnan(silent.reached)
    assert silent.mean == 0.5


def test_one_default() -> None:
    assert inspect.signature(unit_effects).parameters["draws"].default == DRAWS
    (option,) = [each for each in ablate.params if each.name == "draws"]
    assert option.default == DRAWS
