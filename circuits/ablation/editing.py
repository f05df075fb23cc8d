"""Change weights and activations of a network for a while: what happens without them?

    with edited(model, [parse_edit("negative weights of arcs")]):
        curves = measure_tuning(model, "arcs")

Afterwards the network is bit for bit what it was. ablation_effects.py says what broke.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.ablation.activation_hooks import (
    Change,
    changed_sites,
    editable_site,
    patched_from_twin,
)
from circuits.ablation.edits import DropWeights, Edit, ScaleEdge, SelectInputs, SetUnits
from circuits.ablation.layers import NotDirectError, layers_into
from circuits.tracing.opgraph import record_between
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.units import UnitSet


@contextmanager
def edited(
    model: Model,
    edits: Sequence[Edit],
    *,
    images: Float[Tensor, "n c h w"] | None = None,
) -> Iterator[None]:
    """Change a network inside a `with` block; blocks may be nested.

    Args:
        model: The network. Weights are swapped, activations changed by hooks; both are restored,
            also after an exception.
        edits: Made one after the other.
        images: For edits to the mean: what it is taken over, RGB (or the network's own channels),
            0..1.

    Raises:
        CircuitError: If an edit does not fit the network: no layer of weights, an edge that runs
            backwards, a mean without images, or nothing that it would change.
        SiteError: If a site is unknown.
        UnitError: If a channel is out of range.
    """
    with ExitStack() as stack:
        for edit in edits:
            if isinstance(edit, SetUnits):
                change = _constant(model, edit, images)
                stack.enter_context(changed_sites(model, {edit.units.site: change}))
                continue
            try:
                changes = weight_changes(model, edit)
            except NotDirectError:
                if not isinstance(edit, ScaleEdge):
                    raise
                source, target = (_without_pre(model, u) for u in (edit.sources, edit.targets))
                scale = _scaled(channels_of(model, edit.sources), edit.factor)
                channels = channels_of(model, edit.targets)
                stack.enter_context(patched_from_twin(model, target, channels, {source: scale}))
                continue
            stack.enter_context(swapped_weights(changes))
        yield


@dataclass(frozen=True, eq=False)
class WeightChange:
    """New numbers for some weights of a parameter.

    Attributes:
        name: Of the parameter.
        parameter: It; unchanged.
        touched: Which weights change.
        eligible: Those among which such a choice is made: of the same units and inputs, not 0.
        values: The new numbers, of its shape.
    """

    name: str
    parameter: nn.Parameter
    touched: Tensor
    eligible: Tensor
    values: Tensor


def weight_changes(
    model: Model, edit: DropWeights | SelectInputs | ScaleEdge
) -> list[WeightChange]:
    """Return what an edit of weights would change.

    Args:
        model: The network; it is left as it is.
        edit: The edit.

    Raises:
        CircuitError: If it does not fit the network, or would change nothing; a `NotDirectError`
            if the targets' layers do not read the sources.
        SiteError: If a site is unknown.
        UnitError: If a channel is out of range.
    """
    sources = edit.inputs if isinstance(edit, SelectInputs) else edit.sources
    target = edit.targets.site
    if sources is not None:
        record_between(model, sources.site, target)  # says what is wrong with the ends
    first = model.site_table().resolve(target).span[0]
    targets = [first + channel for channel in channels_of(model, edit.targets)]
    inputs = None if sources is None else channels_of(model, sources)
    changes = []
    for layer in layers_into(model, target, None if sources is None else sources.site):
        mask, weight = layer.mask(targets, inputs), layer.parameter.detach()
        eligible = mask & (weight != 0)
        if isinstance(edit, DropWeights):
            signed = layer.signed()
            mask &= (signed < 0) if edit.sign == "negative" else (signed > 0)
        elif isinstance(edit, SelectInputs) and edit.keep:
            mask = layer.mask(targets) & ~mask
        factor = edit.factor if isinstance(edit, ScaleEdge) else 0.0
        if mask.any():
            values = torch.where(mask, weight * factor, weight)
            changes.append(WeightChange(layer.name, layer.parameter, mask, eligible, values))
    if not changes:
        raise CircuitError(
            f"'{edit}' changes no weight of {model.name!r}: there are none of this kind; check "
            "units and signs"
        )
    return changes


@contextmanager
def swapped_weights(changes: Sequence[WeightChange]) -> Iterator[None]:
    """Give parameters other storage inside a `with` block; the old one comes back as it is.

    Args:
        changes: From `weight_changes`.
    """
    before = [change.parameter.data for change in changes]
    try:
        for change in changes:
            change.parameter.data = change.values
        yield
    finally:
        for change, data in zip(changes, before, strict=True):
            change.parameter.data = data


def channels_of(model: Model, units: UnitSet) -> list[int]:
    """Return the channels that a set of units names.

    Raises:
        SiteError: If the site is unknown.
        UnitError: If a channel is out of range.
    """
    site = model.site_table().resolve(units.site)
    return [unit.channel for unit in units.expand(site.channels)]


def _without_pre(model: Model, units: UnitSet) -> str:
    """Return the site behind the activation function: what goes on is what comes out of it."""
    site = model.site_table().resolve(units.site)
    if not any(part.pre for part in site.parts):
        return units.site
    head, _, tail = units.site.rpartition(".pre")
    return f"{head}{tail}"


def _constant(model: Model, edit: SetUnits, images: Tensor | None) -> Change:
    channels = channels_of(model, edit.units)
    editable_site(model, edit.units.site)
    if edit.to == "zero":
        values = torch.zeros(len(channels))
    else:
        if images is None:
            raise CircuitError(f"'{edit}' needs images to take the mean over; give some")
        with torch.no_grad():
            found = model.record(images.to(model.device), [edit.units.site])[edit.units.site]
        values = found.flatten(2).mean((0, 2)) if found.dim() > 2 else found.mean(0)
        values = values[channels]

    def change(activation: Tensor) -> Tensor:
        index = torch.tensor(channels, device=activation.device)
        shape = (len(activation), len(channels), *activation.shape[2:])
        filled = values.to(activation).view(1, -1, *[1] * (activation.dim() - 2)).expand(shape)
        return activation.index_copy(1, index, filled)

    return change


def _scaled(channels: list[int], factor: float) -> Change:
    def change(activation: Tensor) -> Tensor:
        scale = torch.ones(activation.shape[1]).to(activation)
        scale[channels] = factor
        return activation * scale.view(1, -1, *[1] * (activation.dim() - 2))

    return change
