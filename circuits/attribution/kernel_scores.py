"""Which inputs of a unit to keep: scores of its kernels, and what pruning by them preserves.

Activation x gradient looks at what a kernel does on images: `sum_xy |partial map . gradient|`,
where the partial map is what one input alone gives to the pre-activation. The norm of the weights
looks at nothing else, and fails where inhibition is strong: it keeps the inhibitors.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from circuits.ablation.effects import correlation
from circuits.ablation.layers import Layer, layers_into
from circuits.ablation.weight_edits import WeightChange, swapped_weights
from circuits.expansion.live import run_live
from circuits.expansion.raw_weights import raw_weights
from circuits.expansion.weight_map import WeightMap
from circuits.tracing.given_images import BATCH, checked_images
from circuits.tracing.opgraph import record_between
from circuits.tracing.unit_reading import (
    Where,
    as_channel,
    check_channel,
    places_of,
    pre_site,
    read_at,
    read_unit,
)
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model


@dataclass(frozen=True)
class PruningCurve:
    """How a unit with few of its inputs follows the full one over images.

    Attributes:
        keep: Numbers of inputs kept.
        correlation: Pearson's with the full unit; not a number where the unit is constant: dead.
        random: The same for random choices, [draw][number kept].
    """

    keep: tuple[int, ...]
    correlation: tuple[float, ...]
    random: tuple[tuple[float, ...], ...]


@own_settings()
def activation_scores(
    model: Model,
    source: str,
    target: str,
    channel: int,
    images: Float[Tensor, "n c h w"],
    *,
    where: Where = "peak",
) -> Float[Tensor, " i"]:
    """Return for each input `sum |partial map . gradient|` over positions and images.

    Args:
        model: The network.
        source: Site that the target's layer reads.
        target: Site, behind its activation function if that should gate.
        channel: Unit of the target.
        images: RGB (or the network's own channels), 0..1.
        where: Which number of the target's map the gradient is of.

    Raises:
        CircuitError: If the sites are not adjacent, there is no such position, or the images are
            none, see `checked_images`.
        SiteError: If a site is unknown.
        UnitError: If there is no such channel.
    """
    images, channel = checked_images(model, images), as_channel(channel)
    size = (images.shape[2], images.shape[3])
    before = pre_site(model, target, size)
    weights = raw_weights(model, source, target, units=[channel], size=size)
    graph = None if before == target else record_between(model, before, target, size=size)
    total = torch.zeros((), device=model.device)
    for batch in images.split(BATCH):
        with torch.no_grad():
            found = model.record(batch, [source, before, target])
        if graph is None:
            leaf = found[before].clone().requires_grad_()
            gradient = torch.autograd.grad(read_unit(leaf, channel, where).sum(), leaf)[0]
        else:
            live = run_live(model, batch, graph, surrogate=None)
            all_channels = live.gradient(read_unit(live.target, channel, where).sum())
            first = graph.source.span[0]
            gradient = all_channels[:, first : first + graph.source.channels]
        mine = gradient[:, channel : channel + 1]
        partial = partial_maps(found[source], weights, tuple(mine.shape[2:]) or (1, 1))
        product = partial * mine.reshape(len(mine), 1, *partial.shape[2:])
        total = total + product.abs().sum((0, 2, 3)).detach()
    return total.cpu()


def partial_maps(
    activation: Float[Tensor, "n i *map"], weights: WeightMap, extent: tuple[int, ...]
) -> Float[Tensor, "n i y x"]:
    """Return what each input alone gives to the pre-activation of a map's first target.

    Args:
        activation: Of the source.
        weights: Exact kernels.
        extent: Height and width of the target's map.
    """
    maps = activation if activation.dim() == 4 else activation[..., None, None]
    # Half precision would round each product.
    maps = maps.to(torch.promote_types(maps.dtype, weights.kernel.dtype))
    kernel = weights.kernel[:1].transpose(0, 1).to(maps)
    pads: list[int] = []
    for axis in (1, 0):
        first, stride = weights.offset[axis], weights.stride[axis]
        last = first + (extent[axis] - 1) * stride + kernel.shape[2 + axis]
        pads += [-first, last - maps.shape[2 + axis]]
    padded = functional.pad(maps, pads)
    return functional.conv2d(padded, kernel, stride=weights.stride, groups=maps.shape[1])


def weight_scores(model: Model, source: str, target: str, channel: int) -> Float[Tensor, " i"]:
    """Return the L2 norm of the kernel of each input.

    Args:
        model: The network.
        source: Site that the target's layer reads.
        target: Site.
        channel: Unit of the target.

    Raises:
        CircuitError: If the sites are not adjacent.
        SiteError: If a site is unknown.
    """
    return raw_weights(model, source, target, units=[channel]).strength("l2")[0]


@own_settings()
def pruning_curve(
    model: Model,
    source: str,
    target: str,
    channel: int,
    images: Float[Tensor, "n c h w"],
    scores: Float[Tensor, " i"],
    keep: Sequence[int],
    *,
    where: Where = "peak",
    draws: int = 5,
    seed: int = 0,
) -> PruningCurve:
    """Return how a unit follows the full one over images when it keeps its best inputs alone.

    Args:
        model: The network; restored.
        source: Site that the target's layer reads; inputs from others stay.
        target: Site.
        channel: Unit of the target.
        images: RGB (or the network's own channels), 0..1; two at least.
        scores: One for each unit of the source; the largest stay, ties by channel.
        keep: How many inputs stay.
        where: Where the unit's map is read; `peak` is that of the full unit.
        draws: How many random choices to measure beside.
        seed: Of these.

    Raises:
        CircuitError: If scores do not fit the source, a number to keep is out of range, or the
            images are none, see `checked_images`.
        SiteError: If a site is unknown.
        UnitError: If there is no such channel.
    """
    images, channel = checked_images(model, images), as_channel(channel)
    count = model.site_table().resolve(source).channels
    _check_scores(scores, keep, count, source)
    layers = layers_into(model, target, source)
    first = model.site_table().resolve(target).span[0]
    batches = images.split(BATCH)
    places: list[Tensor | None] = []

    def read() -> Tensor:
        with torch.no_grad():
            found = [model.record(batch, [target])[target] for batch in batches]
        check_channel(found[0], channel)
        places.extend(places_of(each, channel, where) for each in found[len(places) :])
        values = [read_at(each, channel, at) for each, at in zip(found, places, strict=True)]
        return torch.cat(values)

    full = read()

    def kept(order: Sequence[int], k: int) -> float:
        gone = sorted(order[k:])
        if not gone:
            return correlation(full, full)
        with swapped_weights(_without(layers, first + channel, gone)):
            return correlation(read(), full)

    ranked = torch.argsort(scores, descending=True, stable=True).tolist()
    generator = random.Random(seed)
    orders = [generator.sample(range(count), count) for _ in range(draws)]
    return PruningCurve(
        keep=tuple(keep),
        correlation=tuple(kept(ranked, k) for k in keep),
        random=tuple(tuple(kept(order, k) for k in keep) for order in orders),
    )


def _check_scores(scores: object, keep: Sequence[int], count: int, source: str) -> None:
    fits = isinstance(scores, Tensor) and scores.shape == (count,)
    if not isinstance(scores, Tensor) or not fits:
        told = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise CircuitError(f"{source!r} has {count} units, got scores of shape {told}")
    if scores.isnan().any():
        raise CircuitError(f"scores of {source!r} hold NaN, which has no rank; give numbers")
    for k in keep:
        if not 1 <= k <= count:
            raise CircuitError(f"cannot keep {k} of {count} inputs; give numbers from 1 to {count}")


def _without(layers: Sequence[Layer], channel: int, gone: Sequence[int]) -> list[WeightChange]:
    masks = [(layer, layer.mask([channel], gone)) for layer in layers]
    return [WeightChange(layer.name, layer.parameter, mask, mask) for layer, mask in masks]
