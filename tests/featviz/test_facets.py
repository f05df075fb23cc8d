"""Facets: a unit by way of a direction at an earlier site."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

import featviz
from featviz import metrics
from featviz.errors import ObjectiveError
from featviz.images import to_picture
from featviz.objectives import (
    Part,
    bind,
    channel,
    diversity,
    facet,
    facet_direction,
    l2,
    neuron,
    opacity,
)
from featviz.objectives.facets import logistic_probe
from featviz.recording import Recorder
from nets import seeded, small_model, small_net

CPU = torch.device("cpu")
QUICK = {"size": 32, "precision": "float32", "redirect_steps": 0}


class Two(nn.Module):
    """early: [b 3 h w]; late: a rectified linear map of it, place by place."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Conv2d(3, 3, 1)
        self.late = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.late(torch.relu(self.early(x))).mean((2, 3))


def two():
    """Some places are open, some closed, at both layers."""
    net = seeded(Two())
    with torch.no_grad():
        net.early.weight.mul_(3)
        weights = torch.tensor([[1.0, -0.5, 0.3], [-0.4, 0.8, 0.6]])
        net.late[0].weight.copy_(weights[:, :, None, None])
        net.late[0].bias.copy_(torch.tensor([0.05, -0.1]))
    return featviz.load(net.requires_grad_(False), size=8)


def slow_facet(model, images, index, direction, strength):
    """The formula, entry by entry: the gradient of a mean of ReLUs is known."""
    net = model.module
    scores = []
    for image in images:
        a = (net.early(image[None]))[0].detach()
        h, w = a.shape[1:]
        weights, bias = net.late[0].weight[index, :, 0, 0], net.late[0].bias[index]
        scale = max(abs(v) for v in direction)
        unit = through = 0.0
        for y in range(h):
            for x in range(w):
                value = float(bias + sum(weights[c] * max(0, a[c, y, x]) for c in range(3)))
                unit += max(0.0, value) / (h * w)
                for c in range(3):
                    open_ = value > 0 and a[c, y, x] > 0
                    gradient = float(weights[c]) / (h * w) if open_ else 0.0
                    through += direction[c] / scale * float(a[c, y, x]) * max(0.0, gradient)
        scores.append(unit + strength * through)
    return scores


def images(count, side=8, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("index", "strength"), [(0, 1.0), (1, -2.0)])
def test_the_formula(index, strength):
    model, direction = two(), [2.0, -1.0, 0.5]
    made = facet(channel("late", index), "early", direction, strength=strength)
    shown = images(3).requires_grad_()
    found = model.record(shown, ["early", "late"])
    expected = slow_facet(model, shown.detach(), index, direction, strength)
    assert made.score(found).tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    bound = bind([made] * 3, device=CPU)(found)
    assert bound.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    plain = channel("late", index).score(found).tolist()
    assert min(abs(a - b) for a, b in zip(expected, plain, strict=True)) > 1e-3


def test_its_gradient_is_that_of_the_unit_and_of_what_it_lets_through():
    model = two()
    w = torch.tensor([1.0, -0.5, 0.25])
    shown = images(2).requires_grad_()
    found = model.record(shown, ["early", "late"])
    unit = channel("late", 0).score(found)
    (gate,) = torch.autograd.grad(unit.sum(), found["early"], retain_graph=True)
    by_hand = unit + 3 * (found["early"] * gate.clamp(min=0) * w[:, None, None]).sum((1, 2, 3))
    made = facet(channel("late", 0), "early", w, strength=3).score(found)
    expected, got = (
        torch.autograd.grad(s.sum(), shown, retain_graph=True)[0] for s in (by_hand, made)
    )
    assert expected.abs().max() > 0
    assert torch.allclose(got, expected, atol=1e-6)


BATCHES = {
    "alike": lambda f: [f(0, 1.0), f(1, 1.0), f(0, 2.0)],
    "other units": lambda f: [f(0, 1.0), channel("late", 1), 2 * f(1, 1.0)],
    "sums": lambda f: [f(0, 1.0) + channel("late", k) for k in (1, 0, 1)],
    "products": lambda f: [f(0, 1.0) * channel("late", k) for k in (1, 0, 1)],
}


@pytest.mark.parametrize("kind", BATCHES)
def test_images_are_scored_by_their_own_activations(kind):
    model = two()
    batch = BATCHES[kind](
        lambda k, s: facet(channel("late", k), "early", [1.0, -0.5, 0.2], strength=s)
    )
    shown = images(3).requires_grad_()
    together = bind(batch, device=CPU)(model.record(shown, ["early", "late"]))
    for k, made in enumerate(batch):
        alone = model.record(shown[k : k + 1], ["early", "late"])
        assert together[k].item() == pytest.approx(made.score(alone).item(), rel=1e-5)


def test_parts_of_parts_find_their_rows():
    model = two()
    made = facet(channel("late", 0), "early", [1.0, -0.5, 0.2])
    found = model.record(images(8).requires_grad_(), ["early", "late"])
    expected = made.score(found)
    every = Part({k: v[1::2] for k, v in found.items()}, whole=found, rows=slice(1, None, 2))
    last = Part({k: v[2:3] for k, v in every.items()}, whole=every, rows=slice(2, 3))
    assert made.score(every).tolist() == pytest.approx(expected[1::2].tolist())
    assert made.score(last).tolist() == pytest.approx(expected[5:6].tolist())


@pytest.mark.parametrize(
    "options",
    [{}, {"transforms": "crops:2"}, {"precision": "bf16"}, {"images": 2, "diversity": 0.1}],
    ids=str,
)
def test_a_render_goes_along_the_facet(options):
    model = small_model()
    vector = torch.zeros(8)
    vector[model.record(images(1, 32), ["block"])["block"].mean((0, 2, 3)).argmax()] = 1
    unit = channel("late", 1)
    options = {**QUICK, "steps": 24, **options}
    label = facet(unit, "block", vector).label
    found = {}
    for strength in (20.0, -20.0):
        # of one label, and so from the same noise with the same moves
        made = replace(facet(unit, "block", vector, strength=strength))
        object.__setattr__(made, "values", replace(made.values, text=label + str(strength)))
        result = featviz.render(model, made, **options)
        with torch.no_grad():
            found[strength] = model.record(result.images, ["block"])["block"].mean((2, 3)) @ vector
    assert (found[20.0] > found[-20.0]).all()


def test_the_network_is_the_same_afterwards(tiny_cnn):
    before = {name: value.clone() for name, value in tiny_cnn.state_dict().items()}
    result = featviz.render(
        tiny_cnn, facet(channel("late", 1), "block", torch.ones(8)), steps=3, **QUICK
    )
    assert result.images.isfinite().all()
    assert all(torch.equal(value, before[name]) for name, value in tiny_cnn.state_dict().items())
    assert not any(module._forward_hooks for module in tiny_cnn.modules())
    assert all(p.grad is None and p.requires_grad for p in tiny_cnn.parameters())


def test_an_image_is_the_same_alone_and_in_a_batch():
    model = small_model()
    wanted = [facet(channel("late", k), "block", torch.eye(8)[k] + 0.1) for k in range(3)]
    options = {**QUICK, "steps": 8}
    together = featviz.render(model, wanted, **options)
    alone = featviz.render(model, wanted[1], **options)
    assert torch.allclose(together.images[1], alone.images[0], atol=1e-4)


def test_measures_take_the_gradients_that_they_need():
    model = small_model()
    wanted = [facet(neuron("late", 1), "block", torch.ones(8)), channel("late", 0)]
    shown = images(2, 32)
    graded = metrics.score_images(model, wanted, shown.clone().requires_grad_())
    assert graded.requires_grad
    with torch.no_grad():
        plain = metrics.score_images(model, wanted, shown)
    assert not plain.requires_grad
    assert torch.allclose(plain, graded)
    assert metrics.robustness(model, wanted, shown).mean.isfinite().all()


def test_a_reference_keeps_no_gradients(tmp_path):
    for k, image in enumerate(images(3, 32)):
        to_picture(image).save(tmp_path / f"{k}.png")
    reference = metrics.Reference(small_model(), tmp_path, batch=2)
    wanted = facet(channel("late", 1), "block", torch.ones(8))
    reference.gather(["late"], [wanted])
    moments = reference.moments("late")
    kept = (moments.mean, moments.squares, moments.largest, reference.peaks("late"))
    assert not any(values.requires_grad for values in (*kept, reference.scores([wanted])))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (facet(channel("block", 1), "late", torch.ones(4)), "'late' must lie before the sites of"),
        (facet(channel("late", 1), "late", torch.ones(4)), "'late' must lie before the sites of"),
        (facet(channel("late", 1), "block", torch.ones(4)), "has 4 entries, 'block' has 8"),
        (facet(channel("late", 1) + diversity("late"), "block", torch.ones(8)), "add late:1"),
        (
            facet(channel("late", 1), "block/0:4", torch.ones(4)),
            "'block/0:4' is not the whole output of",
        ),
        (
            facet(channel("late", 1), "block.pre", torch.ones(8)),
            "'block.pre' is not the whole output",
        ),
    ],
)
def test_facets_that_cannot_be(made, said):
    with pytest.raises(ObjectiveError, match=said):
        featviz.render(small_model(), made, steps=1, images=2 if made.unit.joint else 1, **QUICK)


def test_a_facet_of_what_also_reads_the_image():
    faced = facet(channel("late", 1) * (1 + opacity()) - l2(), "block", torch.ones(8))
    result = featviz.render(small_model(), faced, steps=2, alpha=0, **QUICK)
    assert result.history.isfinite().all()


def test_bad_arguments():
    with pytest.raises(ObjectiveError, match="strength of a facet must be a finite number, got in"):
        facet(channel("late", 1), "block", torch.ones(8), strength=float("inf"))
    with pytest.raises(ObjectiveError, match="a facet must be one row of finite numbers"):
        facet(channel("late", 1), "block", torch.ones(8, 2))
    model = two()
    with torch.no_grad():
        found = model.record(images(1), ["early", "late"])
    with pytest.raises(ObjectiveError, match="there is no gradient at 'early'"):
        facet(channel("late", 1), "early", torch.ones(3)).score(found)


def test_a_site_that_the_unit_does_not_come_from():
    model = two()
    found = model.record(images(1).requires_grad_(), ["early", "late"])
    unrelated = {**found, "early": found["early"].clone()}
    with pytest.raises(ObjectiveError, match="nothing leads from 'early' as a whole to what is"):
        facet(channel("late", 1), "early", torch.ones(3)).score(unrelated)


# ---- recorded activations have gradients towards later ones --------------------------------------


@pytest.mark.parametrize("early", ["stem", "norm", "act", "block", "branches"])
def test_gradients_lead_through_what_was_recorded(early):
    net = small_net().requires_grad_(False)
    shown = images(2, 32).requires_grad_()
    table = featviz.load(net, size=32).site_table((32, 32))
    with Recorder(net, [table.resolve(early), table.resolve("late")]) as recorder:
        found = recorder(shown)
    (gradient,) = torch.autograd.grad(found["late"].sum(), found[early], retain_graph=True)
    (through,) = torch.autograd.grad(found[early], shown, gradient, retain_graph=True)
    (whole,) = torch.autograd.grad(found["late"].sum(), shown)
    assert whole.abs().max() > 0
    assert torch.allclose(through, whole, atol=1e-6)


# ---- the probe -----------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [1e-3, 0.1])
@pytest.mark.parametrize("apart", [0.0, 1.0, 30.0])
def test_the_probe_is_the_minimum_that_scipy_finds(penalty, apart):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    signs = torch.cat([torch.ones(30), -torch.ones(10)]).double()
    x[:, 0] += apart * signs
    shares = torch.cat([torch.full((30,), 1 / 60), torch.full((10,), 1 / 20)]).double()

    def loss(w):
        margins = signs.numpy() * (x.numpy() @ w[:-1] + w[-1])
        fit = (shares.numpy() * np.logaddexp(0, -margins)).sum()
        return fit + penalty / 2 * (w[:-1] ** 2).sum()

    options = {"maxiter": 20_000, "gtol": 1e-9}
    found = scipy.optimize.minimize(loss, np.zeros(6), method="BFGS", options=options)
    ours = logistic_probe(x, signs, shares, penalty)
    assert ours.numpy() == pytest.approx(found.x[:-1], abs=2e-4)


def test_a_facet_direction_finds_what_differs():
    """Red images against others: of a first layer that copies colours, the red channel."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(4, 3)[:, :, None, None])  # the fourth channel is silent
    model = featviz.load(net, size=8)
    red = images(20)
    red[:, 0] = 0.5 + red[:, 0] / 2
    batches = [red[:7], red[7:]], [images(10, seed=1)]
    vector = facet_direction(model, "0", *batches)
    assert vector.dtype == torch.float32
    assert vector.norm().item() == pytest.approx(1)
    assert vector[0] > 0.9
    assert vector[3] == 0
    swapped = facet_direction(model, "0", *reversed(batches))
    assert torch.allclose(swapped, -vector, atol=1e-6)
    # weights are those of activations as they are: ten times as strong, a tenth as heavy
    with torch.no_grad():
        net[0].weight[0] *= 10
    louder = facet_direction(model, "0", *batches)
    assert (louder[1] / louder[0]).item() == pytest.approx(10 * (vector[1] / vector[0]).item())


@pytest.mark.parametrize(
    ("sets", "options", "said"),
    [
        (([], [images(2)]), {}, "needs images of it and others; got 0 and 2"),
        (([images(2)], [images(2)]), {"penalty": 0.0}, "penalty of a probe must be above 0"),
        (([images(1)], [images(1)]), {}, "'early' is the same on all images"),
    ],
)
def test_probes_that_cannot_be(sets, options, said):
    with pytest.raises(ObjectiveError, match=said):
        facet_direction(two(), "early", *sets, **options)


def test_sets_that_do_not_differ():
    both = images(2)
    with pytest.raises(ObjectiveError, match="nothing at 'early' tells the two sets"):
        facet_direction(two(), "early", [both], [both])
