import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import featviz
from circuits.ablation.editing import edited
from circuits.ablation.edits import DropWeights, ScaleEdge, parse_edit
from circuits.ablation.layers import NotDirectError, layers_into
from circuits.ablation.weight_edits import weight_changes
from circuits.artificial.model import ARTIFICIAL_CURVES
from featviz.errors import CircuitError, SiteError, UnitError
from featviz.inference import InferenceCopy
from featviz.models import Model, load
from featviz.units import parse_units
from nets import seeded


class Branches(nn.Module):
    """Two branches over a pool, concatenated, read by a layer with a norm, then grouped, then
    summed, then a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.a, self.b = nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.c, self.norm = nn.Conv2d(5, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.relu = nn.ReLU(inplace=True)
        self.joined, self.sum = nn.Identity(), nn.Identity()
        self.fc = nn.Linear(4 * 16, 3)
        self.shrink = nn.AdaptiveAvgPool2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.stem(x)))
        x = self.joined(torch.cat([self.relu(self.a(x)), self.relu(self.b(x))], 1))
        x = self.relu(self.norm(self.c(x)))
        x = self.sum(x + self.grouped(x).relu())
        return self.fc(self.shrink(x).flatten(1))


@pytest.fixture
def model() -> Model:
    return load(seeded(Branches()), size=8)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


def state(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def is_as_before(model: Model, before: dict[str, Tensor]) -> bool:
    now = model.module.state_dict()
    hooks = [h for m in model.module.modules() for h in (m._forward_hooks, m._forward_pre_hooks)]
    same = all(torch.equal(now[name], value) for name, value in before.items())
    return same and not any(hooks)


def test_zeroed_units_are_zero_and_all_else_follows(model: Model, images: Tensor) -> None:
    clean = model.record(images, ["joined", "c"])
    with edited(model, [parse_edit("units joined:1,3-4")]):
        found = model.record(images, ["joined", "c"])
    by_hand = clean["joined"].clone()
    by_hand[:, [1, 3, 4]] = 0
    assert torch.equal(found["joined"], by_hand)
    conv = model.module.get_submodule("c")
    assert torch.allclose(found["c"], conv(by_hand), atol=1e-6)
    assert torch.equal(model.record(images, ["c"])["c"], clean["c"])


def test_mean_is_that_over_images_and_positions(model: Model, images: Tensor) -> None:
    clean = model.record(images, ["joined"])["joined"]
    with edited(model, [parse_edit("mean joined:2")], images=images):
        found = model.record(images, ["joined"])["joined"]
    assert found[:, 2].unique().numel() == 1
    assert float(found[0, 2, 0, 0]) == pytest.approx(float(clean[:, 2].mean()))
    assert torch.equal(found[:, :2], clean[:, :2])
    with (
        pytest.raises(CircuitError, match="'mean joined:2' needs images"),
        edited(model, [parse_edit("mean joined:2")]),
    ):
        pass


def test_a_slice_of_a_site_and_a_vector(model: Model, images: Tensor) -> None:
    with edited(model, [parse_edit("units joined/1:4:0"), parse_edit("units logits:2")]):
        found = model.record(images, ["joined", "logits"])
    clean = model.record(images, ["joined", "logits"])
    assert found["joined"][:, 1].abs().sum() == 0
    assert torch.equal(found["joined"][:, 2:], clean["joined"][:, 2:])
    assert found["logits"][:, 2].abs().sum() == 0
    assert found["logits"][:, 0].abs().sum() > 0


def test_units_of_a_site_of_several_parts(images: Tensor) -> None:
    from featviz.models.model import Model as Wrapped
    from featviz.models.spec import ModelSpec, Preprocess, SiteAlias

    network = seeded(Branches())
    spec = ModelSpec(
        name="branches",
        build=Branches,
        size=(8, 8),
        preprocess=Preprocess(),
        sites=(SiteAlias("both", ("a", "b")),),
    )
    model = Wrapped(network, spec, weights_origin="seeded")
    clean = model.record(images, ["both"])["both"]
    with edited(model, [parse_edit("units both:2-3")]):
        found = model.record(images, ["both"])["both"]
    assert found[:, 2:4].abs().sum() == 0
    assert torch.equal(found[:, [0, 1, 4]], clean[:, [0, 1, 4]])


def test_negative_weights_have_the_sign_that_counts(model: Model) -> None:
    norm = model.module.get_submodule("norm")
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -1.0, 0.5, -0.5]))
    weight = model.module.get_parameter("c.weight")
    before = weight.detach().clone()
    with edited(model, [parse_edit("negative weights of norm")]):
        effective = weight * norm.weight.view(-1, 1, 1, 1)
        assert (effective >= 0).all()
        positive = before * norm.weight.view(-1, 1, 1, 1) > 0
        assert torch.equal(weight[positive], before[positive])
    with edited(model, [parse_edit("positive weights of c:1")]):
        assert (weight[1] <= 0).all()
        assert torch.equal(weight[[0, 2, 3]], before[[0, 2, 3]])
    assert torch.equal(weight, before)


def test_kernels_between_units_are_found_behind_concatenation_pool_and_groups(
    model: Model,
) -> None:
    def touched(text: str) -> dict[str, list[tuple[int, int]]]:
        edit = parse_edit(text)
        assert isinstance(edit, ScaleEdge | DropWeights)
        changes = weight_changes(model, edit)
        return {
            c.name: sorted({(row[0], row[1]) for row in c.touched.nonzero().tolist()})
            for c in changes
        }

    assert touched("edge b:1->c:2") == {"c.weight": [(2, 4)]}
    assert touched("edge joined:0->c:0-1") == {"c.weight": [(0, 0), (1, 0)]}
    assert touched("edge stem:3->joined:1,4") == {"a.weight": [(1, 3)], "b.weight": [(1, 3)]}
    # In groups of two, unit 1 reads channels 0 and 1, unit 2 the others.
    assert touched("edge norm:2-3->grouped:1-2") == {"grouped.weight": [(2, 0), (2, 1)]}
    # A flattened map: all positions of a channel.
    assert touched("edge sum:1->fc:2") == {"fc.weight": [(2, 16 + k) for k in range(16)]}


def test_keeping_a_family_drops_all_other_inputs(model: Model, images: Tensor) -> None:
    clean = model.record(images, ["joined"])["joined"]
    with edited(model, [parse_edit("inputs a:0,2", of="c:1", keep=True)]):
        found = model.record(images, ["c"])["c"]
    conv = model.module.get_submodule("c")
    assert isinstance(conv, nn.Conv2d)
    alone = functional.conv2d(clean[:, [0, 2]], conv.weight[:, [0, 2]], conv.bias, padding=1)
    assert torch.allclose(found[:, 1], alone[:, 1], atol=1e-6)
    whole = conv(clean)
    assert torch.allclose(found[:, [0, 2, 3]], whole[:, [0, 2, 3]], atol=1e-6)
    with edited(model, [parse_edit("inputs a:0,2 of c")]):
        rest = model.record(images, ["c"])["c"]
    bias = conv.bias
    assert bias is not None
    assert torch.allclose(rest[:, 1] + alone[:, 1] - bias[1], whole[:, 1], atol=1e-5)


def test_an_edge_by_weights_is_that_by_a_second_pass(curves: Model) -> None:
    """Two ways of one edit: weights scaled, or the target taken from a pass with scaled units."""
    from circuits.ablation.second_passes import DistantEdge, scaled_edges

    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with edited(curves, [parse_edit("edge early_curves:4-9->arcs:6-7 x0.5")]):
        by_weights = curves.record(images, ["arcs"])["arcs"]
    edge = DistantEdge("early_curves", tuple(range(4, 10)), "arcs", (6, 7), 0.5)
    with scaled_edges(curves, [edge]):
        by_passes = curves.record(images, ["early_curves", "arcs"])
    clean = curves.record(images, ["early_curves", "arcs"])
    assert torch.allclose(by_weights, by_passes["arcs"], atol=1e-4)
    assert torch.equal(by_passes["early_curves"], clean["early_curves"])
    assert (by_weights[:, 6:8] - clean["arcs"][:, 6:8]).abs().amax() > 1
    assert torch.equal(by_weights[:, :6], clean["arcs"][:, :6])


def test_an_edge_over_several_layers_reaches_its_target_alone(model: Model, images: Tensor) -> None:
    clean = model.record(images, ["joined", "norm"])
    with edited(model, [parse_edit("units stem:2")]):
        without = model.record(images, ["norm"])["norm"]
    with edited(model, [parse_edit("edge stem:2->norm:1")]):
        found = model.record(images, ["joined", "norm"])
    assert torch.equal(found["joined"], clean["joined"])
    assert torch.equal(found["norm"][:, 1], without[:, 1])
    assert torch.equal(found["norm"][:, [0, 2, 3]], clean["norm"][:, [0, 2, 3]])
    assert not torch.equal(without[:, 1], clean["norm"][:, 1])


def test_edits_nest_and_are_taken_back_after_an_exception(model: Model, images: Tensor) -> None:
    before = state(model)
    outer = [parse_edit("negative weights of c"), parse_edit("units stem:0")]
    inner = [parse_edit("edge joined:0->c:0 x3"), parse_edit("edge stem:1->norm:0")]
    with edited(model, outer):
        middle, seen = state(model), model.record(images, ["norm"])["norm"]
        with pytest.raises(ZeroDivisionError), edited(model, inner):
            _ = 1 / int(is_as_before(model, middle))
        assert torch.equal(model.record(images, ["norm"])["norm"], seen)
        assert all(torch.equal(v, model.module.state_dict()[k]) for k, v in middle.items())
    assert is_as_before(model, before)
    # A later edit that fails takes the earlier ones back.
    with (
        pytest.raises(SiteError, match="nowhere"),
        edited(model, [*outer, parse_edit("units nowhere:0")]),
    ):
        pass
    assert is_as_before(model, before)


def test_names_and_fields_found_inside_are_those_of_the_network(model: Model) -> None:
    with edited(model, [parse_edit("units relu#1:0")]):
        inside = model.trace((16, 16))
    outside = load(seeded(Branches()), size=8).trace((16, 16))
    assert inside == outside


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("units joined:9", UnitError, "channel 9 is out of range"),
        ("units relu#3.pre:0", CircuitError, "cannot be replaced"),
        (
            "negative weights of sum",
            CircuitError,
            "is not built by one layer of weights, but by add",
        ),
        ("negative weights of pool", CircuitError, "but by max_pool2d"),
        ("negative weights stem:0->c:1", NotDirectError, "does not read 'stem' directly"),
        ("edge c:0->joined:0", CircuitError, "comes after"),
        ("edge a:0->b:0", CircuitError, "no path leads"),
        ("edge joined:0->nowhere:1", SiteError, "unknown site 'nowhere'"),
    ],
)
def test_edits_that_do_not_fit(model: Model, text: str, error: type[Exception], said: str) -> None:
    before = state(model)
    with pytest.raises(error, match=said), edited(model, [parse_edit(text)]):
        pass
    assert is_as_before(model, before)


def test_nothing_to_drop(model: Model) -> None:
    with torch.no_grad():
        model.module.get_parameter("b.weight").abs_()
    with (
        pytest.raises(CircuitError, match="changes no weight"),
        edited(model, [DropWeights(parse_units("b:*"))]),
    ):
        pass


def test_weights_that_are_computed_cannot_be_edited() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    model = load(nn.Sequential(layer), size=8)
    with pytest.raises(CircuitError, match="are no parameter of it but computed on the way"):
        layers_into(model, "0")


def test_a_module_that_gives_several_tensors_cannot_be_edited() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x * 2, x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def forward(self, x: Tensor) -> Tensor:
            return self.two(x)[0]

    model = load(Net(), size=8)
    with (
        pytest.raises(CircuitError, match="'two' gives tuple, not one tensor"),
        edited(model, [parse_edit("units two:0")]),
    ):
        model.record(torch.rand(1, 3, 8, 8), ["logits"])


class Shared(nn.Module):
    """One convolution called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.c(self.relu(self.c(x))))


@pytest.mark.parametrize("call", ["c#0", "c#1"])
def test_weights_of_several_calls_are_refused(call: str) -> None:
    model = load(seeded(Shared()), size=8)
    said = "'c.weight' in .* is used 2 times in one pass.*edit units of the call that is meant"
    with (
        pytest.raises(CircuitError, match=said),
        edited(model, [parse_edit(f"negative weights of {call}")]),
    ):
        pass


def test_an_edge_into_one_of_several_calls(images: Tensor) -> None:
    model = load(seeded(Shared()), size=8)
    clean = model.record(images, ["c#0", "relu#0", "c#1"])
    with edited(model, [parse_edit("edge relu#0:0->c#1:1")]):
        found = model.record(images, ["c#0", "c#1"])
    without = clean["relu#0"].clone()
    without[:, 0] = 0
    expected = model.module.get_submodule("c")(without)
    assert torch.equal(found["c#0"], clean["c#0"])
    assert torch.allclose(found["c#1"][:, 1], expected[:, 1], atol=1e-6)
    assert torch.equal(found["c#1"][:, [0, 2]], clean["c#1"][:, [0, 2]])
    assert not torch.allclose(found["c#1"], clean["c#1"], atol=1e-3)


def test_an_edge_over_several_layers_holds_in_a_render(model: Model, images: Tensor) -> None:
    """A render runs a folded copy, whose second passes must be its own."""
    edits = [parse_edit("edge stem:2->sum:1"), parse_edit("units a:0")]
    site = model.site_table().resolve("sum")
    clean = model.record(images, ["sum"])["sum"]
    with edited(model, edits):
        expected = model.record(images, ["sum"])["sum"]
        trace = model.trace()
        with InferenceCopy(model, [site], trace=trace, dtype=torch.float32) as fast:
            found = fast.recorder(model.network_input(images))["sum"]
        assert fast.folded == 1
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found[:, 1], clean[:, 1], atol=1e-3)
