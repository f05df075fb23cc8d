import kornia
import numpy as np
import pytest
import torch

import reference
from draws import drawn, extent, generator, image
from featviz.errors import ConfigError
from featviz.transforms import LUCID, Flip, Jitter, Pad, Rotate, Scale, Transforms


@pytest.mark.parametrize("size", [(16, 16), (11, 18)])
@pytest.mark.parametrize("seed", range(4))
def test_fused_map_is_the_composition_of_the_single_ones(size, seed):
    source = image(*size)
    transforms, moves = drawn("lucid", 3, source, seed)
    again = generator(seed)
    seeds = [int(torch.randint(2**62, (), generator=again)) for _ in LUCID]
    single = [
        step.draw(extent(3, size=size), generator=generator(own)).numpy()
        for step, own in zip(LUCID, seeds, strict=True)
    ]
    for k in range(3):
        composed = np.eye(3)
        for maps in single:
            composed = maps[k] @ composed
        ours = transforms.apply(source, moves[k])[0, 0].numpy()
        assert np.abs(ours - reference.warp(source[0, 0].numpy(), composed)).max() < 1e-5


@pytest.mark.parametrize("size", [(24, 24), (20, 31)])
def test_kornia_agrees(size):
    # kornia's translate, scale and rotate one after the other, on an image that is smooth, so
    # that resampling thrice instead of once changes little.
    h, w = size
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    smooth = (0.5 + 0.3 * torch.sin(2 * x + y) * torch.cos(1.5 * y))[None, None]
    shift, factor, angle = (3, -2), 1.08, 7.0
    ours = Transforms([_Fixed(*shift), Scale((factor,)), Rotate((angle,))])
    _, moves = drawn(ours, 1, smooth)
    center = torch.tensor([[(w - 1) / 2, (h - 1) / 2]])
    border = {"padding_mode": "border", "align_corners": True}
    theirs = kornia.geometry.translate(smooth, torch.tensor([shift]).float(), **border)
    theirs = kornia.geometry.scale(theirs, torch.tensor([[factor, factor]]), center, **border)
    # kornia turns counter-clockwise for positive angles
    theirs = kornia.geometry.rotate(theirs, torch.tensor([-angle]), center, **border)
    inner = (slice(None), slice(None), slice(6, h - 6), slice(6, w - 6))
    assert (ours.apply(smooth, moves[0]) - theirs)[inner].abs().max() < 4e-3


class _Fixed(Jitter):
    """A shift that is not random."""

    def __init__(self, x, y):
        super().__init__(0)
        object.__setattr__(self, "_shift", (x, y))

    def draw(self, extent, *, generator):
        maps = super().draw(extent, generator=generator)
        maps[:, 0, 2], maps[:, 1, 2] = self._shift
        return maps


def test_jitter_moves_whole_pixels_and_fills_grey():
    source = image(6, 7)
    transforms, moves = drawn(Transforms([_Fixed(2, -1)]), 1, source)
    moved = transforms.apply(source, moves[0])
    assert torch.allclose(moved[..., :5, 2:], source[..., 1:, :5], atol=1e-6)
    assert torch.allclose(moved[..., 5, :], torch.tensor(0.5))
    assert torch.allclose(moved[..., :2], torch.tensor(0.5))


def test_jitter_is_symmetric_and_reaches_its_ends():
    shifts = Jitter(8).draw(extent(4000), generator=generator())[:, :2, 2]
    assert set(shifts.flatten().tolist()) == set(range(-4, 5))
    assert shifts.mean().abs() < 0.15


def test_lucid_draws_lucids_values():
    scales = LUCID[1].draw(extent(4000), generator=generator())[:, 0, 0]
    assert sorted({round(s, 2) for s in scales.tolist()}) == [
        0.90, 0.92, 0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1
    ]  # fmt: skip
    turns = LUCID[2].draw(extent(13000), generator=generator())
    angles = torch.rad2deg(torch.atan2(turns[:, 1, 0], turns[:, 0, 0])).round().int().tolist()
    assert set(angles) == set(range(-10, 11))
    assert angles.count(0) == pytest.approx(13000 * 6 / 26, rel=0.06)


def test_positive_angles_turn_clockwise():
    source = torch.full((1, 1, 9, 9), 0.5)
    source[0, 0, 0, 4] = 1.0  # top
    transforms, moves = drawn(Transforms([Rotate((90.0,))]), 1, source)
    turned = transforms.apply(source, moves[0])
    assert turned[0, 0, 4, 8] == pytest.approx(1.0, abs=1e-4)  # right


def test_pad_shows_the_whole_image_in_a_grey_frame():
    source = image(5, 6)
    transforms, moves = drawn("pad:3", 1, source)
    assert transforms.output_size((5, 6)) == (11, 12)
    padded = transforms.apply(source, moves[0])
    assert torch.allclose(padded[..., 3:8, 3:9], source, atol=1e-6)
    assert torch.allclose(padded[..., :3, :], torch.tensor(0.5))


def test_flip_mirrors_half_of_the_time():
    source = image(5, 6)
    transforms, moves = drawn("flip", 2000, source)
    flipped = moves.maps[:, 0, 0, 0] < 0
    assert flipped.double().mean().item() == pytest.approx(0.5, abs=3 * 0.5 / 2000**0.5)
    for step in (int(flipped.nonzero()[0]), int((~flipped).nonzero()[0])):
        expected = source.flip(-1) if flipped[step] else source
        assert torch.allclose(transforms.apply(source, moves[step]), expected, atol=1e-6)


def test_jitter_in_percent_of_the_shorter_side():
    jitter = Jitter(12.5, percent=True)
    assert [jitter.reach_px(size) for size in ((64, 64), (128, 300), (10, 10))] == [8, 16, 1]
    same = extent(50, size=(64, 80))
    assert torch.equal(
        jitter.draw(same, generator=generator()), Jitter(8).draw(same, generator=generator())
    )


def test_margins_add_up():
    assert Transforms([Pad(2), Jitter(4), Pad(1)]).output_size((10, 20)) == (16, 26)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rotate(()), "needs finite angles, at least one"),
        (lambda: Scale(()), "scale factors must be above 0"),
        (lambda: Jitter(1.5), "jitter must reach whole pixels, got 1.5"),
        (lambda: Jitter(float("nan")), "jitter must reach 0 px or more, got nan"),
        (lambda: Jitter(-1, percent=True), "jitter must reach 0 % or more, got -1"),
        (lambda: Flip.from_text("x"), "x"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        make()
