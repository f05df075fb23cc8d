"""The weights between two sites of a network, as signed kernels with a place.

First stage of the flow of circuits: raw_weights.py and expand.py make a `WeightMap`; factoring/,
families/, graph.py and draw.py read it.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import CircuitError

Aggregation = Literal["l2", "max", "sum", "positive", "negative"]


@dataclass(frozen=True, eq=False)
class WeightMap:
    """Kernels from every unit of one site to units of a later one.

    Position (y, x) of the target's map reads the source's map at
    `(y * stride[0] + offset[0] + row, x * stride[1] + offset[1] + column)` through
    `kernel[o, i, row, column]`; correlation, as in torch. Inputs outside of the source's map count
    as zero.

    Attributes:
        kernel: Signed weights, float32 or float64, on the CPU.
        source: Name of the site that is read.
        target: Name of the site that is built.
        sources: Channel of the source for each input `i`.
        targets: Channel of the target for each output `o`.
        stride: Steps in the source's map for one step in the target's, (y, x).
        offset: Where the kernel's first cell lies for target position (0, 0), (y, x).
        gates: Policy for what lies between, such as `identity`; `raw` for adjacent layers.
        method: `raw`, `compose`, or `vjp`.
        notes: What was approximated on the way, one line each; empty if the map is exact.
    """

    kernel: Float[Tensor, "o i kh kw"]
    source: str
    target: str
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    stride: tuple[int, int]
    offset: tuple[int, int]
    gates: str
    method: Literal["raw", "compose", "vjp"]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return one line that says between what, how large, and under which policy."""
        o, i, kh, kw = self.kernel.shape
        return (
            f"WeightMap({self.source} -> {self.target}, {i} x {o} kernels of {kh}x{kw}, stride "
            f"{self.stride[0]}x{self.stride[1]}, gates {self.gates}, by {self.method})"
        )

    def strength(self, by: Aggregation = "l2") -> Float[Tensor, "o i"]:
        """Return one number a kernel, over its rows and columns.

        Args:
            by: `l2`: root of the sum of squares; `max`: largest magnitude; `sum`: signed sum;
                `positive`: sum of the positive weights; `negative`: of the negative ones, as a
                negative number.
        """
        flat = self.kernel.flatten(2)
        if by == "l2":
            return flat.square().sum(2).sqrt()
        if by == "max":
            return flat.abs().amax(2)
        if by == "sum":
            return flat.sum(2)
        return (flat.clamp(min=0) if by == "positive" else flat.clamp(max=0)).sum(2)

    def of_target(self, channel: int) -> Float[Tensor, "i kh kw"]:
        """Return all kernels of one target channel.

        Raises:
            CircuitError: If the map has no such target.
        """
        return self.kernel[self._row(channel)]

    def top(self, channel: int, *, count: int, by: Aggregation = "l2") -> list[tuple[int, float]]:
        """Return the source channels with the largest magnitude for one target, strongest first.

        Args:
            channel: Of the target.
            count: How many at most.
            by: See `strength`.

        Raises:
            CircuitError: If the map has no such target.
        """
        scores = self.strength(by)[self._row(channel)]
        # Stable, so that ties come in the order of the channels.
        order = torch.argsort(scores.abs(), descending=True, stable=True)[:count].tolist()
        return [(self.sources[k], float(scores[k])) for k in order]

    def display_scale(self) -> Float[Tensor, " o"]:
        """Return max |kernel| over all inputs of each target: pictures are divided by it."""
        return self.kernel.abs().flatten(1).amax(1)

    def with_targets(self, channels: tuple[int, ...]) -> "WeightMap":
        """Return the map of some of its targets, in the order given.

        Raises:
            CircuitError: If the map lacks one of them.
        """
        rows = [self._row(channel) for channel in channels]
        return replace(self, kernel=self.kernel[rows], targets=channels)

    def _row(self, channel: int) -> int:
        if channel not in self.targets:
            raise CircuitError(
                f"{self.target}:{channel} is not in the weights {self.source} -> {self.target}; "
                f"they hold {len(self.targets)} targets, the first is {self.targets[0]}"
            )
        return self.targets.index(channel)
