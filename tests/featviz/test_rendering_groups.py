"""Several images of one unit, and objectives that read the image itself."""

import pytest
import torch

from featviz.errors import InputError
from featviz.objectives import channel, diversity, total_variation
from featviz.rendering import render
from nets import small_model


def test_the_first_of_several_images_is_the_one_alone():
    model = small_model()
    alone = render(model, "block:1", steps=3, size=32, progress=False)
    three = render(model, "block:1,2", steps=3, size=32, images=3, batch=4, progress=False)
    assert three.labels == tuple(f"block:{k}{n}" for k in (1, 2) for n in ("", " ~2", " ~3"))
    assert torch.allclose(three.images[0], alone.images[0], atol=1e-5)
    assert (three.images[0] - three.images[1]).abs().max() > 1e-3
    assert [entry["unit"] for entry in three.record["images"]] == list(three.labels)


def test_diversity_pushes_images_apart():
    model = small_model()
    settings = {"steps": 48, "size": 32, "images": 3, "batch": 3, "progress": False}
    term = diversity("block")
    scores = []
    for share in (0.0, 10.0):
        result = render(model, "block:1", diversity=share, **settings)
        with torch.no_grad():
            scores.append(term.score(model.record(result.images, ["block"])).mean())
    assert scores[1] > scores[0] + 0.01
    assert result.labels[1] == "block:1 ~2"
    with torch.no_grad():
        alone = channel("block", 1).score(model.record(result.images, ["block"]))
    assert torch.allclose(result.score, alone, atol=1e-4)


def test_images_that_belong_together_are_not_parted():
    model = small_model()
    wanted = channel("block", 1) + diversity("block")
    together = render(model, wanted, steps=2, size=32, images=3, batch=16, progress=False)
    small = render(model, [wanted, wanted], steps=2, size=32, images=3, batch=4, progress=False)
    assert torch.allclose(together.images, small.images[:3], atol=1e-5)


def test_penalties_read_the_image_before_transforms():
    model = small_model()
    wanted = channel("block", 1) - 0 + 50 * total_variation()
    plain = render(model, "block:1", steps=16, size=32, progress=False)
    smooth = render(model, wanted, steps=16, size=32, progress=False)

    def variation(result):
        return -total_variation().score({"image": result.images})[0]

    assert variation(smooth) < variation(plain) / 2


@pytest.mark.parametrize(
    ("wanted", "options", "message"),
    [
        (total_variation(), {}, "reads no site of the network"),
        (channel("block", 0) + diversity("block"), {}, "ask for 2 images or more"),
        ("block:0", {"diversity": 1.0}, "ask for 2 images or more"),
        ("block:0", {"diversity": -1.0, "images": 2}, "diversity must be 0 or more"),
        ("block:0", {"images": 0}, "images must be a whole number, 1 or more"),
    ],
)
def test_bad_groups(wanted, options, message):
    with pytest.raises(InputError, match=message):
        render(small_model(), wanted, steps=1, size=32, progress=False, **options)


# ---- callbacks -----------------------------------------------------------------------------------


def test_a_callback_sees_every_step_of_every_batch():
    seen = []

    def callback(moment):
        seen.append((moment.step, moment.labels, moment.scores(), moment.images()))

    units = ["block:0", "block:1", "block:2"]
    result = render(
        small_model(), units, steps=3, size=32, batch=2, progress=False, callback=callback
    )
    assert [(step, labels) for step, labels, _, _ in seen] == [
        (step, labels) for labels in (("block:0", "block:1"), ("block:2",)) for step in (1, 2, 3)
    ]
    assert torch.equal(seen[2][3], result.images[:2])
    assert torch.equal(seen[1][2], result.history[:2, 1])


def test_a_callback_can_stop():
    def callback(moment):
        if moment.step == 2:
            raise KeyboardInterrupt

    result = render(small_model(), "block:0", steps=9, size=32, progress=False, callback=callback)
    assert result.interrupted
    assert result.record["images"][0]["steps_done"] == 2
