"""What activation functions, max pools and norms let through: the gate policies.

    identity         all of it: the network as if it were linear
    positive_top     as identity, but negative weights of the last linear layer before the target
                     count as zero: what excites the target, not what excites its inhibitors
    positive_paths   negative weights of every linear layer on the way count as zero
    data_mean        each channel's share of positions where its gate is open, over given images
    attribution      the gates as they really are where the target is most active (observed.py)

No policy is the truth: a kernel through gates depends on the image. compare_gates
(agreement.py) tells how much the choice matters.
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from circuits.expansion.adjoints import Clamp, Passage, PoolScale, is_linear_layer
from circuits.tracing.operations import ACTIVATIONS, LRN, Operation
from circuits.tracing.opgraph import OpGraph, run_tape
from featviz.errors import CircuitError, did_you_mean
from featviz.models import Model

Gates = Literal["identity", "positive_top", "positive_paths", "data_mean", "attribution"]
NormPoint = float | Literal["mean"] | None
POOLS: tuple[PoolScale, ...] = get_args(PoolScale)
GATES: tuple[Gates, ...] = get_args(Gates)
NEEDS_IMAGES = frozenset({"data_mean", "attribution"})
_CLAMPS: dict[str, Clamp] = {"positive_top": "top", "positive_paths": "all"}
_BATCH = 8


def check_pool(name: str) -> PoolScale:
    """Return the name of a weight of max pools.

    Raises:
        CircuitError: If there is no such name.
    """
    for known in POOLS:
        if name == known:
            return known
    raise CircuitError(
        f"unknown pool {name!r}{did_you_mean(str(name), POOLS)} choose one of {', '.join(POOLS)}"
    )


def check_gates(name: str) -> Gates:
    """Return the name of a policy.

    Raises:
        CircuitError: If there is no such policy.
    """
    for known in GATES:
        if name == known:
            return known
    raise CircuitError(
        f"unknown gates {name!r}{did_you_mean(str(name), GATES)} choose one of {', '.join(GATES)}"
    )


def check_norm_point(at: object) -> None:
    """Check the activation at which local response norms are linearised.

    Raises:
        CircuitError: If it is no finite number, `mean` or None.
    """
    number = isinstance(at, int | float) and not isinstance(at, bool) and math.isfinite(at)
    if not (at is None or at == "mean" or number):
        raise CircuitError(f"lrn_at must be a finite number, 'mean' or None, got {at!r}")


def make_passage(
    model: Model,
    graph: OpGraph,
    gates: Gates,
    *,
    images: Float[Tensor, "n c h w"] | None,
    lrn_at: NormPoint,
    pool: PoolScale,
) -> Passage:
    """Return what lets through what, for a policy other than attribution.

    Args:
        model: The model.
        graph: What lies between the sites.
        gates: The policy.
        images: For `data_mean` and for `lrn_at="mean"`.
        lrn_at: Activation of every channel at which local response norms are linearised; `mean`:
            the mean of each channel over the images; None: 0.
        pool: Weight of the cells of max pools, see `Passage`.

    Raises:
        CircuitError: If images are needed and there are none.
    """
    between = graph.operations
    gated = [op for op in between if op.name in ACTIVATIONS] if gates == "data_mean" else []
    norms = [op for op in between if op.name == LRN]
    averaged = norms if lrn_at == "mean" else []
    means: dict[int, Tensor] = {}
    if gated or averaged:
        if images is None or not len(images):
            wish = "data_mean gates" if gated else "lrn_at='mean'"
            raise CircuitError(f"{wish} need images [n c h w] in 0..1; give some dozens")
        means = _means(model, graph, images, [*gated, *averaged])
    points = {
        op.index: means[op.index]
        if lrn_at == "mean"
        else torch.full((graph.shapes[op.inputs[0]][1],), float(lrn_at or 0), dtype=torch.float64)
        for op in norms
    }
    return Passage(
        factors={op.index: means[op.index] for op in gated},
        mixing={op.index: norm_jacobian(points[op.index], op.args[1:]) for op in norms},
        clamp=_CLAMPS.get(gates, "none"),
        pool=pool,
    )


def norm_jacobian(at: Float[Tensor, " c"], settings: tuple[float, ...]) -> Float[Tensor, "..."]:
    """Return d output / d input of a local response norm, [c c], or its diagonal if it is one.

    Args:
        at: Activation of each channel.
        settings: Window size, alpha, beta, k, as in torch.nn.LocalResponseNorm.
    """
    size, alpha, beta, k = settings
    if not at.any():
        return torch.full_like(at, float(k) ** -beta)

    def norm(x: Tensor) -> Tensor:
        return functional.local_response_norm(x.view(1, -1, 1, 1), int(size), alpha, beta, k).view(
            -1
        )

    jacobian: Tensor = torch.autograd.functional.jacobian(norm, at)
    return jacobian


def _means(
    model: Model, graph: OpGraph, images: Tensor, wanted: list[Operation]
) -> dict[int, Tensor]:
    """Return per channel the mean slope of activation functions, and the mean input of norms."""
    sums: dict[int, Tensor] = {}
    keep = frozenset(op.index for op in wanted)
    signatures = {op.index: op.signature() for op in graph.operations}
    for batch in images.split(_BATCH):
        tape = run_tape(model, batch, (graph.source, graph.target), keep=keep)
        for operation in wanted:
            if tape.operations[operation.index].signature()[0] != signatures[operation.index][0]:
                raise CircuitError(
                    f"{model.name!r} does other things for these images than for others before "
                    f"{graph.target.name!r}; its gates cannot be averaged, choose other sites"
                )
            kept = tape.kept[operation.index].double()
            value = kept if operation.name == LRN else _slope(operation, kept)
            total = _channels(value).sum((0, 2))
            sums[operation.index] = sums.get(operation.index, 0) + total / _positions(value)
    return {index: total / len(images) for index, total in sums.items()}


def _channels(value: Tensor) -> Tensor:
    """Return [n channels positions]; the last two axes of a map are its positions."""
    space = value.shape[-2] * value.shape[-1] if value.dim() >= 4 else 1
    return value.reshape(len(value), -1, space)


def _positions(value: Tensor) -> int:
    return _channels(value).shape[2]


def _slope(operation: Operation, x: Tensor) -> Tensor:
    """Return the derivative of an activation function: for a ReLU, whether it is open."""
    function = getattr(torch.ops.aten, operation.name)
    rest = [a.to(x) if isinstance(a, Tensor) else a for a in operation.args[1:]]
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(function(x, *rest, **operation.kwargs).sum(), x)
    return slope


def list_notes(graph: OpGraph, gates: Gates, *, lrn_at: NormPoint, pool: PoolScale) -> list[str]:
    """Return what is approximated on the way, one line each.

    Args:
        graph: What lies between the sites.
        gates: The policy.
        lrn_at: Where local response norms are linearised.
        pool: Weight of the cells of max pools.
    """
    return list(_notes(graph, gates, lrn_at=lrn_at, pool=pool))


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' if count > 1 else ''}"


def _notes(graph: OpGraph, gates: Gates, *, lrn_at: NormPoint, pool: PoolScale) -> Iterator[str]:
    names = Counter(op.name for op in graph.operations)
    ended = {end.value for end in graph.targets}
    inner = [
        op for op in graph.operations if op.name in ACTIVATIONS and not ended & set(op.outputs)
    ]
    if gates == "attribution":
        if inner or names["max_pool2d_with_indices"] or names[LRN]:
            yield "gates, pools and norms as they are at the images, where the target is strongest"
        return
    share = "by the mean of their slope over the images" if gates == "data_mean" else "unchanged"
    if count := sum(op.name in ACTIVATIONS for op in graph.operations):
        yield f"{_counted(count, 'activation function')} passed {share}"
    layers = sum(map(is_linear_layer, graph.operations))
    if gates == "positive_top":
        yield "negative weights of the last linear layer before the target count as 0"
    if gates == "positive_paths":
        yield f"negative weights of all {layers} linear layers on the way count as 0"
    if count := names["max_pool2d_with_indices"]:
        weight = {"average": "1/n", "keep_l2": "1/sqrt(n)", "keep_max": "1"}[pool]
        yield (
            f"{_counted(count, 'max pool')} passed as a window of n cells of weight {weight}"
            + ("; do not rank ways with a pool against ways without" if pool == "average" else "")
        )
    if count := names[LRN]:
        at = "the mean of the images" if lrn_at == "mean" else f"activation {float(lrn_at or 0):g}"
        yield f"{_counted(count, 'local response norm')} linearised at {at}"
