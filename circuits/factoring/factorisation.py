"""The result of factoring weights: channels in a few components, and where each is strong.

Made by factor.py; read by banding.py and draw.py.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import CircuitError

Method = Literal["semi-nmf", "nmf", "svd", "pca"]

# Okabe, Ito 2008: told apart with any kind of colour vision.
_COLOURS = ((0.0, 0.447, 0.698), (0.902, 0.624, 0.0), (0.0, 0.620, 0.451))
_GREY = 0.5


@dataclass(frozen=True, eq=False)
class Factorisation:
    """A table of weights as loadings times factors, plus a mean for `pca`.

    Attributes:
        factors: Share of each column in each component; rows of length 1, and not negative for
            `semi-nmf` and `nmf`.
        loadings: Strength of each component in each row of the table, row by row; signed, but for
            `nmf`.
        mean: What was taken off each column first: zero, but for `pca`.
        unexplained: Sum of squared differences over that of the table (for `pca`: of the table
            without its mean), 0..1.
        method: How it was found.
        iterations: Of the best start; 0 for `svd` and `pca`, which need none.
        converged: Whether the error stopped falling before the last iteration.
        columns: Channel of the source for each column.
        grid: What the rows stand for: (targets, kernel rows, kernel columns), or (rows,).
    """

    factors: Float[Tensor, "k i"]
    loadings: Float[Tensor, "n k"]
    mean: Float[Tensor, " i"]
    unexplained: float
    method: Method
    iterations: int
    converged: bool
    columns: tuple[int, ...]
    grid: tuple[int, ...]

    def __repr__(self) -> str:
        """Return one line: method, size, and how much is left over."""
        state = "" if self.converged else ", not converged"
        return (
            f"Factorisation({self.method}, {len(self.factors)} components of {len(self.columns)} "
            f"channels, {self.unexplained:.3g} unexplained{state})"
        )

    @property
    def approximation(self) -> Float[Tensor, "n i"]:
        """The table that the components add up to."""
        return self.loadings @ self.factors + self.mean

    @property
    def maps(self) -> Float[Tensor, "*grid k"]:
        """Loadings as pictures: [targets, kernel rows, kernel columns, components]."""
        return self.loadings.view(*self.grid, len(self.factors))

    def top(self, component: int, *, count: int) -> list[tuple[int, float]]:
        """Return the channels with the largest share in a component, and the shares."""
        shares = self.factors[component]
        order = torch.argsort(shares.abs(), descending=True, stable=True)[:count].tolist()
        return [(self.columns[k], float(shares[k])) for k in order]

    def painted(self) -> Float[Tensor, "*grid 3"]:
        """Return the maps in colour, RGB 0..1: one colour a component, its opposite for minus.

        Grey is zero. Loadings are divided by the largest magnitude of all, so that pictures of
        one factorisation compare; sums outside 0..1 are clipped.

        Raises:
            CircuitError: If there are more than three components.
        """
        if len(self.factors) > len(_COLOURS):
            raise CircuitError(
                f"{len(self.factors)} components cannot be told apart in one colour picture; "
                "factor with rank=3 or less, or draw each component of .maps alone"
            )
        ways = self.loadings.new_tensor(_COLOURS)[: len(self.factors)] - _GREY
        scaled = self.maps / self.loadings.abs().max().clamp(min=1e-30)
        return (_GREY + scaled @ ways).clamp(0, 1)


def matched(found: Factorisation, reference: Factorisation) -> Factorisation:
    """Return a factorisation with its components in the order of another's.

    Greedy: the two components with the largest cosine are paired first, then the next. Components
    of `svd` and `pca` also take the sign of their partners. The sum of the components stays.

    Args:
        found: Its components are put in order.
        reference: Of the same columns, and at least as many components.

    Raises:
        CircuitError: If the columns differ, or the reference has fewer components.
    """
    if found.columns != reference.columns or len(found.factors) > len(reference.factors):
        raise CircuitError(
            f"cannot match {found!r} to {reference!r}: the channels must be the same, and the "
            "reference needs as many components"
        )
    cosine = found.factors @ reference.factors.T
    free = found.method in {"svd", "pca"}
    closeness = cosine.abs() if free else cosine.clone()
    partner = [0] * len(found.factors)
    for _ in partner:
        own, other = divmod(int(closeness.argmax()), closeness.shape[1])
        partner[own] = other
        closeness[own], closeness[:, other] = -torch.inf, -torch.inf
    order = sorted(range(len(partner)), key=partner.__getitem__)
    sign = [float(cosine[k, partner[k]].sign()) or 1.0 if free else 1.0 for k in order]
    signs = found.factors.new_tensor(sign)
    return replace(
        found,
        factors=found.factors[order] * signs[:, None],
        loadings=found.loadings[:, order] * signs,
    )
