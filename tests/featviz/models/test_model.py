import numpy as np
import pytest
import torch
from torch import nn
from typecheck import unchecked

from featviz.errors import ModelError, RenderError, SiteError
from featviz.models.load import load
from featviz.models.model import Model
from featviz.models.spec import ModelSpec, Preprocess
from nets import SmallNet, small_model, small_net


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 36, generator=torch.Generator().manual_seed(2))


def test_preprocessing_is_the_formula(images):
    model = small_model(
        mean=(104.0, 117.0, 123.0), std=(1.0, 2.0, 4.0), scale=255.0, channel_order="BGR"
    )
    x = model.network_input(images)
    for channel, (source, mean, std) in enumerate([(2, 104, 1), (1, 117, 2), (0, 123, 4)]):
        assert torch.allclose(x[:, channel], (images[:, source] * 255 - mean) / std, atol=1e-4)


def test_logits_are_the_networks(images):
    model = small_model(mean=(0.5,), std=(0.25,))
    with torch.no_grad():
        assert torch.equal(model(images), small_net()((images - 0.5) / 0.25))


def test_record_is_differentiable_and_leaves_the_model_alone(images):
    model = small_model()
    model.module.train()
    model.module.block.eval()
    statistics = model.module.norm.running_mean.clone()
    modes = [m.training for m in model.modules()]
    images.requires_grad_()
    found = model.record(images, ["block", "logits"])
    assert list(found) == ["block", "logits"]
    found["block"].sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(model.module.norm.running_mean, statistics)
    assert not any(m._forward_hooks for m in model.modules())


def test_record_of_a_training_network_is_that_of_eval_mode(images):
    model = small_model()
    with torch.no_grad():
        expected = model.record(images, ["late"])["late"]
        model.train()
        assert torch.equal(model.record(images, ["late"])["late"], expected)


def test_logits_of_a_training_network_are_those_of_eval_mode(images):
    model = small_model()
    with torch.no_grad():
        expected = model(images)
    model.train()
    statistics = model.module.norm.running_mean.clone()
    assert torch.equal(model(images), expected)
    assert torch.equal(model.module.norm.running_mean, statistics)
    assert model.training
    assert model.module.norm.training


def test_half_precision_networks_take_float_images(images):
    model = small_model().double()
    assert model.record(images, ["act"])["act"].dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], r"got shape \(3, 32, 36\); add a batch axis with images\[None\]"),
        (lambda x: x[:, :1], r"must be \[b 3 h w\].* got shape \(2, 1, 32, 36\)"),
        (lambda x: (x * 255).byte(), "got torch.uint8; divide by 255"),
        (lambda x: x * 255, "the largest magnitude is 25.*divide 0..255 images by 255"),
        (lambda x: x.to("meta"), "the images are on meta, 'small' is on cpu; move one with .to"),
    ],
)
@pytest.mark.parametrize("use", [lambda m, x: m(x), lambda m, x: m.record(x, ["act"])])
def test_bad_images(images, change, message, use):
    with pytest.raises(ModelError, match=message):
        use(small_model(), change(images))


@pytest.mark.parametrize("images", [None, np.zeros((1, 3, 32, 32), "float32")])
@pytest.mark.parametrize("use", [lambda m, x: m(x), lambda m, x: m.record(x, ["act"])])
def test_images_that_are_no_tensor(images, use):
    said = f"got a {type(images).__name__}, which is no tensor; make one with torch.as_tensor"
    with unchecked(), pytest.raises(ModelError, match=said):
        use(small_model(), images)


@pytest.mark.parametrize("sites", [None, 3, [3]])
def test_sites_of_the_wrong_type(images, sites):
    with unchecked(), pytest.raises(ModelError, match=r"a list of names such as \['fire4'\], got"):
        small_model().record(images, sites)


def test_sites_must_be_a_list(images):
    with pytest.raises(ModelError, match=r"sites must be a list of names; write \['act'\]"):
        small_model().record(images, "act")


def test_unknown_site(images):
    with pytest.raises(SiteError, match="unknown site 'blok' in 'small'; did you mean 'block'"):
        small_model().record(images, ["blok"])


def test_a_network_that_cannot_run_says_so():
    spec = ModelSpec(name="small", build=SmallNet, size=(2, 2))
    with pytest.raises(ModelError, match=r"'small' cannot run on a 3x2x2 image: .*another size"):
        Model(small_net(), spec, weights_origin="seeded").sites()


def small(network):
    spec = ModelSpec(name="small", build=SmallNet, size=(32, 32))
    return Model(network, spec, weights_origin="seeded")


class Broken(nn.Module):
    """Raises an error of the kind given."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, _):
        raise self.error


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ValueError("too small"), "too small; give another size"),
        (AssertionError("height must be 224"), "height must be 224; give another size"),
        (AttributeError("no 'fc'"), r"no 'fc'; correct its forward\(\), which must take one batch"),
        (TypeError("missing 'mask'"), r"missing 'mask'; correct its forward\(\), which must take"),
        (KeyError(), "KeyError; correct its forward"),
    ],
)
def test_advice_of_a_size_where_that_may_help(error, advice):
    with pytest.raises(ModelError, match=f"'small' cannot run on a 3x32x32 image: .*{advice}"):
        small(Broken(error)).sites()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_the_first_pass_takes_too_much_memory(error):
    with pytest.raises(RenderError, match="for a single 32x32 px image of 'small'; choose a small"):
        small(Broken(error)).sites()


def inner(change):
    """Return a network one of whose blocks is changed."""
    network = small_net()
    network.block = change(network.block)
    return network


def compiled_in_place():
    network = small_net()
    network.compile()
    return network


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.compile(small_net()), "'small' was compiled, .*; give the original module"),
        (compiled_in_place, "'small' was compiled, .* as it was before torch.compile"),
        (lambda: inner(torch.compile), "'block' in 'small' was compiled"),
        (
            lambda: torch.jit.script(small_net()),
            "'small' was scripted or traced .* original module",
        ),
        (
            lambda: torch.jit.trace(small_net(), torch.rand(1, 3, 32, 32)),
            "'small' was scripted or traced by torch.jit, .*; give the original module",
        ),
        (lambda: inner(torch.jit.script), "'block' in 'small' was scripted or traced"),
    ],
)
def test_networks_that_hide_what_is_inside(make, message):
    with pytest.raises(ModelError, match=message):
        small(make()).sites()


def test_spread_over_devices():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1, device="meta"))
    model = Model(network, ModelSpec(name="two", build=nn.Identity), weights_origin="none")
    with pytest.raises(ModelError, match=r"'two' is spread over several devices \(cpu, meta\)"):
        _ = model.device


def test_outputs_that_are_no_tensor():
    class Named(nn.Module):
        def forward(self, x):
            return {"out": x * 2}

    class Nothing(nn.Module):
        def forward(self, x):
            return str(x.shape)

    def model(network):
        return Model(network, ModelSpec(name="odd", build=nn.Identity), weights_origin="none")

    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(model(Named())(x), x * 2)
    with pytest.raises(ModelError, match="'odd' returned str, which holds no tensor"):
        model(Nothing())(x)


def test_preprocess_defaults_change_nothing(images):
    assert Preprocess() == Preprocess(mean=(0.0,), std=(1.0,), scale=1.0, channel_order="RGB")
    assert torch.equal(small_model().network_input(images), images)


def test_networks_without_values():
    with torch.device("meta"):
        empty = nn.Sequential(nn.BatchNorm2d(3, affine=False))
    for network, message in (
        (empty, "'Sequential' has no values, since it was built on the dev"),
        (nn.Sequential(nn.LazyConv2d(4, 3)), "'0.weight' in 'Sequential' has no shape before the"),
    ):
        with pytest.raises(ModelError, match=message):
            load(network)
