"""Kernels between families of curves, and how well they keep a turn: for the lesson on turning.

No streamlit here: the lesson measures the hand-built network live, make_assets.py the trained one.
"""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from circuits import (
    Thresholds,
    angle_profile,
    equivariance_score,
    expand,
    measure_tuning,
    rotation,
    shuffled,
    tuned_curves,
)
from circuits.artificial.model import orientations_deg
from featviz.models import Model

CURVES = Thresholds(peak_frac=0.25, selectivity=0.6, echo=0.3)
"""What the tuning of a unit of SqueezeNet must reach for it to be called a curve detector here."""
TURNS_DEG = (45, 90, 135, 180)
_TOLERANCE_DEG = 20.0


@dataclass(frozen=True)
class Wiring:
    """Kernels between two families of curves.

    Attributes:
        kernel: [target, source, y, x].
        target_deg: Orientation of each target.
        source_deg: Orientation of each source.
    """

    kernel: Float[Tensor, "o i kh kw"]
    target_deg: tuple[float, ...]
    source_deg: tuple[float, ...]


def wire_by_hand(model: Model) -> Wiring:
    """Return the kernels from the early curves to the arcs of the hand-built network."""
    weights = expand(model, "early_curves", "arcs")
    return Wiring(weights.kernel, orientations_deg("arcs"), orientations_deg("early_curves"))


def wire_trained(model: Model) -> tuple[Wiring, Wiring]:
    """Return the kernels between the curve detectors of fire4 and fire5 of SqueezeNet.

    These are the units that pass thresholds on their tuning; 0 degrees and so on as measured.

    Args:
        model: SqueezeNet.

    Returns:
        The kernels as they are, and those of the same units read from the network with each unit's
        weights in another order.
    """
    sources, targets = (
        tuned_curves(measure_tuning(model, site, stimulus="curve"), thresholds=CURVES)
        for site in ("fire4", "fire5")
    )
    rows, columns = ([curve.channel for curve in curves] for curves in (targets, sources))
    target_deg, source_deg = (
        tuple(curve.mean_deg for curve in curves) for curves in (targets, sources)
    )
    read = [
        expand(each, "fire4", "fire5", units=rows).kernel[:, columns]
        for each in (model, shuffled(model, seed=0))
    ]
    return Wiring(read[0], target_deg, source_deg), Wiring(read[1], target_deg, source_deg)


def score_turn(wiring: Wiring, turn_deg: int, *, measured: bool) -> dict[str, Any]:
    """Return how well kernels keep a turn, beside ways to do it wrong.

    Args:
        wiring: The kernels.
        turn_deg: Clockwise.
        measured: Whether the orientations are measured, so that units are matched within 20
            degrees; else a turned unit must have its partner.

    Returns:
        `score`, `unrotated`, `wrong` (turned the other way; None for a half turn), `random` (the
        best of 20 random orders) and `pairs`; see circuits.EquivarianceScore.
    """
    found = equivariance_score(
        wiring.kernel,
        wiring.target_deg,
        wiring.source_deg,
        symmetry=rotation(turn_deg),
        tolerance_deg=_TOLERANCE_DEG if measured else None,
    )
    return {
        "score": found.score,
        "unrotated": found.unrotated,
        "wrong": found.wrong_direction,
        "random": max(found.shuffled_channels),
        "pairs": found.pairs,
    }


def profile_rows(wiring: Wiring) -> list[dict[str, Any]]:
    """Return the mean weight by difference of orientation; see circuits.AngleProfile."""
    found = angle_profile(wiring.kernel.sum((2, 3)), wiring.target_deg, wiring.source_deg)
    return [row for row in found.rows() if row["pairs"]]


def measure_symmetry(model: Model) -> dict[str, Any]:
    """Return all that is told of the curve detectors of SqueezeNet and of their shuffled twin."""
    return {
        name: {
            "targets": len(wiring.target_deg),
            "sources": len(wiring.source_deg),
            "turns": {str(turn): score_turn(wiring, turn, measured=True) for turn in TURNS_DEG},
            "profile": profile_rows(wiring),
        }
        for name, wiring in zip(("trained", "shuffled"), wire_trained(model), strict=True)
    }
