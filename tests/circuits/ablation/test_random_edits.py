import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import featviz
from circuits.ablation.editing import edited, planned
from circuits.ablation.edits import parse_edit
from circuits.ablation.random_edits import MANY, RandomEdits, edited_at_random
from circuits.artificial.model import ARTIFICIAL_CURVES
from featviz.errors import CircuitError
from featviz.models import Model, load
from nets import seeded


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))


class Grouped(nn.Module):
    """Eight units, read in four groups of two."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(functional.relu(self.a(x)))


def test_weights_are_as_many_and_taken_back(curves: Model) -> None:
    weight = curves.module.get_parameter("arcs.conv.weight")
    before = weight.detach().clone()
    negative, present = int((before < 0).sum()), int((before != 0).sum())
    seen = []
    for seed in (0, 0, 1):
        with edited_at_random(curves, [parse_edit("negative weights of arcs")], seed=seed):
            assert int((weight != 0).sum()) == present - negative
            seen.append(weight.detach().clone())
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    assert (seen[0] < 0).any()
    assert torch.equal(weight, before)
    found = RandomEdits(curves, [parse_edit("negative weights of arcs")])
    assert found.distinct == MANY
    assert found.overlap == pytest.approx(negative / present)


def test_units_are_others_of_their_site(curves: Model, image: Tensor) -> None:
    clean = curves.record(image, ["early_lines"])["early_lines"]
    live = {k for k in range(18) if clean[:, k].abs().sum() > 0}
    assert len(live) == 18
    for seed in range(6):
        with edited_at_random(curves, [parse_edit("units early_lines:0-4")], seed=seed):
            maps = curves.record(image, ["early_lines"])["early_lines"]
        dropped = {k for k in range(18) if maps[:, k].abs().sum() == 0}
        assert len(dropped) == 5
        assert not dropped & set(range(5))


@pytest.mark.parametrize(
    ("units", "distinct", "overlap"),
    [("0-8", 1, 0.0), ("3", 17, 0.0), ("0-11", 18563, 12 / 18), ("*", 0, 1.0)],
)
def test_how_many_there_are(curves: Model, units: str, distinct: int, overlap: float) -> None:
    found = RandomEdits(curves, [parse_edit(f"units early_lines:{units}")])
    assert (found.distinct, found.overlap) == (distinct, pytest.approx(overlap))


def test_all_different_ones_and_no_more(curves: Model) -> None:
    found = RandomEdits(curves, [parse_edit("units early_lines:3")])
    drawn = [plan.constants[0].channels for plan in found.plans(40, seed=0)]
    assert sorted(drawn) == [(k,) for k in range(18) if k != 3]
    assert len(list(found.plans(5, seed=0))) == 5
    none = RandomEdits(curves, [parse_edit("units early_lines:*")])
    assert list(none.plans(0, seed=0)) == []
    with pytest.raises(CircuitError, match="there is no random edit of the size of 'units early"):
        none.plan(0)


def test_inputs_are_those_that_the_layer_reads() -> None:
    model = load(seeded(Grouped()), size=8)
    for text, keep in (("edge a:0->b:0", False), ("inputs a:0 of b:0", False),
                       ("inputs a:0 of b:0", True)):  # fmt: skip
        found = RandomEdits(model, [parse_edit(text, keep=keep)])
        assert found.distinct == 1
        (change,) = found.plan(0).weights
        # Unit 0 reads inputs 0 and 1 alone; kept, all but the other one go.
        assert change.touched[0, 1].all() == (not keep)
        assert change.touched[0, 0].all() == keep
        assert int(change.touched.sum()) == 9
    assert RandomEdits(model, [parse_edit("edge a:0-1->b:0")]).distinct == 0


def test_the_edits_around_are_not_seen(curves: Model) -> None:
    outer = [parse_edit("negative weights of arcs")]
    weight = curves.module.get_parameter("arcs.conv.weight")
    for text in ("negative weights of arcs", "edge early_curves:0->arcs:1 x0.5"):
        edits = [parse_edit(text)]
        alone = RandomEdits(curves, edits)
        with edited(curves, outer):
            within = RandomEdits(curves, edits)
            plan = within.plan(3)
        assert torch.equal(plan.weights[0].touched, alone.plan(3).weights[0].touched)
        assert within.distinct == alone.distinct
        with planned(curves, plan):
            expected = weight.clone()
        with edited_at_random(curves, edits, seed=3):
            assert torch.equal(weight, expected)
