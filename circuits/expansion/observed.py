"""What a target read where it was most active: gradients with the true gates, over given images."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.compose import Reach, kernel_dtype
from circuits.expansion.live import run_live
from circuits.expansion.vjp import cut_windows
from circuits.tracing.opgraph import OpGraph
from circuits.tracing.unit_reading import flat_unit
from featviz.errors import CircuitError
from featviz.models import Model

_BATCH = 8
Images = Float[Tensor, "n c h w"] | Mapping[int, Float[Tensor, "_ c _ _"]]


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
        Kernels on the CPU, and for each channel the number of images on which it was silent: 0
        everywhere, and no gradient to follow.

    Raises:
        CircuitError: If there is no image for a channel.
    """
    groups: list[tuple[Tensor | None, tuple[int, ...]]] = (
        [(images.get(c), (c,)) for c in channels]
        if isinstance(images, Mapping)
        else [(images, channels)]
    )
    dtype = kernel_dtype(graph)
    first = graph.source.span[0]
    mine = slice(first, first + graph.source.channels)
    kernels: dict[int, Tensor] = {}
    silent: dict[int, int] = {}
    for group, members in groups:
        if group is None or not len(group):
            raise CircuitError(
                f"no images for {graph.target.name}:{members[0]}; attribution gates need some"
            )
        totals = [torch.zeros((), dtype=dtype)] * len(members)
        quiet = [0] * len(members)
        for batch in group.split(_BATCH):
            live = run_live(model, batch, graph, surrogate=None)
            activation = live.source if times_activation else None
            for row, channel in enumerate(members):
                best, place = flat_unit(live.target, channel).max(1)
                gradient = live.gradient(best.sum())[:, mine]
                closed = (gradient.flatten(1) == 0).all(1)
                quiet[row] += int((closed & (best == 0)).sum())
                # Half precision would round the sum over images.
                gradient = gradient.to(dtype)
                if activation is not None:
                    gradient = gradient * activation[:, mine].to(dtype)
                windows = cut_windows(
                    gradient, place, live.target.shape, where.stride, where.offset, where.extent
                )
                totals[row] = totals[row] + windows.sum(0).cpu()
        for row, channel in enumerate(members):
            kernels[channel] = totals[row] / len(group)
            silent[channel] = quiet[row]
    return torch.stack([kernels[c] for c in channels]), silent
