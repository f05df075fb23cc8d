import pytest
import torch
from torch import nn

from featviz.pixel_blocks import PixelBlockConv2d, suits

# Kernel, stride, padding: googlenet and resnet, alexnet, and odd ones.
LAYERS = [(7, 2, 3), (11, 4, 2), (5, 2, 0), (6, 2, 1), ((7, 9), 3, (2, 4)), (8, 4, 5)]


@pytest.mark.parametrize(("kernel", "stride", "padding"), LAYERS)
@pytest.mark.parametrize("size", [(32, 32), (29, 34), (11, 16)])
def test_equals_the_strided_convolution(kernel, stride, padding, size):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, kernel, stride=stride, padding=padding).double().requires_grad_(False)
    assert suits(conv)
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    weight = None
    results = []
    for layer in (conv, PixelBlockConv2d(conv)):
        x = images.clone().requires_grad_()
        y = layer(x)
        weight = torch.rand_like(y) if weight is None else weight
        (gradient,) = torch.autograd.grad(y, x, weight)
        results.append((y, gradient))
    (y, gradient), (y_blocks, gradient_blocks) = results
    assert y.shape == y_blocks.shape
    assert torch.allclose(y, y_blocks, rtol=0, atol=1e-12)
    assert torch.allclose(gradient, gradient_blocks, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 4, 3, stride=2),
        nn.Conv2d(8, 4, 7, stride=2),
        nn.Conv2d(4, 4, 7, stride=2, groups=2),
        nn.Conv2d(3, 4, 7, stride=1),
        nn.Conv2d(3, 4, 7, stride=(2, 1)),
        nn.Conv2d(3, 4, 7, stride=2, dilation=2),
        nn.Conv2d(3, 4, 7, stride=2, padding_mode="reflect"),
        nn.Conv2d(3, 4, 7, padding="same"),
        nn.Linear(3, 4),
    ],
)
def test_leaves_others_alone(conv):
    assert not suits(conv)
