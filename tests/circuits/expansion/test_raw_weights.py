import pytest
import torch
from torch import Tensor, nn

import circuits
from circuits.expansion.raw_weights import is_adjacent
from featviz.errors import CircuitError
from featviz.models import load
from nets import small_model


def test_a_convolution_s_kernel_with_its_norm_folded() -> None:
    model = small_model()
    block = model.module.block
    weights = circuits.raw_weights(model, "pool", "block.relu#0")
    scale = block.bn1.weight / (block.bn1.running_var + block.bn1.eps).sqrt()
    expected = block.conv1.weight * scale.view(-1, 1, 1, 1)
    torch.testing.assert_close(weights.kernel, expected.detach())
    assert (weights.gates, weights.method, weights.notes) == ("raw", "raw", ())
    assert (weights.offset, weights.stride) == ((-1, -1), (1, 1))


def test_branches_are_padded_to_one_size_and_aligned() -> None:
    model = small_model()
    weights = circuits.raw_weights(model, "block", "branches", units=[11, 2])
    branches = model.module.branches
    assert weights.offset == (-2, -2)
    assert torch.equal(weights.kernel[0], branches.wide.weight[6])
    assert torch.equal(weights.kernel[1, :, 2, 2], branches.narrow.weight[2, :, 0, 0])
    assert not weights.kernel[1].flatten(1).index_fill(1, torch.tensor([12]), 0).any()


def test_fire_modules_read_their_squeeze_layer() -> None:
    model = load("squeezenet1_1", weights="random")
    weights = circuits.raw_weights(model, "features.6.squeeze_activation", "fire4")
    fire = model.module.features[6]
    assert torch.equal(weights.kernel[:128, :, 1, 1], fire.expand1x1.weight[:, :, 0, 0].detach())
    assert torch.equal(weights.kernel[128:], fire.expand3x3.weight.detach())


def test_raw_weights_give_the_pre_activation() -> None:
    model = small_model()
    weights = circuits.raw_weights(model, "block", "branches.wide")
    found = model.record(torch.rand(1, 3, 48, 48), ["block", "branches.wide"])
    by_kernel = nn.functional.conv2d(found["block"], weights.kernel)
    bias = model.module.branches.wide.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(by_kernel + bias, found["branches.wide"][:, :, 2:-2, 2:-2])


def test_sites_that_are_not_adjacent_are_told() -> None:
    model = small_model()
    assert is_adjacent(model, "block", "branches")
    assert not is_adjacent(model, "act", "branches")
    with pytest.raises(CircuitError, match=r"max_pool2d\S* in 'pool' lies between.*expand"):
        circuits.raw_weights(model, "act", "block.conv1")
    with pytest.raises(CircuitError, match=r"relu in 'block.relu' lies between.* a source behind"):
        circuits.raw_weights(model, "pool", "block.conv2")
    upwards = load(nn.Sequential(nn.Identity(), nn.ConvTranspose2d(3, 3, 2)), mean=(0.0,) * 3,
                   std=(1.0,) * 3, size=16)  # fmt: skip
    with pytest.raises(CircuitError, match="no kernels lead from '0' to '1': convolution in '1'"):
        circuits.raw_weights(upwards, "0", "1")


class Functional(nn.Module):
    """Rectifies by a function, which is no site."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


def test_nobody_is_sent_to_a_site_that_there_is_not() -> None:
    model = load(Functional(), size=8)
    said = "relu lies between.*made a module of its own .*forward.. calls a function, which is no"
    with pytest.raises(CircuitError, match=said):
        circuits.raw_weights(model, "a", "b")
    with pytest.raises(CircuitError, match=said):
        circuits.contributions(model, "a", "b", 0, torch.rand(1, 3, 8, 8))
