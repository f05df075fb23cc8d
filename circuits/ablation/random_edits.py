"""Edits of the same size at random: what an ablation means nothing beside."""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.editing import WeightChange, edited, swapped_weights, weight_changes
from circuits.ablation.edits import DropWeights, Edit, ScaleEdge, SelectInputs, SetUnits
from featviz.models import Model
from featviz.units import UnitSet


@contextmanager
def edited_at_random(
    model: Model,
    edits: Sequence[Edit],
    *,
    seed: int,
    images: Float[Tensor, "n c h w"] | None = None,
) -> Iterator[None]:
    """Make edits of the same kind and size, of units and weights chosen at random.

    Units are drawn among all of their site, sources of edges and families of inputs too; dropped
    weights among those of the same units and inputs that are not 0, as many in each layer.

    Args:
        model: See `edited`.
        edits: See `edited`.
        seed: Of the choice.
        images: See `edited`.

    Raises:
        CircuitError: As `edited`.
        SiteError: As `edited`.
        UnitError: As `edited`.
    """
    generator = random.Random(seed)
    with ExitStack() as stack:
        for edit in edits:
            if isinstance(edit, DropWeights):
                changes = [_drawn(c, generator) for c in weight_changes(model, edit)]
                stack.enter_context(swapped_weights(changes))
            else:
                twin = _twin(model, edit, generator)
                stack.enter_context(edited(model, [twin], images=images))
        yield


def _drawn(change: WeightChange, generator: random.Random) -> WeightChange:
    places = change.eligible.flatten().nonzero().flatten().tolist()
    chosen = generator.sample(places, int(change.touched.sum()))
    touched = torch.zeros_like(change.touched).flatten()
    touched[chosen] = True
    touched = touched.view_as(change.touched)
    values = change.parameter.detach().masked_fill(touched, 0)
    return replace(change, touched=touched, values=values)


def _twin(
    model: Model, edit: SetUnits | SelectInputs | ScaleEdge, generator: random.Random
) -> SetUnits | SelectInputs | ScaleEdge:
    if isinstance(edit, SetUnits):
        return replace(edit, units=_other_units(model, edit.units, generator))
    if isinstance(edit, SelectInputs):
        return replace(edit, inputs=_other_units(model, edit.inputs, generator))
    return replace(edit, sources=_other_units(model, edit.sources, generator))


def _other_units(model: Model, units: UnitSet, generator: random.Random) -> UnitSet:
    channels = model.site_table().resolve(units.site).channels
    chosen = sorted(generator.sample(range(channels), len(units.expand(channels))))
    text = f"{units.site}:{','.join(map(str, chosen))}"
    return UnitSet(text, units.site, tuple((c, c) for c in chosen))
