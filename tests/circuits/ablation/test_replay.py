from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import circuits.artificial.model  # noqa: F401 - registers the model
import featviz
from circuits import Replay, TuningConfig, measure_tuning
from circuits.ablation.replay import middle_maps
from circuits.tuning.measuring import grid_for, read_map
from featviz.errors import CircuitError
from featviz.models import Model
from nets import seeded


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.join, self.last = nn.Identity(), nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x).relu_()
        return self.last(self.join(first + self.second(first))).relu()


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.conv(self.conv(x).relu()).relu())


def model(network: nn.Module) -> Model:
    return featviz.load(seeded(network), size=16)


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("build", "source", "target"),
    [(Residual, "first", "last"), (Residual, "join", "last"), (Twice, "conv#1", "last")],
)
def test_a_replay_of_what_was_is_what_was(
    build: Callable[[], nn.Module], source: str, target: str
) -> None:
    network = model(build())
    found = network.record(images(), [source, target])
    before = found[source].clone()
    replayed = Replay(network, source, target)(found[source])
    assert torch.equal(replayed, found[target])
    # An operation in place must not reach what was handed over.
    assert torch.equal(found[source], before)


def test_a_changed_activation_goes_on_as_in_the_network_itself() -> None:
    network = model(Residual())
    before = network.record(images(), ["first"])["first"]
    changed = before.clone()
    changed[:, 1] = 0
    found = Replay(network, "first", "last")(changed)
    own = network.module
    # A site is the output of its module: before the ReLU that the network applies itself.
    expected = own.last(changed.relu() + own.second(changed.relu()))
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, Replay(network, "first", "last")(before), atol=1e-3)


def test_nothing_stays_behind_even_after_an_error() -> None:
    network = model(Residual())
    replay = Replay(network, "first", "last")
    plain = network.record(images(), ["last"])["last"]
    with pytest.raises(CircuitError, match=r"the source has 3 channels, got .* \(1, 5, 4, 4\)"):
        replay(torch.zeros(1, 5, 4, 4))
    with pytest.raises(RuntimeError):
        replay(torch.zeros(1, 3, 1, 1))  # smaller than the last kernel
    assert not any(module._forward_hooks for module in network.module.modules())
    assert torch.equal(network.record(images(), ["last"])["last"], plain)


def test_what_cannot_be_replayed() -> None:
    network = model(Residual())
    with pytest.raises(CircuitError, match="'last' also reads what goes round 'second', such as a"):
        Replay(network, "second", "last")
    with pytest.raises(CircuitError, match=r"'first/0:2' is not the whole output of one module"):
        Replay(network, "first/0:2", "last")
    with pytest.raises(CircuitError, match="comes after"):
        Replay(network, "last", "first")


def test_the_middle_of_the_maps_is_enough_for_tuning() -> None:
    network = featviz.load("artificial_curves")
    config = TuningConfig(angles=8)
    grid = grid_for(network, "early_curves", stimulus="curve", config=config)
    maps = middle_maps(network, "lines", grid, cells=13)
    assert maps.shape == (8, 4, 18, 13, 13)
    # A pool of stride 2 and pad 1 lies between: the middles of 13 and of 7 cells meet.
    found = Replay(network, "pool", "early_curves")(
        middle_maps(network, "pool", grid, cells=7).flatten(0, 1)
    )
    response = read_map(found, "center").view(8, 4, -1).mean(1)
    for curve in measure_tuning(network, "early_curves", config=config):
        assert torch.allclose(response[:, curve.channel], curve.response, atol=1e-5)


def test_what_has_no_such_middle() -> None:
    network = featviz.load("artificial_curves")
    grid = grid_for(network, "early_curves", stimulus="curve", config=TuningConfig(angles=4))
    for cells in (8, 999):
        with pytest.raises(CircuitError, match=f"cannot cut {cells}x{cells} cells around the mid"):
            middle_maps(network, "lines", grid, cells=cells)
