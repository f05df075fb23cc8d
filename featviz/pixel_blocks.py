"""The large strided convolution that opens many networks, computed on blocks of pixels.

A stride of s makes each weight meet one phase of the pixels only. With the s x s phases moved to
channels, the same sums are a convolution of stride 1 with a kernel s times smaller, for which
CPU kernels are about twice as fast: most of all the gradient with respect to the image, which
training never computes and every render needs.
"""

from typing import TypeGuard

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_FEW_CHANNELS = 4


class PixelBlockConv2d(nn.Module):
    """A convolution equal to a given strided one, within rounding.

    Args:
        conv: One that `suits` accepts.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert not isinstance(conv.padding, str)
        self._kernel, self._pad, self._stride = conv.kernel_size, conv.padding, conv.stride[0]
        s = self._stride
        # Zeros before the kernel make its left padding whole blocks, zeros after it its width.
        front = [-p % s for p in self._pad]
        back = [-(k + f) % s for k, f in zip(self._kernel, front, strict=True)]
        weight = F.pad(conv.weight.detach(), (front[1], back[1], front[0], back[0]))
        weight = _blocks_to_channels(weight, s)
        self._blocks = weight.shape[-2:]
        self._left = [(p + f) // s for p, f in zip(self._pad, front, strict=True)]
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c_out h_out w_out"]:
        """Return what the given convolution returns."""
        s = self._stride
        sizes = [x.shape[-2], x.shape[-1]]
        out = [
            (n + 2 * p - k) // s + 1 for n, p, k in zip(sizes, self._pad, self._kernel, strict=True)
        ]
        rest = [-n % s for n in sizes]
        if any(rest):
            x = F.pad(x, (0, rest[1], 0, rest[0]))
        z = _blocks_to_channels(x, s)
        right = [
            n_out - 1 + kernel - n - left
            for n_out, kernel, n, left in zip(
                out, self._blocks, (z.shape[-2], z.shape[-1]), self._left, strict=True
            )
        ]
        z = F.pad(z, (self._left[1], right[1], self._left[0], right[0]))
        return F.conv2d(z, self.weight, self.bias)


def _blocks_to_channels(x: Float[Tensor, "b c h w"], s: int) -> Float[Tensor, "b c_out i j"]:
    """Move blocks of s x s pixels to channels; torch's pixel_unshuffle takes twice as long."""
    b, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(b, h // s, s, w // s, s * c)
    return torch.cat(rows.unbind(2), dim=-1).permute(0, 3, 1, 2)


def suits(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Tell whether a module is a convolution that gains: few channels, large, strided, zeros."""
    if type(conv) is not nn.Conv2d or isinstance(conv.padding, str):
        return False
    stride = conv.stride[0]
    return (
        conv.in_channels <= _FEW_CHANNELS
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and set(conv.dilation) == {1}
        and set(conv.stride) == {stride}
        and stride > 1
        and min(conv.kernel_size) >= 2 * stride
    )
