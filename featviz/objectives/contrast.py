"""An objective that sets a channel apart from its rivals, the other channels of its site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.objectives.activations import Activations, Score, positions
from featviz.objectives.base import Objective
from featviz.objectives.shaping import unshaped
from featviz.objectives.unit import Channel
from featviz.sites import Site

WEIGHT = 0.5
SOFTNESS = 0.1


@dataclass(frozen=True, eq=False)
class Contrast(Objective):
    """A channel less its strongest rivals, each on its own scale; make it with `contrast`."""

    site: str
    index: int
    means: Float[Tensor, " c"]
    sds: Float[Tensor, " c"]
    weight: float = WEIGHT
    softness: float = SOFTNESS

    @property
    def sites(self) -> tuple[str, ...]:
        """The site of the channel."""
        return (self.site,)

    @property
    def label(self) -> str:
        """`contrast(fire4, 5)`."""
        weight = "" if self.weight == WEIGHT else f", weight={self.weight!r}"
        softness = "" if self.softness == SOFTNESS else f", softness={self.softness!r}"
        return f"contrast({self.site}, {self.index}{weight}{softness})"

    def check(self, sites: Mapping[str, Site]) -> None:
        """Raise an error if the channel is out of range or the statistics are of another site."""
        Channel(self.site, self.index).check(sites)
        if sites[self.site].channels != len(self.means):
            raise ObjectiveError(
                f"{self.label} has statistics of {len(self.means)} channels, but {self.site!r} has "
                f"{sites[self.site].channels}; measure them at this site"
            )

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the contrast of each image."""
        return self.bound(activations[self.site].device)(activations)

    def bound(self, device: torch.device) -> Score:
        """Move the statistics; those of one objective serve any number of images."""
        return Contrast.bind_rows([self], device)

    @classmethod
    def bind_rows(cls, objectives: Sequence[Objective], device: torch.device) -> Score:
        """Compare all images at once."""
        if len({objective.sites for objective in objectives}) > 1:
            return super().bind_rows(objectives, device)
        (site,) = objectives[0].sites
        found = [objective for objective in objectives if isinstance(objective, cls)]
        means = torch.stack([o.means for o in found]).to(device)
        sds = torch.stack([o.sds for o in found]).to(device)
        index = torch.tensor([o.index for o in found], device=device)[:, None]
        weights = torch.tensor([o.weight for o in found], device=device)
        softness = torch.tensor([o.softness for o in found], device=device)
        no_rival = (sds == 0).scatter(1, index, value=True)
        scales = sds.where(sds > 0, 1)

        def score(activations: Activations) -> Float[Tensor, " b"]:
            a = positions(activations[site])
            # half precision is added up in float32, without a map of it
            mean = a.mean(-1, dtype=torch.promote_types(a.dtype, torch.float32))
            z = (mean - means.to(mean)) / scales.to(mean)
            rival = soft_maximum(
                z.masked_fill(no_rival, -torch.inf), softness.to(mean).expand(len(z))
            )
            own = z.gather(1, index.expand(len(z), 1))[:, 0]
            return own - weights.to(mean) * rival

        return score


def soft_maximum(
    values: Float[Tensor, "b c"], softness: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """Return the largest value of each row, or a sum of those near it in which none stands out.

        t log(sum exp(values / t)),  t = softness * max(values, 1), held fixed

    Args:
        values: Rows, minus infinity for what does not count.
        softness: How far below the largest others still count, as a share of it; 0: not at all.
    """
    largest = values.detach().amax(1)
    reach = softness * largest.clamp(min=1)
    scale = reach.where(reach > 0, 1)
    soft = torch.logsumexp(values / scale[:, None], 1) * scale
    return soft.where(reach > 0, values.amax(1))


def contrast(
    site: str,
    index: int,
    means: Float[Tensor, " c"] | Sequence[float],
    sds: Float[Tensor, " c"] | Sequence[float],
    *,
    weight: float = WEIGHT,
    softness: float = SOFTNESS,
) -> Contrast:
    """Maximise a channel, but not what excites another channel of its site more.

    With `m_c` the mean of channel c over the map of the image:

        z_c = (m_c - means_c) / sds_c
        score = z_index - weight * soft maximum over c != index of z_c

    For units whose picture excites a neighbour more than themselves: low layers, and sparse
    neighbours that a trace of another pattern wakes. A picture that has to avoid the neighbours
    may be weaker: the unit itself often reaches less than when it is maximised alone. The soft
    maximum, see `soft_maximum`, pushes all rivals near the strongest down at once: of the strongest
    alone, many take turns. Channels without spread are no rivals.

    A render shows a contrasted image unmoved at every second step, see ascent.py: moving blurs, and
    the finished image has detail that wakes rivals which no moved image did.

    Args:
        site: Site name.
        index: Channel.
        means: Mean of each channel of the site, over photographs, of its mean over the map.
        sds: Their standard deviations over photographs, same order.
        weight: How much the strongest rival counts, 0 or more; from 1 on a picture that excites
            unit and rival alike is worth nothing.
        softness: How far below the strongest rival others still count, as a share of its z; 0: the
            strongest alone.

    Raises:
        ObjectiveError: If the statistics cannot be used, the channel has no spread or no rival, or
            the weight or the softness is out of range.

    References:
        Ours. The measure that it serves is `featviz.metrics.self_identification`.
    """
    name = f"contrast({site}, {index})"
    m, s = (torch.as_tensor(values).detach().double().cpu() for values in (means, sds))
    if m.dim() != 1 or m.shape != s.shape:
        raise ObjectiveError(
            f"{name} needs one mean and one standard deviation a channel, got shapes "
            f"{tuple(m.shape)} and {tuple(s.shape)}"
        )
    if not (m.isfinite() & s.isfinite()).all() or (s < 0).any():
        raise ObjectiveError(
            f"{name} needs finite means, and standard deviations of 0 or more; measure them over "
            "two photographs or more"
        )
    if not 0 <= weight < float("inf"):
        raise ObjectiveError(f"{name}: the weight must be 0 or more, got {weight}")
    if not 0 <= softness < float("inf"):
        raise ObjectiveError(f"{name}: the softness must be 0 or more, got {softness}")
    if 0 <= index < len(s):
        if not s[index]:
            raise ObjectiveError(
                f"{name}: the channel is the same on all photographs, so it has no scale; "
                f"maximise it alone, {site}:{index}"
            )
        if int((s > 0).sum()) < 2:
            raise ObjectiveError(f"{name}: no other channel varies over the photographs")
    return Contrast(site, index, m, s, float(weight), float(softness))


def rests(objective: Objective) -> bool:
    """Tell whether a render shows the image of an objective unmoved at every second step.

    So it is for `contrast`, whatever the settings of a render add to it, and not for sums of it.
    """
    return isinstance(unshaped(objective), Contrast)
