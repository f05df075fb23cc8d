"""The fast local response norm against torch's own, forward and backward."""

import pytest
import torch
from torch import nn

from featviz.models.local_response_norm import LocalResponseNorm


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("beta", [0.5, 0.75, 0.6])
@pytest.mark.parametrize(("channels", "size"), [(7, 5), (16, 9), (5, 4), (3, 9), (1, 5), (6, 1)])
def test_equals_torch(channels: int, size: int, beta: float, layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(channels)
    shape = (2, channels, 3, 5)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).mul(40)
    x = x.to(memory_format=layout)
    grad = torch.randn(shape, generator=generator, dtype=torch.float64)
    settings = {"alpha": 1e-2, "beta": beta, "k": 1.5}
    stock, fast = nn.LocalResponseNorm(size, **settings), LocalResponseNorm(size, **settings)
    found = []
    for norm in (stock, fast):
        leaf = x.clone().requires_grad_()
        y = norm(leaf)
        y.backward(grad)
        found.append((y.detach(), leaf.grad))
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)


def test_gradient_is_that_of_the_function() -> None:
    x = torch.randn(2, 7, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    norm = LocalResponseNorm(4, alpha=0.7, beta=0.75, k=0.9)
    assert torch.autograd.gradcheck(norm, (x.mul(3).requires_grad_(),))


def test_any_number_of_map_axes() -> None:
    x = torch.linspace(-9, 9, 2 * 6 * 4).view(2, 6, 4)
    expected = nn.LocalResponseNorm(5, alpha=0.1)(x)
    torch.testing.assert_close(LocalResponseNorm(5, alpha=0.1)(x), expected)


def test_bf16_is_computed_in_float32_also_under_autocast() -> None:
    x = torch.linspace(1, 300, 2 * 6 * 4).view(2, 6, 2, 2).to(torch.bfloat16)
    norm = LocalResponseNorm(5, alpha=0.1)
    expected = nn.LocalResponseNorm(5, alpha=0.1)(x.float()).to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = norm(x)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def test_input_is_left_alone() -> None:
    x = torch.ones(1, 4, 2, 2)
    LocalResponseNorm(3)(x)
    assert torch.equal(x, torch.ones(1, 4, 2, 2))


def test_repr_names_every_setting() -> None:
    text = repr(LocalResponseNorm(9, alpha=0.25, beta=0.5, k=2.0))
    assert text == "LocalResponseNorm(9, alpha=0.25, beta=0.5, k=2.0)"
