import pytest
import torch
from torch import nn

from featviz.errors import SiteError
from featviz.models.spec import SiteAlias
from featviz.recording import Recorder
from featviz.sites import SiteTable, pre_activation_name
from featviz.tracing import trace
from nets import SmallNet, small_net

ALIASES = (
    SiteAlias("early", ("act",)),
    SiteAlias("both", ("branches.narrow", "branches.wide")),
    SiteAlias("branches/wide", ("branches.wide",), browsable=False),
)


@pytest.fixture
def network():
    return small_net()


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))


def table(network, images, aliases=()):
    return SiteTable(trace(network, images[:1]), aliases, model_name="small")


def record(network, images, *names, aliases=()):
    sites = [table(network, images, aliases).resolve(name) for name in names]
    with torch.no_grad(), Recorder(network, sites) as recorder:
        return recorder(images)


def by_hand(network, x):
    """Every intermediate of SmallNet, computed without any in-place operation."""
    found = {}
    x = found["stem"] = network.stem(x)
    x = found["norm"] = network.norm(x)
    x = found["act"] = x.relu()
    x = found["pool"] = network.pool(x)
    block = network.block
    y = found["block.bn1"] = block.bn1(block.conv1(x))
    y = found["block.relu#0"] = y.relu()
    y = found["block.relu#1.pre"] = block.bn2(block.conv2(y)) + x
    x = found["block"] = y.relu()
    narrow, wide = network.branches.narrow(x), network.branches.wide(x)
    found["branches.pre"] = torch.cat([narrow, wide], 1)
    x = found["branches"] = found["branches.pre"].relu()
    x = found["pair"] = x * 2
    found["late"] = network.late(x)
    found["logits"] = network.fc(found["late"].relu().mean((2, 3)))
    return found


def test_every_site_is_what_it_says(network, images):
    with torch.no_grad():
        expected = by_hand(network, images)
    found = record(network, images, *expected)
    for name, activation in expected.items():
        assert torch.allclose(found[name], activation, atol=1e-6), name


def test_each_site_alone(network, images):
    with torch.no_grad():
        expected = by_hand(network, images)
    for name, activation in expected.items():
        assert torch.allclose(record(network, images, name)[name], activation, atol=1e-6), name


def test_slices_and_aliases(network, images):
    names = ("early", "both", "both/2:6", "branches/wide", "branches.pre/5:12", "act.pre/:3")
    found = record(network, images, *names, aliases=ALIASES)
    with torch.no_grad():
        expected = by_hand(network, images)
    assert torch.allclose(found["early"], expected["act"])
    assert torch.allclose(found["both"], expected["branches.pre"], atol=1e-6)
    assert torch.equal(found["both/2:6"], found["both"][:, 2:6])
    assert torch.equal(found["branches/wide"], found["both"][:, 5:])
    assert torch.allclose(found["branches.pre/5:12"], found["branches/wide"])
    assert torch.allclose(found["act.pre/:3"], expected["norm"][:, :3], atol=1e-6)


def test_the_pass_stops_at_the_last_site(network, images):
    site = table(network, images).resolve("block")
    reached = []
    handle = network.branches.register_forward_pre_hook(lambda *_: reached.append(True))
    with torch.no_grad(), Recorder(network, [site]) as recorder:
        recorder(images)
    assert not reached
    network(images)
    assert reached
    handle.remove()


def hooks_of(network):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_hooks_are_removed_also_after_an_error(network, images):
    sites = [table(network, images).resolve(name) for name in ("act", "late")]
    with Recorder(network, sites) as recorder:
        assert hooks_of(network) == 2
        with pytest.raises(RuntimeError):
            recorder(torch.rand(1, 5, 32, 32))
    assert hooks_of(network) == 0
    with pytest.raises(KeyboardInterrupt), Recorder(network, sites):
        raise KeyboardInterrupt
    assert hooks_of(network) == 0


def test_the_end_of_a_pass_is_no_exception_that_a_network_could_catch(images):
    class Careful(SmallNet):
        def forward(self, x):
            try:
                return super().forward(x)
            except Exception:  # noqa: BLE001 - what some networks do
                return torch.zeros(1)

    network = Careful()
    network.load_state_dict(small_net().state_dict())
    found = record(network.eval(), images, "act")["act"]
    assert torch.equal(found, record(small_net(), images, "act")["act"])


def test_listings(network, images):
    names = table(network, images).names()
    assert names[:3] == ["stem", "act", "pool"]
    assert "block.relu#1" in names
    assert "norm" not in names
    assert names[-1] == "logits"
    assert "norm" in table(network, images).names(every=True)
    assert table(network, images, ALIASES).names() == ["early", "both"]
    assert "branches/wide" in table(network, images, ALIASES).names(every=True)


def test_order_is_that_of_execution(network, images):
    sites = [table(network, images).resolve(name) for name in ("act", "block", "late", "logits")]
    assert [site.order for site in sites] == sorted(site.order for site in sites)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blok", "unknown site 'blok' in 'small'; did you mean 'block'"),
        ("block.relu", "called 2 times; choose one of block.relu#0, block.relu#1"),
        ("block.relu#2", "the last call is block.relu#1"),
        ("stem.pre", "'stem' in 'small' does not end in an activation function"),
        ("act/4:2", "slice 4:2 in 'act/4:2' is empty or out of range: there are 8"),
        ("act/4:9", "out of range"),
        ("", "is not a site name"),
    ],
)
def test_bad_names(network, images, name, message):
    with pytest.raises(SiteError, match=message):
        table(network, images).resolve(name)


def test_a_site_must_be_a_map_or_a_vector(images):
    network = nn.Sequential(nn.Flatten(2))
    with pytest.raises(SiteError, match=r"gives neither .* but shape \(1, 3, 1280\)"):
        table(network, images).resolve("0")


def test_a_module_that_gives_no_tensor_this_time(images):
    class Silent(nn.Identity):
        def forward(self, x):
            return x if len(x) == 1 else None

    class Net(nn.Sequential):
        def forward(self, x):
            self[0](x)
            return x

    with pytest.raises(SiteError, match="'0' gave no tensor to record in this pass"):
        record(Net(Silent()), images, "0")


def test_a_network_that_takes_another_way_is_told():
    class Fickle(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.a(x) if x.mean() < 0.5 else self.b(x)

    network = Fickle()
    dark = torch.zeros(1, 3, 8, 8)
    site = SiteTable(trace(network, dark), (), model_name="fickle").resolve("a")
    with (
        torch.no_grad(),
        Recorder(network, [site]) as recorder,
        pytest.raises(SiteError, match="did not reach a#0 in this pass"),
    ):
        recorder(dark + 1)


@pytest.mark.parametrize(
    ("name", "pre"),
    [("fire4", "fire4.pre"), ("a#1", "a#1.pre"), ("fire4/0:8", "fire4.pre/0:8")],
)
def test_name_of_the_pre_activation(name, pre):
    assert pre_activation_name(name) == pre


@pytest.mark.parametrize("in_place", [True, False])
def test_gradients_flow_through_a_recorded_pre_activation(in_place, images):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=in_place), nn.Conv2d(4, 2, 3))
    site = table(network, images).resolve("1.pre")
    x = images.clone().requires_grad_()
    with Recorder(network, [site]) as recorder:
        recorder(x)["1.pre"].sum().backward()
    y = images.clone().requires_grad_()
    network[0](y).sum().backward()
    assert torch.allclose(x.grad, y.grad)


def test_a_pre_activation_that_was_overwritten_has_no_name(images):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            y = torch.relu_(self.conv(x))
            y += x
            return y

    with pytest.raises(SiteError, match="does not end in an activation function"):
        table(Net(), images).resolve("logits.pre")


def test_maps_with_channels_last_are_refused(images):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(3), nn.Linear(3, 5)
            self.conv = nn.Conv2d(5, 2, 1)

        def forward(self, x):
            return self.conv(self.linear(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2))

    names = table(Net(), images)
    assert names.names() == ["conv", "logits"]
    with pytest.raises(
        SiteError, match=r"'linear' in 'small' keeps its channels last, \[b h w c\]"
    ):
        names.resolve("linear")
    assert names.resolve("conv").channels == 2


@pytest.mark.parametrize(("dtype", "name"), [(torch.complex64, "complex64"), (torch.int64, "int")])
def test_units_must_be_real_numbers(images, dtype, name):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 2, 1), nn.Identity()

        def forward(self, x):
            return self.last(self.conv(x).to(dtype))

    names = table(Odd(), images)
    assert names.names(every=True) == ["conv"]
    for site in ("last", "logits"):
        with pytest.raises(SiteError, match=rf"gives torch.{name}.*, and units are real numbers"):
            names.resolve(site)
