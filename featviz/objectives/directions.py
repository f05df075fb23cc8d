"""Objectives for directions in activation space."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.objectives.activations import Activations, Score, positions
from featviz.objectives.base import Objective
from featviz.objectives.unit import Neuron
from featviz.sites import Site
from featviz.units import Position

COSINE_FLOOR = 0.1  # Lucid 0.3.10, optvis/objectives: keeps a gradient where the cosine is <= 0
_EPSILON = 1e-4  # ibid., keeps the cosine of a silent map finite


@dataclass(frozen=True, eq=False)
class Direction(Objective):
    """A direction in activation space; make it with `direction`."""

    site: str
    vector: Float[Tensor, " c"]
    cosine_power: float = 0.0
    position: Position | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """The site of the direction."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`direction(fire4, 1f3a9c)`: the vector's hash tells directions of a site apart."""
        power = f", power {self.cosine_power:g}" if self.cosine_power else ""
        place = "" if self.position is None else f", {_place(self.position)}"
        return f"direction({self.site}, {short_hash(self.vector)}{power}{place})"

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
        activation = _at(activations[self.site], self.position)
        return _dot_cosine(activation, self.vector.to(activation)[None], self.cosine_power)

    @classmethod
    def bind_rows(cls, objectives: Sequence[Objective], device: torch.device) -> Score:
        """Score all directions at once."""
        directions = [objective for objective in objectives if isinstance(objective, cls)]
        if len({(d.site, d.cosine_power, d.position) for d in directions}) > 1:
            return super().bind_rows(objectives, device)
        site, power, place = directions[0].site, directions[0].cosine_power, directions[0].position
        vectors = torch.stack([d.vector for d in directions]).to(device)
        return lambda found: _dot_cosine(_at(found[site], place).float(), vectors, power)


def short_hash(values: Float[Tensor, "..."]) -> str:
    """Return six hexadecimal digits that tell tensors apart in labels."""
    plain = values.detach().cpu().contiguous()
    return hashlib.sha256(plain.numpy().tobytes()).hexdigest()[:6]


def _place(position: Position) -> str:
    return position if isinstance(position, str) else f"@{position[0]},{position[1]}"


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
    vector: Shaped[Tensor, "..."] | Sequence[float],
    *,
    cosine_power: float = 0.0,
    position: Position | None = None,
) -> Direction:
    """Maximise a direction: mean over positions of `dot * max(0.1, cos) ** cosine_power`.

    Args:
        site: Site name.
        vector: One entry a channel; copied.
        cosine_power: 0 for the dot product alone; higher values demand the direction and nothing
            else, Lucid's atlas uses 2.
        position: (y, x) on the map, or `center`; None for the mean over all positions.

    Raises:
        ObjectiveError: If the vector is not one-dimensional, not finite, or all zero, or the
            power is negative.

    References:
        Lucid 0.3.10, optvis/objectives `direction`; https://github.com/tensorflow/lucid/pull/116.
    """
    copied = torch.as_tensor(vector, dtype=torch.float32).detach().cpu().clone()
    if copied.dim() != 1 or not copied.isfinite().all() or not copied.any():
        raise ObjectiveError(
            "a direction must be one row of finite numbers, not all zero; got shape "
            f"{tuple(copied.shape)}"
        )
    if cosine_power < 0:
        raise ObjectiveError(f"cosine_power must be 0 or more, got {cosine_power}")
    return Direction(site, copied, cosine_power, position)
