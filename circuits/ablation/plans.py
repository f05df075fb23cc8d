"""What edits come down to in one network: weights, constants and edges, all found on it unedited.

Each edit makes choices: of units, or of weights. A choice knows what the edit chose and among what
it could have chosen, so that random_edits.py can choose otherwise.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.activation_hooks import editable_site, hooks_asleep
from circuits.ablation.edits import DropWeights, Edit, ScaleEdge, SetUnits
from circuits.ablation.keeping import channel_means
from circuits.ablation.layers import NotDirectError
from circuits.ablation.second_passes import DistantEdge
from circuits.ablation.weight_edits import (
    ReadInputs,
    WeightChange,
    channels_of,
    read_inputs,
    something,
)
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.units import UnitSet


@dataclass(frozen=True, eq=False)
class Constants:
    """Units that give a constant.

    Attributes:
        edit: Where it comes from.
        site: Their site.
        channels: They.
        values: What each gives.
    """

    edit: SetUnits
    site: str
    channels: tuple[int, ...]
    values: Float[Tensor, " k"]


@dataclass(frozen=True, eq=False)
class Plan:
    """What is done to a network; the parts of one kind may come in any order."""

    weights: tuple[WeightChange, ...] = ()
    constants: tuple[Constants, ...] = ()
    edges: tuple[DistantEdge, ...] = ()


@dataclass(frozen=True, eq=False)
class Choice:
    """What an edit chose, and what it could have chosen.

    Attributes:
        own: Channels of a site, or places in a parameter.
        pool: Among which.
        units: Whether they are channels.
        plan: Returns what is done for other channels or places.
    """

    own: tuple[int, ...]
    pool: tuple[int, ...]
    units: bool
    plan: Callable[[Sequence[int]], Plan]


def choices(model: Model, edit: Edit, *, images: Tensor | None = None) -> list[Choice]:
    """Find what an edit changes.

    Args:
        model: The network, with its own weights; hooks that change sites are not seen.
        edit: The edit.
        images: For edits to the mean.

    Raises:
        CircuitError: If it does not fit the network, see `edited`.
        SiteError: If a site is unknown.
        UnitError: If a channel is out of range.
    """
    if isinstance(edit, SetUnits):
        return [_constants(model, edit, images)]
    try:
        found = read_inputs(model, edit)
    except NotDirectError:
        if not isinstance(edit, ScaleEdge):
            raise
        return [_distant(model, edit)]
    changes = something(model, edit, found.changes(found.sources))
    if isinstance(edit, DropWeights):
        return [_dropped(change) for change in changes]
    read = set(found.read)
    own = tuple(unit for unit in found.sources or () if unit in read)
    return [Choice(own, found.read, True, partial(_other_inputs, found))]


def together(plans: Iterable[Plan]) -> Plan:
    """Return all that some plans do, as one."""
    listed = list(plans)
    return Plan(
        weights=tuple(part for plan in listed for part in plan.weights),
        constants=tuple(part for plan in listed for part in plan.constants),
        edges=tuple(part for plan in listed for part in plan.edges),
    )


def _constants(model: Model, edit: SetUnits, images: Tensor | None) -> Choice:
    own = tuple(channels_of(model, edit.units))
    site = editable_site(model, edit.units.site)
    values = torch.zeros(site.channels)
    if edit.to == "mean":
        if images is None:
            raise CircuitError(f"'{edit}' needs images to take the mean over; give some")
        with hooks_asleep():
            values = channel_means(model, images, [edit.units.site])[edit.units.site]

    def plan(channels: Sequence[int]) -> Plan:
        chosen = tuple(channels)
        return Plan(constants=(Constants(edit, edit.units.site, chosen, values[list(chosen)]),))

    return Choice(own, tuple(range(site.channels)), True, plan)


def _distant(model: Model, edit: ScaleEdge) -> Choice:
    source, target = (_without_pre(model, units) for units in (edit.sources, edit.targets))
    own, targets = (tuple(channels_of(model, units)) for units in (edit.sources, edit.targets))
    editable_site(model, source)
    editable_site(model, target)

    def plan(channels: Sequence[int]) -> Plan:
        return Plan(edges=(DistantEdge(source, tuple(channels), target, targets, edit.factor),))

    return Choice(own, tuple(range(model.site_table().resolve(source).channels)), True, plan)


def _dropped(change: WeightChange) -> Choice:
    def plan(places: Sequence[int]) -> Plan:
        touched = torch.zeros_like(change.touched).flatten()
        touched[list(places)] = True
        touched = touched.view_as(change.touched)
        return Plan(weights=(replace(change, touched=touched),))

    own, pool = (
        tuple(mask.flatten().nonzero().flatten().tolist())
        for mask in (change.touched, change.eligible)
    )
    return Choice(own, pool, False, plan)


def _other_inputs(found: ReadInputs, sources: Sequence[int]) -> Plan:
    return Plan(weights=tuple(found.changes(sources)))


def _without_pre(model: Model, units: UnitSet) -> str:
    """Return the site behind the activation function: what goes on is what comes out of it."""
    site = model.site_table().resolve(units.site)
    if not any(part.pre for part in site.parts):
        return units.site
    head, _, tail = units.site.rpartition(".pre")
    return f"{head}{tail}"
