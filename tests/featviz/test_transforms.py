import kornia
import numpy as np
import pytest
import torch

import reference
from featviz.errors import ConfigError
from featviz.transforms import LUCID, Jitter, Pad, Rotate, Scale, Transforms, parse_transforms


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def image(h, w, seed=3):
    return torch.rand(1, 1, h, w, generator=generator(seed))


@pytest.mark.parametrize("size", [(16, 16), (11, 18)])
@pytest.mark.parametrize("seed", range(4))
def test_fused_map_is_the_composition_of_the_single_ones(size, seed):
    transforms = parse_transforms("lucid")
    drawn = transforms.draw(3, size=size, generator=generator(seed))
    again = generator(seed)
    seeds = [int(torch.randint(2**62, (), generator=again)) for _ in LUCID]
    single = [
        step.draw(3, generator=generator(own)).numpy()
        for step, own in zip(LUCID, seeds, strict=True)
    ]
    for k in range(3):
        composed = np.eye(3)
        for maps in single:
            composed = maps[k] @ composed
        source = image(*size)
        ours = transforms.apply(source, drawn[k : k + 1])[0, 0].numpy()
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
    drawn = ours.draw(1, size=size, generator=generator())
    center = torch.tensor([[(w - 1) / 2, (h - 1) / 2]])
    border = {"padding_mode": "border", "align_corners": True}
    theirs = kornia.geometry.translate(smooth, torch.tensor([shift]).float(), **border)
    theirs = kornia.geometry.scale(theirs, torch.tensor([[factor, factor]]), center, **border)
    # kornia turns counter-clockwise for positive angles
    theirs = kornia.geometry.rotate(theirs, torch.tensor([-angle]), center, **border)
    inner = (slice(None), slice(None), slice(6, h - 6), slice(6, w - 6))
    assert (ours.apply(smooth, drawn) - theirs)[inner].abs().max() < 4e-3


class _Fixed(Jitter):
    """A shift that is not random."""

    def __init__(self, x, y):
        super().__init__(0)
        object.__setattr__(self, "_shift", (x, y))

    def draw(self, steps, *, generator):
        maps = super().draw(steps, generator=generator)
        maps[:, 0, 2], maps[:, 1, 2] = self._shift
        return maps


def test_jitter_moves_whole_pixels_and_fills_grey():
    source = image(6, 7)
    transforms = Transforms([_Fixed(2, -1)])
    moved = transforms.apply(source, transforms.draw(1, size=(6, 7), generator=generator()))
    assert torch.allclose(moved[..., :5, 2:], source[..., 1:, :5], atol=1e-6)
    assert torch.allclose(moved[..., 5, :], torch.tensor(0.5))
    assert torch.allclose(moved[..., :2], torch.tensor(0.5))


def test_jitter_is_symmetric_and_reaches_its_ends():
    shifts = Jitter(8).draw(4000, generator=generator())[:, :2, 2]
    assert set(shifts.flatten().tolist()) == set(range(-4, 5))
    assert shifts.mean().abs() < 0.15


def test_lucid_draws_lucids_values():
    scales = LUCID[1].draw(4000, generator=generator())[:, 0, 0]
    assert sorted({round(s, 2) for s in scales.tolist()}) == [
        0.90, 0.92, 0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08, 1.1
    ]  # fmt: skip
    turns = LUCID[2].draw(13000, generator=generator())
    angles = torch.rad2deg(torch.atan2(turns[:, 1, 0], turns[:, 0, 0])).round().int().tolist()
    assert set(angles) == set(range(-10, 11))
    assert angles.count(0) == pytest.approx(13000 * 6 / 26, rel=0.06)


def test_positive_angles_turn_clockwise():
    source = torch.full((1, 1, 9, 9), 0.5)
    source[0, 0, 0, 4] = 1.0  # top
    transforms = Transforms([Rotate((90.0,))])
    turned = transforms.apply(source, transforms.draw(1, size=(9, 9), generator=generator()))
    assert turned[0, 0, 4, 8] == pytest.approx(1.0, abs=1e-4)  # right


def test_pad_shows_the_whole_image_in_a_grey_frame():
    source = image(5, 6)
    transforms = parse_transforms("pad:3")
    assert transforms.output_size((5, 6)) == (11, 12)
    padded = transforms.apply(source, transforms.draw(1, size=(5, 6), generator=generator()))
    assert torch.allclose(padded[..., 3:8, 3:9], source, atol=1e-6)
    assert torch.allclose(padded[..., :3, :], torch.tensor(0.5))


def test_none_leaves_images_alone():
    source = image(5, 5)
    transforms = parse_transforms("none")
    drawn = transforms.draw(1, size=(5, 5), generator=generator())
    assert transforms.apply(source, drawn) is source


@pytest.mark.parametrize("text", ["lucid", "jitter:8,scale:0.9..1.1,rotate:-5..5"])
def test_first_moves_do_not_depend_on_how_many_follow(text):
    transforms = parse_transforms(text)
    few, many = (transforms.draw(n, size=(9, 9), generator=generator()) for n in (5, 300))
    assert torch.equal(few, many[:5])


def test_images_move_independently():
    transforms = parse_transforms("lucid")
    drawn = torch.cat([transforms.draw(1, size=(12, 12), generator=generator(s)) for s in (1, 2)])
    two = image(12, 12).repeat(2, 1, 1, 1)
    moved = transforms.apply(two, drawn)
    assert not torch.allclose(moved[0], moved[1])
    for k in range(2):
        assert torch.equal(moved[k : k + 1], transforms.apply(two[:1], drawn[k : k + 1]))


def test_gradients():
    transforms = parse_transforms("jitter:2,scale:0.9..1.1,rotate:-10..10,pad:1")
    drawn = transforms.draw(1, size=(5, 6), generator=generator()).double()
    source = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: transforms.apply(x, drawn), (source,))


@pytest.mark.parametrize("text", ["lucid", "none", "pad:4,jitter:8,scale:0.9..1.1,rotate:-5/0/5"])
def test_text_round_trip(text):
    transforms = parse_transforms(text)
    assert transforms.text == text
    assert Transforms(transforms.steps).text == (
        text if text != "lucid" else ",".join(step.to_text() for step in LUCID)
    )
    assert parse_transforms(Transforms(transforms.steps).text).steps == transforms.steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lucd", "unknown transform 'lucd' in 'lucd'; did you mean 'lucid'"),
        ("jiter:8", "unknown transform 'jiter' in 'jiter:8'; did you mean 'jitter'"),
        ("jitter:1.5", "bad value '1.5' of 'jitter'"),
        ("jitter:-1", "jitter must reach 0 px or more, got -1"),
        ("pad:-1", "pad must be 0 px or more, got -1"),
        ("scale:0", "scale factors must be above 0"),
        ("scale:nan", "scale factors must be above 0"),
        ("rotate:inf", "rotate needs finite angles"),
        ("scale:2..1", "bad range '2..1' of 'scale'"),
        ("rotate:1..2..3", "bad value|bad range"),
        ("rotate:", "bad value '' of 'rotate'"),
        ("", "unknown transform ''"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_transforms(text)


def test_no_angles():
    with pytest.raises(ConfigError, match="needs finite angles, at least one"):
        Rotate(())


def test_margins_add_up():
    assert Transforms([Pad(2), Jitter(4), Pad(1)]).output_size((10, 20)) == (16, 26)
