"""Relevance with conditions: how much of a unit's activation came through chosen units.

Layer-wise relevance with the z-rule: a unit shares its relevance among what it reads in proportion
to their contributions, `R_i = sum_j z_ij / z_j R_j`. Conditions (Achtibat et al., 2023) keep at
each site only the relevance of some units, so the map shows one way through the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.activation_hooks import changed_sites
from circuits.tracing.given_images import BATCH, checked_images, joined
from circuits.tracing.unit_reading import (
    Where,
    as_channel,
    as_channels,
    check_channel,
    one_place,
    pre_site,
    read_at,
)
from featviz.borrowing import own_settings
from featviz.errors import CircuitError, UnitError
from featviz.models import Model

_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Relevance:
    """Relevance at each site on the way, from the target back; everything summed is conserved.

    Attributes:
        maps: Site -> [n c h w] (or [n c]) of what its units hold, conditions not yet applied.
        rest: Site -> [n]: what the step back to it gave to biases and to other inputs.
        excluded: Site -> [n]: what its condition threw away.
        value: [n]: activation of the target's unit, which is shared.
    """

    value: Float[Tensor, " n"]
    maps: dict[str, Tensor] = field(default_factory=dict)
    rest: dict[str, Tensor] = field(default_factory=dict)
    excluded: dict[str, Tensor] = field(default_factory=dict)

    def by_unit(self, site: str) -> Float[Tensor, "n c"]:
        """Return the relevance of each unit of a site, summed over positions."""
        maps = self.maps[site]
        return maps.flatten(2).sum(2) if maps.dim() > 2 else maps

    def shares(self, site: str) -> Float[Tensor, "n c"]:
        """Return the relevance of each unit over the sum of magnitudes; 0 where there is none."""
        relevance = self.by_unit(site)
        return relevance / relevance.abs().sum(1, keepdim=True).clamp(min=1e-30)


@own_settings()
def conditional_relevance(
    model: Model,
    sites: Sequence[str],
    channel: int,
    images: Float[Tensor, "n c h w"],
    *,
    where: Where = "peak",
    conditions: Mapping[str, Sequence[int]] | None = None,
) -> Relevance:
    """Pass the activation of a unit back from site to site with the z-rule.

    Between two sites the network must be piecewise linear without a bias in the middle (as adjacent
    layers are, max pools included): name every site on the way.

    Args:
        model: The network.
        sites: From the earliest to the target; activations, no pre-activations.
        channel: Unit of the last site.
        images: RGB (or the network's own channels), 0..1.
        where: Position of the target; the sum is not possible.
        conditions: Site -> the units through which relevance goes on; others are cut off. Of sites
            between the first and the last.

    Raises:
        CircuitError: If there are fewer than two sites, a condition names another site, the sum is
            asked for, relevance is not conserved between two sites, or the images are none, see
            `checked_images`.
        SiteError: If a site is unknown.
        UnitError: If there is no such channel.
    """
    kept = {site: as_channels(units) for site, units in dict(conditions or {}).items()}
    _check(sites, kept, where)
    images, channel = checked_images(model, images), as_channel(channel)
    parts = [_of_batch(model, sites, channel, batch, where, kept) for batch in images.split(BATCH)]
    return Relevance(
        value=torch.cat([part.value for part in parts]),
        maps=joined(part.maps for part in parts),
        rest=joined(part.rest for part in parts),
        excluded=joined(part.excluded for part in parts),
    )


def _of_batch(
    model: Model,
    sites: Sequence[str],
    channel: int,
    images: Tensor,
    where: Where,
    conditions: Mapping[str, Sequence[int]],
) -> Relevance:
    with torch.no_grad():
        found = model.record(images, list(sites))
    last = found[sites[-1]]
    check_channel(last, channel)
    places = one_place(last, channel, where)
    value = read_at(last, channel, places)
    current = torch.zeros_like(last)
    flat = value.new_zeros(len(last), last[0, 0].numel()).scatter(
        1, places[:, None], value[:, None]
    )
    current[:, channel] = flat.view_as(current[:, channel])
    result = Relevance(value=value.cpu(), maps={sites[-1]: current.cpu()})
    for source, target in reversed(list(pairwise(sites))):
        if target in conditions:
            current, cut = _kept(current, conditions[target], target)
            result.excluded[target] = cut.cpu()
        current, rest = _step(model, images, source, target, found[source], current)
        result.maps[source], result.rest[source] = current.cpu(), rest.cpu()
    return result


def _check(sites: Sequence[str], conditions: Mapping[str, Sequence[int]], where: Where) -> None:
    if len(sites) < 2:
        raise CircuitError(f"relevance goes from site to site; name two at least, got {len(sites)}")
    if where == "sum":
        raise CircuitError("relevance starts at one position; choose 'peak', 'center' or a (y, x)")
    between = list(sites[1:-1])
    for name in conditions:
        if name not in between:
            raise CircuitError(
                f"the condition on {name!r} is at no site between the first and the last; these "
                f"are {', '.join(between) or 'none'}"
            )


def _kept(current: Tensor, channels: Sequence[int], site: str) -> tuple[Tensor, Tensor]:
    for channel in channels:
        if not 0 <= channel < current.shape[1]:
            raise UnitError(f"channel {channel} is out of range: {site!r} has {current.shape[1]}")
    mask = torch.zeros(current.shape[1], dtype=torch.bool, device=current.device)
    mask[list(channels)] = True
    mask = mask.view(1, -1, *[1] * (current.dim() - 2))
    kept = current * mask
    return kept, (current * ~mask).flatten(1).sum(1)


def _step(
    model: Model, images: Tensor, source: str, target: str, end: Tensor, given: Tensor
) -> tuple[Tensor, Tensor]:
    """Share the relevance of a target's units among those of a source, and with the rest."""
    before = pre_site(model, target, (images.shape[2], images.shape[3]))

    def run(values: Tensor) -> Tensor:
        with changed_sites(model, {source: lambda _: values.clone()}):
            return model.record(images, [before])[before]

    leaf = end.detach().clone().requires_grad_()
    z = run(leaf)
    if not z.requires_grad:
        raise CircuitError(
            f"{target!r} does not read {source!r} in {model.name!r}; name sites in order"
        )
    # Units without relevance have none to share; nothing is divided by their zero.
    share = torch.where(given == 0, torch.zeros_like(given), given / z.detach())
    if not share.isfinite().all():
        raise CircuitError(f"{target!r} holds relevance where its pre-activation is 0")
    (gradient,) = torch.autograd.grad(z, leaf, share)
    passed = gradient * end
    with torch.no_grad():
        rest = (run(torch.zeros_like(end)) * share).flatten(1).sum(1)
    wanted = given.flatten(1).sum(1)
    gap = (wanted - rest - passed.flatten(1).sum(1)).abs().max()
    scale = float(given.abs().flatten(1).sum(1).max())
    if float(gap) > _TOLERANCE * max(scale, 1e-30):
        raise CircuitError(
            f"relevance is not conserved from {target!r} back to {source!r}: {float(gap):.3g} of "
            f"{scale:.3g} is lost, because more than one layer of weights, or an operation that is "
            "not piecewise linear, lies between; name the sites between them"
        )
    return passed, rest
