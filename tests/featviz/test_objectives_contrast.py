"""`contrast`: a channel less its strongest rivals."""

import math

import pytest
import torch
from typecheck import unchecked

from featviz.errors import ObjectiveError, UnitError
from featviz.objectives import Diverse, Near, Transparent, bind, channel, contrast, rests
from featviz.objectives.contrast import soft_maximum
from featviz.receptive_field import UNKNOWN
from featviz.sites import Part, Site

CPU = torch.device("cpu")
SITES = {"a": Site("a", (Part("a", 0),), (0, 5), (4, 6), UNKNOWN, has_pre=False, order=0)}

MEANS, SDS = [0.1, -0.2, 0.3, 0.0, 0.05], [0.5, 1.0, 0.02, 0.0, 2.0]


@pytest.fixture
def acts():
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (4, 5, 4, 6), "b": (4, 3, 2, 2), "logits": (4, 7)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def slow_contrast(maps, index, means, sds, weight, softness=0.1):
    """Return the formula of the docstring for one image, channel by channel."""
    z = {}
    for c, values in enumerate(maps.double().flatten(1)):
        if sds[c] > 0:
            z[c] = (sum(values.tolist()) / len(values) - means[c]) / sds[c]
    rivals = [value for c, value in z.items() if c != index]
    t = softness * max(*rivals, 1)
    soft = t * math.log(sum(math.exp(value / t) for value in rivals)) if t else max(rivals)
    return z[index] - weight * soft


@pytest.mark.parametrize(("weight", "softness"), [(0.0, 0.1), (0.5, 0.1), (2.0, 0.5), (0.5, 0.0)])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_contrast_is_its_formula(acts, index, weight, softness):
    expected = [slow_contrast(image, index, MEANS, SDS, weight, softness) for image in acts["a"]]
    found = contrast("a", index, MEANS, SDS, weight=weight, softness=softness).score(acts)
    assert found.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_contrast_of_a_vector_is_its_formula(acts):
    means, sds = [0.0, 1.0, 2.0, 0.0, 1.0, 0.0, 0.5], [1.0, 2.0, 0.5, 0.1, 0.0, 3.0, 1.0]
    logits = acts["logits"]
    expected = [slow_contrast(row[:, None], 3, means, sds, 0.5) for row in logits]
    found = contrast("logits", 3, means, sds).score(acts)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_rows_are_the_general_ones(acts):
    wanted = [contrast("a", k, MEANS, SDS, weight=0.25 * k) for k in (0, 1, 2, 4)]
    alone = torch.cat([o.score({"a": acts["a"][row][None]}) for row, o in enumerate(wanted)])
    assert torch.allclose(bind(wanted, device=CPU)(acts), alone)
    mixed = [*wanted[:3], contrast("b", 1, [0.0] * 3, [1.0] * 3)]
    found = bind(mixed, device=CPU)(acts)
    assert torch.allclose(found[:3], alone[:3])
    assert torch.allclose(found[3:], mixed[3].score({"b": acts["b"][3:]}))


def test_without_weight_it_orders_images_as_the_channel_does(acts):
    z = contrast("a", 1, MEANS, SDS, weight=0).score(acts)
    assert torch.allclose(z * SDS[1] + MEANS[1], channel("a", 1).score(acts), atol=1e-6)


def test_gradient_of_contrast(acts):
    row = acts["a"][:2].double().requires_grad_()
    wanted = contrast("a", 0, MEANS, SDS, softness=0)
    assert torch.autograd.gradcheck(lambda a: wanted.score({"a": a}), row)


@pytest.mark.parametrize("largest", [0.5, 40.0])
def test_rivals_near_the_strongest_share_its_gradient(largest):
    # At a fixed temperature the gradient of the soft maximum is the softmax.
    t = 0.1 * max(largest, 1)
    values = torch.tensor([[largest, largest - t, largest - 20 * t, -math.inf]]).double()
    values.requires_grad_()
    (gradient,) = torch.autograd.grad(soft_maximum(values, torch.tensor([0.1])).sum(), values)
    share = 1 / (1 + math.exp(-1))
    assert gradient[0].tolist() == pytest.approx([share, 1 - share, 0, 0], abs=1e-6)


def test_contrasted_images_rest_and_others_do_not():
    wanted = contrast("a", 0, MEANS, SDS)
    start = torch.rand(3, 4, 4)
    assert rests(wanted)
    assert rests(Near(Diverse(wanted, 0.5), start, 1.0))
    assert rests(Transparent(Diverse(wanted, 0.5), 1.0))
    assert not rests(channel("a", 0))
    assert not rests(Near(channel("a", 0), start, 1.0))
    assert not rests(wanted + channel("a", 1))


def test_half_precision_is_added_up_in_float32(acts):
    low = {"a": acts["a"].bfloat16()}
    wanted = contrast("a", 2, MEANS, SDS)
    found = bind([wanted] * 4, device=CPU)(low)
    assert found.dtype == torch.float32
    assert torch.allclose(found, wanted.score({"a": low["a"].float()}), rtol=1e-4)


def test_label_of_a_contrast():
    assert str(contrast("a", 2, MEANS, SDS)) == "contrast(a, 2)"
    assert str(contrast("a", 2, MEANS, SDS, weight=1)) == "contrast(a, 2, weight=1.0)"
    hard = contrast("a", 2, MEANS, SDS, softness=0)
    assert str(hard) == "contrast(a, 2, softness=0.0)"


@pytest.mark.parametrize(
    ("index", "means", "sds", "weight", "message"),
    [
        (0, [0.0, 1.0], [1.0], 0.5, r"needs one mean and one standard deviation a channel, got"),
        (0, [[0.0]], [[1.0]], 0.5, r"needs one mean and one standard deviation a channel, got"),
        (0, [0.0, float("nan")], [1.0, 1.0], 0.5, "needs finite means"),
        (0, [0.0, 0.0], [1.0, -1.0], 0.5, "standard deviations of 0 or more"),
        (0, [0.0, 0.0], [1.0, float("nan")], 0.5, "two photographs or more"),
        (0, [0.0, 0.0], [1.0, 1.0], -0.5, "weight must be 0 or more, got -0.5"),
        (0, [0.0, 0.0], [1.0, 1.0], float("inf"), "weight must be 0 or more, got inf"),
        (1, [0.0, 0.0], [1.0, 0.0], 0.5, "no scale; maximise it alone, a:1"),
        (0, [0.0, 0.0], [1.0, 0.0], 0.5, "no other channel varies"),
    ],
)
def test_refused_contrasts(index, means, sds, weight, message):
    with unchecked(), pytest.raises(ObjectiveError, match=message):
        contrast("a", index, means, sds, weight=weight)


@pytest.mark.parametrize("softness", [-0.1, float("inf"), float("nan")])
def test_softness_is_0_or_more(softness):
    with pytest.raises(ObjectiveError, match="the softness must be 0 or more, got"):
        contrast("a", 0, MEANS, SDS, softness=softness)


def test_contrast_is_checked_against_its_site():
    contrast("a", 2, MEANS, SDS).check(SITES)
    with pytest.raises(ObjectiveError, match="statistics of 3 channels, but 'a' has 5"):
        contrast("a", 2, [0.0] * 3, [1.0] * 3).check(SITES)
    with pytest.raises(UnitError, match="channel 7 is out of range"):
        contrast("a", 7, MEANS, SDS).check(SITES)
