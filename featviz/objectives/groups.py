"""Objectives of several units at once: weighted channels, in all of a map or a part; DeepDream."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError, UnitError
from featviz.objectives.activations import Activations, Score, positions
from featviz.objectives.base import Objective
from featviz.objectives.spelling import argument, shortest
from featviz.objectives.unit import Channel
from featviz.sites import Site

Region = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""


@dataclass(frozen=True)
class Group(Objective):
    """Weighted channels; make it with `group`."""

    site: str
    weights: tuple[tuple[int, float], ...]
    region: Region | None

    @property
    def sites(self) -> tuple[str, ...]:
        """The site of the channels."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`group(fire4, [5:1, 9:-0.5], region=[0, 4, 0, 4])`."""
        weights = ", ".join(f"{index}:{shortest(weight)}" for index, weight in self.weights)
        where = "" if self.region is None else f", region=[{', '.join(map(str, self.region))}]"
        return f"group({argument(self.site)}, [{weights}]{where})"

    @property
    def placed(self) -> bool:
        """Whether it has a region."""
        return self.region is not None

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise UnitError if a channel or the region is out of range."""
        for index, _ in self.weights:
            Channel(self.site, index).check(sites)
        size = sites[self.site].map_size
        if self.region is None:
            return
        if not size:
            raise UnitError(f"{self.label} names a region, but {self.site!r} is a vector")
        top, bottom, left, right = self.region
        if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
            raise UnitError(
                f"region {self.region} is empty or out of range in {self.label}: the map of "
                f"{self.site!r} is {size[0]}x{size[1]} at this image size"
            )

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the weighted sum of the channels' means over the region."""
        return self.bound(activations[self.site].device)(activations)

    def bound(self, device: torch.device) -> Score:
        """Move indices and weights."""
        indices = torch.tensor([index for index, _ in self.weights], device=device)
        weights = torch.tensor([weight for _, weight in self.weights], device=device)

        def score(activations: Activations) -> Float[Tensor, "*b"]:
            a = activations[self.site]
            if self.region is not None:
                top, bottom, left, right = self.region
                a = a[..., top:bottom, left:right]
            return positions(a)[:, indices].mean(-1) @ weights.to(a.dtype)

        return score


@dataclass(frozen=True)
class DeepDream(Objective):
    """Mean square of a whole site; make it with `deepdream`."""

    site: str

    @property
    def sites(self) -> tuple[str, ...]:
        """The site."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`deepdream(fire4)`."""
        return f"deepdream({argument(self.site)})"

    def check(self, sites: Mapping[str, Site]) -> None:
        """Do nothing: any site will do."""
        del sites

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the mean square over channels and positions."""
        return activations[self.site].square().flatten(1).mean(1)


def group(
    site: str,
    weights: Mapping[int, float] | Sequence[int],
    *,
    region: Region | None = None,
) -> Group:
    """Maximise a weighted sum of channels, each averaged over all positions or a region.

    Args:
        site: Site name.
        weights: Channel -> weight, in texts `[5:1, 9:-0.5]`; or channels that count alike.
        region: (top, bottom, left, right) on the map, the second of each pair left out; None for
            all of it.

    Raises:
        ObjectiveError: If there is no channel, or a weight is not finite.
    """
    found: dict[int, float] = {}
    pairs = weights.items() if isinstance(weights, Mapping) else [(k, 1.0) for k in weights]
    for index, weight in pairs:
        found[index] = found.get(index, 0.0) + float(weight)
    if not found:
        raise ObjectiveError(f"a group of {site!r} needs at least one channel")
    for index, weight in found.items():
        if not math.isfinite(weight):
            raise ObjectiveError(f"the weight of channel {index} of {site!r} is {weight}")
    return Group(site, tuple(found.items()), region)


def deepdream(site: str) -> DeepDream:
    """Maximise the mean square of all channels of a site at all positions.

    References:
        Mordvintsev, Olah, Tyka 2015, "Inceptionism"; Lucid 0.3.10, optvis/objectives `deepdream`.
    """
    return DeepDream(site)
