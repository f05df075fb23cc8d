import pytest
from torch import Tensor, nn

import featviz
from circuits.ablation.edits import parse_edit
from circuits.ablation.reach import check_reach
from circuits.artificial.model import ARTIFICIAL_CURVES
from featviz.errors import CircuitError
from featviz.models import Model, load
from nets import seeded


class Branches(nn.Module):
    """Two branches with norms, summed."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.norm, self.relu, self.sum = nn.BatchNorm2d(4), nn.ReLU(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.relu(self.norm(self.a(x))) + self.b(x))


@pytest.fixture(scope="module")
def model() -> Model:
    return load(seeded(Branches()), size=8)


@pytest.mark.parametrize(
    ("text", "site", "units"),
    [
        ("units a:0", "sum", [3]),
        ("units norm:1", "norm", [0, 1]),
        ("negative weights of norm", "a", [0]),  # those of a
        ("negative weights of relu:2", "relu.pre", [2]),
        ("units a:0", "relu.pre", [0]),
    ],
)
def test_edits_that_may_be_felt(model: Model, text: str, site: str, units: list[int]) -> None:
    check_reach(model, [parse_edit(text)], site, units)


@pytest.mark.parametrize(
    ("text", "site", "said"),
    [
        ("units sum:0", "a", "'units sum:0' cannot change a:1 in .*: 'sum' comes after 'a'"),
        ("units relu:1", "relu.pre", "'relu' comes after 'relu.pre'"),
        ("negative weights of a", "b", "'a' does not lead to 'b'"),
        ("units a:0", "a", "units of one site do not read each other"),
    ],
)
def test_edits_that_cannot(model: Model, text: str, site: str, said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        check_reach(model, [parse_edit(text)], site, [1])


def test_the_hand_built_network() -> None:
    curves = featviz.load(ARTIFICIAL_CURVES.name)
    with pytest.raises(CircuitError, match="'arcs' comes after 'lines'; read a unit that comes"):
        check_reach(curves, [parse_edit("units arcs:1")], "lines", [1])
