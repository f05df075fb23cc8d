import pytest
import torch
from torch import nn

import circuits.artificial.model  # noqa: F401 - registers the model
import featviz
from circuits import shuffled, with_random_weights
from featviz.errors import CircuitError
from featviz.models.weights import digest


def test_each_unit_keeps_its_weights_and_loses_their_order(tiny_cnn: nn.Module) -> None:
    model = featviz.load(tiny_cnn, size=32)
    before = digest(tiny_cnn)
    twin = shuffled(model, seed=3)
    assert digest(tiny_cnn) == before
    moved = 0
    for (name, own), (_, other) in zip(
        tiny_cnn.named_parameters(), twin.module.named_parameters(), strict=True
    ):
        if own.dim() == 4:
            assert torch.equal(own.flatten(1).sort(1).values, other.flatten(1).sort(1).values)
            moved += not torch.equal(own, other)
        else:
            assert torch.equal(own, other), name
    assert moved == sum(isinstance(m, nn.Conv2d) for m in tiny_cnn.modules())
    assert digest(shuffled(model, seed=3).module) == digest(twin.module)
    assert digest(shuffled(model, seed=4).module) != digest(twin.module)
    assert twin.weights_origin == "as handed over; weights shuffled with seed 3"


def test_inputs_change_places_alike_for_all_units_of_a_layer() -> None:
    model = featviz.load("artificial_curves")
    twin = shuffled(model, by="inputs", layers=["arcs.conv"])
    own, other = (m.module.arcs.conv.weight for m in (model, twin))
    columns = [next(j for j in range(42) if torch.equal(own[:, j], other[:, i])) for i in range(24)]
    assert not torch.equal(own, other)
    assert sorted(own.sum((0, 2, 3)).tolist()) == sorted(other.sum((0, 2, 3)).tolist())
    assert len(columns) == 24
    assert torch.equal(model.module.lines.conv.weight, twin.module.lines.conv.weight)


def test_weights_drawn_anew_keep_mean_and_spread_and_nothing_else(tiny_cnn: nn.Module) -> None:
    model = featviz.load(tiny_cnn, size=32)
    before = digest(tiny_cnn)
    twin = with_random_weights(model, seed=1)
    assert digest(tiny_cnn) == before
    generator = torch.Generator().manual_seed(1)
    layers = [m for m in tiny_cnn.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    others = [m for m in twin.module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for own, other in zip(layers, others, strict=True):
        noise = torch.randn(own.weight.shape, generator=generator)
        meant = noise * own.weight.std(correction=0) + own.weight.mean()
        assert torch.allclose(other.weight, meant)
        assert own.bias is None or torch.equal(own.bias, other.bias)
    assert digest(with_random_weights(model, seed=1).module) == digest(twin.module)
    assert digest(with_random_weights(model, seed=2).module) != digest(twin.module)
    assert twin.weights_origin == "as handed over; weights drawn at random with seed 1"


def test_the_global_generator_is_left_alone(tiny_cnn: nn.Module) -> None:
    drawn = torch.get_rng_state()
    shuffled(featviz.load(tiny_cnn, size=32))
    with_random_weights(featviz.load(tiny_cnn, size=32))
    assert torch.equal(torch.get_rng_state(), drawn)


def test_what_cannot_be_shuffled(tiny_cnn: nn.Module) -> None:
    model = featviz.load(tiny_cnn, size=32)
    with pytest.raises(CircuitError, match="unknown way to shuffle 'units'; choose one of weights"):
        shuffled(model, by="units")
    with pytest.raises(CircuitError, match="'fc' in 'SmallNet' is no convolution; the first is 's"):
        shuffled(model, layers=["fc"])
    with pytest.raises(CircuitError, match="'Flatten' has no convolution to shuffle"):
        shuffled(featviz.load(nn.Flatten(), size=8))
    with pytest.raises(CircuitError, match="'Flatten' has no convolution or linear layer"):
        with_random_weights(featviz.load(nn.Flatten(), size=8))


def test_computed_weights_are_refused() -> None:
    normed = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    model = featviz.load(nn.Sequential(normed), size=8)
    for change in (shuffled, with_random_weights):
        with pytest.raises(CircuitError, match="'0' in 'Sequential' computes its weights"):
            change(model)
