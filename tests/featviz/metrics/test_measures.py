import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import reference
from featviz.errors import ConfigError, PictureError, SiteError
from featviz.images import to_picture
from featviz.metrics import (
    HeldOut,
    PictureFolder,
    Reference,
    diversity,
    embed,
    independent_name,
    nearest_pictures,
    read_picture,
    robustness,
    score_images,
    self_identification,
)
from featviz.metrics.measures import blurred, channel_means, penultimate_site
from featviz.objectives import channel, neuron
from nets import small_model


def images(count: int, side: int = 32, *, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    (folder / "deeper").mkdir(parents=True)
    for k, image in enumerate(images(7, 40, seed=5)):
        name = f"deeper/{k}.png" if k % 2 else f"{k}.png"
        to_picture(image).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("not a picture either")
    return folder


def stacked(folder) -> torch.Tensor:
    opened = PictureFolder.open(folder)
    return torch.stack([read_picture(file, (32, 32)) for file in opened.files])


def test_folder_in_batches(photographs):
    folder = PictureFolder.open(photographs)
    assert len(folder) == 7
    parts = list(folder.batches((32, 32), batch=3))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert torch.equal(torch.cat(parts), stacked(photographs))
    assert next(folder.batches((32, 32), channels=1)).shape == (7, 1, 32, 32)


def test_a_picture_covers_the_size_and_its_centre_stays(tmp_path):
    # 8/7 of the size is shown, so of 224 px the crop takes the middle 196
    array = np.zeros((224, 448, 3), dtype=np.uint8)
    array[14:210, 126:322] = 255
    Image.fromarray(array).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png", (49, 49))
    assert found.shape == (3, 49, 49)
    assert found[:, 1:-1, 1:-1].min() == 1
    assert read_picture(tmp_path / "a.png", (20, 61)).shape == (3, 20, 61)


def test_folder_errors(tmp_path, photographs):
    with pytest.raises(PictureError, match=r"there is no folder '.*none'; give a folder of photo"):
        PictureFolder.open(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match=r"holds 0 pictures .*; give a folder with two at least"):
        PictureFolder.open(tmp_path / "empty")
    (photographs / "broken.jpg").write_bytes(b"no picture")
    folder = PictureFolder.open(photographs)
    with pytest.raises(
        PictureError, match=r"cannot read '.*broken.jpg' as a picture: its format is not"
    ):
        list(folder.batches((32, 32)))
    with pytest.raises(PictureError, match="the network takes 4; compare it with its own data"):
        next(folder.batches((32, 32), channels=4))


def test_scores_are_those_of_the_objectives():
    model, shown = small_model(), images(2)
    objectives = [channel("block", 3), neuron("branches", 2)]
    found = score_images(model, objectives, shown)
    acts = model.record(shown, ["block", "branches"])
    h, w = acts["branches"].shape[-2:]
    assert found[0].item() == pytest.approx(acts["block"][0, 3].mean().item(), rel=1e-5)
    assert found[1].item() == pytest.approx(acts["branches"][1, 2, h // 2, w // 2].item())


def test_reference_is_that_of_all_pictures_at_once(photographs):
    model, shown = small_model(), stacked(photographs)
    objectives = [channel("block", 3), neuron("branches", 2)]
    reference_set = Reference(model, photographs, batch=3)
    with torch.no_grad():
        acts = model.record(shown, ["block", "branches"])
    means = acts["block"].mean((2, 3))
    moments = reference_set.moments("block")
    np.testing.assert_allclose(moments.mean, means.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments.sd, means.std(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        reference_set.peaks("block"), acts["block"].amax((0, 2, 3)), rtol=1e-4
    )
    h, w = acts["branches"].shape[-2:]
    expected = torch.stack([means[:, 3], acts["branches"][:, 2, h // 2, w // 2]], 1)
    np.testing.assert_allclose(reference_set.scores(objectives), expected, rtol=1e-4, atol=1e-6)


def test_reference_reads_the_folder_once(photographs, monkeypatch):
    model = small_model()
    reference_set = Reference(model, photographs)
    reference_set.gather(["block", "logits"], [channel("late", 0)])
    monkeypatch.setattr(PictureFolder, "batches", None)
    assert len(reference_set.moments("block").mean) == 8
    assert reference_set.peaks("logits").shape == (6,)
    assert reference_set.scores([channel("late", 0)]).shape == (7, 1)


def test_reference_of_an_unknown_site(photographs):
    with pytest.raises(SiteError, match="unknown site 'blok'"):
        Reference(small_model(), photographs).moments("blok")


@pytest.mark.parametrize("sd_px", [0.4, 1.0])
def test_blur_against_the_definition(sd_px):
    image = images(1, 9)
    slow = reference.gaussian_blur(image[0, 1].double().numpy(), sd_px, round(3 * sd_px))
    np.testing.assert_allclose(blurred(image, sd_px)[0, 1], slow, atol=1e-5)
    assert blurred(image, 0.0) is image


def test_robustness_by_hand():
    model, shown = small_model(), images(2)
    objectives = [channel("block", 3), channel("block", 1)]
    still = HeldOut(draws=3, transforms="none", blur_px=(0.0, 1.0))
    found = robustness(model, objectives, shown, held_out=still)
    with torch.no_grad():
        scores = torch.stack(
            [score_images(model, objectives, blurred(shown, sd)) for sd in (0.0, 0.5, 1.0)]
        )
    np.testing.assert_allclose(found.mean, scores.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.sd, scores.std(0), rtol=1e-4)
    np.testing.assert_allclose(found.ratio, scores.mean(0) / scores[0], rtol=1e-5)


def test_robustness_is_one_without_transforms_and_the_same_in_any_batch():
    model, shown = small_model(), images(2)
    objectives = [channel("block", 3), channel("block", 1)]
    still = HeldOut(transforms="none", blur_px=(0, 0))
    found = robustness(model, objectives, shown, held_out=still)
    np.testing.assert_allclose(found.ratio, 1, rtol=1e-5)
    np.testing.assert_allclose(found.sd, 0, atol=1e-5)
    both = robustness(model, objectives, shown)
    alone = robustness(model, objectives[1:], shown[1:])
    assert both.mean[1].item() == pytest.approx(alone.mean.item(), rel=1e-5)
    assert both.sd[1] > 0


def test_no_ratio_to_a_score_that_is_not_above_zero():
    found = robustness(small_model(), [channel("late", 0) - 1e6], images(1))
    assert found.ratio.isnan().all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"draws": 1}, "draws must be 2 or more, got 1"),
        ({"blur_px": (1.0, 0.5)}, "blur_px must be"),
        ({"transforms": "wobble:3"}, "unknown transform 'wobble'"),
    ],
)
def test_held_out_errors(settings, said):
    with pytest.raises(ConfigError, match=said):
        dataclasses.replace(HeldOut(), **settings)


def test_self_identification_by_hand(photographs):
    model, shown = small_model(), images(3)
    reference_set = Reference(model, photographs)
    found = self_identification(model, "block", [0, 5, 2], shown, reference_set.moments("block"))
    with torch.no_grad():
        natural = model.record(stacked(photographs), ["block"])["block"].mean((2, 3)).numpy()
        own = model.record(shown, ["block"])["block"].mean((2, 3)).numpy()
    z = (own - natural.mean(0)) / natural.std(0, ddof=1)
    for k, unit in enumerate([0, 5, 2]):
        assert found.z[k].item() == pytest.approx(z[k, unit], rel=1e-3)
        assert found.first[k] == z[k].argmax()
        assert found.rank[k] == 1 + (z[k] > z[k, unit]).sum()


def test_diversity():
    model, shown = small_model(), images(3)
    with torch.no_grad():
        acts = model.record(shown, ["block"])["block"]
    slow = reference.gram_diversity(acts.double().numpy())
    assert diversity(model, "block", shown) == pytest.approx(slow, rel=1e-4)
    with pytest.raises(ConfigError, match="diversity needs two images at least, got 1"):
        diversity(model, "block", shown[:1])
    with pytest.raises(ConfigError, match="'logits' is a vector"):
        diversity(model, "logits", shown)


def test_nearest_picture_of_a_picture_is_itself(photographs):
    model, shown = small_model(), stacked(photographs)
    folder = PictureFolder.open(photographs)
    found = nearest_pictures(model, shown[[4, 1]], folder)
    assert found.index.tolist() == [4, 1]
    np.testing.assert_allclose(found.distance, 0, atol=1e-5)
    found = nearest_pictures(model, shown[[4, 1]], folder, site="block")
    assert found.index.tolist() == [4, 1]


def test_embedding():
    model, shown = small_model(), images(2)
    assert penultimate_site(model) == model.sites()[-2].name
    with torch.no_grad():
        expected = channel_means(model.record(shown, ["block"])["block"])
    np.testing.assert_allclose(embed(model, shown, site="block"), expected, rtol=1e-5)
    assert embed(model, images(2, 50), site="block").shape == expected.shape
    assert independent_name("efficientnet_lite0") == "squeezenet1_1"
    assert independent_name("googlenet_bvlc") == "efficientnet_lite0"


def test_the_model_is_as_before(photographs):
    model = small_model()
    model.module.train()
    Reference(model, photographs).moments("block")
    robustness(model, [channel("block", 0)], images(1))
    assert model.module.training
    assert all(p.requires_grad and p.grad is None for p in model.module.parameters())
    assert not any(m._forward_hooks for m in model.modules())
