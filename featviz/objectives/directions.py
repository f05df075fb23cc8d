"""Objectives for directions in activation space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.objectives.activations import Activations, Score, positions
from featviz.objectives.base import Objective
from featviz.objectives.spelling import argument, place, shortest
from featviz.objectives.unit import Neuron
from featviz.objectives.values import Values, as_vector
from featviz.sites import Site
from featviz.units import Position

COSINE_FLOOR = 0.1  # Lucid 0.3.10, optvis/objectives: keeps a gradient where the cosine is <= 0
_EPSILON = 1e-4  # ibid., keeps the cosine of a silent map finite


@dataclass(frozen=True)
class Direction(Objective):
    """A direction in activation space; make it with `direction`."""

    site: str
    values: Values
    cosine_power: float = 0.0
    position: Position | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """The site of the direction."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`direction(fire4, v.npy, cosine_power=2)`, or `direction(fire4, tensor-1f3a9c)`."""
        power = f", cosine_power={shortest(self.cosine_power)}" if self.cosine_power else ""
        where = place(self.position)
        return f"direction({argument(self.site)}, {self.values.text}{power}{where})"

    @property
    def vector(self) -> Float[Tensor, " c"]:
        """One entry a channel."""
        return self.values.vector

    @property
    def files(self) -> dict[str, str]:
        """The file of the vector, if there is one."""
        return self.values.files

    @property
    def placed(self) -> bool:
        """Whether it has a position other than the centre."""
        return self.position not in {None, "center"}

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise ObjectiveError if the vector has not one entry a channel."""
        channels = sites[self.site].channels
        if len(self.vector) != channels:
            raise ObjectiveError(
                f"the direction has {len(self.vector)} entries, {self.site!r} has {channels} "
                "channels; give one entry a channel"
            )
        if self.position is not None:
            Neuron(self.site, 0, self.position).check(sites)

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the mean over positions of dot * max(0.1, cos) ** p."""
        return self.bound(activations[self.site].device)(activations)

    def bound(self, device: torch.device) -> Score:
        """Move the vector."""
        vector = self.vector.to(device)[None]

        def score(activations: Activations) -> Float[Tensor, "*b"]:
            activation = _at(activations[self.site], self.position)
            return _dot_cosine(activation, vector.to(activation), self.cosine_power)

        return score

    @classmethod
    def bind_rows(cls, objectives: Sequence[Objective], device: torch.device) -> Score:
        """Score all directions at once."""
        directions = [objective for objective in objectives if isinstance(objective, cls)]
        if len({(d.site, d.cosine_power, d.position) for d in directions}) > 1:
            return super().bind_rows(objectives, device)
        site, power, place = directions[0].site, directions[0].cosine_power, directions[0].position
        vectors = torch.stack([d.vector for d in directions]).to(device)
        return lambda found: _dot_cosine(_at(found[site], place).float(), vectors, power)


def _at(activation: Tensor, position: Position | None) -> Float[Tensor, "b c n"]:
    """Return the vectors at all positions, or at one."""
    if position is None or activation.dim() == 2:
        return positions(activation)
    h, w = activation.shape[-2:]
    y, x = (h // 2, w // 2) if position == "center" else position
    return activation[:, :, y, x, None]


def _dot_cosine(
    activation: Float[Tensor, "b c n"], vectors: Float[Tensor, "#b c"], power: float
) -> Float[Tensor, " b"]:
    dot = (activation * vectors[..., None]).sum(1)
    if power == 0:
        return dot.mean(-1)
    # norm() has no gradient at 0, where every channel is silent; sqrt of a clamped sum has.
    lengths = activation.square().sum(1).clamp(min=1e-12).sqrt()
    cosine = dot / (lengths + _EPSILON) / (vectors.norm(dim=1, keepdim=True) + _EPSILON)
    weight = cosine.clamp(min=COSINE_FLOOR).pow(power)
    return torch.mul(dot, weight).mean(-1)


def direction(
    site: str,
    vector: Shaped[Tensor, "..."] | Sequence[float] | str | Path,
    *,
    cosine_power: float = 0.0,
    position: Position | None = None,
) -> Direction:
    """Maximise a direction: mean over positions of `dot * max(0.1, cos) ** cosine_power`.

    Args:
        site: Site name.
        vector: One entry a channel: a tensor, which is copied; numbers; or a file, .npy or
            .safetensors with a single tensor.
        cosine_power: 0 for the dot product alone; higher values demand the direction and nothing
            else, Lucid's atlas uses 2.
        position: (y, x) on the map, or `center`; None for the mean over all positions.

    Raises:
        ObjectiveError: If the vector is not one-dimensional, not finite, or all zero, the file
            cannot be read, or the power is negative or not finite.

    References:
        Lucid 0.3.10, optvis/objectives `direction`; https://github.com/tensorflow/lucid/pull/116.
    """
    values = as_vector(vector, what="a direction")
    if not 0 <= cosine_power < float("inf"):
        raise ObjectiveError(f"cosine_power must be 0 or more, got {cosine_power}")
    return Direction(site, values, float(cosine_power), position)
