"""Images with an alpha channel: how they climb, and what becomes of them."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typecheck import unchecked

from featviz import ascent
from featviz.backdrops import Backdrops
from featviz.errors import ConfigError, PictureError
from featviz.images import on_squares, read_photo, to_image, to_picture
from featviz.inference import InferenceCopy
from featviz.metrics import measure_renders, pixel_metrics, read_render
from featviz.models.model import Model
from featviz.models.spec import ModelSpec
from featviz.objectives import objective
from featviz.page import result_section, write_page
from featviz.params import PARAMETERISATIONS, Fourier, parse_parameterisation
from featviz.params.alpha import over, over_grey, start_alpha
from featviz.photographs import open_photograph
from featviz.rendering import render
from featviz.transforms import parse_transforms
from nets import small_model

CPU = torch.device("cpu")
QUICK = {"steps": 4, "precision": "float32", "progress": False}
STILL = {**QUICK, "steps": 1, "learning_rate": 1e-6}


def rgba(size=(32, 32)):
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(1, 4, 4, 4, generator=generator) * 0.8 + 0.1
    return nn.functional.interpolate(image, size=size, mode="bilinear")[0]


def save(image, path):
    to_picture(image, alpha=len(image) in {2, 4}).save(path)
    return path


@pytest.fixture
def model():
    model = small_model()
    model.arguments = ("small",)
    return model


# ---- composition ---------------------------------------------------------------------------------


def test_over_by_its_definition():
    image = rgba()[None]
    behind = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    alpha = image[:, 3:]
    expected = alpha * image[:, :3] + (1 - alpha) * behind
    assert torch.allclose(over(image, behind), expected, atol=1e-6)
    assert torch.allclose(over_grey(image), alpha * image[:, :3] + (1 - alpha) / 2, atol=1e-6)


@pytest.mark.parametrize("param", sorted(PARAMETERISATIONS))
def test_alpha_comes_back_and_moves_alike_whatever_the_colours(param):
    wanted = rgba()[None, 3:]
    alphas = start_alpha(wanted, parse_parameterisation(param), device=CPU)
    assert torch.allclose(alphas(), wanted, atol=1e-5)
    # A step of the learning rate that suits the colours moves the mean of alpha by 0.1, before the
    # sigmoid, and a wave of k periods by twice as much over k squared.
    with torch.no_grad():
        alphas.spectrum += parse_parameterisation(param).learning_rate * torch.tensor([1.0, 0.0])
    waves = torch.fft.rfft2(torch.logit(alphas()) - torch.logit(wanted), norm="forward")
    for y, x in ((0, 0), (1, 0), (0, 2), (3, 4)):
        assert waves[0, 0, y, x].abs().item() == pytest.approx(0.1 / max(y**2 + x**2, 1), rel=1e-2)


def test_alpha_moves_alike_at_every_size():
    for size in ((8, 8), (40, 30), (25, 31)):
        alphas = start_alpha(torch.full((1, 1, *size), 0.5), Fourier(), device=CPU)
        with torch.no_grad():
            alphas.spectrum[..., 0, 0, 0] += Fourier.learning_rate
        assert torch.allclose(torch.logit(alphas()), torch.tensor(0.1), atol=1e-4)


@pytest.mark.parametrize("param", sorted(PARAMETERISATIONS))
def test_every_parameterisation_can_be_transparent(model, param):
    result = render(model, "block:1", param=param, alpha=1, images=2, **QUICK)
    assert result.images.shape == (2, 4, 32, 32)
    assert (result.images >= 0).all()
    assert (result.images <= 1).all()
    assert (result.images[:, 3] - 0.5).abs().mean() > 1e-3
    assert result.record["config"]["param"] == param


# ---- the climb -----------------------------------------------------------------------------------


def test_one_step_is_adam_on_the_score_before_a_random_background(model):
    # A slow loop written out: no fusing, no batching, no inference copy.
    result = render(model, "late:1", alpha=0.8, redirect_steps=0, **{**QUICK, "steps": 3})
    extent = {"channels": 3, "size": (32, 32)}
    generator = ascent.image_generator(0, "late:1")
    color = Fourier().start(**extent, generators=[generator], device=CPU)
    transforms = parse_transforms("lucid")
    moves = transforms.draw(3, **extent, generator=generator)
    backdrops = Backdrops.draw(3, **extent, generators=[generator], device=CPU)
    alpha = start_alpha(torch.full((1, 1, 32, 32), 0.5), Fourier(), device=CPU)
    adam = torch.optim.Adam([color.spectrum, alpha.spectrum], lr=0.05)
    for step in range(3):
        adam.zero_grad()
        seen = alpha() * color() + (1 - alpha()) * backdrops[step]
        score = model.record(transforms.apply(seen, moves[step]), ["late"])["late"][:, 1].mean()
        climbed = score + 0.8 * score.detach().abs() * torch.log(1 - alpha().mean())
        assert torch.allclose(climbed, result.history[0, step], atol=1e-5)
        (-climbed).backward()
        adam.step()
    assert torch.allclose(color(), result.images[:, :3], atol=1e-4)
    assert torch.allclose(alpha(), result.images[:, 3:], atol=1e-4)


def test_penalties_see_the_image_before_its_background(model):
    seen = []

    def look(acts):
        seen.append(acts["image"].detach().clone())
        return acts["block"].mean((1, 2, 3)) + 0 * acts["image"].mean((1, 2, 3))

    made = objective(look, sites=["block", "image"])
    render(model, made, alpha=1, start=rgba(), **STILL)
    before, after = seen  # the step, then the finished image
    generator = ascent.image_generator(0, made.label)
    parse_transforms("lucid").draw(1, channels=3, size=(32, 32), generator=generator)
    backdrops = Backdrops.draw(1, channels=3, size=(32, 32), generators=[generator], device=CPU)
    assert torch.allclose(before, over(rgba()[None], backdrops[0]), atol=1e-3)
    assert torch.allclose(after, over_grey(rgba()[None]), atol=1e-3)


def test_an_image_is_the_same_alone_and_in_a_batch(model):
    units = ["block:1", "late:2", "block:5"]
    together = render(model, units, alpha=1, **QUICK)
    for k, unit in enumerate(units):
        alone = render(model, unit, alpha=1, **QUICK)
        assert torch.allclose(alone.images[0], together.images[k], atol=1e-4)
    again = render(model, units, alpha=1, **QUICK)
    assert torch.equal(again.images, together.images)


def test_colours_begin_as_those_of_an_opaque_image(model):
    clear, opaque = (render(model, "block:1", alpha=alpha, **STILL) for alpha in (1, None))
    assert torch.allclose(clear.images[:, :3], opaque.images, atol=1e-4)
    assert torch.allclose(clear.images[:, 3], torch.tensor(0.5), atol=1e-4)


def test_clear_where_the_unit_does_not_look():
    class LeftHalf(nn.Module):
        def forward(self, x):
            return torch.relu(x[:, :1, :, : x.shape[3] // 2])

    spec = ModelSpec("left", nn.Identity, size=(24, 24))
    looker = Model(nn.Sequential(LeftHalf()).eval(), spec, weights_origin="-")
    result = render(looker, "0:0", alpha=0.3, steps=60, transforms="none", progress=False)
    left, right = result.images[0, :, :, 2:10], result.images[0, :, :, 14:22]
    assert right[3].max() < 0.05
    assert left[3].mean() > 0.5
    assert (left[0] * left[3]).sum() > 0.85 * left[3].sum()  # and bright where it is opaque


def test_a_larger_share_is_more_transparent(model):
    opaque = [
        render(model, "block:1", alpha=a, steps=30, progress=False).images[:, 3].mean()
        for a in (0, 1, 4)
    ]
    assert opaque[0] > opaque[1] > opaque[2]


@pytest.mark.parametrize(
    "settings",
    [
        {"transforms": "crops:2,noise:0.05"},
        {"optimiser": "lbfgs"},
        {"images": 2, "diversity": 0.5},
        {"transforms": "pad:4,jitter:2"},
    ],
)
def test_it_goes_with_other_settings(model, settings):
    result = render(model, "block:1", alpha=1, **settings, **QUICK)
    assert result.images.shape[1] == 4
    assert result.history.isfinite().all()
    again = render(model, "block:1", alpha=1, **settings, **QUICK)
    assert torch.equal(again.images, result.images)


# ---- where it starts -----------------------------------------------------------------------------


def test_a_start_with_alpha_keeps_it(model, tmp_path):
    file = save(rgba(), tmp_path / "a.png")
    given = read_photo(file, (32, 32), alpha=True)
    assert (given - rgba()).abs().max() < 0.51 / 255
    result = render(model, "block:1", alpha=1, start=file, **STILL)
    assert torch.allclose(result.images[0], given, atol=2e-3)
    same = render(model, "block:1", alpha=1, start=given, **STILL)
    assert torch.equal(same.images, result.images)


def test_an_opaque_start_begins_opaque(model, tmp_path):
    file = save(rgba()[:3], tmp_path / "a.png")
    for start in (file, rgba()[:3]):
        result = render(model, "block:1", alpha=1, start=start, **STILL)
        assert torch.allclose(result.images[0, 3], torch.tensor(0.99), atol=1e-3)


def test_an_opaque_render_starts_from_the_picture_before_grey(model, tmp_path):
    file = save(rgba(), tmp_path / "a.png")
    result = render(model, "block:1", start=file, **STILL)
    assert torch.allclose(result.images, over_grey(rgba()[None]), atol=0.01)


def test_outside_the_mask_nothing_shows(model):
    mask = torch.zeros(1, 32, 32)
    mask[:, 8:20, 4:30] = 1
    result = render(model, "block:1", alpha=1, mask=mask, **QUICK)
    outside = result.images[0][:, mask[0] == 0]
    assert (outside[3] == 0).all()
    assert torch.allclose(outside[:3], torch.tensor(0.5))
    assert (result.images[0, 3][mask[0] == 1] > 0).all()
    kept = render(model, "block:1", alpha=1, start=rgba(), mask=mask, **QUICK)
    assert torch.allclose(kept.images[0][:, mask[0] == 0], rgba()[:, mask[0] == 0])


def test_what_is_transparent_in_a_mask_is_black(model, tmp_path):
    picture = Image.new("RGBA", (32, 32), (255, 255, 255, 0))
    picture.paste((255, 255, 255, 255), (4, 4, 20, 20))
    picture.save(tmp_path / "m.png")
    result = render(model, "block:1", mask=tmp_path / "m.png", **QUICK)
    changed = (result.images[0] - 0.5).abs().amax(0)
    assert changed[:, 24:].max() < 1e-6
    assert changed[4:20, 4:20].min() >= 0
    assert changed[4:20, 4:20].max() > 1e-3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_of_any_kind_is_before_grey(mode, tmp_path):
    picture = Image.new("RGBA", (4, 2), (200, 200, 200, 255))
    picture.paste((10, 20, 30, 0), (2, 0, 4, 2))
    if mode == "P":  # a palette in which one entry is transparent, as in a GIF
        picture = picture.quantize(4, method=Image.Quantize.FASTOCTREE)
    file = tmp_path / "clear.png"
    (picture if mode == "P" else picture.convert(mode)).save(file, "PNG")
    with Image.open(file) as shown:
        assert shown.mode == mode
    row = np.asarray(open_photograph(file))[0].astype(int)
    assert np.abs(row[0] - 200).max() < 3
    assert np.abs(row[3] - 128).max() < 1
    opaque = Image.new("RGB", (4, 2), (10, 200, 30))
    opaque.save(file, "PNG")
    grey = np.asarray(open_photograph(file, channels=1))
    assert np.array_equal(grey, np.asarray(opaque.convert("L")))


# ---- the evidence --------------------------------------------------------------------------------


def test_the_score_is_that_of_the_image_before_grey(model):
    result = render(model, ["block:1", "late:2"], alpha=1, **QUICK)
    seen = over_grey(result.images)
    assert torch.equal(result.seen(), seen)
    acts = model.record(seen, ["block", "late"])
    expected = torch.stack([acts["block"][0, 1].mean(), acts["late"][1, 2].mean()])
    assert torch.allclose(result.score, expected, atol=1e-6)
    for k, entry in enumerate(result.record["images"]):
        measured = pixel_metrics(seen)[k] | {"opacity": result.images[k, 3].mean().item()}
        assert entry["metrics"] == pytest.approx(measured)
    white = result.images[:, 3:] * result.images[:, :3] + 1 - result.images[:, 3:]
    assert torch.allclose(result.seen(1.0), white, atol=1e-6)
    opaque = render(model, "block:1", **QUICK)
    assert torch.equal(opaque.seen(), opaque.images)
    assert "opacity" not in opaque.record["images"][0]["metrics"]


def test_the_picture_is_rgba_and_is_measured_again(model, tmp_path):
    result = render(model, ["block:1", "late:1"], alpha=1, thresholds=(2,), **QUICK)
    paths = result.save(tmp_path)
    with Image.open(paths[0]) as picture:
        assert picture.mode == "RGBA"
        assert np.array_equal(np.asarray(picture), np.asarray(result.pictures()[0]))
        levels = np.asarray(picture).transpose(2, 0, 1) / 255
    assert np.abs(levels - result.images[0].numpy()).max() < 0.51 / 255
    with Image.open(paths[2]) as frame:
        assert frame.mode == "RGBA"
    with Image.open(paths[-1]) as sheet:
        assert sheet.mode == "RGB"
    found = read_render(paths[0])
    assert torch.allclose(found.image, result.seen()[0], atol=0.01)
    assert torch.allclose(found.alpha, result.images[0, 3:], atol=0.51 / 255)
    clear = [found, read_render(paths[1])]
    opaque = read_render(render(model, "block:1", **QUICK).save(tmp_path / "opaque")[0])
    report = measure_renders([*clear, opaque], load_recorded=lambda _words: model)
    assert report.rows[0]["opacity"] == pytest.approx(result.images[0, 3].mean().item(), abs=0.01)
    assert report.rows[0]["slope"] == pytest.approx(
        result.record["images"][0]["metrics"]["slope"], abs=0.1
    )
    assert all(row["robust_mean"] is not None for row in report.rows)
    assert "opacity" not in report.rows[2]


def test_robustness_knows_the_alpha_of_formulas(model, tmp_path):
    rows = []
    for text in ("block:1", "block:1 + 5*opacity()"):
        (path,) = render(model, text, alpha=0, **STILL).save(tmp_path / text[:9])
        report = measure_renders([read_render(path)], load_recorded=lambda _words: model)
        rows.append(report.rows[0])
    # Alpha is 0.5 throughout, and is not moved: each score is 2.5 less.
    apart = [row["robust_mean"] - row["score"] for row in rows]
    assert rows[1]["score"] < rows[0]["score"] - 2
    assert apart[1] == pytest.approx(apart[0], abs=0.05)


def test_a_picture_of_another_kind_than_its_record_says():
    for image, alpha in ((rgba(), False), (rgba()[:3], True), (rgba()[:1], True)):
        picture = to_picture(image, alpha=len(image) == 4)
        with pytest.raises(PictureError, match="was it edited"):
            to_image(picture, (32, 32), alpha=alpha)
    picture = to_picture(rgba(), alpha=True)
    assert (to_image(picture, (32, 32), alpha=True) - rgba()).abs().max() < 0.51 / 255


def test_grey_networks_too(tmp_path):
    result = render(small_model(channels=1), "block:1", alpha=1, **QUICK)
    assert result.images.shape == (1, 2, 32, 32)
    (path,) = result.save(tmp_path)
    with Image.open(path) as picture:
        assert picture.mode == "LA"
    assert torch.allclose(read_render(path).image, result.seen()[0], atol=0.01)


def test_callbacks_and_frames_have_alpha(model):
    seen = []
    result = render(
        model,
        "block:1",
        alpha=1,
        thresholds=(2,),
        callback=lambda moment: seen.append(moment.images()),
        **QUICK,
    )
    assert torch.equal(seen[1], result.frames[2])
    assert torch.equal(seen[-1], result.images)
    assert [picture.mode for picture in result.moving(0)] == ["RGBA", "RGBA"]


# ---- how it is shown -----------------------------------------------------------------------------


def test_transparent_pictures_are_shown_on_squares():
    image = torch.zeros(4, 24, 24)
    image[0] = 1
    image[3, :, 12:] = 1
    shown = np.asarray(on_squares(to_picture(image, alpha=True)))
    assert (shown[:, 12:] == (255, 0, 0)).all()
    assert (shown[0, :8] == 235).all()
    assert (shown[0, 8:12] == 200).all()
    assert (shown[8, :8] == 200).all()
    opaque = to_picture(image[:3])
    assert np.array_equal(np.asarray(on_squares(opaque)), np.asarray(opaque))


def test_notebook_page_and_sheet_show_the_squares(model, tmp_path):
    result = render(model, "block:1", alpha=1, **QUICK)
    data = result._repr_html_().split("base64,")[1].split('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(data))) as sheet:
        assert sheet.mode == "RGB"
        pasted = np.asarray(sheet)[6 : 6 + 96, 6 : 6 + 96]
    enlarged = result.pictures()[0].resize((96, 96), Image.Resampling.NEAREST)
    assert np.array_equal(pasted, np.asarray(on_squares(enlarged)))
    for name, made in (("clear", result), ("opaque", render(model, "block:1", **QUICK))):
        paths = made.save(tmp_path / name)
        section = result_section("h", "", made, paths)
        write_page(tmp_path / f"{name}.html", [section], title="t", lead="l")
        text = (tmp_path / f"{name}.html").read_text()
        assert ('class="live clear"' in text) is (name == "clear")


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha must be 0 or more, got -1"),
        ({"alpha": float("nan")}, "alpha must be 0 or more, got nan"),
        ({"alpha": True}, "alpha must be a number, usually 1; got True"),
        ({"alpha": "1"}, "alpha must be a number, usually 1; got '1'"),
        ({"alpha": 1.0, "keep": 1.0, "start": rgba()}, "keep holds an image near an opaque"),
        (
            {"alpha": 1.0, "start": rgba((9, 9))},
            r"start has shape \(4, 9, 9\), the images have \(4",
        ),
        ({"start": rgba()}, r"start has shape \(4, 32, 32\), the images have \(3, 32, 32\)"),
    ],
)
def test_bad_settings(model, options, message):
    with unchecked(), pytest.raises(ConfigError, match=message):
        render(model, "block:1", **options, **QUICK)


def test_networks_whose_images_no_picture_holds():
    with pytest.raises(ConfigError, match=r"alpha goes with RGB or grey images.*takes 2 channels"):
        render(small_model(channels=2), "block:1", alpha=1, **QUICK)


def test_the_record_holds_the_share(model):
    result = render(model, "block:1", alpha=0.5, **QUICK)
    assert json.loads(json.dumps(result.record))["config"]["alpha"] == 0.5


# ---- asleep behind a mask ------------------------------------------------------------------------


def test_gradient_outside_the_mask_wakes_nobody(monkeypatch):
    # Fires at the left, where the photograph is bright; is blocked at the right.
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU())
    with torch.no_grad():
        network[0].weight.fill_(1 / 3)
        network[0].bias.fill_(-0.7)
    bright = Model(network.eval(), ModelSpec("b", nn.Identity, size=(16, 16)), weights_origin="-")
    photo = torch.full((3, 16, 16), 0.2)
    photo[:, :, :8] = 0.9
    right = torch.zeros(1, 16, 16)
    right[:, :, 8:] = 1
    told, plain = [], InferenceCopy.__call__

    def spy(self, images, *, asleep=None):
        told.append(None if asleep is None else asleep.tolist())
        return plain(self, images, asleep=asleep)

    monkeypatch.setattr(InferenceCopy, "__call__", spy)
    settings = {"steps": 4, "redirect_steps": 1, "transforms": "none", "progress": False}
    render(bright, "1:0", start=photo, mask=right, **settings)
    assert told == [[True], None, [True], None]
    told.clear()
    render(bright, "1:0", start=photo, mask=1 - right, **settings)
    assert told == [[True], None, None, None]
