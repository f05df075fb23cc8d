"""What is told of the curve detectors that were trained: inputs and echoes, with controls.

No streamlit here; make_assets.py measures all this, for it takes minutes.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.lessons.symmetry import CURVES
from circuits import (
    expand,
    measure_tuning,
    parse_edit,
    shuffled,
    tuned_curves,
    tuning_effects,
)
from featviz.models import Model

NEAR_DEG = 45
"""How far from the orientation of a unit, or from the opposite one, an input is called near."""
Input = tuple[int, float, float]


def list_inputs(model: Model, unit: str, source: str) -> list[Input]:
    """Return the inputs of a unit that answer to curves, the strongest first.

    Args:
        model: The network.
        unit: `SITE:CHANNEL` of a later site.
        source: The earlier site.

    Returns:
        Channel; its preferred orientation less that of the unit, -180 up to 180 degrees; the
        signed sum of its weights. Inputs that never answer to a curve are left out.
    """
    site, _, channel = unit.rpartition(":")
    weights = expand(model, source, site, units=[int(channel)]).strength("sum")[0].tolist()
    (own,) = measure_tuning(model, site, [int(channel)], stimulus="curve")
    inputs = measure_tuning(model, source, stimulus="curve")
    found = [
        (
            each.channel,
            (each.preferred_deg - own.preferred_deg + 180) % 360 - 180,
            weights[each.channel],
        )
        for each in inputs
        if not each.silent
    ]
    return _sorted(found)


def shuffle_inputs(
    model: Model, unit: str, source: str, inputs: Sequence[Input], *, draws: int
) -> list[list[Input]]:
    """Return the same inputs with the weights that they have in shuffled networks.

    Args:
        model: The network.
        unit: As in `list_inputs`.
        source: As in `list_inputs`.
        inputs: What that returned.
        draws: How many networks.
    """
    site, _, channel = unit.rpartition(":")
    found = []
    for seed in range(draws):
        read = expand(shuffled(model, seed=seed), source, site, units=[int(channel)])
        weights = read.strength("sum")[0].tolist()
        found.append(_sorted([(k, off, weights[k]) for k, off, _ in inputs]))
    return found


def _sorted(inputs: Sequence[Input]) -> list[Input]:
    return sorted(inputs, key=lambda row: -abs(row[2]))


def count_inputs(inputs: Sequence[Input]) -> dict[str, int]:
    """Count inputs by orientation and sign.

    Returns:
        `like`: near the unit's orientation, `like_excite` of these; `opposite` and
        `opposite_inhibit`; `between` and `between_inhibit`; `follow`: how many excite and are
        like the unit, or inhibit and are opposite.
    """
    like = [weight for _, off, weight in inputs if abs(off) <= NEAR_DEG]
    opposite = [weight for _, off, weight in inputs if abs(off) >= 180 - NEAR_DEG]
    between = [weight for _, off, weight in inputs if NEAR_DEG < abs(off) < 180 - NEAR_DEG]
    excite, inhibit = sum(w > 0 for w in like), sum(w < 0 for w in opposite)
    return {
        "like": len(like),
        "like_excite": excite,
        "opposite": len(opposite),
        "opposite_inhibit": inhibit,
        "between": len(between),
        "between_inhibit": sum(w < 0 for w in between),
        "follow": excite + inhibit,
    }


def list_detectors(model: Model, site: str) -> list[int]:
    """Return the units of a site that are called curve detectors here, sorted."""
    curves = tuned_curves(measure_tuning(model, site, stimulus="curve"), thresholds=CURVES)
    return sorted(curve.channel for curve in curves)


def list_echoes(model: Model, site: str) -> dict[str, list[float]]:
    """Return the echo of each unit of a site."""
    return {"echo": [curve.echo for curve in measure_tuning(model, site, stimulus="curve")]}


def measure_echoes(model: Model, site: str, units: Sequence[int], *, draws: int) -> dict[str, Any]:
    """Measure echoes of units with and without their negative weights, and random ones.

    Args:
        model: The network; restored.
        site: Of the units.
        units: Channels; each loses its own weights.
        draws: How often as many weights of theirs are removed at random.

    Returns:
        `units`, `before`, `after`, and `random`, one row a draw. Not-a-number: the unit is silent.
    """
    edits = [parse_edit(f"negative weights of {site}:{unit}") for unit in units]
    found = tuning_effects(model, edits, site, units, draws=draws)
    return {
        "units": list(units),
        "before": [each.before.echo for each in found],
        "after": [each.after.echo for each in found],
        "random": [
            list(row) for row in zip(*([c.echo for c in e.random] for e in found), strict=True)
        ],
    }


def family_medians(found: Mapping[str, Any]) -> dict[str, float]:
    """Return medians over units of what `measure_echoes` found.

    Returns:
        `as it is`; `without negative weights`; of the draws of random weights, the median one and
        the largest, `random weights` and `largest random`; and `beyond`, the number of units whose
        echo without negative weights is larger than in all of their own draws.
    """
    drawn = [statistics.median(told(row)) for row in found["random"]]
    own = [max(told(row[k] for row in found["random"])) for k in range(len(found["units"]))]
    return {
        "as it is": statistics.median(found["before"]),
        "random weights": statistics.median(drawn),
        "largest random": max(drawn),
        "without negative weights": statistics.median(found["after"]),
        "beyond": sum(after > most for after, most in zip(found["after"], own, strict=True)),
    }


def told(echoes: Iterable[float | None]) -> list[float]:
    """Return the echoes of those units that still answer; a silent one has none."""
    return [echo for echo in echoes if echo is not None]
