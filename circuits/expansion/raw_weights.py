"""Raw kernels between adjacent sites: exact, with batch norms folded in."""

from collections.abc import Sequence

from circuits.expansion.adjoints import Passage
from circuits.expansion.canvas import NotComposableError
from circuits.expansion.compose import check_size, compose, kernel_dtype, pick_channels, reach
from circuits.expansion.weight_map import WeightMap
from circuits.tracing.operations import ACTIVATIONS, UNCHANGED, Operation
from circuits.tracing.opgraph import OpGraph, record_between, way_between
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.kept_memory import kept_memory
from featviz.models import Model

_NOT_LINEAR = ACTIVATIONS | {"local_response_norm", "max_pool2d_with_indices"}
_ONLY_MOVES = UNCHANGED | {"cat", "slice", "split", "split_with_sizes", "view", "_unsafe_view"}


def raw_weights(
    model: Model,
    source: str,
    target: str,
    *,
    units: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    traced: OpGraph | None = None,
) -> WeightMap:
    """Return the kernels through which a site reads the one before it.

    Adjacent are two sites if the target, before its activation function, is an affine function of
    the source: a convolution, with or without batch norm, or several branches of them, whose
    kernels are aligned; also a linear layer, or linear layers in a row.

    Args:
        model: Any model that runs eagerly; it is left as it was.
        source: Site that is read, see featviz.sites. A pool is a site too.
        target: Site that is built.
        units: Channels of the target; None for all.
        size: Image size to trace at, height and width in px; None for the model's own.
        traced: What lies between, where it is recorded already, see `Tracing`.

    Returns:
        Exact kernels: of the pre-activation, W (.) source + bias away from the edges.

    Raises:
        CircuitError: If something that is not linear lies between, or as for `expand`.
        SiteError: If a site is unknown.
    """
    with own_settings(), kept_memory():
        graph = way_between(model, source, target, size=size, traced=traced)
        blame = first_obstacle(graph)
        if blame is not None:
            raise CircuitError(
                f"{source!r} and {target!r} in {model.name!r} are not adjacent: {blame} lies "
                "between, which is not linear; circuits.expand (featviz circuit expand) passes it "
                f"under a gate policy, gradient_times_activation at images, {_advice(model, blame)}"
            )
        channels = pick_channels(graph, units)
        try:
            where = reach(graph)
        except NotComposableError as error:
            raise CircuitError(
                f"no kernels lead from {source!r} to {target!r}: {error}; use circuits.expand "
                "(featviz circuit expand) with images"
            ) from error
        check_size(graph, channels, where)
        dtype = kernel_dtype(graph)
        kernel = compose(graph, channels, Passage(), dtype=dtype, device=model.device, where=where)
    return WeightMap(
        kernel=kernel,
        source=source,
        target=target,
        sources=tuple(range(graph.source.channels)),
        targets=channels,
        stride=where.stride,
        offset=where.offset,
        gates="raw",
        method="raw",
    )


def _advice(model: Model, blame: Operation) -> str:
    """Say how to get a source behind an operation; what forward() calls itself has no site."""
    if any(True for _ in model.module.get_submodule(blame.path).children()):
        return (
            "and it can be made a module of its own (such as torch.nn.ReLU), to be the source; now "
            "forward() calls a function, which is no site"
        )
    return "or choose a source behind it"


def first_obstacle(graph: OpGraph) -> Operation | None:
    """Return the operation that keeps the target from being affine in the source; None if none.

    An activation function that only concatenations and the like follow is the target's own.
    """
    bent: dict[int, Operation] = {}
    for operation in graph.operations:
        if operation.name in _NOT_LINEAR - ACTIVATIONS:
            return operation
        blamed = [bent[value] for value in operation.inputs if value in bent]
        if blamed and operation.name not in _ONLY_MOVES | ACTIVATIONS:
            return blamed[0]
        if operation.name in ACTIVATIONS:
            blamed = [operation]
        for value in operation.outputs:
            if blamed and value is not None:
                bent[value] = blamed[0]
    return None


def is_adjacent(
    model: Model, source: str, target: str, *, size: tuple[int, int] | None = None
) -> bool:
    """Tell whether `raw_weights` would give the kernels between two sites.

    Args:
        model: See `raw_weights`.
        source: See `raw_weights`.
        target: See `raw_weights`.
        size: See `raw_weights`.

    Raises:
        CircuitError: If there is no path, or one that depends on the image.
        SiteError: If a site is unknown.
    """
    with own_settings():
        return first_obstacle(record_between(model, source, target, size=size)) is None
