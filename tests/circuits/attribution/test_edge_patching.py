import pytest
import torch
from torch import Tensor, nn

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.attribution.edge_patching import edge_scores
from circuits.controls import with_random_weights
from circuits.stimuli import strokes
from featviz.errors import CircuitError, UnitError
from featviz.models import Model, load
from featviz.units import Unit
from nets import seeded


class Three(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.linear = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.linear(self.two(self.one(x))))


SEED = 20


def balanced(network: nn.Module, seed: int) -> nn.Module:
    """Weights without biases below the ReLUs, so that all of them open somewhere."""
    network = seeded(network, seed).double()
    with torch.no_grad():
        for name in ("one.0.bias", "two.0.bias"):
            network.get_parameter(name).zero_()
    return network


@pytest.fixture(scope="module")
def model() -> Model:
    return load(balanced(Three(), SEED), size=8)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()


def test_the_estimate_is_exact_where_the_metric_is_linear_in_the_target(
    model: Model, images: Tensor
) -> None:
    """Through `linear` to `last`, no activation function lies: both scores are one number."""
    for corrupted in (None, images**3):
        found = edge_scores(
            model, "two", "linear", Unit("last", 1), images, where="sum", corrupted=corrupted
        )
        assert found.patched.shape == (4, 4)
        assert found.patched.abs().max() > 0.01
        assert torch.allclose(found.patched, found.linear, atol=1e-10)
        assert found.correlation == pytest.approx(1)
        assert found.rank_correlation == pytest.approx(1)
        assert found.chance_correlation < 0.6


def test_patching_is_what_it_says(model: Model, images: Tensor) -> None:
    """By hand: only unit 2 of `two` sees unit 1 of `one` at zero."""
    found = edge_scores(
        model, "one", "two", Unit("last", 0), images, sources=[1], targets=[2], where="center"
    )
    network = model.module
    one = network.one(model.network_input(images)).detach()
    without = one.clone()
    without[:, 1] = 0
    two = network.two(one)
    changed = two.clone()
    changed[:, 2] = network.two(without)[:, 2]
    before, after = (network.last(network.linear(x))[:, 0, 4, 4] for x in (two, changed))
    by_hand = float((after - before).mean().detach())
    assert float(found.patched) == pytest.approx(by_hand, abs=1e-12)
    # The estimate: sum of the change of the pre-activation times the gradient, both by hand.
    weight, pre = network.two[0].weight, network.two[0](one)
    shift = nn.functional.conv2d(-one[:, 1:2], weight[2:3, 1:2], padding=1)
    leaf = pre.detach().requires_grad_()
    out = network.last(network.linear(leaf.relu()))[:, 0, 4, 4].sum()
    (gradient,) = torch.autograd.grad(out, leaf)
    linear = float((shift[:, 0] * gradient[:, 2]).flatten(1).sum(1).mean().detach())
    assert float(found.linear) == pytest.approx(linear, abs=1e-12)
    assert float(found.linear) != pytest.approx(float(found.patched), rel=1e-3)


def test_the_circuit_of_a_curve_detector_is_found() -> None:
    """Curves of one orientation excite, opposite ones inhibit; random weights show neither."""
    curves = featviz.load(ARTIFICIAL_CURVES.name)
    images = strokes.arcs(torch.arange(0, 360, 15.0), radius_px=28.0, size=(48, 48))
    apart = torch.tensor([min(abs(u - 6), 24 - abs(u - 6)) for u in range(24)])
    found = edge_scores(curves, "early_curves", "arcs", Unit("arcs.pre", 6), images, where="center")
    assert found.correlation == pytest.approx(1)
    scores = found.patched[:, 0]
    assert (scores[apart <= 2] < 0).all()
    assert (scores[apart >= 10] > 0).all()
    strongest = {u for u, _, _ in found.ranked()[:8]}
    assert all(apart[u] <= 2 or apart[u] >= 10 for u in strongest)
    twin = with_random_weights(curves)
    other = edge_scores(
        twin, "early_curves", "arcs", Unit("arcs.pre", 6), images, where="center"
    ).patched[:, 0]
    signs = torch.sign(other)
    assert not ((signs[apart <= 2] < 0).all() and (signs[apart >= 10] > 0).all())


def test_wrong_questions(model: Model, images: Tensor) -> None:
    with pytest.raises(CircuitError, match="comes after"):
        edge_scores(model, "two", "one", Unit("last", 0), images)
    with pytest.raises(CircuitError, match="comes after"):
        edge_scores(model, "two", "linear", Unit("one", 0), images)
    with pytest.raises(UnitError, match="channel 9 is out of range"):
        edge_scores(model, "one", "two", Unit("last", 0), images, sources=[9])
    with pytest.raises(UnitError, match="channel 5 is out of range"):
        edge_scores(model, "one", "two", Unit("last", 5), images)
    with pytest.raises(CircuitError, match="corrupted images must have the shape"):
        edge_scores(model, "one", "two", Unit("last", 0), images, corrupted=images[:2])
    for empty in ({"sources": []}, {"targets": []}):
        with pytest.raises(CircuitError, match="no edges to score; name one source"):
            edge_scores(model, "one", "two", Unit("last", 0), images, **empty)
    with pytest.raises(CircuitError, match=r"corrupted images must be a tensor .*NaN"):
        edge_scores(model, "one", "two", Unit("last", 0), images, corrupted=images / 0)
    with pytest.raises(CircuitError, match="are more than 20000; name fewer units"):
        edge_scores(
            model, "one", "two", Unit("last", 0), images, sources=[0] * 5001, targets=[0] * 4
        )
