"""Targets that are vectors, as classes are: each measure against autograd or by hand."""

import pytest
import torch
from torch import Tensor, nn

from circuits.attribution.contributions import (
    contributions,
    gradient_times_activation,
    integrated_gradients,
)
from circuits.attribution.edge_patching import edge_scores
from circuits.attribution.kernel_scores import activation_scores, pruning_curve
from circuits.attribution.relevance import conditional_relevance
from circuits.expansion.expand import expand
from featviz.models import Model, load
from featviz.units import Unit
from nets import seeded

WHERES = ["peak", "center", "sum", (0, 0)]


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(6, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.p = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.p(self.b(self.a(x))).flatten(1))


@pytest.fixture(scope="module")
def model() -> Model:
    return load(seeded(Classifier(), 6).double(), size=12)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1)).double()


def expected(model: Model, images: Tensor, source: str, channel: int) -> tuple[Tensor, Tensor]:
    """Return a class and its gradient times the source's activation, by autograd alone."""
    network: Classifier = model.module  # type: ignore[assignment]
    x = model.record(images, [source])[source].detach().requires_grad_()
    maps = x if source == "b" else network.b(x.clone())
    value = network.fc(maps.mean((2, 3)))[:, channel]
    (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), (gradient * x).detach()


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("source", ["a", "b"])
def test_gradients_of_a_class(model: Model, images: Tensor, source: str, where: object) -> None:
    value, product = expected(model, images, source, 2)
    found = gradient_times_activation(model, source, "fc", 2, images, where=where)
    torch.testing.assert_close(found.maps, product)
    torch.testing.assert_close(found.value, value)
    along = integrated_gradients(model, source, "fc", 2, images, where=where, steps=64)
    assert along.gap.abs().max() < 1e-3
    assert along.maps.abs().max() > 1e-4


@pytest.mark.parametrize("where", ["peak", "center", (0, 0)])
@pytest.mark.parametrize("source", ["b", "p"])
def test_contributions_to_a_class(model: Model, images: Tensor, source: str, where: object) -> None:
    found = contributions(model, source, "fc", 2, images, where=where)
    value, product = expected(model, images, "b", 2)
    torch.testing.assert_close(found.value, value)
    torch.testing.assert_close(found.by_unit, product.sum((2, 3)))
    assert found.gap.abs().max() < 1e-12


def test_expanded_weights_of_a_class(model: Model, images: Tensor) -> None:
    for source in ("a", "b"):
        kernel = expand(model, source, "fc", units=[2], gates="attribution", images=images).kernel
        torch.testing.assert_close(kernel[0], expected(model, images, source, 2)[1].mean(0))


@pytest.mark.parametrize("where", WHERES)
def test_edges_to_a_class(model: Model, images: Tensor, where: object) -> None:
    found = edge_scores(model, "a", "b", Unit("fc", 0), images, sources=[0, 1], where=where)
    network: Classifier = model.module  # type: ignore[assignment]
    clean = model.record(images, ["a", "b"])
    for u in (0, 1):
        less = clean["a"].clone()
        less[:, u] = 0
        seen = network.b(less)
        for v in range(4):
            patched = clean["b"].clone()
            patched[:, v] = seen[:, v]
            change = network.fc((patched - clean["b"]).mean((2, 3)))[:, 0] - network.fc.bias[0]
            assert float(found.patched[u, v]) == pytest.approx(
                float(change.detach().mean()), abs=1e-12
            )
    direct = edge_scores(model, "b", "fc", Unit("fc", 0), images, where=where)
    torch.testing.assert_close(direct.patched, direct.linear)
    torch.testing.assert_close(
        -direct.patched[:, 0], expected(model, images, "b", 0)[1].sum((2, 3)).mean(0)
    )


@pytest.mark.parametrize("where", ["peak", "center", (0, 0)])
def test_relevance_of_a_class(model: Model, images: Tensor, where: object) -> None:
    found = conditional_relevance(model, ["b", "fc"], 2, images, where=where)
    value, product = expected(model, images, "b", 2)
    torch.testing.assert_close(found.value, value)
    torch.testing.assert_close(found.maps["b"], product)
    assert found.maps["fc"].count_nonzero() == 3


@pytest.mark.parametrize("where", WHERES)
def test_scores_and_pruning_of_a_class(model: Model, images: Tensor, where: object) -> None:
    scores = activation_scores(model, "b", "fc", 2, images, where=where)
    _, product = expected(model, images, "b", 2)
    torch.testing.assert_close(scores, product.sum((2, 3)).abs().sum(0))
    curve = pruning_curve(model, "b", "fc", 2, images, scores, [1, 4], where=where, draws=1)
    kept = product.sum((2, 3))[:, int(scores.argmax())]
    value, _ = expected(model, images, "b", 2)
    together = torch.corrcoef(torch.stack([kept, value]))[0, 1]
    assert curve.correlation[0] == pytest.approx(float(together), abs=1e-9)
    assert curve.correlation[1] == pytest.approx(1)
