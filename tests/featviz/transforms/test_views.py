"""Renders that show the network several views of an image."""

import pytest
import torch
from torch import nn

import featviz
from draws import drawn
from featviz import ascent, render
from featviz.errors import ConfigError
from featviz.inference import InferenceCopy
from featviz.transforms import parse_transforms
from nets import small_model

QUICK = {"steps": 6, "size": 32, "precision": "float32", "progress": False}
ALL = "crops:3,flip,blur:0.5..1,color:0.1/0.1/0.1/10,noise:0.05"


@pytest.fixture(scope="module")
def model():
    return small_model()


def test_the_score_of_an_image_is_the_mean_over_its_views(model):
    labels = ["late:1", "late:2"]
    result = render(model, labels, transforms=ALL, **(QUICK | {"steps": 1, "redirect_steps": 0}))
    transforms = parse_transforms(ALL)
    for k, label in enumerate(labels):
        generator = ascent.image_generator(0, label)
        param = featviz.Fourier().start(
            channels=3, size=(32, 32), generators=[generator], device=torch.device("cpu")
        )
        moves = transforms.draw(1, channels=3, size=(32, 32), generator=generator)
        views = transforms.apply(param(), moves[0])
        assert len(views) == 3
        expected = torch.stack(
            [model.record(view[None], ["late"])["late"][0, k + 1].mean() for view in views]
        ).mean()
        assert torch.allclose(result.history[k, 0], expected, atol=1e-5)


def test_an_image_is_the_same_alone_and_in_a_batch(model):
    together = render(model, "late:0-2", transforms=ALL, **QUICK)
    alone = render(model, "late:1", transforms=ALL, **QUICK)
    assert torch.allclose(together.images[1:2], alone.images, atol=1e-4)
    assert torch.allclose(together.history[1:2], alone.history, atol=1e-4)
    again = render(model, "late:0-2", transforms=ALL, **QUICK)
    assert torch.equal(again.images, together.images)


@pytest.mark.parametrize("transforms", ["maco", "smooth", ALL])
def test_renders_climb(model, transforms):
    settings = QUICK | {"steps": 40}
    (history,) = render(model, "late:1", transforms=transforms, **settings).history
    assert history[-8:].mean() > history[:8].mean()


def test_all_views_of_a_sleeping_image_are_redirected(monkeypatch):
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        network[0].weight.abs_()
        network[0].bias.copy_(torch.tensor([-100.0, 1.0]))  # never fires, always fires
    masks = []
    call = InferenceCopy.__call__

    def noted(self, images, *, asleep):
        masks.append(None if asleep is None else asleep.tolist())
        return call(self, images, asleep=asleep)

    monkeypatch.setattr(InferenceCopy, "__call__", noted)
    settings = QUICK | {"steps": 3, "redirect_steps": 1}
    render(featviz.load(network, size=24), "1:0-1", transforms="crops:2", **settings)
    assert masks == [[True] * 4, None, [True, True, False, False]]


def test_fewer_images_at_a_time_where_each_has_more_views():
    cpu = torch.device("cpu")
    for transforms, batch in (("lucid", 16), ("crops:2", 8), ("crops:3", 5), ("maco", 1)):
        assert featviz.RenderConfig(transforms=transforms).batch_on(cpu) == batch
    assert featviz.RenderConfig(transforms="maco", batch=4).batch_on(cpu) == 4


def test_a_transform_that_does_not_suit_the_network_is_refused():
    with pytest.raises(ConfigError, match="color needs images with 3 channels, these have 1"):
        render(small_model(channels=1), "late:1", transforms="color:0.1", **QUICK)


def test_moves_of_a_batch_go_to_a_device():
    source = torch.rand(2, 3, 16, 16)
    _, moves = drawn(ALL, 2, source)
    there = moves.to(torch.device("meta"))
    parts = [there.maps, *there.numbers, *there.banks]
    assert {part.device.type for part in parts} == {"meta"}
    assert there[1].maps.shape == (6, 2, 3)
