"""The drop-in for Lucent, with Lucent's own objectives and parameters where it is installed."""

import importlib
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import featviz
from featviz import channel, neuron
from featviz.errors import ConfigError, ObjectiveError, SiteError, UnitError
from featviz.lucent import render_vis
from featviz.objectives import caricature, diversity, facet, opacity
from nets import small_model, small_net

QUICK = {"thresholds": (8,), "progress": False, "show_image": False}


@pytest.fixture
def lucent(monkeypatch):
    """Lucent's objectives and param modules, in a state in which they run."""
    kornia = pytest.importorskip("kornia")
    geometry = importlib.import_module("kornia.geometry.transform")
    monkeypatch.setattr(
        kornia, "get_rotation_matrix2d", geometry.get_rotation_matrix2d, raising=False
    )
    monkeypatch.setattr(kornia, "warp_affine", geometry.warp_affine, raising=False)
    pytest.importorskip("lucent", reason="torch-lucent is not installed")
    modules = {m: importlib.import_module(f"lucent.optvis.{m}") for m in ("objectives", "param")}
    for name in ("spatial", "color", "lowres"):
        part = importlib.import_module(f"lucent.optvis.param.{name}")
        monkeypatch.setattr(part, "device", torch.device("cpu"), raising=False)
    return modules["objectives"], modules["param"]


def mean_of(model, site, index, image):
    with torch.no_grad():
        x = torch.from_numpy(image).permute(0, 3, 1, 2)
        return model.record(x, [site])[site][:, index].mean().item()


def test_a_text_is_maximised():
    model = small_model()
    first, last = render_vis(
        model, "block:1", **{**QUICK, "thresholds": (1, 40), "fixed_image_size": 32}
    )
    assert last.shape == (1, 32, 32, 3)
    assert last.dtype == np.float32
    assert mean_of(model, "block", 1, last) > mean_of(model, "block", 1, first)


def test_what_featviz_maximises_is_the_same():
    model = small_model()
    images = []
    for wanted in ("block:1", channel("block", 1), lambda layer: -layer("block")[:, 1].mean()):
        torch.manual_seed(0)
        images.append(render_vis(model, wanted, **QUICK)[0])
    assert np.allclose(images[0], images[1])
    assert np.allclose(images[0], images[2], atol=1e-5)


def test_objectives_and_parameters_of_lucent(lucent):
    objectives, param = lucent
    net = small_net()
    wanted = objectives.channel("block_conv1", 2) - 0.5 * objectives.channel("late", 1)
    torch.manual_seed(0)
    (images,) = render_vis(
        net, wanted, lambda: param.image(32, batch=2), **{**QUICK, "thresholds": (24,)}
    )
    assert images.shape == (2, 32, 32, 3)
    assert 0 <= images.min() < images.max() <= 1
    assert images.std() > 0.02
    assert not any(m._forward_hooks for m in net.modules())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_lucents_diversity_and_text(lucent):
    objectives, param = lucent
    wanted = objectives.as_objective("block:1") - 10 * objectives.diversity("block")
    (images,) = render_vis(small_net(), wanted, lambda: param.image(32, batch=3), **QUICK)
    assert np.abs(images[0] - images[1]).max() > 1e-3


def test_own_transforms_and_optimiser():
    seen = []

    def darker(images):
        seen.append(images.shape)
        return images / 2

    (image,) = render_vis(
        small_net(),
        "block:1",
        optimizer=lambda params: torch.optim.LBFGS(params, max_iter=2),
        transforms=[darker],
        **QUICK,
    )
    assert np.isfinite(image).all()
    assert set(seen) == {(1, 3, 128, 128)}


def test_the_input_and_the_output_are_layers():
    loss = lambda layer: layer("input").mean() - layer("labels")[:, 2].mean()  # noqa: E731
    (image,) = render_vis(small_model(), loss, **QUICK)
    assert np.isfinite(image).all()


def test_a_wrong_pass_is_an_error():
    def broken(_images):
        raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        render_vis(small_net(), "block:1", transforms=[broken], **QUICK)


@pytest.mark.parametrize(
    ("wanted", "options", "error", "message"),
    [
        ("nowhere:1", {}, SiteError, "unknown site 'nowhere'"),
        (lambda layer: layer("input").mean(), {}, ObjectiveError, "reads no layer"),
        ("block:8", {}, UnitError, "channel 8 is out of range in 'block:8'"),
        (channel("block", 9), {}, UnitError, "channel 9 is out of range"),
        (neuron("late", 0, position=(40, 0)), {}, UnitError, "is out of range"),
        ("block:0-3", {}, ObjectiveError, "names 4 units; featviz.render takes several"),
        (facet(channel("late", 0), "block", [1.0]), {}, ObjectiveError, "has 1 entries"),
        (channel("late", 0) * (1 + opacity()), {}, ObjectiveError, "do not have; ask for one"),
        (facet(channel("late", 0), "block", [1.0] * 8), {}, ObjectiveError, "use featviz.render"),
        ("block:1", {"thresholds": (0,)}, ConfigError, "thresholds must be 1 or more"),
    ],
)
def test_bad_input(wanted, options, error, message):
    with pytest.raises(error, match=message):
        render_vis(small_model(), wanted, **{**QUICK, **options})


class _Capitals(nn.Module):
    """Names as torchvision's Inception v3 has them."""

    def __init__(self) -> None:
        super().__init__()
        self.Mixed_5b = nn.Sequential(OrderedDict(Conv2d_1x1=nn.Conv2d(3, 4, 3)))

    def forward(self, x):
        return self.Mixed_5b(x).mean((2, 3))


@pytest.mark.parametrize("name", ["Mixed_5b", "Mixed_5b_Conv2d_1x1", "Mixed_5b.Conv2d_1x1"])
def test_names_keep_their_capitals(name):
    torch.manual_seed(0)
    net = _Capitals().eval()
    first, last = render_vis(net, f" {name} : 2 ", **{**QUICK, "thresholds": (1, 12)})
    model = featviz.load(net, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], size=128)
    assert mean_of(model, "Mixed_5b", 2, last) > mean_of(model, "Mixed_5b", 2, first)


def test_a_text_may_name_the_output():
    images = []
    for wanted in ("labels:2", lambda layer: -layer("labels")[:, 2].mean()):
        torch.manual_seed(0)
        images.append(render_vis(small_model(), wanted, **QUICK)[0])
    assert np.allclose(images[0], images[1], atol=1e-5)


def test_joint_objectives_need_several_images():
    wanted = channel("block", 1) + 10 * diversity("block")
    with pytest.raises(ConfigError, match="compares images, and there is one; give a param_f"):
        render_vis(small_model(), wanted, **QUICK)

    def several():
        values = torch.rand(2, 3, 32, 32).requires_grad_()
        return [values], lambda: values.sigmoid()

    (images,) = render_vis(small_model(), wanted, several, **QUICK)
    assert images.shape == (2, 32, 32, 3)
    assert np.abs(images[0] - images[1]).max() > 1e-3


def test_a_photograph_is_compared_at_the_size_that_the_network_sees():
    photo = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    model, wanted = small_model(), caricature("block", photo)
    options = {**QUICK, "fixed_image_size": 48, "thresholds": (1, 16)}
    first, last = render_vis(model, wanted, **options)
    ready = wanted.prepared(model, size=(48, 48))

    def score(image):
        x = torch.from_numpy(image).permute(0, 3, 1, 2)
        large = torch.nn.functional.interpolate(x, size=48, mode="bilinear")
        return ready.score(model.record(large, ["block"])).item()

    with torch.no_grad():
        assert score(last) > score(first)


def test_the_last_image_is_saved(tmp_path):
    path = tmp_path / "last.png"
    render_vis(small_model(), "block:1", save_image=True, image_name=str(path), **QUICK)
    assert path.stat().st_size > 100
