"""Many input channels told by a few: semi-NMF, NMF and SVD of weights.

Reads a `WeightMap`; its kernels become a table with a row for each cell of each target and a
column for each source channel, and the table a product of loadings (where, signed) and factors
(which channels). The solver is in nonnegative.py, the result in factorisation.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from circuits.factoring.factorisation import Factorisation, Method, matched
from circuits.factoring.nonnegative import Solution, alternate, starts
from featviz.errors import CircuitError, did_you_mean

_PARTS = ("signed", "positive", "negative", "magnitude")

# Of 0, .001, .003, .01, .03, the smallest at which the starts agree and components differ clearly.
_RIDGE = 0.01


def factorise(
    table: Float[Tensor, "n i"],
    *,
    rank: int,
    method: str = "semi-nmf",
    ridge: float | None = None,
    restarts: int = 3,
    seed: int = 0,
    max_iterations: int = 2000,
    tolerance: float = 1e-6,
) -> Factorisation:
    """Write a table as loadings times factors; components come strongest first.

    `semi-nmf` keeps factors from being negative and leaves loadings their sign; it is not the
    common trick of stacking positive and negative parts for plain NMF, which explains far less.
    Computed in float64 on the CPU. The same arguments give the same result.

    Without a ridge, semi-NMF often has no best answer: any positive factor f makes room for
    every direction d, as the difference of f + small * d and f, and components become equal, with
    huge loadings that cancel. The ridge keeps them apart for a little more error: on the rotated
    curve kernels, rank 4, factors have a cosine of .78 and 11 % is unexplained with .01, and .998
    and 8 % without.

    Args:
        table: Rows to be told by columns' groups; float32 or float64.
        rank: Number of components, from 1 to the smaller side of the table.
        method: `semi-nmf`; `nmf`, for tables without negative entries; `svd`; `pca`, which is the
            `svd` of the table without the mean of each column.
        ridge: Weight of the square sums of loadings and factors, in units of the table's largest
            singular value; None: 0.01 for `semi-nmf`, else 0. `svd` and `pca` take none.
        restarts: Random starts besides the one from the SVD, of which the best result counts;
            `svd` and `pca` need none.
        seed: Of the random starts.
        max_iterations: Of each start.
        tolerance: A start ends when the objective falls by less than this share of the square sum.

    Returns:
        Components in descending order of the square sum of what each adds alone. The sign of a
        component of `svd` and `pca` is such that its largest share is positive.

    Raises:
        CircuitError: If the table is empty, zero, not finite, or negative for `nmf`; if the rank,
            the method, the ridge, or the number of restarts is out of range.

    References:
        Ding, Li, Jordan 2010, "Convex and semi-nonnegative matrix factorizations". Deviations:
        alternating least squares (nonnegative.py), and the ridge.
    """
    way = _method(method)
    ridge = _ridge(ridge, method)
    table = _checked(table, rank=rank, method=method, restarts=restarts)
    mean = table.mean(0) if method == "pca" else table.new_zeros(table.shape[1])
    table = table - mean
    total = float(table.square().sum())
    if total == 0:
        raise CircuitError("all weights are zero (or equal, for 'pca'): there is nothing to factor")
    if method in {"svd", "pca"}:
        u, s, vh = torch.linalg.svd(table, full_matrices=False)
        left, right = u[:, :rank] * s[:rank], vh[:rank]
        sign = right.gather(1, right.abs().argmax(1, keepdim=True)).sign()
        left, right = left * sign.T, right * sign
        found = Solution(left, right, float((table - left @ right).square().sum()), 0, True)
    else:
        tried = [
            alternate(
                table,
                start,
                signed=method == "semi-nmf",
                ridge=ridge,
                max_iterations=max_iterations,
                tolerance=tolerance,
            )
            for start in starts(table, rank=rank, restarts=restarts, seed=seed)
        ]
        found = min(tried, key=lambda solution: solution.error)
    loadings, factors = _ordered(found.loadings, found.factors)
    return Factorisation(
        factors=factors,
        loadings=loadings,
        mean=mean,
        unexplained=found.error / total,
        method=way,
        iterations=found.iterations,
        converged=found.converged,
        columns=tuple(range(table.shape[1])),
        grid=(len(table),),
    )


def factorise_weights(
    weights: WeightMap,
    *,
    rank: int = 3,
    method: str = "semi-nmf",
    targets: Sequence[int] | None = None,
    part: str = "signed",
    restarts: int = 3,
    seed: int = 0,
) -> Factorisation:
    """Group the source channels of several targets jointly: one set of factors for all of them.

    Args:
        weights: Kernels.
        rank: Number of components.
        method: See `factorise`.
        targets: Channels of the target, such as those of a family; None: all.
        part: What of the weights: `signed`, all; `positive`, or `negative` (as positive numbers),
            zero elsewhere; `magnitude`. `nmf` needs one of the last three.
        restarts: See `factorise`.
        seed: See `factorise`.

    Raises:
        CircuitError: If a target is not in the map, or the weights cannot be factored.
    """
    chosen = weights if targets is None else weights.with_targets(tuple(targets))
    o, i, kh, kw = chosen.kernel.shape
    table = _part_of(chosen.kernel, part).permute(0, 2, 3, 1).reshape(-1, i)
    found = factorise(table, rank=rank, method=method, restarts=restarts, seed=seed)
    return replace(found, columns=weights.sources, grid=(o, kh, kw))


def factorise_each(
    weights: WeightMap,
    *,
    rank: int = 3,
    method: str = "semi-nmf",
    targets: Sequence[int] | None = None,
    part: str = "signed",
    restarts: int = 3,
    seed: int = 0,
) -> list[Factorisation]:
    """Group the source channels of each target alone, components in one order for all.

    The order, and so the colours, are those of the joint factorisation of the same targets: each
    unit's components are matched to it by `matched`.

    Args:
        weights: Kernels.
        rank: Number of components.
        method: See `factorise`.
        targets: Channels of the target; None: all.
        part: See `factorise_weights`.
        restarts: See `factorise`.
        seed: See `factorise`.

    Returns:
        One result a target, in order.

    Raises:
        CircuitError: As `factorise_weights`; also if the weights of one target are all zero.
    """
    channels = weights.targets if targets is None else tuple(targets)

    def of(chosen: Sequence[int]) -> Factorisation:
        return factorise_weights(
            weights,
            rank=rank,
            method=method,
            targets=chosen,
            part=part,
            restarts=restarts,
            seed=seed,
        )

    joint = of(channels)
    return [matched(of((channel,)), joint) for channel in channels]


def _method(method: str) -> Method:
    for known in get_args(Method):
        if method == known:
            return cast("Method", known)
    raise CircuitError(
        f"unknown method {method!r}{did_you_mean(method, get_args(Method))} choose one of "
        f"{', '.join(get_args(Method))}"
    )


def _ridge(ridge: float | None, method: str) -> float:
    direct = method in {"svd", "pca"}
    if ridge is None:
        return _RIDGE if method == "semi-nmf" else 0.0
    if direct or not 0 <= ridge < 1:
        raise CircuitError(
            f"ridge {ridge} with {method!r}: "
            + ("leave it out, the solution is direct" if direct else "choose 0 to 1, such as 0.01")
        )
    return ridge


def _checked(
    table: Float[Tensor, "n i"], *, rank: int, method: str, restarts: int
) -> Float[Tensor, "n i"]:
    """Return the table in float64 on the CPU if it can be factored as asked."""
    most = min(table.shape)
    if not 1 <= rank <= most:
        raise CircuitError(
            f"rank {rank} does not fit a table of {table.shape[0]} rows and {table.shape[1]} "
            f"channels; choose 1 to {most}"
        )
    if restarts < 0:
        raise CircuitError(f"restarts is {restarts}; choose 0 or more")
    table = table.detach().to("cpu", torch.float64)
    if not table.isfinite().all():
        count = int((~table.isfinite()).sum())
        raise CircuitError(
            f"{count} of {table.numel()} weights are not finite; check the model's weights"
        )
    if method == "nmf" and (table < 0).any():
        raise CircuitError(
            f"'nmf' takes no negative weights, and {int((table < 0).sum())} of {table.numel()} "
            "are; use method='semi-nmf', or part='positive'"
        )
    return table


def _part_of(kernel: Float[Tensor, "o i kh kw"], part: str) -> Float[Tensor, "o i kh kw"]:
    if part not in _PARTS:
        raise CircuitError(
            f"unknown part {part!r}{did_you_mean(part, _PARTS)} choose one of {', '.join(_PARTS)}"
        )
    if part == "positive":
        return kernel.clamp(min=0)
    if part == "negative":
        return -kernel.clamp(max=0)
    return kernel.abs() if part == "magnitude" else kernel


def _ordered(
    loadings: Float[Tensor, "n k"], factors: Float[Tensor, "k i"]
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "k i"]]:
    """Return components with factors of length 1, strongest first; dead ones last, zero."""
    length = factors.norm(dim=1)
    factors = factors / length.clamp(min=1e-30)[:, None]
    loadings = loadings * length
    order = torch.argsort(loadings.square().sum(0), descending=True, stable=True)
    return loadings[:, order], factors[order]
