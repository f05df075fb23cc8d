"""Objectives for single units: a channel, a neuron, a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import UnitError
from featviz.objectives.activations import Activations, Score, positions
from featviz.objectives.base import Objective
from featviz.sites import OUTPUT, Site, SiteTable, pre_activation_name
from featviz.units import Position, Unit, parse_units, quoted


def _check_channel(unit: Unit, site: Site) -> None:
    if not _is_index(unit.channel):
        raise UnitError(
            f"a channel of {site.name!r} must be a whole number, 0 to {site.channels - 1}, got "
            f"{unit.channel!r}"
        )
    if not 0 <= unit.channel < site.channels:
        raise UnitError(
            f"channel {unit.channel} is out of range in {str(unit)!r}: {site.name!r} has "
            f"{site.channels} channels, 0 to {site.channels - 1}"
        )
    if unit.position is None or unit.position == "center":
        return
    pair = isinstance(unit.position, tuple | list) and len(unit.position) == 2
    if not pair or not all(map(_is_index, unit.position)):
        raise UnitError(
            f"a position on {site.name!r} must be (y, x) in whole numbers, or 'center', got "
            f"{unit.position!r}"
        )
    if not site.map_size:
        raise UnitError(f"{str(unit)!r} names a position, but {site.name!r} is a vector")
    if any(not 0 <= p < n for p, n in zip(unit.position, site.map_size, strict=True)):
        raise UnitError(
            f"position {unit.position} is out of range in {str(unit)!r}: the map of "
            f"{site.name!r} is {site.map_size[0]}x{site.map_size[1]} at this image size"
        )


def _is_index(value: object) -> bool:
    return isinstance(value, SupportsIndex) and not isinstance(value, bool)


@dataclass(frozen=True)
class Channel(Objective):
    """Mean of one channel over all positions; make it with `channel`."""

    site: str
    index: int

    @property
    def sites(self) -> tuple[str, ...]:
        """The site of the channel."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`fire4:5`."""
        return quoted(str(Unit(self.site, self.index)))

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise UnitError if the channel is out of range."""
        _check_channel(Unit(self.site, self.index), sites[self.site])

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the mean of the channel."""
        return positions(activations[self.site])[:, self.index].mean(-1)

    @classmethod
    def bind_rows(cls, objectives: Sequence[Objective], device: torch.device) -> Score:
        """Gather all channels at once."""
        if len({objective.sites for objective in objectives}) > 1:
            return super().bind_rows(objectives, device)
        channels = [objective.index for objective in objectives if isinstance(objective, cls)]
        index = torch.tensor(channels, device=device)
        rows = torch.arange(len(objectives), device=device)
        (site,) = objectives[0].sites

        def score(activations: Activations) -> Float[Tensor, " b"]:
            # Channels last, as the network computes: autograd then gives it a gradient in that
            # layout too, which the next layers would otherwise change one after the other.
            by_position = positions(activations[site]).movedim(1, -1)
            return by_position[rows, :, index].float().mean(-1)

        return score


@dataclass(frozen=True)
class Neuron(Objective):
    """One channel at one position; make it with `neuron`."""

    site: str
    index: int
    position: Position = "center"

    @property
    def sites(self) -> tuple[str, ...]:
        """The site of the neuron."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`fire4:5@7,9` or `fire4:5@center`."""
        return quoted(str(Unit(self.site, self.index, self.position)))

    @property
    def placed(self) -> bool:
        """Whether its position is not the centre."""
        return self.position != "center"

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise UnitError if the channel or the position is out of range."""
        _check_channel(Unit(self.site, self.index, self.position), sites[self.site])

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the activation at the position."""
        activation = activations[self.site]
        if activation.dim() == 2:
            return activation[:, self.index]
        h, w = activation.shape[-2:]
        y, x = (h // 2, w // 2) if self.position == "center" else self.position
        return activation[:, self.index, y, x]

    @classmethod
    def bind_rows(cls, objectives: Sequence[Objective], device: torch.device) -> Score:
        """Gather all neurons at once."""
        if len({objective.sites for objective in objectives}) > 1:
            return super().bind_rows(objectives, device)
        (site,) = objectives[0].sites
        neurons = [objective for objective in objectives if isinstance(objective, cls)]
        index = torch.tensor([n.index for n in neurons], device=device)
        placed = torch.tensor([n.position != "center" for n in neurons], device=device)
        fixed = [(0, 0) if n.position == "center" else n.position for n in neurons]
        where = torch.tensor(fixed, device=device)
        rows = torch.arange(len(neurons), device=device)

        def score(activations: Activations) -> Float[Tensor, " b"]:
            activation = activations[site]
            if activation.dim() == 2:
                return activation[rows, index].float()
            h, w = activation.shape[-2:]
            y = torch.where(placed, where[:, 0], h // 2)
            x = torch.where(placed, where[:, 1], w // 2)
            return activation.movedim(1, -1)[rows, y, x, index].float()

        return score


def channel(site: str, index: int) -> Channel:
    """Maximise the mean of one channel.

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill.
    """
    return Channel(site, index)


def neuron(site: str, index: int, *, position: Position = "center") -> Neuron:
    """Maximise one channel at one position.

    Args:
        site: Site name.
        index: Channel.
        position: (y, x) on the map; `center` is (h // 2, w // 2).
    """
    return Neuron(site, index, position)


def class_logit(index: int) -> Channel:
    """Maximise one entry of the network's output before the softmax."""
    return Channel(OUTPUT, index)


def units_to_objectives(text: str, table: SiteTable) -> list[Objective]:
    """Return one objective a unit of `[-]SITE:CHANNELS[@Y,X]`: channels, or neurons where placed.

    A minus minimises. After a ReLU that is flat as soon as the unit is silent, so there the
    pre-activation is minimised, and the label says so.

    Args:
        text: See units.py.
        table: The sites of the network.

    Raises:
        UnitError: If the text is malformed or a channel out of range.
        SiteError: If the site is unknown.
    """
    negative = text.startswith("-")
    units = parse_units(text.removeprefix("-"))
    site = table.resolve(units.site)
    if negative and site.has_pre:
        units = replace(units, site=table.resolve(pre_activation_name(units.site)).name)
    objectives: list[Objective] = [
        Channel(unit.site, unit.channel)
        if unit.position is None
        else Neuron(unit.site, unit.channel, unit.position)
        for unit in units.expand(site.channels)
    ]
    return [-objective for objective in objectives] if negative else objectives
