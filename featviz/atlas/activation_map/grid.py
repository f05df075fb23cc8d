"""Cells of the map and what their activations have in common."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from featviz.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of one level of detail that hold enough points, in rows from the top left.

    Attributes:
        side: Cells along each side.
        rows: Of each cell, from the top.
        columns: Of each cell, from the left.
        counts: Points in each cell.
        member: Of each point: the index of its cell, -1 where that has too few.
    """

    side: int
    rows: Int[np.ndarray, " m"]
    columns: Int[np.ndarray, " m"]
    counts: Int[np.ndarray, " m"]
    member: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.rows)

    def mean(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "m c"]:
        """Return the mean of each cell.

        Args:
            values: One row a point; it may lie on disk and is read in parts.
        """
        total = torch.zeros(len(self), values.shape[1], dtype=torch.float64)
        for first in range(0, len(values), 4096):
            member = self.member[first : first + 4096]
            inside = member >= 0
            some = torch.from_numpy(np.asarray(values[first : first + 4096])[inside])
            total.index_add_(0, torch.from_numpy(member[inside]), some.double())
        return np.asarray(total.numpy() / self.counts[:, None])


def make_grid(points: Float[np.ndarray, "n 2"], *, side: int, min_points: int) -> Grid:
    """Return the cells that hold enough points.

    Args:
        points: x to the right and y down, 0..1; a border belongs to the cell after it, and 1 to
            the last one.
        side: Cells along each side.
        min_points: That a cell needs.

    Raises:
        ConfigError: If no cell has as many.
    """
    place = np.minimum((points * side).astype(np.int64), side - 1)
    flat = place[:, 1] * side + place[:, 0]
    counts = np.bincount(flat, minlength=side * side)
    kept = np.flatnonzero(counts >= min_points)
    if not len(kept):
        raise ConfigError(
            f"none of {side}x{side} cells holds {min_points} of {len(points)} samples (the fullest "
            f"has {counts.max()}); give more photographs or positions, or ask for a coarser grid "
            "or fewer points"
        )
    index = np.full(side * side, -1)
    index[kept] = np.arange(len(kept))
    return Grid(side, kept // side, kept % side, counts[kept], index[flat])


def neighbour_likeness(
    grid: Grid, vectors: Float[np.ndarray, "m c"], *, seed: int = 0
) -> dict[str, float | int | None]:
    """Return how alike neighbouring cells are, and how alike any two: does the map have an order?

    Args:
        grid: The cells.
        vectors: One a cell, such as the mean activation.
        seed: Of the pairs of any two, as many as there are neighbours.

    Returns:
        Mean cosines of `neighbours` (sharing a side) and of `random` pairs, and how many `pairs`
        there are; None where there is no pair.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths == 0, 1, lengths)
    at = {(int(r), int(c)): k for k, (r, c) in enumerate(zip(grid.rows, grid.columns, strict=True))}
    pairs = [
        (k, at[r + down, c + right])
        for (r, c), k in at.items()
        for down, right in ((0, 1), (1, 0))
        if (r + down, c + right) in at
    ]
    if not pairs:
        return {"neighbours": None, "random": None, "pairs": 0}
    first, second = np.array(pairs).T
    generator = np.random.default_rng(seed)
    one = generator.integers(0, len(grid), len(pairs))
    other = (one + generator.integers(1, len(grid), len(pairs))) % len(grid)
    return {
        "neighbours": float((unit[first] * unit[second]).sum(1).mean()),
        "random": float((unit[one] * unit[other]).sum(1).mean()),
        "pairs": len(pairs),
    }
