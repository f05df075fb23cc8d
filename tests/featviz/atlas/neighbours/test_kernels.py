"""Kernels behind units, and how alike they are, against nested loops."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from featviz.atlas.neighbours.kernels import (
    Kernel,
    cosines_with,
    incoming_kernels,
    kernel_cosines,
)
from featviz.models.model import Model
from featviz.models.spec import ModelSpec, Preprocess
from nets import seeded, small_model


class Paths(nn.Module):
    """What a kernel may be followed through, and what ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.b = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.c = nn.Conv2d(4, 2, 1)
        self.d = nn.Conv2d(4, 5, 5, padding=2)
        self.join = nn.Identity()
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(13, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.a(x)))
        x = self.join(torch.cat([torch.relu(self.b(x)), torch.tanh(self.c(x)), self.d(x)], dim=1))
        return self.fc(self.pool(x).mean((2, 3)))


@pytest.fixture
def paths() -> Model:
    def build() -> nn.Module:
        return seeded(Paths())

    spec = ModelSpec(name="paths", build=build, preprocess=Preprocess(), size=(16, 16))
    return Model(build(), spec, weights_origin="seeded")


def kernels(model: Model, site: str) -> list[Kernel] | None:
    return incoming_kernels(model, model.site_table().resolve(site))


def test_kernels_are_followed_through_norms_activations_and_branches(paths: Model) -> None:
    net = paths.module
    with torch.no_grad():
        net.norm.weight[1] = -0.5  # turns the unit over
        net.norm.weight[2] = 0.5
    for site, signs in (("a", [1, 1, 1, 1]), ("act", torch.sign(net.norm.weight).tolist())):
        found = kernels(paths, site)
        assert found is not None
        assert len(found) == 4
        for kernel, own, sign in zip(found, net.a.weight, signs, strict=True):
            np.testing.assert_allclose(kernel.weight, own.detach().double().numpy() * sign)
    joined = kernels(paths, "join")
    assert joined is not None
    shapes = [kernel.weight.shape for kernel in joined]
    assert shapes == [(2, 3, 3)] * 6 + [(4, 1, 1)] * 2 + [(4, 5, 5)] * 5
    np.testing.assert_allclose(joined[8].weight, net.d.weight[0].detach().double().numpy())
    # Groups read other channels; the branches read the same map.
    assert joined[0].reads == joined[2].reads != joined[3].reads
    assert joined[6].reads == joined[8].reads
    part = kernels(paths, "join/7:9")
    assert part is not None
    assert [kernel.weight.shape for kernel in part] == [(4, 1, 1), (4, 5, 5)]
    last = kernels(paths, "logits")
    assert last is not None
    assert [kernel.weight.shape for kernel in last] == [(13, 1, 1)] * 3


@pytest.mark.parametrize("site", ["pool", "block", "block.relu#1"])
def test_pools_and_sums_have_no_kernels(site: str) -> None:
    model = small_model()
    model.module.train()
    assert kernels(model, site) is None
    assert model.module.training
    assert not any(module._forward_hooks for module in model.module.modules())


def test_cosines_are_those_of_loops(paths: Model) -> None:
    found = kernels(paths, "join")
    assert found is not None
    cosines, chance = kernel_cosines(found)
    for i, one in enumerate(found):
        for j, other in enumerate(found):
            if (i < 3) != (j < 3) or (i < 6) != (j < 6):
                assert np.isnan(cosines[i, j])
                assert np.isnan(chance[i, j])
                continue
            total = squares = others = 0.0
            for y in range(-2, 3):
                for x in range(-2, 3):
                    for c in range(one.weight.shape[0]):
                        values = []
                        for kernel in (one, other):
                            h, w = (side // 2 for side in kernel.weight.shape[1:])
                            inside = abs(y) <= h and abs(x) <= w
                            values.append(kernel.weight[c, y + h, x + w] if inside else 0.0)
                        total += values[0] * values[1]
                        squares += values[0] ** 2
                        others += values[1] ** 2
            assert cosines[i, j] == pytest.approx(total / (squares * others) ** 0.5)
            assert -1 <= chance[i, j] <= 1


def test_the_cosines_with_one_kernel_are_a_row_of_all(paths: Model) -> None:
    found = kernels(paths, "join")
    assert found is not None
    found.append(Kernel(np.zeros_like(found[0].weight), found[0].reads))
    rows = [cosines_with(found, k) for k in range(len(found))]
    np.testing.assert_allclose(rows, kernel_cosines(found)[0], atol=1e-12)


def test_chance_is_that_of_shuffled_kernels() -> None:
    drawn = np.random.default_rng(0)
    base = drawn.normal(size=(40, 3, 3))
    found = [Kernel(base + 0.05 * drawn.normal(size=base.shape), ("a",)) for _ in range(60)]
    cosines, chance = kernel_cosines(found)
    assert cosines.min() > 0.98
    # Of random vectors of 360 numbers: mean 0, standard deviation 1 / sqrt(360).
    other = chance[~np.eye(60, dtype=bool)]
    assert abs(other.mean()) < 0.02
    assert other.std() == pytest.approx(360**-0.5, rel=0.2)
    np.testing.assert_array_equal(kernel_cosines(found)[1], chance)
    assert not np.array_equal(kernel_cosines(found, seed=1)[1], chance)


def test_kernels_of_zeros_are_like_nothing() -> None:
    cosines, chance = kernel_cosines(
        [Kernel(np.zeros((1, 3, 3)), ()), Kernel(np.ones((1, 3, 3)), ())]
    )
    assert np.isnan(cosines[0]).all()
    assert np.isnan(chance[0]).all()
    assert cosines[1, 1] == 1
