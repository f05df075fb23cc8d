"""How much features share directions: interference, dimensionality, features per dimension.

Reads rows of weights, one a feature: the input weights of the units of a layer, or how much each
unit of the next one takes from it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from featviz.errors import CircuitError

_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Superposition:
    """Sharing of directions among features, and the same among random ones.

    Attributes:
        interference: For each feature, the sum of the squares of the others along its direction.
        dimensionality: For each feature, the share of a dimension that it has for itself: 1 alone,
            1/2 for an opposed pair, 0 for a feature of zero weights.
        features_per_dimension: Number of features over the square sum of all weights; only
            meaningful where strong features have length 1 and the rest 0.
        random_interference: Mean interference of features with the same lengths in random
            directions, one number a draw.
        random_dimensionality: Mean dimensionality of these, one number a draw.
    """

    interference: Float[Tensor, " m"]
    dimensionality: Float[Tensor, " m"]
    features_per_dimension: float
    random_interference: tuple[float, ...]
    random_dimensionality: tuple[float, ...]


def superposition_score(
    rows: Float[Tensor, "m n"], *, draws: int = 20, seed: int = 0
) -> Superposition:
    """Measure how much features share directions.

    With w_i a row and u_i the same at length 1: interference I_i = sum over the others of
    (u_i w_j)^2, dimensionality D_i = |w_i|^2 / (|w_i|^2 + I_i), features per dimension m / |W|^2.

    Args:
        rows: One feature a row.
        draws: Number of random sets of features of the same lengths.
        seed: Of these.

    Raises:
        CircuitError: If there is no weight, none is other than zero, or one is not finite.

    References:
        Elhage et al. 2022, "Toy Models of Superposition", sections on superposition as a phase
        change and on the geometry of superposition. There is no random control there.
    """
    rows = rows.detach().to("cpu", torch.float64)
    if not rows.isfinite().all():
        raise CircuitError("some weights are not finite; check the model's weights")
    if not rows.any():
        raise CircuitError("all weights are zero: there is no feature to compare")
    lengths = rows.norm(dim=1)
    interference, dimensionality = _shared(rows)
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(draws):
        noise = torch.randn(rows.shape, generator=generator, dtype=rows.dtype)
        drawn.append(_shared(noise / noise.norm(dim=1, keepdim=True) * lengths[:, None]))
    return Superposition(
        interference=interference,
        dimensionality=dimensionality,
        features_per_dimension=len(rows) / float(rows.square().sum()),
        random_interference=tuple(float(i.mean()) for i, _ in drawn),
        random_dimensionality=tuple(float(d.mean()) for _, d in drawn),
    )


def input_rows(weights: WeightMap) -> Float[Tensor, "o n"]:
    """Return the weights into each target, laid flat: what the target reads."""
    return weights.kernel.flatten(1)


def output_rows(weights: WeightMap) -> Float[Tensor, "i n"]:
    """Return the weights out of each source, laid flat: where the source is read."""
    return weights.kernel.transpose(0, 1).flatten(1)


def _shared(rows: Float[Tensor, "m n"]) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    squares = rows.square().sum(1)
    unit = rows / squares.sqrt().clamp(min=_TINY)[:, None]
    # Of an m x m table of products, only the row sums count; it stays small for a layer.
    along = (unit @ rows.T).square()
    along.fill_diagonal_(0)
    interference = along.sum(1)
    return interference, squares / (squares + interference).clamp(min=_TINY)
