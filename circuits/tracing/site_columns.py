"""Which sites a circuit runs through: columns of sites before a target, nearest first."""

import itertools
from collections.abc import Sequence

import torch

from circuits.tracing.operations import Tape
from circuits.tracing.tape import write_tape
from featviz.borrowing import borrowed, own_settings
from featviz.errors import CircuitError, did_you_mean
from featviz.models import Model
from featviz.sites import Site


def site_columns(
    model: Model, target: str, *, depth: int, sites: Sequence[str] | None = None
) -> list[list[str]]:
    """Return the sites of each column before a target's, nearest first.

    A column is one site, or several of which none reads another, such as parallel branches. Left to
    itself it names no place twice: of sites that share channels, such as a block and the ReLU that
    it ends in, the first in the network's order is a candidate, and none that shares some with the
    target.

    Args:
        model: The network.
        target: Name of the target's site.
        depth: Columns at most; fewer where the network begins.
        sites: Candidates; None: the browsable sites before the target.

    Raises:
        CircuitError: If the depth is below 1, the sites are no list, a site named does not lead to
            the target or shares channels with another, or no site leads to it.
        SiteError: If a site is unknown.
    """
    if depth < 1:
        raise CircuitError(f"depth must be 1 or more, got {depth}: columns before the target")
    if isinstance(sites, str):
        raise CircuitError(f"sites must be a list of names such as [{sites!r}], got one text")
    table = model.site_table()
    end = table.resolve(target)
    names = table.names() if sites is None else list(dict.fromkeys(sites))
    found = [table.resolve(name) for name in names]
    if sites is None:
        found = [site for site in found if site.order < end.order and site.name != target]
    found = sorted(found, key=lambda site: site.order)
    tape = _tape(model, [*found, end])
    if sites is None:
        found = _apart(found, end, tape)
    readers = _readers([*found, end], tape)
    blind = [site.name for site in found if target not in readers[site.name]]
    if sites is not None and blind:
        raise CircuitError(
            f"{blind[0]!r} does not lead to {target!r} in {model.name!r}; leave it out, or give "
            f"sites before the target{did_you_mean(blind[0], table.names())}"
        )
    waiting = [site.name for site in found if site.name not in blind]
    if not waiting:
        raise CircuitError(
            f"no site leads to {target!r} in {model.name!r}, so it has no circuit; choose a later "
            "unit, or name sites"
        )
    columns: list[list[str]] = []
    while waiting and len(columns) < depth:
        column: list[str] = []
        while waiting and not readers[waiting[-1]] & set(column):
            column.append(waiting.pop())
        columns.append(column[::-1])
    return columns


def _tape(model: Model, sites: Sequence[Site]) -> Tape:
    """Return what the network does up to the last of the sites."""
    h, w = model.spec.size
    ramp = torch.linspace(0, 1, h * w, device=model.device).view(1, 1, h, w)
    images = ramp.expand(1, model.spec.channels, h, w)
    parts = [part for site in sites for part in site.parts]
    with own_settings(), borrowed(model.module):
        return write_tape(model.module, model.network_input(images), parts)


def _values(site: Site, tape: Tape) -> set[int]:
    return {value for part in site.parts for value in tape.parts[part]}


def _share_channels(one: Site, other: Site, tape: Tape) -> bool:
    """Tell whether two names are, in part at least, for one and the same place."""
    values, others = _values(one, tape), _values(other, tape)
    overlap = max(one.span[0], other.span[0]) < min(one.span[1], other.span[1])
    return values == others and overlap


def _apart(sites: Sequence[Site], end: Site, tape: Tape) -> list[Site]:
    """Return the sites without those that share channels with an earlier one or the end."""
    found: list[Site] = []
    for site in sites:
        if not any(_share_channels(site, other, tape) for other in (end, *found)):
            found.append(site)
    return found


def _readers(sites: Sequence[Site], tape: Tape) -> dict[str, set[str]]:
    """Return for each site which of the sites read it, over however many layers."""
    values = {site.name: _values(site, tape) for site in sites}
    for one, other in itertools.combinations(sites, 2):
        if _share_channels(one, other, tape):
            raise CircuitError(f"{one.name!r} and {other.name!r} share channels; give one of them")
    found: dict[str, set[str]] = {}
    for site in sites:
        after = tape.descendants(values[site.name])
        # Slices of one place share its values, and none reads another.
        found[site.name] = {
            name for name, own in values.items() if own & after and own != values[site.name]
        }
    return found
