"""What bound objectives and transforms do at each step: nothing that a GPU would wait for."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from featviz import objectives as o
from featviz.objectives import IMAGE, Diverse, Near, bind, channel, neuron
from featviz.transforms import parse_transforms

META = torch.device("meta")
C, H, W = 4, 5, 6


class Copies(TorchDispatchMode):
    """Notes what makes a tensor of Python numbers, or reads one that is not on the device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, made)) if isinstance(t, torch.Tensor)]
        if "lift_fresh" in str(func) or any(t.device != META for t in tensors):
            self.found.append(str(func))
        return made


def activations(b):
    """Activations on a device that computes nothing; early leads to a and v."""
    early = torch.rand(b, 3, 8, 8, device=META, requires_grad=True)
    a = torch.nn.functional.adaptive_avg_pool2d(early, (H, W)).repeat(1, 2, 1, 1)[:, :C].relu()
    return {"early": early, "a": a, "v": a.mean((2, 3)), IMAGE: torch.rand(b, 3, 8, 9, device=META)}


def photo():
    return torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(0))


def ready(reference):
    return replace(reference, target=torch.rand(1, C, H, W))


VECTOR = torch.tensor([1.0, -2.0, 0.5, 3.0])
KINDS = [
    channel("a", 1),
    neuron("a", 1, position=(1, 2)),
    o.direction("a", VECTOR, cosine_power=2),
    o.group("a", {0: 1.0, 3: -0.5}, region=(0, 2, 0, 2)),
    o.deepdream("a"),
    o.contrast("a", 1, [0.0] * C, [1.0] * C),
    o.facet(channel("a", 1), "early", [1.0, -1.0, 0.5]),
    ready(o.caricature("a", photo())),
    ready(o.inversion("a", photo())),
    ready(o.activation_difference("a", photo())),
    ready(o.style("a", photo())),
    o.total_variation(),
    o.l1(),
    o.l2(),
    o.blur(),
    o.boundary(2),
    channel("a", 1) + 0.5 * o.group("a", [2]) - 1,
    o.direction("a", VECTOR) * channel("v", 1),
    1 / (channel("a", 0) + 2),
    Near(o.direction("a", VECTOR), photo(), 0.5),
]
JOINT = [
    o.alignment("a"),
    o.interpolation("a", 0, 1),
    o.direction("a", VECTOR) + 2 * o.diversity("a"),
    Near(Diverse(o.group("a", [1]), 0.5), photo(), 0.5),
]


def test_a_copy_is_found():
    with Copies() as copies:
        torch.ones(2, device=META) + torch.tensor([1.0, 2.0], device=META)
    assert copies.found
    values = torch.ones(3)
    with Copies() as copies:
        values.to(META)
    assert copies.found
    unbound = Near(channel("a", 1), photo(), 0.5)
    found = activations(1)
    with Copies() as copies:
        unbound.score(found)
    assert copies.found


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("made", KINDS, ids=lambda made: f"{type(made).__name__} {made}")
def test_objectives_move_what_they_hold_once(made, mixed):
    batch = [made, made, channel("v", 1) * 2] if mixed else [made] * 3
    score, found = bind(batch, device=META), activations(3)
    with Copies() as copies:
        scores = score(found)
    assert scores.shape == (3,)
    assert copies.found == []


@pytest.mark.parametrize("made", JOINT, ids=lambda made: f"{type(made).__name__} {made}")
def test_joint_objectives_move_what_they_hold_once(made):
    score, found = bind([made] * 4, device=META, together=2), activations(4)
    with Copies() as copies:
        scores = score(found)
    assert scores.shape == (4,)
    assert copies.found == []


@pytest.mark.parametrize(
    "text", ["lucid", "smooth", "maco", "pad:4,blur:1..1.1,color:0.2/0.2/0.2/10,noise:0.1,flip"]
)
def test_transforms_move_their_numbers_once(text):
    transforms = parse_transforms(text)
    generators = [torch.Generator().manual_seed(k) for k in range(2)]
    moves = transforms.draw_batch(2, channels=3, size=(40, 40), generators=generators).to(META)
    images = torch.rand(2, 3, 40, 40, device=META)
    with Copies() as copies:
        moved = transforms.apply(images, moves[1])
    assert len(moved) == 2 * transforms.views
    assert copies.found == []


def test_a_bound_objective_scores_as_an_unbound_one():
    cpu = torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    early = torch.rand(3, 3, 8, 8, generator=generator).requires_grad_()
    a = torch.nn.functional.adaptive_avg_pool2d(early, (H, W)).repeat(1, 2, 1, 1)[:, :C].sin()
    found = {"early": early, "a": a, "v": a.mean((2, 3))}
    found[IMAGE] = torch.rand(3, 3, 8, 9, generator=generator)
    for made in [*KINDS, *JOINT]:
        assert torch.allclose(made.bound(cpu)(found), made.score(found), atol=1e-6), str(made)
        if not made.joint:
            assert torch.allclose(bind([made] * 3, device=cpu)(found), made.score(found), atol=1e-5)
