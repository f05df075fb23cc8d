"""Objectives that read the alpha channel."""

import pytest
import torch
from typecheck import unchecked

from featviz.errors import ObjectiveError
from featviz.objectives import Transparent, bind, channel, opacity
from featviz.objectives.transparency import Opacity
from featviz.rendering import render
from nets import small_model

CPU = torch.device("cpu")
QUICK = {"steps": 2, "precision": "float32", "progress": False}


def activations(rows=3, *, sign=1.0):
    generator = torch.Generator().manual_seed(2)
    alpha = torch.rand(rows, 1, 6, 6, generator=generator)
    block = sign * torch.rand(rows, 8, 4, 4, generator=generator)
    return {"block": block, "image": torch.rand(rows, 3, 6, 6), "image.alpha": alpha}


def test_opacity_is_minus_the_mean_alpha():
    acts = activations()
    assert torch.equal(opacity().score(acts), -acts["image.alpha"].mean((1, 2, 3)))
    assert opacity().label == "opacity()"
    assert opacity().sites == ("image.alpha",)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_transparent_by_its_formula(sign):
    acts = activations(sign=sign)
    plain = acts["block"][:, 2].mean((1, 2))
    expected = plain + 0.7 * plain.abs() * torch.log(1 - acts["image.alpha"].mean((1, 2, 3)))
    made = Transparent(channel("block", 2), 0.7)
    assert torch.allclose(made.score(acts), expected)
    assert (made.label, made.sites) == ("block:2", ("block", "image.alpha"))
    assert (expected < plain).all()  # also below 0, where a product would gain


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_its_gradient_is_that_of_lucids_product(share):
    # d [s (1 - m) ** p] = (1 - m) ** p * d [s + p |s| log(1 - m)], |s| held fixed, for s > 0
    acts = {name: value.double().requires_grad_() for name, value in activations().items()}
    read = [acts["block"], acts["image.alpha"]]
    score, clear = channel("block", 2).score(acts), 1 + opacity().score(acts).double()
    product = torch.autograd.grad((score * clear**share).sum(), read)
    ours = torch.autograd.grad(Transparent(channel("block", 2), share).score(acts).sum(), read)
    factor = (clear.detach() ** share).view(-1, 1, 1, 1)
    for wanted, found in zip(product, ours, strict=True):
        assert torch.allclose(wanted, factor * found, rtol=1e-5)


def test_rows_are_scored_as_alone():
    acts = activations()
    made = [Transparent(channel("block", k), 0.5 + k) for k in range(3)]
    together = bind(made, device=CPU)(acts)
    for k, one in enumerate(made):
        row = {name: value[k : k + 1] for name, value in acts.items()}
        assert torch.allclose(together[k], one.score(row)[0])


def test_an_opaque_image_has_a_finite_score():
    acts = activations() | {"image.alpha": torch.ones(3, 1, 6, 6)}
    assert Transparent(channel("block", 2), 1.0).score(acts).isfinite().all()


def test_opacity_is_a_text_and_may_stand_in_a_formula():
    model = small_model()
    result = render(model, "block:1 * (1 + opacity())", alpha=0, **QUICK)
    assert result.labels == ("(block:1) * (opacity() + 1)",)
    block = model.record(result.seen(), ["block"])["block"]
    expected = block[:, 1].mean((1, 2)) * (1 - result.images[:, 3].mean((1, 2)))
    assert torch.allclose(result.score, expected)
    again = render(model, result.labels[0], alpha=0, **QUICK)
    assert torch.equal(again.images, result.images)


def test_opacity_alone_reads_no_site_and_needs_alpha():
    with pytest.raises(ObjectiveError, match=r"opacity\(\) reads the alpha channel.*alpha=0"):
        render(small_model(), channel("block", 1) + opacity(), **QUICK)
    with unchecked(), pytest.raises(ObjectiveError, match="do not have"):
        Opacity().check({})
