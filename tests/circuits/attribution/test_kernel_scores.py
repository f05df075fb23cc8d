import math

import pytest
import torch
from torch import Tensor

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.attribution.kernel_scores import (
    activation_scores,
    partial_maps,
    pruning_curve,
    weight_scores,
)
from circuits.controls import with_random_weights
from circuits.expansion.raw_weights import raw_weights
from circuits.stimuli import strokes
from featviz.errors import CircuitError
from featviz.models import Model

ENDS = ("early_curves", "arcs")
SOME = (0, 1, 5, 10, 15, 20)
"""All six places within a quarter turn, each in another quarter."""


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def arcs() -> Tensor:
    angles = torch.arange(0, 360, 15.0)
    # The middle unit sees 39 px; at 48 px it is at the same place of its stride as at 96 px.
    return strokes.arcs(angles, radius_px=28.0, size=(48, 48), half_length_px=28.0)


@pytest.fixture(scope="module")
def scores(curves: Model, arcs: Tensor) -> Tensor:
    found = [activation_scores(curves, *ENDS, unit, arcs, where="center") for unit in SOME]
    return torch.stack(found)


def test_partial_maps_sum_to_the_pre_activation(curves: Model, arcs: Tensor) -> None:
    found = curves.record(arcs[:2], ["early_curves", "arcs.pre"])
    weights = raw_weights(curves, *ENDS, units=[6])
    parts = partial_maps(found["early_curves"], weights, (12, 12))
    # The lines' kernels are zero.
    assert torch.allclose(parts.sum(1), found["arcs.pre"][:, 6], atol=1e-3)


def test_scores_by_difference_of_orientation_are_the_published_ones(scores: Tensor) -> None:
    """824 / 285 / 6 / 70 / 589 for 24 arcs of 28 px; ours are 2.4 % lower throughout."""
    steps = torch.arange(24)
    apart = (torch.tensor(SOME)[:, None] - steps).abs()
    apart = 15 * torch.minimum(apart, 24 - apart)
    bounds = ((0, 30), (30, 60), (60, 120), (120, 150), (150, 181))
    means = [float(scores[(apart >= a) & (apart < b)].mean()) for a, b in bounds]
    assert means[0] == pytest.approx(824, rel=0.05)
    assert means[1] == pytest.approx(285, rel=0.05)
    assert means[2] == pytest.approx(6, abs=1)
    assert means[3] == pytest.approx(70, rel=0.1)
    assert means[4] == pytest.approx(589, rel=0.05)


def test_pruning_by_activation_keeps_the_unit_and_by_weights_kills_it(
    curves: Model, arcs: Tensor, scores: Tensor
) -> None:
    """Pearson with the full unit, published: 1.00 1.00 .98 .90 against 1.00 .99 .33 .00."""
    keep = (16, 12, 8, 4)
    by_activation, by_weight, by_chance = [], [], []
    for row, unit in enumerate(SOME):
        found = pruning_curve(
            curves, *ENDS, unit, arcs, scores[row], keep, where="center", draws=2, seed=unit
        )
        by_activation.append(found.correlation)
        by_chance += found.random
        norms = weight_scores(curves, *ENDS, unit)
        by_weight.append(
            pruning_curve(
                curves, *ENDS, unit, arcs, norms, keep, where="center", draws=0
            ).correlation
        )

    def mean(rows: list[tuple[float, ...]]) -> list[float]:
        return [
            sum(0 if math.isnan(row[k]) else row[k] for row in rows) / len(rows) for k in range(4)
        ]

    assert mean(by_activation) == pytest.approx([1.0, 1.0, 0.98, 0.90], abs=0.015)
    assert mean(by_weight) == pytest.approx([1.0, 0.99, 0.33, 0.0], abs=0.06)
    chance = mean(by_chance)
    assert all(0.2 < value < 0.7 for value in chance)


def test_random_weights_have_no_orientation_to_find(curves: Model, arcs: Tensor) -> None:
    twin = with_random_weights(curves)
    steps = torch.arange(24)
    near = torch.cos(2 * math.pi * (torch.tensor(SOME[:3])[:, None] - steps) / 24 * 2)

    def structure(model: Model) -> float:
        found = torch.stack(
            [activation_scores(model, *ENDS, unit, arcs, where="center") for unit in SOME[:3]]
        )
        return float(torch.corrcoef(torch.stack([found.flatten(), near.flatten()]))[0, 1])

    assert structure(curves) > 0.8
    assert abs(structure(twin)) < 0.2


def test_numbers_out_of_range(curves: Model, arcs: Tensor) -> None:
    with pytest.raises(CircuitError, match="scores of 'early_curves' hold NaN, which has no rank"):
        pruning_curve(curves, *ENDS, 0, arcs, torch.full((24,), math.nan), [1])
    with pytest.raises(CircuitError, match="has 24 units, got scores of shape"):
        pruning_curve(curves, *ENDS, 0, arcs, torch.ones(3), [1])
    with pytest.raises(CircuitError, match="cannot keep 25 of 24 inputs"):
        pruning_curve(curves, *ENDS, 0, arcs, torch.ones(24), [25])
    with pytest.raises(CircuitError, match="are not adjacent"):
        activation_scores(curves, "lines", "arcs", 0, arcs)
