"""Kernels with a place on an unbounded canvas, and how windows move them.

Position (y, x) of the target's map reads position `jump * (y, x) + offset + (row, column)` of an
earlier map with weight `kernel[t, c, row, column]`. The canvas has no edge, so nothing is cropped:
a kernel may be larger than the map. adjoints.py passes banks back through a network.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.errors import CircuitError

Pair = tuple[int, int]


class NotComposableError(CircuitError):
    """Kernels cannot be passed through an operation; the vector-Jacobian product can."""


@dataclass(frozen=True, eq=False)
class Bank:
    """Kernels from some targets to all channels of one value.

    Attributes:
        kernel: Weights.
        rows: Which targets they belong to, ascending; the others are zero. Targets in one branch of
            a concatenation need no room in the other.
        offset: Place of the first cell for target position (0, 0), (y, x).
        jump: Steps for one step of the target, (y, x).
        fresh: Whether no linear layer lies between here and the target.
        pinned: Whether the target has one position only, as behind the mean over a whole map.
    """

    kernel: Float[Tensor, "t c ky kx"]
    rows: Int[Tensor, " t"]
    offset: Pair = (0, 0)
    jump: Pair = (1, 1)
    fresh: bool = True
    pinned: bool = False

    @property
    def extent(self) -> Pair:
        """Rows and columns."""
        return (self.kernel.shape[2], self.kernel.shape[3])

    def moved(self, kernel: Tensor, *, stride: Pair = (1, 1), pad: Pair = (0, 0)) -> "Bank":
        """Return the bank of the input of a window, given its kernel there."""
        return replace(
            self,
            kernel=kernel,
            offset=(self.offset[0] * stride[0] - pad[0], self.offset[1] * stride[1] - pad[1]),
            jump=(self.jump[0] * stride[0], self.jump[1] * stride[1]),
        )

    def channels(self, first: int, stop: int) -> "Bank | None":
        """Return the part for some channels, without rows that are zero there; None if all are."""
        kernel = self.kernel[:, first:stop]
        if kernel.is_meta:
            return replace(self, kernel=kernel)
        live = kernel.flatten(1).any(1)
        if live.all():
            return replace(self, kernel=kernel)
        return replace(self, kernel=kernel[live], rows=self.rows[live]) if live.any() else None

    def within(self, channels: int, first: int, *, step: int = 1) -> "Bank":
        """Return the bank of a value of which this one is a slice of channels."""
        count = self.kernel.shape[1]
        whole = self.kernel.new_zeros(len(self.kernel), channels, *self.extent)
        whole[:, first : first + step * count : step] = self.kernel
        return replace(self, kernel=whole)

    def cropped(self, size: Pair) -> "Bank":
        """Return what lies inside of a map, for a target that has one position only."""
        first = [min(max(0, -o), n) for o, n in zip(self.offset, self.extent, strict=True)]
        stop = [
            max(a, min(n, side - o))
            for a, n, side, o in zip(first, self.extent, size, self.offset, strict=True)
        ]
        kernel = self.kernel[:, :, first[0] : stop[0], first[1] : stop[1]]
        offset = (self.offset[0] + first[0], self.offset[1] + first[1])
        return replace(self, kernel=kernel, offset=offset)

    def __add__(self, other: "Bank") -> "Bank":
        """Return the sum, aligned on the canvas."""
        if self.jump != other.jump:
            raise NotComposableError(
                f"two ways to one place step by {self.jump} and by {other.jump} positions"
            )
        boxes = [(b.offset[k], b.offset[k] + b.extent[k]) for k in (0, 1) for b in (self, other)]
        spans = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in (boxes[:2], boxes[2:])]
        rows = self.rows
        same = self.kernel.is_meta or torch.equal(self.rows, other.rows)
        if not same:
            rows = torch.unique(torch.cat([self.rows, other.rows]))
        shape = (len(rows), self.kernel.shape[1], *(stop - start for start, stop in spans))
        if same and shape == tuple(self.kernel.shape) == tuple(other.kernel.shape):
            return replace(self, kernel=self.kernel + other.kernel)
        total = self.kernel.new_zeros(shape)
        for bank in (self, other):
            y, x = (bank.offset[k] - spans[k][0] for k in (0, 1))
            place = total[:, :, y : y + bank.extent[0], x : x + bank.extent[1]]
            if same:
                place += bank.kernel
                continue
            index = torch.searchsorted(rows, bank.rows)
            first, last = int(index[0]), int(index[-1])
            if last - first == len(index) - 1:  # rows in one run need no scatter, which is slow
                place[first : last + 1] += bank.kernel
            else:
                place.index_add_(0, index, bank.kernel)
        return replace(self, kernel=total, rows=rows, offset=(spans[0][0], spans[1][0]))


def spread(
    kernel: Float[Tensor, "t c ky kx"], *, taps: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> Float[Tensor, "t c ly lx"]:
    """Return what reaches the input of a window whose taps all have weight 1.

    Args:
        kernel: At the output of the window.
        taps: Rows and columns of the window.
        stride: Of the window, (y, x).
        dilation: Of the window, (y, x).
    """
    for axis in (0, 1):
        count = kernel.shape[2 + axis]
        reach = stride[axis] * (count - 1) + 1
        shape = list(kernel.shape)
        shape[2 + axis] = reach + dilation[axis] * (taps[axis] - 1)
        out = kernel.new_zeros(shape)
        for tap in range(taps[axis]):
            # A strided view is written in place: rows and columns apart cost k + k, not k * k.
            start = tap * dilation[axis]
            index = [slice(None)] * 4
            index[2 + axis] = slice(start, start + reach, stride[axis])
            out[tuple(index)] += kernel
        kernel = out
    return kernel
