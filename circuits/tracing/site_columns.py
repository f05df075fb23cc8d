"""Which sites a circuit runs through: columns of sites before a target, nearest first."""

import itertools
from collections.abc import Sequence

import torch

from circuits.tracing.tape import write_tape
from featviz.borrowing import borrowed, own_settings
from featviz.errors import CircuitError, did_you_mean
from featviz.models import Model
from featviz.sites import Site


def site_columns(
    model: Model, target: str, *, depth: int, sites: Sequence[str] | None = None
) -> list[list[str]]:
    """Return the sites of each column before a target's, nearest first.

    A column is one site, or several of which none reads another, such as parallel branches.

    Args:
        model: The network.
        target: Name of the target's site.
        depth: Columns at most; fewer where the network begins.
        sites: Candidates; None: the browsable sites before the target.

    Raises:
        CircuitError: If the depth is below 1, a site named does not lead to the target, or no
            site does.
        SiteError: If a site is unknown.
    """
    if depth < 1:
        raise CircuitError(f"depth must be 1 or more, got {depth}: columns before the target")
    table = model.site_table()
    end = table.resolve(target)
    names = table.names() if sites is None else list(dict.fromkeys(sites))
    found = [table.resolve(name) for name in names]
    if sites is None:
        found = [site for site in found if site.order < end.order and site.name != target]
    found = sorted(found, key=lambda site: site.order)
    reads = _reading(model, [*found, end])
    blind = [site.name for site in found if target not in reads[site.name]]
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
        while waiting and not reads[waiting[-1]] & set(column):
            column.append(waiting.pop())
        columns.append(column[::-1])
    return columns


def reads(model: Model, source: str, target: str) -> bool:
    """Tell whether a site depends on an earlier one.

    Args:
        model: The network.
        source: Name of the earlier site.
        target: Name of the later one.

    Raises:
        CircuitError: If they share channels, or one does not depend on the image.
        SiteError: If a site is unknown.
    """
    table = model.site_table()
    return target in _reading(model, [table.resolve(source), table.resolve(target)])[source]


def _reading(model: Model, sites: Sequence[Site]) -> dict[str, set[str]]:
    """Return for each site which of the sites read it, over however many layers."""
    h, w = model.spec.size
    ramp = torch.linspace(0, 1, h * w, device=model.device).view(1, 1, h, w)
    images = ramp.expand(1, model.spec.channels, h, w)
    parts = [part for site in sites for part in site.parts]
    with own_settings(), borrowed(model.module):
        tape = write_tape(model.module, model.network_input(images), parts)
    values = {site.name: {v for part in site.parts for v in tape.parts[part]} for site in sites}
    for one, other in itertools.combinations(sites, 2):
        overlap = max(one.span[0], other.span[0]) < min(one.span[1], other.span[1])
        if values[one.name] == values[other.name] and overlap:
            raise CircuitError(f"{one.name!r} and {other.name!r} share channels; give one of them")
    found: dict[str, set[str]] = {}
    for site in sites:
        after = tape.descendants(values[site.name])
        # Slices of one place share its values, and none reads another.
        found[site.name] = {
            name for name, own in values.items() if own & after and own != values[site.name]
        }
    return found
