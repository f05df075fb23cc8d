"""How much each unit of one site gives to a unit of a later one, on given images.

    found = contributions(model, "early_curves", "arcs", 6, images)
    found.by_unit          # [n i], sums with found.rest to found.value

Contributions, weights times activations, are exact between adjacent sites. Gradient x activation
and integrated gradients reach over any distance: the first is a straight line through where the
network is, the second adds up along the way from a baseline and so is complete.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.activation_hooks import changed_sites
from circuits.attribution.unit_reading import Where, check_channel, places_of, read_unit
from circuits.expansion.raw_weights import raw_weights
from circuits.expansion.vjp import cut_window
from circuits.expansion.weight_map import WeightMap
from circuits.tracing.opgraph import record_between
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import pre_activation_name

Images = Float[Tensor, "n c h w"]


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each unit and position of a source gave to one unit of a target, image by image.

    Attributes:
        maps: [n i h w] (or [n i] of vectors): contributions over the window that is read, or over
            the source's whole map.
        rest: [n]: what does not come from the source: the bias, other inputs, or the value at the
            baseline. Measured in a pass with the source at its baseline, not as a difference.
        value: [n]: what is explained.
        source: Site.
        target: Site.
        channel: Unit of the target.
        method: `contribution`, `gradient_x_activation` or `integrated_gradients`.
    """

    maps: Float[Tensor, "n i *map"]
    rest: Float[Tensor, " n"]
    value: Float[Tensor, " n"]
    source: str
    target: str
    channel: int
    method: str

    @property
    def by_unit(self) -> Float[Tensor, "n i"]:
        """Sum over positions."""
        return self.maps.flatten(2).sum(2) if self.maps.dim() > 2 else self.maps

    @property
    def gap(self) -> Float[Tensor, " n"]:
        """What the contributions and the rest leave unexplained of the value."""
        return self.value - self.rest - self.by_unit.sum(1)

    def top(self, count: int) -> list[tuple[int, float]]:
        """Return the units with the largest mean magnitude over images, and their signed mean."""
        strength = self.by_unit.abs().mean(0)
        order = torch.argsort(strength, descending=True, stable=True)[:count].tolist()
        mean = self.by_unit.mean(0)
        return [(unit, float(mean[unit])) for unit in order]


def contributions(
    model: Model,
    source: str,
    target: str,
    channel: int,
    images: Images,
    *,
    where: Where = "peak",
) -> Attribution:
    """Return weights times activations between adjacent sites: exact, up to rounding.

    Args:
        model: The network.
        source: Site that the target's layer reads.
        target: Site; its pre-activation is explained.
        channel: Unit of the target.
        images: RGB (or the network's own channels), 0..1.
        where: Position of the target; `sum` is not possible.

    Raises:
        CircuitError: If the sites are not adjacent, or there is no such position.
        UnitError: If there is no such channel.
        SiteError: If a site is unknown.
    """
    if where == "sum":
        raise CircuitError("contributions are those to one position; choose 'peak' or another")
    size = (images.shape[2], images.shape[3])
    table = model.site_table(size)
    before = pre_activation_name(target) if table.resolve(target).has_pre else target
    weights = raw_weights(model, source, target, units=[channel], size=size)
    with own_settings(), torch.no_grad():
        images = images.to(model.device)
        found = model.record(images, [source, before])
        silent = _with_source(model, source, torch.zeros_like(found[source]), before, images)
        activation = found[before]
        places = places_of(activation, channel, where)
        columns = activation.shape[3] if activation.dim() == 4 else 1
        maps = found[source] if found[source].dim() == 4 else found[source][..., None, None]
        kernel = weights.kernel[0].to(maps)
        extent = (kernel.shape[1], kernel.shape[2])
        windows = [
            cut_window(maps[k : k + 1], _start(place, columns, weights), extent)
            for k, place in enumerate(places.tolist())
        ]
        given = torch.cat(windows) * kernel
    return Attribution(
        maps=given.cpu(),
        rest=_at(silent, channel, places).cpu(),
        value=_at(activation, channel, places).cpu(),
        source=source,
        target=before,
        channel=channel,
        method="contribution",
    )


def _start(place: int, columns: int, weights: WeightMap) -> list[int]:
    position = divmod(place, columns)
    return [p * s + o for p, s, o in zip(position, weights.stride, weights.offset, strict=True)]


def _at(activation: Tensor, channel: int, places: Tensor) -> Tensor:
    return activation[:, channel].flatten(1).gather(1, places[:, None])[:, 0]


def _with_source(model: Model, source: str, values: Tensor, target: str, images: Tensor) -> Tensor:
    """Return a target's activation when the source gives certain values."""
    with changed_sites(model, {source: lambda _: values.clone()}):
        return model.record(images, [target])[target]


def gradient_times_activation(
    model: Model,
    source: str,
    target: str,
    channel: int,
    images: Images,
    *,
    where: Where = "peak",
) -> Attribution:
    """Return gradient x activation of each unit and position of a source.

    The rest is the target's value with the source at zero; `gap` says how far the straight line
    misses.

    Args:
        model: The network.
        source: Site, no pre-activation.
        target: A later site.
        channel: Unit of the target.
        images: RGB (or the network's own channels), 0..1.
        where: Which number of the target's map; `peak` is that of the unedited network.

    Raises:
        CircuitError: If no path leads from source to target, or there is no such position.
        UnitError: If there is no such channel.
        SiteError: If a site is unknown.
    """
    return _along(model, source, target, channel, images, where, None, 1)


def integrated_gradients(
    model: Model,
    source: str,
    target: str,
    channel: int,
    images: Images,
    *,
    where: Where = "peak",
    baseline: Float[Tensor, "..."] | None = None,
    steps: int = 32,
) -> Attribution:
    """Return gradients averaged on the straight way from a baseline, times the way.

    They sum to the target's value less that at the baseline, up to the error of the steps (`gap`).

    Args:
        model: The network.
        source: Site, no pre-activation.
        target: A later site.
        channel: Unit of the target.
        images: RGB (or the network's own channels), 0..1.
        where: Which number of the target's map; `peak` is that of the unedited network.
        baseline: Activation of the source to start from, broadcast to it; None: zero.
        steps: Midpoints of so many equal parts of the way.

    Raises:
        CircuitError: If no path leads from source to target, there is no such position, or steps
            are fewer than 1.
        UnitError: If there is no such channel.
        SiteError: If a site is unknown.
    """
    if steps < 1:
        raise CircuitError(f"steps must be 1 or more, got {steps}")
    return _along(model, source, target, channel, images, where, (baseline,), steps)


def _along(
    model: Model,
    source: str,
    target: str,
    channel: int,
    images: Tensor,
    where: Where,
    way: tuple[Tensor | None] | None,
    steps: int,
) -> Attribution:
    """Add gradients up on the way from a baseline; without a way, take the one at its end."""
    record_between(model, source, target, size=(images.shape[2], images.shape[3]))
    with own_settings():
        images = images.to(model.device)
        with torch.no_grad():
            found = model.record(images, [source, target])
        check_channel(found[target], channel)
        end = found[source].detach()
        given = way[0] if way else None
        start = torch.zeros_like(end) if given is None else given.to(end).expand_as(end)
        places = None if where == "sum" else places_of(found[target], channel, where)

        def read(values: Tensor) -> Tensor:
            activation = _with_source(model, source, values, target, images)
            if places is None:
                return read_unit(activation, channel, where)
            return _at(activation, channel, places)

        total = torch.zeros_like(end)
        for step in range(steps):
            share = 1.0 if way is None else (step + 0.5) / steps
            leaf = (start + share * (end - start)).requires_grad_()
            value = read(leaf).sum()
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value, leaf)
                total += gradient / steps
        with torch.no_grad():
            value, rest = read(end), read(start)
    return Attribution(
        maps=(total * (end - start)).cpu(),
        rest=rest.cpu(),
        value=value.cpu(),
        source=source,
        target=target,
        channel=channel,
        method="gradient_x_activation" if way is None else "integrated_gradients",
    )
