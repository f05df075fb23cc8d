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
from circuits.expansion.raw_weights import raw_weights
from circuits.expansion.vjp import cut_windows
from circuits.tracing.given_images import BATCH, checked_images, joined
from circuits.tracing.opgraph import record_between
from circuits.tracing.unit_reading import (
    Where,
    as_channel,
    check_channel,
    one_place,
    places_of,
    pre_site,
    read_at,
)
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model

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


@own_settings()
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
        CircuitError: If the sites are not adjacent, there is no such position, or the images are
            none, see `checked_images`.
        UnitError: If there is no such channel.
        SiteError: If a site is unknown.
    """
    if where == "sum":
        raise CircuitError("contributions are those to one position; choose 'peak' or another")
    images, channel = checked_images(model, images), as_channel(channel)
    size = (images.shape[2], images.shape[3])
    before = pre_site(model, target, size)
    weights = raw_weights(model, source, target, units=[channel], size=size)
    kernel = weights.kernel[0].to(model.device)
    extent = (kernel.shape[1], kernel.shape[2])

    def of(batch: Tensor) -> dict[str, Tensor]:
        found = model.record(batch, [source, before])
        silent = _with_source(model, source, torch.zeros_like(found[source]), before, batch)
        places = one_place(found[before], channel, where)
        shape = found[before].shape
        # Half precision would round each product.
        wide = torch.promote_types(found[source].dtype, kernel.dtype)
        windows = cut_windows(
            found[source].to(wide), places, shape, weights.stride, weights.offset, extent
        )
        return {
            "maps": (windows * kernel).cpu(),
            "rest": read_at(silent, channel, places).to(wide).cpu(),
            "value": read_at(found[before], channel, places).to(wide).cpu(),
        }

    with torch.no_grad():
        found = joined(of(batch) for batch in images.split(BATCH))
    return Attribution(
        **found, source=source, target=before, channel=channel, method="contribution"
    )


def _with_source(model: Model, source: str, values: Tensor, target: str, images: Tensor) -> Tensor:
    """Return a target's activation when the source gives certain values."""
    with changed_sites(model, {source: lambda _: values.clone()}):
        return model.record(images, [target])[target]


@own_settings()
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
        CircuitError: If no path leads from source to target, there is no such position, or the
            images are none, see `checked_images`.
        UnitError: If there is no such channel.
        SiteError: If a site is unknown.
    """
    return _along(model, source, target, channel, images, where, None, 1)


@own_settings()
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
        CircuitError: If no path leads from source to target, there is no such position, steps are
            fewer than 1, the baseline does not fit, or the images are none, see `checked_images`.
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
    images, channel = checked_images(model, images), as_channel(channel)
    record_between(model, source, target, size=(images.shape[2], images.shape[3]))

    def of(batch: Tensor, baseline: Tensor | None) -> dict[str, Tensor]:
        with torch.no_grad():
            found = model.record(batch, [source, target])
        check_channel(found[target], channel)
        places = places_of(found[target], channel, where)
        end = found[source].detach()
        # Half precision would swallow the small steps of the way.
        wide = torch.promote_types(end.dtype, torch.float32)
        end = end.to(wide)
        start = torch.zeros_like(end) if baseline is None else baseline.to(end).expand_as(end)

        def read(values: Tensor) -> Tensor:
            activation = _with_source(model, source, values.to(found[source]), target, batch)
            return read_at(activation.to(wide), channel, places)

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
        return {"maps": (total * (end - start)).cpu(), "rest": rest.cpu(), "value": value.cpu()}

    baselines = _baselines(model, source, way[0] if way else None, images)
    batches = zip(images.split(BATCH), baselines, strict=True)
    return Attribution(
        **joined(of(batch, baseline) for batch, baseline in batches),
        source=source,
        target=target,
        channel=channel,
        method="gradient_x_activation" if way is None else "integrated_gradients",
    )


def _baselines(
    model: Model, source: str, baseline: Tensor | None, images: Tensor
) -> list[Tensor | None]:
    """Return what each batch of images starts from."""
    batches = images.split(BATCH)
    if baseline is None:
        return [None] * len(batches)
    with torch.no_grad():
        shape = (len(images), *model.record(images[:1], [source])[source].shape[1:])
    fits = isinstance(baseline, Tensor) and baseline.dim() <= len(shape)
    given = tuple(baseline.shape) if fits else ()
    sides = zip(reversed(given), reversed(shape), strict=False)
    if not fits or any(own not in (1, side) for own, side in sides):
        told = tuple(baseline.shape) if isinstance(baseline, Tensor) else type(baseline).__name__
        raise CircuitError(
            f"the baseline must be a tensor that broadcasts to the activation {shape} of "
            f"{source!r}, got {told}"
        )
    if not baseline.isfinite().all():
        raise CircuitError(f"the baseline of {source!r} holds NaN or infinity; give finite numbers")
    if len(given) < len(shape) or given[0] == 1:
        return [baseline] * len(batches)
    return list(baseline.split(BATCH))
