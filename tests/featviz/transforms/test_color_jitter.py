import kornia
import numpy as np
import torch
from torchvision.transforms.v2 import functional as torchvision

import reference
from draws import drawn, extent, generator, image, ks_distance
from featviz.transforms import ColorJitter


def reach(**changes):
    """The numbers of ColorJitter that reaches so far, for many rows, and what was drawn of each."""
    jitter = ColorJitter(**changes)
    numbers = jitter.draw(extent(2000), generator=generator()).numbers
    share = 2 * torch.rand(2000, 4, generator=generator(), dtype=torch.float64) - 1
    order = ("brightness", "contrast", "saturation", "hue_deg")
    return jitter, numbers, share[:, order.index(next(iter(changes)))]


def test_is_the_four_changes_one_after_the_other():
    jitter = ColorJitter(0.3, 0.4, 0.5, 60)
    numbers = jitter.draw(extent(6), generator=generator()).numbers
    share = 2 * torch.rand(6, 4, generator=generator(), dtype=torch.float64) - 1
    source = image(2, 3, channels=3, batch=6)
    ours = jitter.apply(source, numbers, torch.empty(0))
    for row in range(6):
        brightness, contrast, saturation = (1 + share[row, :3].numpy() * [0.3, 0.4, 0.5]).tolist()
        hue_deg = 60 * float(share[row, 3])
        for y in range(2):
            for x in range(3):
                pixel = tuple(source[row, :, y, x].tolist())
                slow = reference.jittered_color(pixel, brightness, contrast, saturation, hue_deg)
                assert np.allclose(ours[row, :, y, x], slow, atol=1e-5)


def test_torchvision_and_kornia_agree_on_brightness():
    jitter, numbers, share = reach(brightness=0.5)
    source = image(4, 5, channels=3) / 2  # nothing reaches the end of the range, where they clip
    for row in range(5):
        factor = float(1 + 0.5 * share[row])
        ours = jitter.apply(source, numbers[row : row + 1], torch.empty(0))
        assert torch.allclose(ours, torchvision.adjust_brightness(source, factor), atol=1e-6)
        theirs = kornia.enhance.adjust_brightness_accumulative(source, factor)
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_torchvision_agrees_on_contrast_where_the_mean_is_grey():
    jitter, numbers, share = reach(contrast=0.5)
    half = 0.4 + 0.2 * image(3, 4, channels=3)
    source = torch.cat([half, 1 - half], dim=2)
    for row in range(5):
        ours = jitter.apply(source, numbers[row : row + 1], torch.empty(0))
        theirs = torchvision.adjust_contrast(source, float(1 + 0.5 * share[row]))
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_torchvision_agrees_on_saturation():
    jitter, numbers, share = reach(saturation=0.9)
    source = 0.3 + 0.3 * image(4, 5, channels=3)
    for row in range(5):
        ours = jitter.apply(source, numbers[row : row + 1], torch.empty(0))
        theirs = torchvision.adjust_saturation(source, float(1 + 0.9 * share[row]))
        assert torch.allclose(ours, theirs, atol=2e-4)  # its weights add up to 0.9999


def test_torchvision_agrees_on_hue_at_a_third_of_a_turn():
    jitter, numbers, share = reach(hue_deg=180)
    source = image(4, 5, channels=3)
    for sign in (-1, 1):
        row = int((180 * share - sign * 120).abs().argmin())
        ours = jitter.apply(source, numbers[row : row + 1], torch.empty(0))
        theirs = torchvision.adjust_hue(source, sign / 3)
        assert torch.allclose(ours, theirs, atol=0.01)  # as near to a third as was drawn
        assert torch.allclose(ours, source.roll(sign, dims=1), atol=0.01)


def test_small_turns_of_hue_go_the_way_of_torchvision():
    jitter, numbers, share = reach(hue_deg=10)
    source = image(8, 8, channels=3)
    for row in range(6):
        change = jitter.apply(source, numbers[row : row + 1], torch.empty(0)) - source
        theirs = torchvision.adjust_hue(source, 10 * float(share[row]) / 360) - source
        cosine = torch.nn.functional.cosine_similarity(change.flatten(), theirs.flatten(), dim=0)
        # One channel changes at a time there. Its part across the axis of greys is sqrt(2/3) of it,
        # and lies at most 30 degrees from our circle: a cosine of 0.707 to 0.816.
        assert 0.7 < cosine < 0.82


def test_greys_keep_their_hue_and_nothing_is_clipped():
    transforms, moves = drawn("color:0.9/0.9/0.9/180", 200, image(1, 1, channels=3))
    grey = torch.linspace(-1, 2, 7).expand(1, 3, 1, 7)
    outs = torch.cat([transforms.apply(grey, moves[k]) for k in range(200)])
    assert torch.allclose(outs[:, 0], outs[:, 1], atol=1e-5)
    assert torch.allclose(outs[:, 0], outs[:, 2], atol=1e-5)
    assert outs.min() < -1
    assert outs.max() > 2


def test_changes_are_uniform():
    _, numbers, _ = reach(brightness=0.4)
    factors = numbers[:, 0, 0].double()
    assert ks_distance(factors, (factors - 0.6) / 0.8) < 1.95
    _, numbers, _ = reach(contrast=0.4)
    factors = 1 - 2 * numbers[:, 0, 3].double()
    assert ks_distance(factors, (factors - 0.6) / 0.8) < 1.95
    _, numbers, _ = reach(hue_deg=30)
    matrix = numbers[:, :, :3].double()
    sine = (matrix[:, 1, 0] - matrix[:, 0, 1]) * 3**0.5 / 2
    angle_deg = torch.rad2deg(torch.asin(sine))
    assert ks_distance(angle_deg, (angle_deg + 30) / 60) < 1.95


def test_gradients_do_not_vanish_at_the_ends_of_the_range():
    source = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2).clone().requires_grad_()
    transforms, moves = drawn("color:0.2/0.2/0.2/20", 1, source)
    transforms.apply(source, moves[0]).square().sum().backward()
    assert (source.grad != 0).all()
