import pytest
import torch
from torch import Tensor, nn

from circuits.attribution.contributions import (
    contributions,
    gradient_times_activation,
    integrated_gradients,
)
from circuits.attribution.relevance import conditional_relevance
from circuits.tracing.unit_reading import read_unit
from featviz.errors import CircuitError, UnitError
from featviz.models import Model, load
from nets import seeded


class Chain(nn.Module):
    """Biases everywhere, a max pool, two branches and a layer that reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.a = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(7, 4, 3, padding=1, stride=2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.one(x))
        return self.two(torch.cat([self.a(x), self.b(x)], 1))


@pytest.fixture(scope="module")
def model() -> Model:
    return load(seeded(Chain(), 3).double(), size=16)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("where", ["peak", "center", (0, 0), (3, 1)])
@pytest.mark.parametrize(("source", "target"), [("a", "two"), ("b", "two"), ("pool", "a")])
def test_contributions_and_the_rest_are_the_pre_activation(
    model: Model, images: Tensor, source: str, target: str, where: object
) -> None:
    """The rest comes from a pass of its own, so the sum is no identity; edges count too."""
    found = contributions(model, source, target, 1, images, where=where)
    clean = model.record(images, [f"{target}.pre"])[f"{target}.pre"]
    assert torch.equal(found.value, read_unit(clean, 1, where))
    assert found.gap.abs().max() < 1e-10
    assert found.maps.abs().sum() > 0.1


def test_contributions_of_both_branches_and_the_bias(model: Model, images: Tensor) -> None:
    a = contributions(model, "a", "two", 2, images, where=(1, 1))
    b = contributions(model, "b", "two", 2, images, where=(1, 1))
    bias = model.module.get_parameter("two.0.bias")[2]
    total = a.by_unit.sum(1) + b.by_unit.sum(1) + bias.detach()
    assert torch.allclose(total, a.value, atol=1e-12)
    # By hand: position (1, 1) with stride 2 and padding 1 reads rows and columns 1 to 3.
    maps = model.record(images, ["a"])["a"][:, :, 1:4, 1:4]
    weight = model.module.get_parameter("two.0.weight")[2, :5]
    assert torch.allclose(a.maps, maps * weight.detach(), atol=1e-12)


def test_integrated_gradients_are_complete(model: Model, images: Tensor) -> None:
    found = integrated_gradients(model, "one", "two", 0, images, where="sum", steps=256)
    change = (found.value - found.rest).abs()
    assert change.max() > 0.1
    assert found.gap.abs().max() < 0.01 * change.max()
    rough = integrated_gradients(model, "one", "two", 0, images, where="sum", steps=2)
    assert rough.gap.abs().max() > found.gap.abs().max()
    # From the activation itself, nothing is left to explain.
    here = model.record(images, ["one"])["one"]
    assert not integrated_gradients(model, "one", "two", 0, images, baseline=here).maps.any()


def test_gradient_times_activation_is_autograd(model: Model, images: Tensor) -> None:
    found = gradient_times_activation(model, "one", "two", 0, images, where="center")
    network = model.module
    x = network.one(model.network_input(images)).detach().requires_grad_()
    pooled = network.pool(x)
    out = network.two(torch.cat([network.a(pooled), network.b(pooled)], 1))
    (gradient,) = torch.autograd.grad(out[:, 0, 2, 2].sum(), x)
    assert torch.allclose(found.maps, gradient * x.detach(), atol=1e-12)
    unit, mean = found.top(1)[0]
    assert float(found.by_unit.mean(0)[unit]) == mean


def test_relevance_is_conserved_and_conditions_cut_it(model: Model, images: Tensor) -> None:
    sites = ["one", "a", "two"]
    clean = model.record(images, ["two"])["two"]
    unit = int(clean.amax((2, 3)).min(0).values.argmax())
    found = conditional_relevance(model, sites, unit, images)
    assert torch.equal(found.value, clean[:, unit].flatten(1).amax(1))
    assert torch.allclose(found.by_unit("a").sum(1) + found.rest["a"], found.value)
    assert torch.allclose(
        found.by_unit("one").sum(1) + found.rest["one"], found.by_unit("a").sum(1)
    )
    # The first step is the contributions, times value over value.
    given = contributions(model, "a", "two", unit, images)
    assert torch.allclose(found.by_unit("a"), given.by_unit)
    cut = conditional_relevance(model, sites, unit, images, conditions={"a": [0, 3]})
    kept = found.by_unit("a")[:, [0, 3]].sum(1)
    assert torch.allclose(cut.by_unit("one").sum(1) + cut.rest["one"], kept)
    assert torch.allclose(cut.excluded["a"] + kept, found.by_unit("a").sum(1))
    # All conditions together are the whole.
    parts = [
        conditional_relevance(model, sites, unit, images, conditions={"a": [k]}).maps["one"]
        for k in range(5)
    ]
    assert torch.allclose(sum(parts), found.maps["one"])
    assert torch.allclose(found.shares("a").abs().sum(1), torch.ones(3).double())


def test_relevance_over_biases_in_the_middle_is_refused(model: Model, images: Tensor) -> None:
    unit = int(model.record(images, ["two"])["two"].amax((2, 3)).min(0).values.argmax())
    with pytest.raises(CircuitError, match="not conserved from 'two' back to 'one'"):
        conditional_relevance(model, ["one", "two"], unit, images)


def test_wrong_questions(model: Model, images: Tensor) -> None:
    with pytest.raises(CircuitError, match="are not adjacent"):
        contributions(model, "one", "two", 0, images)
    with pytest.raises(CircuitError, match="contributions are those to one position"):
        contributions(model, "a", "two", 0, images, where="sum")
    with pytest.raises(CircuitError, match="position 9,0 is outside of the map of 4x4"):
        contributions(model, "a", "two", 0, images, where=(9, 0))
    with pytest.raises(CircuitError, match="steps must be 1 or more"):
        integrated_gradients(model, "a", "two", 0, images, steps=0)
    with pytest.raises(UnitError, match="channel 4 is out of range"):
        integrated_gradients(model, "a", "two", 4, images)
    with pytest.raises(CircuitError, match="comes after"):
        gradient_times_activation(model, "two", "a", 0, images)
    with pytest.raises(CircuitError, match="cannot be replaced"):
        gradient_times_activation(model, "a.pre", "two", 0, images)
    with pytest.raises(CircuitError, match="name two at least"):
        conditional_relevance(model, ["two"], 0, images)
    with pytest.raises(CircuitError, match="starts at one position"):
        conditional_relevance(model, ["a", "two"], 0, images, where="sum")
    with pytest.raises(CircuitError, match="condition on 'two' is at no site between"):
        conditional_relevance(model, ["a", "two"], 0, images, conditions={"two": [0]})
    with pytest.raises(UnitError, match="channel 7 is out of range"):
        conditional_relevance(model, ["one", "a", "two"], 0, images, conditions={"a": [7]})


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (torch.tensor(float("nan")), "the baseline of 'a' holds NaN or infinity"),
        (
            torch.zeros(4),
            r"must be a tensor that broadcasts to .*\(3, 5, 8, 8\) of 'a', got \(4,\)",
        ),
        (torch.zeros(2, 5, 8, 8), r"got \(2, 5, 8, 8\)"),
        (torch.zeros(1, 3, 5, 8, 8), r"got \(1, 3, 5, 8, 8\)"),
    ],
)
def test_baselines_that_are_none(model: Model, images: Tensor, baseline: Tensor, said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        integrated_gradients(model, "a", "two", 0, images, baseline=baseline)


def test_baselines_of_each_image_go_with_their_batch(
    model: Model, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = torch.rand(3, 5, 8, 8, generator=torch.Generator().manual_seed(4)).double()
    whole = integrated_gradients(model, "a", "two", 0, images, baseline=each, steps=4)
    monkeypatch.setattr("circuits.attribution.contributions.BATCH", 2)
    split = integrated_gradients(model, "a", "two", 0, images, baseline=each, steps=4)
    torch.testing.assert_close(split.maps, whole.maps)
    torch.testing.assert_close(split.rest, whole.rest)
    assert (whole.maps[0] - whole.maps[2]).abs().max() > 1e-3


def test_half_precision_is_added_up_in_float32(images: Tensor) -> None:
    exact = load(seeded(Chain(), 3), size=16)
    half = load(seeded(Chain(), 3).bfloat16(), size=16)
    for measure in (contributions, gradient_times_activation, integrated_gradients):
        found, expected = (measure(m, "a", "two", 1, images.float()) for m in (half, exact))
        assert found.maps.dtype == found.rest.dtype == found.value.dtype == torch.float32
        near = 0.05 * float(expected.value.abs().max())
        assert (found.by_unit.sum(1) - expected.by_unit.sum(1)).abs().max() < near
