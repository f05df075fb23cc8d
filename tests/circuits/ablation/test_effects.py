import math

import pytest
import torch
from torch import Tensor

import featviz
from circuits.ablation.editing import edited
from circuits.ablation.edits import parse_edit
from circuits.ablation.effects import class_effects, correlation, tuning_effects, unit_effects
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.tuning.measuring import TuningConfig
from featviz.errors import CircuitError, UnitError
from featviz.models import Model


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def test_without_inhibition_the_echo_comes_back(curves: Model) -> None:
    """Published, R = 28 px: echo 0 -> .64, FWHM 73 -> 155, selectivity .91 -> .13."""
    effects = tuning_effects(
        curves,
        [parse_edit("negative weights of arcs")],
        "arcs",
        range(24),
        config=TuningConfig(levels=(28.0,), size=(96, 96)),
        draws=2,
    )
    mean = {
        (when, name): sum(getattr(getattr(e, when), name) for e in effects) / 24
        for when in ("before", "after")
        for name in ("echo", "fwhm_deg", "selectivity")
    }
    assert mean["before", "echo"] == pytest.approx(0, abs=0.01)
    assert mean["after", "echo"] == pytest.approx(0.64, abs=0.05)
    assert mean["before", "fwhm_deg"] == pytest.approx(73, abs=4)
    assert mean["after", "fwhm_deg"] == pytest.approx(155, abs=15)
    assert mean["before", "selectivity"] == pytest.approx(0.91, abs=0.02)
    assert mean["after", "selectivity"] == pytest.approx(0.13, abs=0.04)
    # As many weights of both signs: no unit gains as much.
    assert all(e.after.peak > 2 * max(c.peak for c in e.random) for e in effects)
    random = [c.echo for e in effects for c in e.random]
    assert sum(random) / len(random) < mean["after", "echo"] - 0.1


def test_same_orientation_inputs_matter_more_than_random_ones(
    curves: Model, images: Tensor
) -> None:
    edits = [parse_edit("inputs early_curves:4-8 of arcs:6")]
    ((found, random),) = unit_effects(curves, edits, "arcs", [6], images, draws=4)
    assert found.mean_change == found.mean_after - found.mean_before
    assert len(random) == 4
    assert found.mean_after < min(one.mean_after for one in random)


def test_classes(curves: Model, images: Tensor) -> None:
    edits = [parse_edit("units early_curves:0-4")]
    before, after, random = class_effects(curves, edits, [0, 5], images, site="arcs", draws=2)
    clean = curves.record(images, ["arcs"])["arcs"].mean((2, 3))
    with edited(curves, edits):
        without = curves.record(images, ["arcs"])["arcs"].mean((2, 3))
    assert before.agreement == 1
    assert before.logit == pytest.approx(clean[:, [0, 5]].mean(0).tolist(), rel=1e-4)
    assert before.probability == pytest.approx(
        clean.softmax(1)[:, [0, 5]].mean(0).tolist(), rel=1e-3
    )
    assert after.logit == pytest.approx(without[:, [0, 5]].mean(0).tolist(), rel=1e-4)
    assert after.logit != pytest.approx(before.logit, rel=1e-2)
    assert len(random) == 2
    kept = [int(clean[k].argmax()) == int(without[k].argmax()) for k in range(3)]
    assert after.agreement == pytest.approx(sum(kept) / 3)
    assert after.agreement < 1
    order = without.argsort(1, descending=True)
    for place, unit in enumerate((0, 5)):
        ranks = [order[k].tolist().index(unit) + 1 for k in range(3)]
        assert after.rank[place] == pytest.approx(sum(ranks) / 3)
    with pytest.raises(UnitError, match="class 24 is out of range"):
        class_effects(curves, [], [24], images, site="arcs", draws=0)


def test_correlation_of_a_constant_is_no_number() -> None:
    x = torch.arange(4.0)
    assert correlation(x, 3 - 2 * x) == pytest.approx(-1)
    assert math.isnan(correlation(x, torch.ones(4)))


def test_no_images(curves: Model) -> None:
    with pytest.raises(CircuitError, match="no images to measure on"):
        unit_effects(curves, [], "arcs", [6], torch.zeros(0, 3, 96, 96))


def test_no_random_edit_can_be_made(curves: Model, images: Tensor) -> None:
    edits = [parse_edit("units early_curves:*")]
    with pytest.raises(CircuitError, match="no random edit of the size of 'units early_curves:"):
        unit_effects(curves, edits, "arcs", [6], images, draws=2)
    ((found, random),) = unit_effects(curves, edits, "arcs", [6], images, draws=0)
    assert (found.mean_after, random) == (0, ())
