"""Renders against the rivals of each unit, with photographs that give the scale."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typecheck import unchecked

from featviz.config import RenderConfig
from featviz.contrasting import unit_threshold, with_contrast
from featviz.errors import ConfigError, InputError
from featviz.metrics import Reference
from featviz.models import load
from featviz.objectives import Contrast, Diverse, Transparent, channel
from featviz.plan import make_plan
from featviz.rendering import list_labels, render
from nets import small_model

QUICK = {"steps": 16, "size": 32, "progress": False}


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    drawn = np.random.default_rng(0)
    for k in range(4):
        pixels = drawn.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return str(folder)


def planned(model, targets, **settings):
    return with_contrast(make_plan(model, targets, RenderConfig(size=32, **settings)))


def test_statistics_are_those_of_the_photographs(photographs):
    model = small_model()
    plan = planned(model, "block:1,2", contrast=photographs)
    moments = Reference(model, photographs).moments("block")
    for climbed, index in zip(plan.climbed, (1, 2), strict=True):
        assert isinstance(climbed, Contrast)
        assert (climbed.index, climbed.weight) == (index, 0.5)
        assert torch.equal(climbed.means, moments.mean)
        assert torch.equal(climbed.sds, moments.sd)
    assert plan.objectives == (channel("block", 1), channel("block", 2))


def test_a_contrasted_render_leaves_its_rival_behind(tmp_path):
    # Channel 0 is grey-yellow, its rival red. Photographs differ much in green, little in red, so
    # red is worth more to the rival than to channel 0, and green is for channel 0 alone.
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False))
    with torch.no_grad():
        network[0].weight[:, :, 0, 0] = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    for k, (red, green) in enumerate([(120, 40), (130, 230), (125, 60), (128, 200)]):
        Image.new("RGB", (40, 40), (red, green, 0)).save(tmp_path / f"{k}.png")
    model = load(network, size=32)
    settings = {**QUICK, "steps": 64, "param": "pixels:decorrelate=false", "transforms": "none"}
    plain = render(model, "0:0", **settings)
    apart = render(model, "0:0", contrast=str(tmp_path), **settings)
    assert apart.labels == plain.labels == ("0:0",)
    red, green, _ = apart.images[0].mean((1, 2)).tolist()
    assert plain.images[0, 0].mean() > 0.8
    assert red < 0.2
    assert green > 0.8
    assert apart.score.item() == pytest.approx((red + green) / 2, abs=1e-4)  # the unit's own


def test_an_image_is_the_same_alone_and_in_a_batch(photographs):
    model = small_model()
    alone = render(model, "block:2", contrast=photographs, **QUICK)
    batch = render(model, "block:0-3", contrast=photographs, **QUICK)
    assert torch.allclose(alone.images[0], batch.images[2], atol=1e-5)


def test_every_second_step_shows_the_image_as_it_is(photographs):
    # Steps too small to change anything, so that only the moves do.
    settings = {**QUICK, "steps": 8, "learning_rate": 1e-12, "param": "pixels:sd=1"}
    apart = render(small_model(), "block:1", contrast=photographs, redirect_steps=0, **settings)
    moved, still = apart.history[0, ::2], apart.history[0, 1::2]
    assert torch.allclose(still, still[0].expand(4), rtol=1e-5)
    assert moved.std() > 1e-3
    alone = render(small_model(), "block:1", redirect_steps=0, **settings)
    assert alone.history[0, 1::2].std() > 1e-5


def test_the_record_says_which_statistics(photographs, tmp_path):
    model = small_model()
    settings = {**QUICK, "steps": 1}
    first, again = (
        render(model, "block:1", contrast=photographs, **settings).record for _ in range(2)
    )
    assert first == again
    assert first["config"]["contrast"] == photographs
    assert first["ran"]["contrast"]["pictures"] == 4
    assert len(first["ran"]["contrast"]["statistics_sha256"]) == 64
    (tmp_path / "photographs" / "0.png").unlink()
    fewer = render(model, "block:1", contrast=photographs, **settings).record
    assert fewer["ran"]["contrast"]["pictures"] == 3
    assert fewer["ran"]["contrast"] != first["ran"]["contrast"]
    assert "contrast" not in render(model, "block:1", **settings).record["ran"]


def test_alpha_and_contrast_go_together(photographs):
    plan = planned(small_model(), "block:1", contrast=photographs, alpha=0.7)
    (climbed,) = with_contrast(plan).climbed
    assert isinstance(climbed, Transparent)
    assert climbed.share == 0.7
    assert isinstance(climbed.objective, Contrast)
    assert unit_threshold(climbed) == unit_threshold(climbed.objective)


def test_diversity_and_contrast_go_together(photographs):
    plan = planned(small_model(), "block:1", contrast=photographs, diversity=0.5, images=2)
    first, second = plan.climbed
    assert first is second
    assert isinstance(first, Diverse)
    assert isinstance(first.objective, Contrast)
    assert unit_threshold(first) == float(first.objective.means[1])


def test_what_is_no_whole_channel_is_left_alone(photographs):
    plan = planned(small_model(), ["block:1", "block:1@center", "-block:1"], contrast=photographs)
    assert [isinstance(o, Contrast) for o in plan.climbed] == [True, False, False]
    assert plan.climbed[1:] == plan.objectives[1:]
    assert unit_threshold(plan.climbed[1]) is None


def test_a_silent_unit_is_rendered_alone_and_told_dead(photographs):
    model = small_model()
    with torch.no_grad():
        model.module.block.bn2.weight[3] = 0
        model.module.block.bn2.bias[3] = -1e6
    plan = planned(model, "block:3", contrast=photographs)
    assert plan.climbed == plan.objectives
    assert render(model, "block:3", contrast=photographs, **QUICK).dead.tolist() == [True]


@pytest.mark.parametrize(
    ("targets", "folder", "message"),
    [
        ("block:1", "nowhere", "there is no folder 'nowhere'"),
        ("block:1@center", None, "contrast sets whole channels such as fire4:5 apart"),
        ("block:1 + block:2", None, "there is none among block:1 \\+ block:2"),
    ],
)
def test_refused_contrast(photographs, targets, folder, message):
    config = RenderConfig(contrast=folder or photographs, size=32, steps=1)
    for call in (render, list_labels):
        with pytest.raises(InputError, match=message):
            call(small_model(), targets, config=config)


def test_contrast_must_be_text():
    with (
        unchecked(),
        pytest.raises(ConfigError, match="contrast must be a folder of photographs, as text"),
    ):
        RenderConfig(contrast=3)
