"""Expanded weights by gradients: one vector-Jacobian product a target, through the network itself.

The second opinion on composition, and what is left where an operation has no rule. The image is
enlarged until everything that a target reads fits on the source's map: nothing is cropped.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from circuits.expansion.adjoints import Passage
from circuits.expansion.canvas import Pair
from circuits.expansion.compose import Reach, kernel_dtype
from circuits.expansion.live import Live, run_live
from circuits.tracing.operations import (
    BATCH_NORMS,
    THROUGH_A_VIEW,
    UNCHANGED,
    Operation,
    Ref,
    has_own_statistics,
    rounds,
)
from circuits.tracing.opgraph import OpGraph, record_between
from featviz.errors import CircuitError, ModelError
from featviz.models import Model

_BATCH = 8
_LARGEST_PX = 4096
_NO_POINT = UNCHANGED | {
    *("add", "sub", "neg", "cat", "view", "_unsafe_view", "permute"),
    *("transpose", "slice", "select", "split", "split_with_sizes", "roll", "flip", "mean", "sum"),
    *("avg_pool2d", "_adaptive_avg_pool2d", "constant_pad_nd", "upsample_nearest2d"),
    *("upsample_bilinear2d", "pixel_shuffle", "squeeze", "unsqueeze"),
    *("expand", "t", "im2col", "unbind", "channel_shuffle", "native_channel_shuffle"),
    *("reflection_pad2d", "replication_pad2d", "new_empty", "new_zeros", "empty_like"),
    *("zeros_like", "copy", "zero", THROUGH_A_VIEW),
}
"""Linear operations, whose gradient is the same at every image, beside those that are passed."""


def find_points(graph: OpGraph, passed: frozenset[str]) -> list[Operation]:
    """Return the operations whose gradient depends on the image.

    Args:
        graph: What lies between.
        passed: Names of operations whose gradient is a surrogate.
    """
    return [op for op in graph.operations if op.name not in passed and not _is_affine(op)]


def _is_affine(operation: Operation) -> bool:
    """Tell whether the gradient of an operation is the same at every image."""
    name, args = operation.name, operation.args
    if name in {"mul", "div"}:
        divides_by_constant = name == "mul" or isinstance(args[0], Ref)
        return len(operation.inputs) == 1 and divides_by_constant and not rounds(operation)
    if name in {"convolution", "mm", "addmm"}:
        first = 1 if name == "addmm" else 0
        return not all(isinstance(factor, Ref) for factor in args[first : first + 2])
    if name in BATCH_NORMS:
        return not has_own_statistics(operation)
    return name in _NO_POINT


def field_reach(graph: OpGraph) -> Reach:
    """Return where a target reads the source by the arithmetic of receptive fields.

    Where a position sees the whole map, the kernel is as large as the map.

    Raises:
        CircuitError: If the target's map is finer than the source's.
    """
    source, target = graph.source, graph.target
    if not source.map_size or not target.map_size or target.field.extent != "local":
        return _whole_map(graph)
    axes = [(source.field.y, target.field.y), (source.field.x, target.field.x)]
    found = []
    for near, far in axes:
        if near is None or far is None or far.stride_px % near.stride_px:
            raise _finer(graph)
        first = (far.start_px - near.start_px) // near.stride_px
        count = (far.size_px - near.size_px) // near.stride_px + 1
        found.append((count, first, far.stride_px // near.stride_px))
    (h, top, down), (w, left, across) = found
    return Reach((h, w), (top, left), (down, across), False, 0)


def _whole_map(graph: OpGraph) -> Reach:
    """Return the reach of a target that sees the whole map, seen from its central position."""
    h, w = graph.source.map_size or (1, 1)
    rows, columns = graph.target.map_size or (1, 1)
    if rows > h or columns > w:
        raise _finer(graph)
    stride = (round(h / rows), round(w / columns))
    return Reach((h, w), (-(rows // 2) * stride[0], -(columns // 2) * stride[1]), stride, True, 0)


def _finer(graph: OpGraph) -> CircuitError:
    return CircuitError(
        f"{graph.target.name!r} has a finer map than {graph.source.name!r}, so that one kernel "
        "cannot stand for all positions; choose a later source, or an earlier target"
    )


def vjp(
    model: Model,
    graph: OpGraph,
    channels: tuple[int, ...],
    passage: Passage,
    *,
    where: Reach,
    images: Float[Tensor, "n c h w"] | None = None,
) -> Float[Tensor, "o i kh kw"]:
    """Return the gradients of targets at one position each, cut out of the source's map.

    Args:
        model: The model.
        graph: What lies between.
        channels: Of the target.
        passage: What nonlinearities let through; clamped weights are not possible here.
        where: What to cut out.
        images: Where operations without a surrogate are linearised, at their own size: the
            gradients are averaged; None: one image of noise, which is as good as any where all
            operations are passed.

    Raises:
        CircuitError: If the kernels are larger than the source's map at the size of the images,
            or without images at any size that the network takes.
    """
    if images is not None and tuple(images.shape[2:]) != graph.size:
        graph = _again(model, graph, (images.shape[2], images.shape[3]))
    first = graph.source.span[0]
    sums = [torch.zeros((), dtype=kernel_dtype(graph))] * len(channels)
    # One pass over all images would hold the graph of each, and spend its time on memory.
    for batch in [None] if images is None else images.split(_BATCH):
        live, position = _large_enough(model, graph, passage, where=where, images=batch)
        start = [p * s + o for p, s, o in zip(position, where.stride, where.offset, strict=True)]
        for row, channel in enumerate(channels):
            target = live.target[:, channel]
            score = target[:, position[0], position[1]] if target.dim() == 3 else target
            gradient = live.gradient(score.sum())[:, first : first + graph.source.channels]
            # Half precision would round the sum over images.
            gradient = _as_map(gradient).to(kernel_dtype(graph))
            sums[row] = sums[row] + cut_window(gradient, start, where.extent).sum(0).cpu()
    return torch.stack(sums) / (1 if images is None else len(images))


def _as_map(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x[:, :, None, None]


def cut_window(
    x: Float[Tensor, "n c h w"], start: list[int], extent: tuple[int, int]
) -> Float[Tensor, "n c kh kw"]:
    """Return a window of maps, with zeros where it reaches over their edge.

    Args:
        x: The maps.
        start: First row and column; may be negative.
        extent: Rows and columns.
    """
    (y, x0), (h, w) = start, x.shape[2:]
    pads = (-x0, x0 + extent[1] - w, -y, y + extent[0] - h)
    return functional.pad(x, pads)  # a negative padding crops


def cut_windows(
    x: Float[Tensor, "n c *map"],
    places: Int[Tensor, " n"],
    shape: torch.Size,
    stride: Pair,
    offset: Pair,
    extent: Pair,
) -> Float[Tensor, "n c kh kw"]:
    """Return of each image's map the window that one position of a target reads.

    Args:
        x: The source's maps or vectors.
        places: Position of the target's flattened map on each image.
        shape: Of the target's activation.
        stride: Of the kernels, (y, x).
        offset: Of the kernels, (y, x).
        extent: Rows and columns.
    """
    maps = _as_map(x)
    columns = shape[3] if len(shape) == 4 else 1
    cut = []
    for k, place in enumerate(places.tolist()):
        position = divmod(place, columns)
        start = [p * s + o for p, s, o in zip(position, stride, offset, strict=True)]
        cut.append(cut_window(maps[k : k + 1], start, extent))
    return torch.cat(cut) if cut else maps.new_zeros(0, maps.shape[1], *extent)


def _large_enough(
    model: Model,
    graph: OpGraph,
    passage: Passage,
    *,
    where: Reach,
    images: Tensor | None,
) -> tuple[Live, tuple[int, int]]:
    """Run at the smallest of some sizes at which the central target's window fits the map."""
    h, w = graph.size if images is None else images.shape[2:]
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, model.spec.channels, *graph.size, generator=generator)
    while True:
        if images is None and tuple(noise.shape[2:]) != (h, w):
            noise = functional.interpolate(noise, size=(h, w), mode="bilinear", align_corners=False)
        at = graph if (h, w) == graph.size else _again(model, graph, (h, w))
        live = run_live(model, noise if images is None else images, at, surrogate=passage)
        sides, maps = live.sources[0].shape[2:], live.target.shape[2:]
        position = (maps[0] // 2, maps[1] // 2) if len(maps) == 2 else (0, 0)
        if where.pinned or _fits(where, position, tuple(sides)):
            return live, position
        small = (
            f"kernels of {where.extent[0]}x{where.extent[1]} from {graph.source.name!r} do not fit "
            f"its map at {h}x{w} px"
        )
        if images is not None:
            raise CircuitError(f"{small}, the size of the images; give larger images")
        h, w = 2 * h, 2 * w
        if max(h, w) > _LARGEST_PX:
            raise CircuitError(f"{small}; choose a later source")


def _fits(where: Reach, position: tuple[int, int], sides: tuple[int, ...]) -> bool:
    for p, s, o, n, side in zip(
        position, where.stride, where.offset, where.extent, sides, strict=True
    ):
        if not 0 <= p * s + o <= side - n:
            return False
    return True


def _again(model: Model, graph: OpGraph, size: tuple[int, int]) -> OpGraph:
    try:
        return record_between(model, graph.source.name, graph.target.name, size=size)
    except ModelError as error:
        raise CircuitError(
            f"the weights from {graph.source.name!r} to {graph.target.name!r} reach over the edge "
            f"of the map, and the network does not run on a larger image: {error}"
        ) from error
