"""Weight banding: kernels of a layer that vary along one axis and hardly along the other.

Reads a `WeightMap`; its source channels become a few components (factor.py), and the score says
how much of their variation over the kernel lies between rows, and between columns.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from circuits.factoring.factor import factorise_weights
from featviz.errors import CircuitError

COMPONENTS = 3


@dataclass(frozen=True)
class BandingScore:
    """Shares of variance between rows and between columns, mean over targets; 0..1.

    Networks without banding also lie above the null, because neighbouring weights are alike:
    compare with another layer or network, not with a threshold.

    Attributes:
        row: Variance of the row means over the variance of all cells.
        column: The same for columns.
        row_null: What independent random weights give, (kh - 1) / (kh kw - 1): 1 / (k + 1) for
            square kernels.
        column_null: The same for columns.
        shuffled_row: Scores with the cells of each target in random order, one a draw.
        shuffled_column: The same for columns.
        rows_by_target: `row` of each target.
        columns_by_target: `column` of each target.
        unexplained: What the components leave out of the weights, 0..1.
    """

    row: float
    column: float
    row_null: float
    column_null: float
    shuffled_row: tuple[float, ...]
    shuffled_column: tuple[float, ...]
    rows_by_target: tuple[float, ...]
    columns_by_target: tuple[float, ...]
    unexplained: float


def banding_score(
    weights: WeightMap, *, components: int = COMPONENTS, draws: int = 20, seed: int = 0
) -> BandingScore:
    """Measure weight banding between two sites.

    Args:
        weights: Kernels of more than one cell.
        components: What source channels are reduced to, all targets jointly; fewer where the
            map has fewer sources.
        draws: Number of shuffles; all components of a cell move together.
        seed: Of the shuffles and the factorisation.

    Returns:
        Scores. Targets whose components do not vary are left out.

    Raises:
        CircuitError: If the kernels hold one cell, do not vary, or cannot be factored.

    References:
        Petrov, Voss, Schubert, Cammarata, Goh, Olah 2021, "Weight Banding", Distill: the
        reduction to three components. The score is ours.
    """
    kh, kw = weights.kernel.shape[2:]
    if kh * kw < 2:
        raise CircuitError("a kernel of 1x1 has neither rows nor columns; choose a wider layer")
    rank = min(components, weights.kernel.shape[1], weights.kernel.shape[0] * kh * kw)
    found = factorise_weights(weights, rank=rank, restarts=0, seed=seed)
    rows, columns = band_shares(found.maps)
    varied = ~rows.isnan()
    if not varied.any():
        raise CircuitError("no kernel varies over its cells, so there are no bands to look for")
    maps = found.maps[varied]
    generator = torch.Generator().manual_seed(seed)
    drawn = [_shuffled(maps, generator) for _ in range(draws)]
    shares = [band_shares(each) for each in drawn]
    return BandingScore(
        row=float(rows[varied].mean()),
        column=float(columns[varied].mean()),
        row_null=(kh - 1) / (kh * kw - 1),
        column_null=(kw - 1) / (kh * kw - 1),
        shuffled_row=tuple(float(row.mean()) for row, _ in shares),
        shuffled_column=tuple(float(column.mean()) for _, column in shares),
        rows_by_target=tuple(rows.tolist()),
        columns_by_target=tuple(columns.tolist()),
        unexplained=found.unexplained,
    )


def band_shares(
    maps: Float[Tensor, "o kh kw k"],
) -> tuple[Float[Tensor, " o"], Float[Tensor, " o"]]:
    """Return the shares of variance between rows, and between columns, of each target.

    Sums over the components first, so that strong components count more; not-a-number where
    nothing varies.
    """
    centred = maps - maps.mean((1, 2), keepdim=True)
    total = centred.square().mean((1, 2)).sum(1)
    row = centred.mean(2).square().mean(1).sum(1)
    column = centred.mean(1).square().mean(1).sum(1)
    flat = total <= 1e-24 * maps.square().mean((1, 2)).sum(1)
    total = torch.where(flat, torch.nan, total)
    return row / total, column / total


def _shuffled(
    maps: Float[Tensor, "o kh kw k"], generator: torch.Generator
) -> Float[Tensor, "o kh kw k"]:
    flat = maps.flatten(1, 2)
    order = torch.rand(flat.shape[:2], generator=generator).argsort(1)
    return flat.gather(1, order[..., None].expand_as(flat)).view_as(maps)
