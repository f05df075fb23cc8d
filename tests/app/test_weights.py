import pytest
import torch
from torch import Tensor, nn

from app import networks
from app.library import LIBRARY
from app.weights import inputs_of, neighbour_sites, outputs_of
from circuits.expansion.weight_map import WeightMap
from featviz.models.load import load


def weights() -> WeightMap:
    kernel = torch.zeros(2, 3, 1, 2)
    kernel[0, 0] = torch.tensor([[3.0, -4.0]])
    kernel[0, 2] = torch.tensor([[0.0, 2.0]])
    kernel[1, 0] = torch.tensor([[1.0, 0.0]])
    return WeightMap(
        kernel=kernel, source="a", target="b", sources=(0, 1, 2), targets=(5, 7), stride=(1, 1),
        offset=(0, 0), gates="identity", method="compose", notes=("a note",),
    )  # fmt: skip


def test_inputs_come_strongest_first_without_those_of_no_weight() -> None:
    found = inputs_of(weights(), 5, count=3)
    assert [(c.site, c.channel, c.strength, c.total) for c in found.items] == [
        ("a", 0, 5.0, -1.0),
        ("a", 2, 2.0, 2.0),
    ]
    assert found.notes == ("a note",)


def test_kernels_are_divided_by_the_largest_weight_of_the_list() -> None:
    found = inputs_of(weights(), 5, count=3)
    assert found.largest == 4.0
    assert found.items[0].kernel == ((0.75, -1.0),)
    assert found.items[1].kernel == ((0.0, 0.5),)


def test_outputs_are_the_units_that_read() -> None:
    found = outputs_of(weights(), 0, count=1)
    assert [(c.site, c.channel) for c in found.items] == [("b", 5)]


def test_a_unit_without_weights_has_no_connections() -> None:
    assert outputs_of(weights(), 1, count=5).items == ()


class Branched(nn.Module):
    """Branches, and a layer that reads all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3, padding=1)
        self.others = nn.ModuleList(nn.Conv2d(3, 1, 3, padding=1) for _ in range(8))
        self.last = nn.Conv2d(10, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.first(x), *(other(x) for other in self.others)]
        return self.last(torch.cat(branches, 1))


def test_a_reader_far_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(Branched().eval(), size=32)
    monkeypatch.setattr(LIBRARY, "models", (model.name,))
    found = networks._Loaded(model, model.site_table())
    monkeypatch.setattr(networks, "_TOLD", {model.name: found})
    assert neighbour_sites(model.name, "first") == ((), ("last", "logits"))
