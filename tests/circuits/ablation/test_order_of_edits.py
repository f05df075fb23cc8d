"""What several edits do together must not depend on their order, nor on blocks."""

import copy
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations, permutations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from circuits.ablation.editing import edited
from circuits.ablation.edits import DropWeights, Edit, ScaleEdge, SelectInputs, SetUnits, parse_edit
from circuits.ablation.keeping import keep_only
from circuits.ablation.layers import layers_into
from featviz.errors import CircuitError
from featviz.models import Model, load
from nets import seeded

LAYERS = ("a", "b", "c", "d")


class Chain(nn.Module):
    """Four convolutions with ReLUs between."""

    def __init__(self) -> None:
        super().__init__()
        for name in LAYERS:
            self.add_module(name, nn.Conv2d(3, 3, 3, padding=1))
        for name in LAYERS[:3]:
            self.add_module(f"r{name}", nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        for name in LAYERS[:3]:
            x = self.get_submodule(f"r{name}")(self.get_submodule(name)(x))
        return self.get_submodule("d")(x)


@pytest.fixture
def model() -> Model:
    return load(seeded(Chain()), size=8, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def channels(units: str) -> list[int]:
    return [int(k) for k in units.rpartition(":")[2].split(",")]


def depth(site: str) -> int:
    return LAYERS.index(site[-1])


@dataclass
class Slow:
    """Several edits of the chain, read straight off their definition, one map at a time."""

    weights: dict[str, Tensor]
    biases: dict[str, Tensor]
    constants: dict[tuple[int, int], Tensor]
    edges: list[ScaleEdge]

    def maps(self, x: Tensor, layer: int, scaled: frozenset[int] = frozenset()) -> Tensor:
        """What a layer gives where the sources of some edges are scaled."""
        name = LAYERS[layer]
        before = x if layer == 0 else self.maps(x, layer - 1, scaled)
        out = functional.conv2d(before, self.weights[name], self.biases[name], padding=1)
        out = out if layer == 3 else out.relu()
        for (where, unit), value in self.constants.items():
            if where == layer:
                out[:, unit] = value
        for number in scaled:
            edge = self.edges[number]
            if depth(edge.sources.site) == layer:
                for unit in channels(edge.sources.text):
                    out[:, unit] *= edge.factor
        for unit in range(3):
            into = frozenset(
                k
                for k, edge in enumerate(self.edges)
                if depth(edge.targets.site) == layer and unit in channels(edge.targets.text)
            )
            if not into <= scaled:
                out[:, unit] = self.maps(x, layer, scaled | into)[:, unit]
        return out


def slow(model: Model, edits: list[Edit], x: Tensor) -> Tensor:
    layers = {name: model.module.get_submodule(name) for name in LAYERS}
    clean = {name: layer.get_parameter("weight").detach() for name, layer in layers.items()}
    weights = {name: weight.clone() for name, weight in clean.items()}
    biases = {name: layer.get_parameter("bias").detach() for name, layer in layers.items()}
    found = Slow(weights, biases, {}, [])
    for edit in edits:
        if isinstance(edit, SetUnits):
            layer = depth(edit.units.site)
            means = Slow(clean, biases, {}, []).maps(x, layer).mean((0, 2, 3))
            for unit in channels(edit.units.text):
                value = means[unit] if edit.to == "mean" else torch.tensor(0.0)
                found.constants[layer, unit] = value
            continue
        name = edit.targets.site[-1]
        if isinstance(edit, DropWeights):
            weights[name] *= clean[name] >= 0
        elif isinstance(edit, SelectInputs):
            for unit in channels(edit.targets.text):
                weights[name][unit, channels(edit.inputs.text)] *= 0
        elif depth(name) == depth(edit.sources.site) + 1:
            for unit in channels(edit.targets.text):
                weights[name][unit, channels(edit.sources.text)] *= edit.factor
        else:
            found.edges.append(edit)
    return found.maps(x, 3)


EDITS = (
    "units rb:1",
    "mean ra:0",
    "negative weights of c",
    "inputs ra:1 of b:2",
    "edge ra:1->b:2 x-0.5",
    "edge ra:0->rc:0",
    "edge ra:1->rc:0 x0.5",
    "edge rb:1->d:0 x2",
)


def run(model: Model, blocks: list[list[Edit]], images: Tensor) -> Tensor:
    with ExitStack() as stack:
        for edits in blocks:
            stack.enter_context(edited(model, edits, images=images))
        return model.record(images, ["d"])["d"]


@pytest.mark.parametrize("text", EDITS)
def test_each_alone_does_something(model: Model, images: Tensor, text: str) -> None:
    edit = parse_edit(text)
    found = run(model, [[edit]], images)
    assert torch.allclose(found, slow(model, [edit], images), atol=1e-5)
    assert not torch.allclose(found, model.record(images, ["d"])["d"], atol=1e-3)


@pytest.mark.parametrize("pair", list(combinations(EDITS, 2)), ids=" + ".join)
def test_every_pair_in_every_order_and_nested(
    model: Model, images: Tensor, pair: tuple[str, str]
) -> None:
    edits = [parse_edit(text) for text in pair]
    expected = slow(model, edits, images)
    before = model.record(images, ["d"])["d"]
    for order in permutations(edits):
        assert torch.allclose(run(model, [list(order)], images), expected, atol=1e-5)
    nested = run(model, [[edit] for edit in reversed(edits)], images)
    assert torch.allclose(nested, expected, atol=1e-5)
    assert torch.equal(model.record(images, ["d"])["d"], before)


def test_all_at_once(model: Model, images: Tensor) -> None:
    edits = [parse_edit(text) for text in EDITS]
    expected = slow(model, edits, images)
    for order in (edits, edits[::-1]):
        assert torch.allclose(run(model, [order], images), expected, atol=1e-5)
        assert torch.allclose(run(model, [order[:3], order[3:]], images), expected, atol=1e-5)


def test_a_layer_is_found_behind_hooks(model: Model) -> None:
    with edited(model, [parse_edit("units b:1")]):
        (layer,) = layers_into(model, "b")
    assert layer.name == "b.weight"


def test_units_kept_around_and_within_an_edge(model: Model, images: Tensor) -> None:
    edge = [parse_edit("edge ra:0->d:0")]
    with edited(model, [parse_edit("units rb:0,2"), *edge]):
        expected = model.record(images, ["d"])["d"]
    kept = {"rb": [1]}
    with edited(model, edge):
        with keep_only(model, kept):
            within = model.record(images, ["d"])["d"]
            with edited(model, [parse_edit("units rc:1")]):
                model.record(images, ["d"])
        after = model.record(images, ["d"])["d"]
    with keep_only(model, kept), edited(model, edge):
        around = model.record(images, ["d"])["d"]
    with edited(model, edge):
        alone = model.record(images, ["d"])["d"]
    assert torch.equal(within, expected)
    assert torch.equal(around, expected)
    assert torch.equal(after, alone)
    assert not torch.equal(alone, expected)


def test_a_copy_of_an_edited_network_is_edited_too(model: Model, images: Tensor) -> None:
    edits = [parse_edit("edge ra:0->d:0"), parse_edit("edge ra:1->rc:1"), parse_edit("units rb:0")]
    with edited(model, edits):
        # With a graph behind it, as what is kept of a pass in a render has.
        expected = model.record(images.clone().requires_grad_(), ["d"])["d"].detach()
        twin = Model(copy.deepcopy(model.module), model.spec, weights_origin="copy")
        model.record(images[:1], ["d"])
        assert torch.equal(twin.record(images, ["d"])["d"], expected)


def test_two_constants_of_one_unit(model: Model, images: Tensor) -> None:
    zero, mean = parse_edit("units ra:0-1"), parse_edit("mean ra/1:3:0")
    said = r"'units ra:0-1' and 'mean ra/1:3:0' set ra/1:3:0 to different constants"
    with pytest.raises(CircuitError, match=said), edited(model, [zero, mean], images=images):
        pass
    before = model.record(images, ["d"])["d"]
    with edited(model, [zero]):
        inside = model.record(images, ["d"])["d"]
        with pytest.raises(CircuitError, match="different constants"):
            run(model, [[mean]], images)
        assert torch.equal(model.record(images, ["d"])["d"], inside)
    assert torch.equal(model.record(images, ["d"])["d"], before)


def test_too_many_edges_over_several_layers() -> None:
    chain = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(9)])
    model = load(chain, size=8)
    edits = [parse_edit(f"edge 0:{k % 3}->{k}:0") for k in range(2, 9)]
    with edited(model, edits[:3]):
        model.record(torch.rand(1, 3, 8, 8), ["8"])
    # The edges that start at unit 0 come together in any pass; 2^7 - 1 passes otherwise.
    with pytest.raises(CircuitError, match="need 127 passes at once, more than 32; scale fewer"):
        run(model, [edits], torch.rand(1, 3, 8, 8))
