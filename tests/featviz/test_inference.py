import pytest
import timm
import torch
from torch import nn
from torchvision.models import get_model

from featviz.errors import ModelError
from featviz.inference import InferenceCopy
from featviz.models.model import Model
from featviz.models.spec import ModelSpec, Preprocess
from nets import seeded, small_model


def wrap(network, size=64):
    spec = ModelSpec(
        name="net",
        build=nn.Identity,
        preprocess=Preprocess((0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 1.0, "BGR"),
        size=(size, size),
    )
    return Model(network, spec, weights_origin="seeded")


def copy_of(model, names, dtype=torch.float32):
    table = model.site_table()
    sites = [table.resolve(name) for name in names]
    return InferenceCopy(model, sites, trace=model.trace(), dtype=dtype)


NETWORKS = {
    "small": (small_model().module, ["block", "late", "logits"], 3),
    "resnet18": (seeded(get_model("resnet18", weights=None)), ["layer1.1", "layer3.0.pre"], 20),
    "googlenet": (
        seeded(get_model("googlenet", weights=None, init_weights=False, aux_logits=False)),
        ["conv2", "inception3a", "inception4a.branch2.pre"],
        57,
    ),
    "efficientnet_lite0": (
        seeded(timm.create_model("tf_efficientnet_lite0")),
        ["bn1", "blocks.1.0", "blocks.2.1.bn1.pre"],
        49,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_activations_are_those_of_the_network(name):
    network, names, norms = NETWORKS[name]
    model = wrap(network)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), copy_of(model, names) as copied:
        assert copied.folded == norms
        fast, exact = copied(images), model.record(images, names)
    for site in names:
        error = (fast[site] - exact[site]).abs().max() / exact[site].abs().max()
        assert error < 1e-4, site


def test_bf16_is_close():
    network, names, _ = NETWORKS["resnet18"]
    model = wrap(network)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), copy_of(model, names, torch.bfloat16) as copied:
        fast, exact = copied(images), model.record(images, names)
    for site in names:
        assert fast[site].dtype == torch.bfloat16
        difference = (fast[site] - exact[site]).pow(2).mean().sqrt()
        assert 0 < difference < 0.05 * exact[site].std()


@pytest.mark.parametrize("site", ["stem", "norm", "block.conv1", "block.bn1"])
def test_convolutions_and_norms_can_be_sites(site):
    model = small_model()
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), copy_of(model, [site, "late"]) as copied:
        fast, exact = copied(images), model.record(images, [site, "late"])
    assert torch.allclose(fast[site], exact[site], atol=1e-5)
    assert torch.allclose(fast["late"], exact["late"], atol=1e-4)


def test_a_convolution_with_two_readers_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.conv(x)
            return self.norm(x) + x

    model = wrap(seeded(Twice()), size=8)
    images = torch.rand(1, 3, 8, 8)
    with torch.no_grad(), copy_of(model, ["logits"]) as copied:
        assert copied.folded == 0
        assert torch.allclose(
            copied(images)["logits"], model.record(images, ["logits"])["logits"], atol=1e-5
        )


def test_the_stock_response_norm_is_replaced_by_an_equal_one():
    network = nn.Sequential(nn.Conv2d(3, 7, 3), nn.LocalResponseNorm(5, 1e-2, 0.75, 2.0))
    model = wrap(seeded(network), size=12)
    images = torch.rand(1, 3, 12, 12)
    with torch.no_grad(), copy_of(model, ["1"]) as copied:
        assert torch.allclose(copied(images)["1"], model.record(images, ["1"])["1"], atol=1e-6)


def test_the_network_itself_is_not_touched():
    model = small_model()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = dict(model.named_modules())
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    with copy_of(model, ["late"], torch.bfloat16) as copied:
        copied(x, asleep=torch.ones(1, dtype=torch.bool))["late"].sum().backward()
        assert not any(m._forward_hooks for m in model.modules())
    assert dict(model.named_modules()) == modules
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.dtype == before[name].dtype


def test_a_container_that_ends_in_the_convolution_is_a_site():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.feat, self.norm = nn.Sequential(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.feat(x)).relu()

    model = wrap(seeded(Net()), size=12)
    images = torch.rand(1, 3, 12, 12)
    with torch.no_grad(), copy_of(model, ["feat"]) as copied:
        exact = model.record(images, ["feat"])["feat"]
        assert torch.allclose(copied(images)["feat"], exact, atol=1e-5)


def test_hooks_of_the_user_count():
    model = small_model()
    images = torch.rand(1, 3, 32, 32)
    handle = model.module.norm.register_forward_hook(lambda _m, _i, out: out * 0)
    with torch.no_grad(), copy_of(model, ["act"]) as copied:
        assert not copied(images)["act"].any()
    assert len(model.module.norm._forward_hooks) == 1
    handle.remove()


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_gradients_are_those_of_the_network(order):
    model = small_model(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0), scale=3.0, channel_order=order)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 32, 32, generator=generator, requires_grad=True)
    with copy_of(model, ["late"]) as copied:
        (fast,) = torch.autograd.grad(copied(x)["late"].pow(2).sum(), x)
    (exact,) = torch.autograd.grad(model.record(x, ["late"])["late"].pow(2).sum(), x)
    assert exact.abs().max() > 0
    assert torch.allclose(fast, exact, rtol=1e-3, atol=1e-5 * exact.abs().max().item())


def test_only_a_clip_from_zero_is_redirected():
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    model = wrap(nn.Sequential(nn.Hardtanh(), nn.Hardtanh(0, 2)).eval(), size=8)
    asleep = torch.ones(1, dtype=torch.bool)
    with copy_of(model, ["0", "1"]) as copied:
        plain, redirected = copied(x.requires_grad_()), copied(x, asleep=asleep)
    for site in plain:
        assert torch.equal(plain[site], redirected[site])


def test_redirection_reaches_a_dead_unit():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([-100.0, 0.0]))
    model = wrap(network.eval(), size=8)
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    with copy_of(model, ["1"]) as copied:
        for asleep in (None, torch.tensor([False]), torch.tensor([True])):
            loss = -copied(x, asleep=asleep)["1"][:, 0].mean()
            (gradient,) = torch.autograd.grad(loss, x)
            assert bool(gradient.abs().sum() > 0) is (asleep is not None and bool(asleep))


def test_a_network_that_cannot_be_copied():
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    network.stray = network[0].weight * 2
    with pytest.raises(ModelError, match="cannot copy 'net' for rendering"):
        copy_of(wrap(network, size=8), ["0"])


def test_a_network_may_change_its_input_in_place():
    class InPlace(nn.Conv2d):
        def forward(self, x):
            return super().forward(x.mul_(2).add_(1))

    model = wrap(nn.Sequential(seeded(InPlace(3, 4, 3))), size=16)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = []
    for run in (copy_of(model, ["0"]), lambda x: model.record(x, ["0"])):
        x = images.clone().requires_grad_()
        with run if isinstance(run, InferenceCopy) else torch.enable_grad():
            y = run(x)["0"]
        (gradient,) = torch.autograd.grad(y[:, 1].sum(), x)
        found.append((y, gradient))
        assert torch.equal(x, images)
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


class OneAtATime(nn.Conv2d):
    def forward(self, x):
        if len(x) > 1:
            raise TypeError("one image, please")
        return super().forward(x)


def test_a_network_that_takes_one_image_says_how():
    model = wrap(nn.Sequential(seeded(OneAtATime(3, 4, 3))), size=16)
    with copy_of(model, ["0"]) as network:
        assert network(torch.rand(1, 3, 16, 16))["0"].shape == (1, 4, 14, 14)
        with pytest.raises(TypeError, match="one image, please") as raised:
            network(torch.rand(2, 3, 16, 16))
    assert raised.value.__notes__ == [
        "It came when 2 images ran through the network at a time; if it takes but one, pass "
        "--batch 1 (batch=1 in Python)."
    ]
