"""Images that start from a photograph, stay near it, or change in one region only."""

import numpy as np
import pytest
import torch
from PIL import Image

from featviz.errors import ConfigError, PictureError
from featviz.images import read_photo
from featviz.objectives import Near, channel
from featviz.record import command
from featviz.rendering import render
from nets import small_model

SIZE = 32
QUICK = {"size": SIZE, "progress": False, "precision": "float32"}


def photo(channels=3, size=(SIZE, SIZE)):
    generator = torch.Generator().manual_seed(5)
    small = torch.rand(1, channels, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(small, size=size, mode="bilinear")[0] * 0.8 + 0.1


@pytest.mark.parametrize("param", ["fourier", "pixels", "pyramid"])
def test_the_climb_starts_at_the_photograph(param):
    result = render(
        small_model(), "block:1", steps=1, learning_rate=1e-6, param=param, start=photo(), **QUICK
    )
    assert torch.allclose(result.images[0], photo(), atol=1e-3)


def test_a_start_survives_the_default_learning_rate_of_maco():
    settings = {"steps": 24, "param": "maco", "start": photo(), **QUICK}

    def likeness(**options):
        result = render(small_model(), "block:1", **{**settings, **options})
        pair = torch.stack([result.images[0].flatten(), photo().flatten()])
        return result, torch.corrcoef(pair)[0, 1]

    careful, near = likeness()
    _, far = likeness(learning_rate=1.0)
    assert near > 0.7
    assert near > far + 0.2
    assert careful.record["ran"]["learning_rate"] == 0.05
    assert careful.config.learning_rate == 0.05
    assert likeness(start=None, steps=1)[0].record["ran"]["learning_rate"] == 1.0
    assert likeness(optimiser="lbfgs", steps=1)[0].record["ran"]["learning_rate"] == 1.0


def test_keep_holds_an_image_near_its_start():
    model, apart = small_model(), []
    for keep in (0.0, 3.0):
        result = render(model, "block:1", steps=40, start=photo(), keep=keep, **QUICK)
        apart.append((result.images[0] - photo()).square().mean())
        assert result.score[0] > channel("block", 1).score(model.record(photo()[None], ["block"]))
    assert apart[1] < apart[0] / 2


def test_near_by_its_formula():
    start = photo()
    image = photo().flip(2)[None]
    acts = {"block": torch.full((1, 2, 3, 3), -4.0), "image": image}
    contrast = ((start - start.mean()) ** 2).mean()
    expected = -4 - 0.5 * 4 * ((image[0] - start) ** 2).mean() / contrast
    made = Near(channel("block", 1), start, 0.5)
    assert torch.allclose(made.score(acts), expected)
    assert made.sites == ("block", "image")


def test_only_the_mask_changes():
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, 8:20, 4:30] = 1
    for start, base in ((photo(), photo()), (None, torch.full((3, SIZE, SIZE), 0.5))):
        result = render(small_model(), "block:1", steps=5, start=start, mask=mask, **QUICK)
        changed = (result.images[0] - base).abs().amax(0)
        assert changed[mask[0] == 0].max() < 1e-6
        assert changed[mask[0] == 1].max() > 1e-3


def test_files_and_tensors_are_the_same(tmp_path):
    levels = (photo() * 255).round().to(torch.uint8)
    Image.fromarray(levels.permute(1, 2, 0).numpy()).save(tmp_path / "p.png")
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, :16] = 1
    Image.fromarray((mask[0] * 255).byte().numpy()).save(tmp_path / "m.png")
    model, settings = small_model(), {"steps": 3, "keep": 1.0, **QUICK}
    named = render(
        model, "block:1", start=tmp_path / "p.png", mask=str(tmp_path / "m.png"), **settings
    )
    given = render(model, "block:1", start=levels / 255, mask=mask, **settings)
    assert torch.equal(named.images, given.images)
    assert named.record["ran"]["start_sha256"] == given.record["ran"]["start_sha256"]
    assert named.record["config"]["start"] == str(tmp_path / "p.png")
    assert given.record["config"]["start"] is None
    assert render(model, "block:1", steps=1, **QUICK).record["ran"]["start_sha256"] is None


def test_a_photograph_covers_the_size_upright(tmp_path):
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = read_photo(tmp_path / "turned.png", (20, 20))
    assert upright.shape == (3, 20, 20)
    assert torch.allclose(upright, torch.full_like(upright, 200 / 255))
    assert read_photo(tmp_path / "turned.png", (60, 20), channels=1)[0, 0].max() == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": "no.png"}, PictureError, "cannot read 'no.png' as a picture"),
        ({"start": photo(size=(9, 9))}, ConfigError, r"start has shape \(3, 9, 9\), the images"),
        ({"mask": torch.ones(3, SIZE, SIZE)}, ConfigError, r"mask has shape \(3, 32, 32\)"),
        ({"keep": 1.0}, ConfigError, "name one: start"),
        ({"keep": -1.0}, ConfigError, "keep must be 0 or more"),
        ({"start": photo(), "param": "cppn"}, ConfigError, "cannot start from given images"),
    ],
)
def test_bad_starts(options, error, message):
    from typecheck import unchecked

    with unchecked(), pytest.raises(error, match=message):
        render(small_model(), "block:1", steps=1, **options, **QUICK)


def test_no_command_repeats_an_image_without_a_name(tmp_path):
    name = tmp_path / "p.png"
    Image.fromarray((photo() * 255).byte().permute(1, 2, 0).numpy()).save(name)
    found = []
    for start in (name, photo()):
        result = render("squeezenet1_1", "conv1:1", steps=1, start=start, **QUICK)
        found.append(command(result.record))
    assert f"--start {name}" in found[0]
    assert found[1] is None
