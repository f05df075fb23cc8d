"""The images at which weights are expanded: one batch, or for each channel its own."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from circuits.expansion.observed import Images
from circuits.tracing.given_images import checked_images
from circuits.tracing.operations import Operation
from circuits.tracing.opgraph import OpGraph, record_between
from featviz.errors import CircuitError
from featviz.models import Model


def checked_groups(model: Model, images: Images | None) -> Images | None:
    """Return images that the network can be measured on, see `checked_images`.

    Args:
        model: The network.
        images: What was given.

    Raises:
        CircuitError: If they are no images.
    """
    if images is None:
        return None
    if isinstance(images, Mapping):
        return {
            channel: checked_images(model, group, name=f"images of channel {channel}")
            for channel, group in images.items()
        }
    return checked_images(model, images)


def _sizes(images: Images) -> set[tuple[int, int]]:
    groups = images.values() if isinstance(images, Mapping) else [images]
    return {(group.shape[2], group.shape[3]) for group in groups}


def together(images: Images | None) -> Tensor | None:
    """Return all images as one batch.

    Args:
        images: A batch, or one for each channel.

    Raises:
        CircuitError: If they are not of one size.
    """
    if not isinstance(images, Mapping):
        return images
    if len(_sizes(images)) != 1:
        raise CircuitError(
            f"images must be of one size here, got {_told(_sizes(images)) or 'none'}; resize them"
        )
    return torch.cat(list(images.values()))


def traced_at(
    model: Model, graph: OpGraph, images: Images, size: tuple[int, int] | None
) -> OpGraph:
    """Return the operations at the size of the images, where the kernels end with the map.

    Args:
        model: The network.
        graph: What lies between, at another size perhaps.
        images: That decide the weights.
        size: What was asked for; None for any.

    Raises:
        CircuitError: If the images are of several sizes, or not of that asked for.
        ModelError: If the network does not run at theirs.
    """
    sizes = _sizes(images)
    if sizes == {graph.size}:
        return graph
    if size is not None or len(sizes) != 1:
        raise CircuitError(
            f"from {graph.source.name!r} to {graph.target.name!r} the kernels end with the map, "
            f"and the images are of {_told(sizes) or 'no size'}"
            + (f", not of {size[0]}x{size[1]}" if size else "")
            + "; give images of one size, and that size or none"
        )
    return record_between(model, graph.source.name, graph.target.name, size=sizes.pop())


def _told(sizes: set[tuple[int, int]]) -> str:
    return ", ".join(f"{h}x{w}" for h, w in sorted(sizes))


def point_notes(points: Sequence[Operation], images: Tensor | None) -> list[str]:
    """Say what was linearised at the images, in one line or none.

    Args:
        points: Operations whose gradient depends on the image.
        images: Where it was taken.
    """
    if not points or images is None:
        return []
    count = Counter(str(operation) for operation in points)
    named = ", ".join(f"{name} ({n} times)" if n > 1 else name for name, n in count.items())
    many = f"each of the {len(images)} images, then averaged" if len(images) > 1 else "the image"
    return [f"linearised at {many}: {named}"]


def count_images(images: Images, channel: int) -> int:
    """Return how many images a channel has."""
    return len(images[channel] if isinstance(images, Mapping) else images)
