"""What a target read where it was most active: gradients with the true gates, over given images."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.compose import Reach
from circuits.expansion.live import run_live
from circuits.expansion.vjp import cut_window
from circuits.tracing.opgraph import OpGraph
from featviz.errors import CircuitError
from featviz.models import Model

_BATCH = 8
Images = Float[Tensor, "n c h w"] | Mapping[int, Float[Tensor, "n c h w"]]


def observe(
    model: Model,
    graph: OpGraph,
    channels: tuple[int, ...],
    images: Images,
    *,
    where: Reach,
    times_activation: bool,
) -> tuple[Float[Tensor, "o i kh kw"], dict[int, int]]:
    """Return the mean over images of d target / d source where the target is largest.

    Args:
        model: The model.
        graph: What lies between.
        channels: Of the target.
        images: RGB (or the network's own channels), 0..1; or for each channel its own.
        where: The window that is cut out around the place that the target's position reads.
        times_activation: Whether each gradient is multiplied by the source's activation: what the
            source contributed, not what it could.

    Returns:
        Kernels on the CPU, and for each channel the number of images on which it was silent: its
        gradient there is zero.

    Raises:
        CircuitError: If there is no image for a channel.
    """
    groups: list[tuple[Tensor | None, tuple[int, ...]]] = (
        [(images.get(c), (c,)) for c in channels]
        if isinstance(images, Mapping)
        else [(images, channels)]
    )
    kernels: dict[int, Tensor] = {}
    silent: dict[int, int] = {}
    for group, members in groups:
        if group is None or not len(group):
            raise CircuitError(
                f"no images for {graph.target.name}:{members[0]}; attribution gates need some"
            )
        totals = [torch.zeros(())] * len(members)
        quiet = [0] * len(members)
        for batch in group.split(_BATCH):
            live = run_live(model, batch, graph, surrogate=None)
            activation = live.source if times_activation else None
            for row, channel in enumerate(members):
                target = live.target[:, channel].flatten(1)
                best, place = target.max(1)
                gradient = live.gradient(best.sum())
                if activation is not None:
                    gradient = gradient * activation
                windows = _windows(gradient, place, live.target.shape, graph, where)
                totals[row] = totals[row] + windows.sum(0).cpu()
                quiet[row] += int((gradient.flatten(1) == 0).all(1).sum())
        for row, channel in enumerate(members):
            kernels[channel] = totals[row] / len(group)
            silent[channel] = quiet[row]
    return torch.stack([kernels[c] for c in channels]), silent


def _windows(
    gradient: Tensor, place: Tensor, shape: torch.Size, graph: OpGraph, where: Reach
) -> Float[Tensor, "n c kh kw"]:
    """Cut out for each image what its target's position reads."""
    first = graph.source.span[0]
    maps = gradient[:, first : first + graph.source.channels]
    maps = maps if maps.dim() == 4 else maps[:, :, None, None]
    width = shape[3] if len(shape) == 4 else 1
    cut = []
    for k, index in enumerate(place.tolist()):
        position = divmod(index, width)
        start = [p * s + o for p, s, o in zip(position, where.stride, where.offset, strict=True)]
        cut.append(cut_window(maps[k : k + 1], start, where.extent))
    return torch.cat(cut)
