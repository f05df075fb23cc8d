"""Factors of which some may not be negative: semi-NMF and NMF by alternating least squares.

Below factor.py, which checks, orders components, and measures.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

# Coordinate updates of all factors between two solutions for the loadings. They reuse the same two
# small products, so that a few of them cost less than a new solution.
_SWEEPS = 8
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Solution:
    """What an alternating solver ended with.

    Attributes:
        loadings: One row a row of the matrix.
        factors: One row a component, never negative.
        error: Sum of the squared differences.
        iterations: How many were run.
        converged: Whether the objective stopped falling before the last of them.
    """

    loadings: Float[Tensor, "n k"]
    factors: Float[Tensor, "k i"]
    error: float
    iterations: int
    converged: bool


def alternate(
    matrix: Float[Tensor, "n i"],
    start: Float[Tensor, "k i"],
    *,
    signed: bool,
    ridge: float,
    max_iterations: int,
    tolerance: float,
) -> Solution:
    """Approximate a matrix M by loadings G times factors F that are not negative.

    Minimises |M - G F|^2 + r (|G|^2 + |F|^2), with r = ridge * the largest singular value of M.
    Signed loadings are the least-squares solution for the factors; the rest is improved one
    component after another, each exactly for the others (hierarchical alternating least squares).
    No step can raise the objective. Signed loadings are fitted once more at the end without the
    ridge, so that the error is the least for the factors found.

    Args:
        matrix: Any signs; not negative, if the loadings may not be signed. float64.
        start: Factors, not negative.
        signed: Whether loadings may be negative (semi-NMF), or not (NMF).
        ridge: See above, 0 or more.
        max_iterations: At most so many alternations.
        tolerance: Ends when the objective falls by less than this share of |M|^2.

    References:
        Ding, Li, Jordan 2010, "Convex and semi-nonnegative matrix factorizations", gives the
        problem of signed loadings; its multiplicative updates need many more iterations. Cichocki,
        Phan 2009, "Fast local algorithms for large scale nonnegative matrix and tensor
        factorizations", for the coordinate updates.
    """
    # A rotation of the rows changes no error, so signed loadings need no more rows than columns.
    tall = signed and len(matrix) > matrix.shape[1]
    reduced = torch.linalg.qr(matrix, mode="r").R if tall else matrix
    penalty = ridge * float(torch.linalg.matrix_norm(reduced, 2))
    total = float(reduced.square().sum())
    factors = start.clone()
    loadings = _least_squares(reduced, factors, penalty)
    loadings = loadings if signed else loadings.clamp(min=0)
    objective, converged, done = float("inf"), False, 0
    while done < max_iterations and not converged:
        done += 1
        if signed:
            loadings = _least_squares(reduced, factors, penalty)
        else:
            loadings = _improved(loadings.T, factors @ reduced.T, factors @ factors.T, penalty).T
        factors = _improved(factors, loadings.T @ reduced, loadings.T @ loadings, penalty)
        error = float((reduced - loadings @ factors).square().sum())
        now = error + penalty * float(loadings.square().sum() + factors.square().sum())
        converged = objective - now <= tolerance * total
        objective = now
    loadings = _least_squares(matrix, factors, 0.0) if signed else loadings
    error = float((matrix - loadings @ factors).square().sum())
    return Solution(loadings, factors, error, done, converged)


def starts(
    matrix: Float[Tensor, "n i"], *, rank: int, restarts: int, seed: int
) -> list[Float[Tensor, "k i"]]:
    """Return factors to start from: halves of singular vectors, then random ones.

    Args:
        matrix: To be approximated.
        rank: Number of components.
        restarts: Number of random starts.
        seed: Of these.

    References:
        Boutsidis, Gallopoulos 2008, "SVD based initialization", for the halves.
    """
    right = torch.linalg.svd(matrix, full_matrices=False).Vh[:rank]
    up, down = right.clamp(min=0), -right.clamp(max=0)
    halves = torch.where(up.norm(dim=1, keepdim=True) >= down.norm(dim=1, keepdim=True), up, down)
    generator = torch.Generator().manual_seed(seed)
    # Of the matrix's size: the ridge weighs loadings and factors alike.
    scale = float(matrix.norm()) ** 0.5 / right.shape[1] ** 0.5
    drawn = [
        torch.rand(right.shape, generator=generator, dtype=matrix.dtype) * scale
        for _ in range(restarts)
    ]
    return [halves * float(matrix.norm()) ** 0.5, *drawn]


def _least_squares(
    matrix: Float[Tensor, "n i"], factors: Float[Tensor, "k i"], penalty: float
) -> Float[Tensor, "n k"]:
    if penalty == 0:
        # The pseudo-inverse, because a component may have died, or two may have become one.
        inverse: Tensor = torch.linalg.pinv(factors)
        return matrix @ inverse
    gram = factors @ factors.T
    gram.diagonal().add_(penalty)
    solved: Tensor = torch.linalg.solve(gram, factors @ matrix.T)
    return solved.T


def _improved(
    factors: Float[Tensor, "k i"],
    cross: Float[Tensor, "k i"],
    gram: Float[Tensor, "k k"],
    penalty: float,
) -> Float[Tensor, "k i"]:
    """Return factors nearer to the best that are not negative, for loadings G.

    Args:
        factors: To start from.
        cross: G^T M.
        gram: G^T G.
        penalty: On the square sum of the factors.
    """
    factors = factors.clone()
    for _ in range(_SWEEPS):
        for k in range(len(factors)):
            own = float(gram[k, k])
            if own + penalty > _TINY:
                fitted = cross[k] - gram[k] @ factors + own * factors[k]
                factors[k] = (fitted / (own + penalty)).clamp(min=0)
    return factors
