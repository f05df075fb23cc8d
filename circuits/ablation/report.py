"""What edits broke, as rows: each number before, after, and under random edits."""

import math
from collections.abc import Sequence
from typing import Any

from circuits.ablation.chance import Chance, compare_with_chance
from circuits.ablation.effects import ClassEffect, TuningEffect, UnitEffect

TUNING = ("preferred_deg", "fwhm_deg", "echo", "selectivity", "peak")
ACTIVATION = ("correlation", "mean_change")
CLASSES = ("logit", "probability", "rank")
# What an edit that changes nothing gives.
_UNCHANGED = {"correlation": 1.0, "mean_change": 0.0, "agreement": 1.0}


def tuning_row(effect: TuningEffect) -> dict[str, Any]:
    """Return the numbers of a unit's tuning, by name.

    Args:
        effect: Of one unit.
    """
    return {
        name: _measure(
            getattr(effect.before, name),
            getattr(effect.after, name),
            [getattr(curve, name) for curve in effect.random],
            period=effect.before.period_deg if name == "preferred_deg" else None,
        )
        for name in TUNING
    }


def activation_row(effect: UnitEffect, random: Sequence[UnitEffect]) -> dict[str, Any]:
    """Return the numbers of a unit's activation, by name.

    Args:
        effect: Of the edit.
        random: Of the random ones.
    """
    means = {
        "mean_before": number(effect.mean_before),
        "mean_after": number(effect.mean_after),
    }
    compared = {
        name: _measure(
            _UNCHANGED[name], getattr(effect, name), [getattr(one, name) for one in random]
        )
        for name in ACTIVATION
    }
    return {**means, **compared}


def class_row(
    place: int, before: ClassEffect, after: ClassEffect, random: Sequence[ClassEffect]
) -> dict[str, Any]:
    """Return the numbers of a class, by name.

    Args:
        place: Of the class among those measured.
        before: In the network as it is.
        after: In the edited one.
        random: In those edited at random.
    """
    return {
        name: _measure(
            getattr(before, name)[place],
            getattr(after, name)[place],
            [getattr(one, name)[place] for one in random],
        )
        for name in CLASSES
    }


def agreement_row(after: ClassEffect, random: Sequence[ClassEffect]) -> dict[str, Any]:
    """Return the share of images whose first class stays.

    Args:
        after: In the edited network.
        random: In those edited at random.
    """
    return _measure(_UNCHANGED["agreement"], after.agreement, [one.agreement for one in random])


def mean_tuning_row(effects: Sequence[TuningEffect]) -> dict[str, Any]:
    """Return the means of the numbers over units, without angles.

    Units that have no number, before, after or in a draw, are left out of that mean alone.

    Args:
        effects: One a unit, one at least.
    """
    found = {}
    for name in TUNING[1:]:
        before, after = (
            _mean([getattr(getattr(effect, when), name) for effect in effects])
            for when in ("before", "after")
        )
        draws = zip(*(effect.random for effect in effects), strict=True)
        random = [_mean([getattr(curve, name) for curve in draw]) for draw in draws]
        found[name] = _measure(before, after, random)
    return found


def number(value: float) -> float | None:
    """Return a number for JSON, in six digits; None for what is none."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _measure(
    before: float, after: float, random: Sequence[float], *, period: float | None = None
) -> dict[str, Any]:
    chance = compare_with_chance(before, after, random, period=period)
    return {"before": number(before), "after": number(after), "random": _said(chance)}


def _said(chance: Chance) -> dict[str, Any]:
    names = ("mean", "low", "high", "reached", "p_value")
    numbers = {name: number(getattr(chance, name)) for name in names}
    return {**numbers, "draws": chance.draws, "unknown": chance.unknown}
