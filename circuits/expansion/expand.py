"""Weights between distant sites of a network: `expand`, the heart of the package.

    weights = expand(model, "fire2", "fire4", units=[141], gates="positive_top")

Records the operations between (opgraph.py), passes kernels back through them (compose.py) under a
gate policy (gates.py); where an operation has no rule, takes gradients instead (vjp.py) and says
so. What comes is read by agreement.py, factoring/, graph.py and draw.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from circuits.expansion.adjoints import Passage
from circuits.expansion.canvas import NotComposableError
from circuits.expansion.compose import (
    Reach,
    check_size,
    compose,
    kernel_dtype,
    pick_channels,
    reach,
)
from circuits.expansion.gates import (
    Gates,
    NormPoint,
    check_gates,
    check_norm_point,
    check_pool,
    list_notes,
    make_passage,
)
from circuits.expansion.image_groups import (
    checked_groups,
    count_images,
    point_notes,
    together,
    traced_at,
)
from circuits.expansion.observed import Images, observe
from circuits.expansion.vjp import field_reach, find_points, vjp
from circuits.expansion.weight_map import WeightMap
from circuits.tracing.operations import ACTIVATIONS, LRN, Operation
from circuits.tracing.opgraph import OpGraph, way_between
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.kept_memory import kept_memory
from featviz.models import Model

METHODS = ("auto", "compose", "vjp")
_PASSED = ACTIVATIONS | {LRN, "max_pool2d_with_indices"}


def expand(
    model: Model,
    source: str,
    target: str,
    *,
    units: Sequence[int] | None = None,
    gates: str = "identity",
    images: Images | None = None,
    lrn_at: NormPoint = None,
    pool: str = "average",
    times_activation: bool = True,
    method: str = "auto",
    size: tuple[int, int] | None = None,
    traced: OpGraph | None = None,
) -> WeightMap:
    """Return the kernels through which units of a site read all units of an earlier one.

    Everything linear on the way is composed exactly: convolutions with stride, dilation, groups
    and padding, batch norms, pools, sums, concatenations, slices, linear layers. What is not, the
    gates decide. The kernels hold for positions away from the edges; at an edge the network
    replaces what lies outside of each map between by zeros, which no kernel can say. A map that
    is smaller than the kernels does not crop them. Behind an average over a whole map there is
    one position only, and edges are exact.

    Args:
        model: Any model that runs eagerly; it is left as it was.
        source: Site that is read, see featviz.sites. Where a max pool lies between, the pool itself
            may be the source: then nothing is spread.
        target: Site that is built.
        units: Channels of the target; None for all.
        gates: What activation functions let through, see gates.py.
        images: RGB (or the network's own channels), 0..1, for `data_mean`, `attribution` and
            `lrn_at="mean"`, and where an operation can only be linearised at an image; for
            `attribution` perhaps a mapping from channel to its own images. They run at their own
            size.
        lrn_at: Activation of every channel at which local response norms are linearised; `mean`:
            the mean of each channel over the images; None: 0, where they only scale.
        pool: Weight of the n cells of a max pool: 1/n (`average`), 1/sqrt(n) (`keep_l2`), 1
            (`keep_max`). With 1/n a way through a pool seems weaker than one without.
        times_activation: For `attribution`: multiply gradients by the source's activation.
        method: `compose`, `vjp` for gradients through the network (slower; for checks), or `auto`:
            composition, and gradients where an operation has no rule. `attribution` always takes
            gradients.
        size: Image size to trace at, height and width in px; None for the model's own, or for the
            images' if kernels end with the map and images decide them.
        traced: What lies between, where it is recorded already, see `Tracing`.

    Returns:
        Kernels of float32, or of float64 for a network of float64, on the CPU. Their `notes` say
        what was approximated.

    Raises:
        CircuitError: If the sites have no weights between them, an operation allows neither
            composition nor gradients under these gates, images are missing or none (see
            `checked_images`) or of another size than asked for, or the result would be too large.
        SiteError: If a site is unknown.
        ModelError: If the network cannot run.

    References:
        Voss et al. 2021, "Visualizing Weights", Distill; identity gates with averaged max pools
        are its expanded weights, without their crop.
    """
    policy, weight = check_gates(gates), check_pool(pool)
    check_norm_point(lrn_at)
    if policy == "attribution" and method == "compose":
        raise CircuitError("attribution gates take gradients; leave method='compose' out")
    with own_settings(), kept_memory():
        images = checked_groups(model, images)
        graph = way_between(model, source, target, size=size, traced=traced)
        way = _way(model, graph, policy, images, method=method, size=size)
        channels = pick_channels(way.graph, units)
        check_size(way.graph, channels, way.where)
        notes = list_notes(way.graph, policy, lrn_at=lrn_at, pool=weight)
        if policy == "attribution":
            by: Literal["compose", "vjp"] = "vjp"
            kernel, told = _observed(
                model, way, channels, images, times_activation=times_activation
            )
        else:
            everything = together(images)
            passage = make_passage(
                model, way.graph, policy, images=everything, lrn_at=lrn_at, pool=weight
            )
            kernel, by, told = _kernels(model, way, channels, passage, everything)
        kernel, where = (kernel, way.where) if way.refusal is None else _trimmed(kernel, way.where)
    return WeightMap(
        kernel=kernel.detach(),
        source=source,
        target=target,
        sources=tuple(range(way.graph.source.channels)),
        targets=channels,
        stride=where.stride,
        offset=where.offset,
        gates=policy,
        method=by,
        notes=(*notes, *told),
    )


@dataclass(frozen=True, eq=False)
class _Way:
    """What lies between the sites, and how weights pass back through it."""

    graph: OpGraph
    where: Reach
    refusal: NotComposableError | None
    """Why it cannot be composed."""
    points: list[Operation]
    """What gradients take as it is at the images; empty where it is composed."""
    by: Literal["compose", "vjp"]


def _way(
    model: Model,
    graph: OpGraph,
    policy: Gates,
    images: Images | None,
    *,
    method: str,
    size: tuple[int, int] | None,
) -> _Way:
    """Say how weights pass, at the size of the images where they and the map decide."""
    where, refusal = _reach(graph, method)
    by: Literal["compose", "vjp"] = "vjp"
    if method != "vjp" and refusal is None and policy != "attribution":
        by = "compose"
    points = find_points(graph, _PASSED) if by == "vjp" else []
    if images is not None and where.pinned and (points or policy == "attribution"):
        graph = traced_at(model, graph, images, size)
        where, refusal = _reach(graph, method)
    return _Way(graph, where, refusal, points, by)


def _observed(
    model: Model,
    way: _Way,
    channels: tuple[int, ...],
    images: Images | None,
    *,
    times_activation: bool,
) -> tuple[Float[Tensor, "o i kh kw"], list[str]]:
    """Return kernels with the true gates at the images, and which targets were silent there."""
    if images is None:
        raise CircuitError("attribution gates need images [n c h w] in 0..1; give some")
    kernel, silent = observe(
        model, way.graph, channels, images, where=way.where, times_activation=times_activation
    )
    notes = _silent_notes(silent, images)
    still = [c for c, own in zip(channels, kernel, strict=True) if not own.any()]
    if unread := [c for c in still if silent[c] < count_images(images, c)]:
        notes.append(
            f"active, but not by {way.graph.source.name} on any image, so without weights: "
            + ", ".join(map(str, unread))
        )
    return kernel, notes


def _trimmed(kernel: Tensor, where: Reach) -> tuple[Tensor, Reach]:
    """Cut off the rows and columns that are zero around all kernels.

    Where receptive fields are not known, kernels are as large as the map.
    """
    spans = []
    for axis in (2, 3):
        live = kernel.transpose(axis, 0).flatten(1).any(1).nonzero().flatten().tolist()
        spans.append((live[0], live[-1] + 1) if live else (0, 1))
    (top, bottom), (left, right) = spans
    offset = (where.offset[0] + top, where.offset[1] + left)
    kernel = kernel[:, :, top:bottom, left:right].contiguous()
    return kernel, replace(where, offset=offset, extent=(bottom - top, right - left))


def _reach(graph: OpGraph, method: str) -> tuple[Reach, NotComposableError | None]:
    if method not in METHODS:
        raise CircuitError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    try:
        return reach(graph), None
    except NotComposableError as error:
        if method == "compose":
            raise
        return field_reach(graph), error


def _silent_notes(silent: dict[int, int], images: Images) -> list[str]:
    quiet = {c: n for c, n in silent.items() if n}
    dead = [c for c, n in quiet.items() if n == count_images(images, c)]
    notes = [f"{len(quiet)} targets were silent on some of the images"] if quiet else []
    if dead:
        notes.append(f"silent on all images, so without weights: {', '.join(map(str, dead))}")
    return notes


def _kernels(
    model: Model,
    way: _Way,
    channels: tuple[int, ...],
    passage: Passage,
    images: Float[Tensor, "n c h w"] | None,
) -> tuple[Float[Tensor, "o i kh kw"], Literal["compose", "vjp"], list[str]]:
    """Compose, or take gradients where that is asked for or the only way."""
    if way.by == "compose":
        dtype = kernel_dtype(way.graph)
        kernel = compose(
            way.graph, channels, passage, dtype=dtype, device=model.device, where=way.where
        )
        return kernel, "compose", []
    if passage.clamp != "none":
        raise CircuitError(
            f"clamped weights need composition{f', but {way.refusal}' if way.refusal else ''}; "
            "use gates 'identity', 'data_mean' or 'attribution' here"
        )
    if way.points and images is None:
        raise CircuitError(
            f"{way.points[0]} is not linear, so its weights depend on the image: give images at "
            "which to linearise it (featviz circuit expand --images FOLDER)"
        )
    points = images if way.points else None
    kernel = vjp(model, way.graph, channels, passage, where=way.where, images=points)
    told = point_notes(way.points, images)
    if way.refusal is not None:
        told.append(f"by gradients at the central position, not composed: {way.refusal}")
    return kernel, "vjp", told
