import pytest
import torch
from torch import nn

import circuits.artificial.model  # noqa: F401 - registers the model
import featviz
from circuits import shuffled
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


def test_the_global_generator_is_left_alone(tiny_cnn: nn.Module) -> None:
    drawn = torch.get_rng_state()
    shuffled(featviz.load(tiny_cnn, size=32))
    assert torch.equal(torch.get_rng_state(), drawn)


def test_what_cannot_be_shuffled(tiny_cnn: nn.Module) -> None:
    model = featviz.load(tiny_cnn, size=32)
    with pytest.raises(CircuitError, match="unknown way to shuffle 'units'; choose one of weights"):
        shuffled(model, by="units")
    with pytest.raises(CircuitError, match="'fc' in 'SmallNet' is no convolution; the first is 's"):
        shuffled(model, layers=["fc"])
    with pytest.raises(CircuitError, match="'Flatten' has no convolution to shuffle"):
        shuffled(featviz.load(nn.Flatten(), size=8))
