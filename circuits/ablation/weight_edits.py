"""Which weights an edit changes, and swapping them for a while."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from circuits.ablation.activation_hooks import hooks_asleep
from circuits.ablation.edits import DropWeights, ScaleEdge, SelectInputs
from circuits.ablation.layers import Layer, layers_into
from circuits.tracing.opgraph import record_between
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.units import UnitSet


@dataclass(frozen=True, eq=False)
class WeightChange:
    """Some weights of a parameter that are multiplied.

    Attributes:
        name: Of the parameter.
        parameter: It.
        touched: Which weights change.
        eligible: Those among which such a choice is made: of the same units and inputs, not 0.
        factor: What the touched weights are multiplied by.
    """

    name: str
    parameter: nn.Parameter
    touched: Tensor
    eligible: Tensor
    factor: float = 0.0


@dataclass(frozen=True, eq=False)
class ReadInputs:
    """The layers behind an edit of weights, for this choice of source units and for others.

    Attributes:
        edit: The edit.
        layers: Those that build the targets.
        targets: Channels of the target's site, before its slice.
        sources: The source units that the edit names; None: all inputs.
        read: Source units that the targets read; grouped convolutions leave most out.
    """

    edit: DropWeights | SelectInputs | ScaleEdge
    layers: tuple[Layer, ...]
    targets: tuple[int, ...]
    sources: tuple[int, ...] | None
    read: tuple[int, ...]

    def changes(self, sources: Sequence[int] | None) -> list[WeightChange]:
        """Return what the edit would change if it named these source units."""
        return [
            change
            for layer in self.layers
            if (change := _change(self.edit, layer, self.targets, sources)) is not None
        ]


def read_inputs(model: Model, edit: DropWeights | SelectInputs | ScaleEdge) -> ReadInputs:
    """Find the layers behind an edit of weights.

    Args:
        model: The network; it is left as it is, and hooks that change sites are not seen.
        edit: The edit.

    Raises:
        CircuitError: If it does not fit the network; a `NotDirectError` if the targets' layers do
            not read the sources.
        SiteError: If a site is unknown.
        UnitError: If a channel is out of range.
    """
    sources = edit.inputs if isinstance(edit, SelectInputs) else edit.sources
    target = edit.targets.site
    with hooks_asleep():
        if sources is not None:
            record_between(model, sources.site, target)  # says what is wrong with the ends
        first = model.site_table().resolve(target).span[0]
        targets = tuple(first + channel for channel in channels_of(model, edit.targets))
        inputs = None if sources is None else tuple(channels_of(model, sources))
        layers = layers_into(model, target, None if sources is None else sources.site)
    read = sorted({unit for layer in layers for unit in layer.sources_of(targets)})
    return ReadInputs(edit, tuple(layers), targets, inputs, tuple(read))


def weight_changes(
    model: Model, edit: DropWeights | SelectInputs | ScaleEdge
) -> list[WeightChange]:
    """Return what an edit of weights would change.

    Args:
        model: The network; it is left as it is.
        edit: The edit.

    Raises:
        CircuitError: As `read_inputs`, or if nothing would change.
        SiteError: If a site is unknown.
        UnitError: If a channel is out of range.
    """
    found = read_inputs(model, edit)
    return something(model, edit, found.changes(found.sources))


def something(
    model: Model, edit: DropWeights | SelectInputs | ScaleEdge, changes: list[WeightChange]
) -> list[WeightChange]:
    """Return the changes of an edit if there are any.

    Raises:
        CircuitError: If there are none.
    """
    if not changes:
        raise CircuitError(
            f"'{edit}' changes no weight of {model.name!r}: there are none of this kind; check "
            "units and signs"
        )
    return changes


def _change(
    edit: DropWeights | SelectInputs | ScaleEdge,
    layer: Layer,
    targets: Sequence[int],
    sources: Sequence[int] | None,
) -> WeightChange | None:
    mask, weight = layer.mask(targets, sources), layer.parameter.detach()
    eligible = mask & (weight != 0)
    if isinstance(edit, DropWeights):
        signed = layer.signed()
        mask &= (signed < 0) if edit.sign == "negative" else (signed > 0)
    elif isinstance(edit, SelectInputs) and edit.keep:
        mask = layer.mask(targets) & ~mask
    if not mask.any():
        return None
    factor = edit.factor if isinstance(edit, ScaleEdge) else 0.0
    return WeightChange(layer.name, layer.parameter, mask, eligible, factor)


@contextmanager
def swapped_weights(changes: Sequence[WeightChange]) -> Iterator[None]:
    """Give parameters other storage inside a `with` block; the old one comes back as it is.

    Args:
        changes: From `weight_changes`, in any order: what several touch is multiplied by all their
            factors.
    """
    by_parameter: dict[int, list[WeightChange]] = {}
    for change in changes:
        by_parameter.setdefault(id(change.parameter), []).append(change)
    before = [(each[0].parameter, each[0].parameter.data) for each in by_parameter.values()]
    try:
        for each in by_parameter.values():
            each[0].parameter.data = _together(each)
        yield
    finally:
        for parameter, data in before:
            parameter.data = data


def _together(changes: Sequence[WeightChange]) -> Tensor:
    weight = changes[0].parameter.detach()
    # One order, so that the result is the same to the last bit whatever came first.
    for change in sorted(changes, key=lambda each: each.factor):
        weight = torch.where(change.touched, weight * change.factor, weight)
    return weight


def channels_of(model: Model, units: UnitSet) -> list[int]:
    """Return the channels that a set of units names.

    Raises:
        SiteError: If the site is unknown.
        UnitError: If a channel is out of range.
    """
    site = model.site_table().resolve(units.site)
    return [unit.channel for unit in units.expand(site.channels)]
