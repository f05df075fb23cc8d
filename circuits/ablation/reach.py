"""Whether an edit can change what a unit gives at all: an edit behind it is no "no effect"."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from circuits.ablation.activation_hooks import hooks_asleep
from circuits.ablation.edits import Edit, SetUnits
from circuits.ablation.layers import NORMS
from circuits.tracing.operations import UNCHANGED, Tape
from circuits.tracing.opgraph import run_tape
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import Part, Site


def check_reach(model: Model, edits: Sequence[Edit], site: str, units: Sequence[int]) -> None:
    """Refuse edits that cannot change any of some units, however large they are.

    Args:
        model: The network.
        edits: What is changed, see `edited`.
        site: Site of the units that are read.
        units: Channels.

    Raises:
        CircuitError: If an edit changes something that none of the units reads.
        SiteError: If a site is unknown.
        UnitError: If a channel of an edit is out of range.
    """
    table = model.site_table()
    read = table.resolve(site)
    for edit in edits:
        named = edit.units if isinstance(edit, SetUnits) else edit.targets
        changed = table.resolve(named.site)
        channels = {changed.span[0] + unit.channel for unit in named.expand(changed.channels)}
        tape = _tape(model, changed, read)
        starts, ends = _values(tape, changed), _values(tape, read)
        if not isinstance(edit, SetUnits):
            starts |= _built_from(tape, starts)
        if not ends & _after(tape, starts):
            later = starts & _after(tape, ends)
            why = f"{named.site!r} {'comes after' if later else 'does not lead to'} {site!r}"
        elif _bare(changed) == _bare(read) and not channels & {read.span[0] + k for k in units}:
            why = "units of one site do not read each other"
        else:
            continue
        shown = ",".join(map(str, units[:4])) + (",..." if len(units) > 4 else "")
        raise CircuitError(
            f"'{edit}' cannot change {site}:{shown} in {model.name!r}: {why}; read a unit that "
            "comes after what is edited"
        )


def _bare(site: Site) -> tuple[Part, ...]:
    return tuple(replace(part, pre=False) for part in site.parts)


def _tape(model: Model, changed: Site, read: Site) -> Tape:
    size = model.spec.size
    image = torch.rand(1, model.spec.channels, *size, generator=torch.Generator().manual_seed(0))
    with own_settings(), hooks_asleep():
        return run_tape(model, image, (changed, read))


def _built_from(tape: Tape, values: set[int]) -> set[int]:
    """Return what lies between values and the layers of weights that build them."""
    found, left = set[int](), list(values)
    while left:
        value = left.pop()
        made = tape.maker(value)
        before = tape.before_activation(value)
        if not before and made is not None and made.name in NORMS | UNCHANGED:
            before = made.inputs[:1]
        found.update(before)
        left.extend(before)
    return found


def _values(tape: Tape, site: Site) -> set[int]:
    return {value for part in site.parts for value in tape.parts[part]}


def _after(tape: Tape, values: set[int]) -> set[int]:
    found = set(values)
    for operation in tape.operations:
        if found & set(operation.inputs):
            found.update(value for value in operation.outputs if value is not None)
    return found
