"""A unit by way of a facet: of all that excites it, what lies along a direction at an earlier site.

    face = facet_direction(model, "fire4", faces, other_photographs)
    featviz.render(model, facet(channel("fire8", 77), "fire4", face))

The direction comes from a linear probe, or from anywhere else.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.models.model import Model
from featviz.objectives.activations import OUTSIDE, Activations, Score, gradient_at, positions
from featviz.objectives.base import Objective
from featviz.objectives.binding import bind
from featviz.objectives.spelling import argument, shortest
from featviz.objectives.values import Values, as_vector
from featviz.sites import Site

_SLICE = re.compile(r"/\d*:\d*\Z")
_STRENGTH = 5.0  # the strongest of CLIP-featurevis; units keep most of their activation at it
_PENALTY = 0.01
_NEWTON_STEPS = 50
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Facet(Objective):
    """An objective and the share of it that a direction at an earlier site brings; see `facet`."""

    unit: Objective
    site: str
    values: Values
    strength: float = _STRENGTH

    @property
    def sites(self) -> tuple[str, ...]:
        """Those of the unit, and the earlier one."""
        return tuple(dict.fromkeys((*self.unit.sites, self.site)))

    @property
    def parts(self) -> tuple[Objective, ...]:
        """The unit."""
        return (self.unit,)

    @property
    def looks_back(self) -> bool:
        """True: the direction is gated by a gradient."""
        return True

    @property
    def label(self) -> str:
        """`facet(fire8:77, fire4, face.npy)`, or `facet(fire8:77, fire4, tensor-1f3a9c)`."""
        power = shortest(self.strength)
        strength = "" if self.strength == _STRENGTH else f", strength={power}"
        return f"facet({self.unit.label}, {argument(self.site)}, {self.values.text}{strength})"

    @property
    def files(self) -> dict[str, str]:
        """Those of the unit, and the direction's."""
        return {**super().files, **self.values.files}

    def prepared(self, model: Model, *, size: tuple[int, int]) -> Objective:
        """Prepare the unit."""
        unit = self.unit.prepared(model, size=size)
        return Facet(unit, self.site, self.values, self.strength)

    def check(self, sites: Mapping[str, Site]) -> None:
        """Check the unit; raise ObjectiveError unless the site is before it and fits the vector."""
        self.unit.check(sites)
        early, entries = sites[self.site], len(self.values.vector)
        if self.unit.joint:
            raise ObjectiveError(
                f"{self.label}: a facet is of an objective that does not compare images; add "
                f"{self.unit.label} to it instead"
            )
        later = [name for name in self.unit.sites if name not in OUTSIDE]
        if not later or any(sites[name].order <= early.order for name in later):
            raise ObjectiveError(
                f"{self.label}: {self.site!r} must lie before the sites of the unit, "
                f"{', '.join(later)}; choose an earlier one"
            )
        if len(early.parts) > 1 or early.parts[0].pre or _SLICE.search(early.name):
            raise ObjectiveError(
                f"{self.label}: {self.site!r} is not the whole output of one module, through which "
                "gradients could be followed; choose one, neither a slice of channels nor a "
                "pre-activation"
            )
        if entries != early.channels:
            raise ObjectiveError(
                f"{self.label}: the direction has {entries} entries, {self.site!r} has "
                f"{early.channels} channels; give one entry a channel"
            )

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Return the score of the unit and what the facet adds."""
        return self.bound(activations[self.site].device)(activations)

    def bound(self, device: torch.device) -> Score:
        """Bind the unit, and move the direction."""
        return _facets([self], self.unit.bound(device), device)

    @classmethod
    def bind_rows(cls, objectives: Sequence[Objective], device: torch.device) -> Score:
        """Take one gradient for all images."""
        facets = [objective for objective in objectives if isinstance(objective, cls)]
        if len({f.sites for f in facets}) > 1 or len({f.site for f in facets}) > 1:
            return super().bind_rows(objectives, device)
        return _facets(facets, bind([f.unit for f in facets], device=device), device)


def _facets(facets: Sequence[Facet], unit: Score, device: torch.device) -> Score:
    """Return the scores of facets at one site, an image each, or of one on all images."""
    site = facets[0].site
    rows = torch.stack([f.values.vector for f in facets]).to(device)
    weights = rows / rows.abs().amax(1, keepdim=True)
    strengths = torch.tensor([f.strength for f in facets], device=device)

    def score(activations: Activations) -> Float[Tensor, " b"]:
        value = unit(activations)
        gate = positions(gradient_at(value, activations, site)).clamp(min=0)
        through = positions(activations[site]).to(value) * gate.to(value)
        return value + strengths.to(value) * (through.sum(-1) * weights.to(value)).sum(1)

    return score


def facet(
    unit: Objective,
    site: str,
    direction: Shaped[Tensor, "..."] | Sequence[float] | str | Path,
    *,
    strength: float = _STRENGTH,
) -> Facet:
    """Maximise a unit, above all by what lies along a direction at an earlier site.

    With `f` the unit and `a` the earlier activation:

        f + strength * sum over channels c and positions of w_c * a_c * max(0, df/da_c)

    where the gradient counts as fixed, and w is the direction over its largest magnitude. For a
    network of ReLUs without biases, and w = 1 everywhere, the sum is what `a` adds to `f`; so at
    strength 1 the strongest channel of the facet counts twice.

    Args:
        unit: Any objective that reads the network after the site.
        site: The earlier site; the whole output of a module.
        direction: One entry a channel, such as `facet_direction` gives: a tensor, numbers, or a
            file, .npy or .safetensors with a single tensor.
        strength: How much the facet counts, 1 to 10 or so; below 0 it is avoided.

    Raises:
        ObjectiveError: If the direction is no row of finite numbers, not all zero, or the strength
            is not finite.

    References:
        Goh et al. 2021, "Multimodal Neurons in Artificial Neural Networks", Distill, "Faceted
        Feature Visualization", and its code (CLIP-featurevis, example_facets). Differs: one site
        instead of a sum over five, directions without positions, and scaled, so that strengths
        compare between sites; there strengths run from 0.1 to 5 over a batch.
    """
    if not abs(strength) < float("inf"):
        raise ObjectiveError(f"the strength of a facet must be a finite number, got {strength}")
    return Facet(unit, site, as_vector(direction, what="a facet"), float(strength))


def facet_direction(
    model: Model,
    site: str,
    positives: Iterable[Float[Tensor, "_ _ h w"]],
    negatives: Iterable[Float[Tensor, "_ _ h w"]],
    *,
    penalty: float = _PENALTY,
) -> Float[Tensor, " c"]:
    """Learn the direction at a site that tells two sets of images apart: a linear probe.

    Logistic regression on the mean of each channel over its map, in standard deviations over all
    images; both sets count alike, however many images they have.

    Args:
        model: The model.
        site: Site name.
        positives: Images of the facet, 0..1, on the model's device, in batches; a single batch
            stands in a list.
        negatives: Other images, likewise.
        penalty: Weight of half the squared length of the probe, above 0; larger values rest on
            fewer images better.

    Returns:
        One entry a channel, of length 1, float32, on the CPU; the probe's weights for activations
        as they are.

    Raises:
        ObjectiveError: If a set is empty, the penalty not above 0, or the site the same on all
            images.

    References:
        Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes".
    """
    if not 0 < penalty < float("inf"):
        raise ObjectiveError(f"the penalty of a probe must be above 0, got {penalty}")
    sets = [_means(model, site, batches) for batches in (positives, negatives)]
    if not all(len(means) for means in sets):
        raise ObjectiveError(
            f"a facet at {site!r} needs images of it and others; got {len(sets[0])} and "
            f"{len(sets[1])}"
        )
    both = torch.cat(sets)
    sd = both.std(0, correction=0)
    if not sd.any():
        raise ObjectiveError(f"{site!r} is the same on all images, so nothing tells them apart")
    scale = sd.where(sd > 0, 1)
    signs = torch.cat([torch.ones(len(sets[0])), -torch.ones(len(sets[1]))]).double()
    shares = torch.cat([torch.full((len(s),), 0.5 / len(s)).double() for s in sets])
    weights = logistic_probe((both - both.mean(0)) / scale, signs, shares, penalty) / scale
    if not weights.any():
        raise ObjectiveError(f"nothing at {site!r} tells the two sets of images apart")
    return F.normalize(weights, dim=0).float()


def _means(
    model: Model, site: str, batches: Iterable[Float[Tensor, "_ _ h w"]]
) -> Float[Tensor, "n c"]:
    """Return the mean of each channel of each image, float64."""
    with torch.no_grad():
        found = [
            positions(model.record(images, [site])[site]).double().mean(-1).cpu()
            for images in batches
        ]
    return torch.cat(found) if found else torch.empty(0, 0, dtype=torch.float64)


def logistic_probe(
    values: Float[Tensor, "n c"],
    signs: Float[Tensor, " n"],
    shares: Float[Tensor, " n"],
    penalty: float,
) -> Float[Tensor, " c"]:
    """Return the weights w that minimise a penalised logistic loss, by Newton's method.

        sum_i shares_i * log(1 + exp(-signs_i * (w . values_i + b))) + penalty / 2 * |w|^2

    Args:
        values: Float64.
        signs: 1 or -1.
        shares: Above 0; they add up to 1.
        penalty: Above 0. The intercept b goes without.
    """
    x = torch.cat([values, torch.ones(len(values), 1, dtype=torch.float64)], dim=1)
    ridge = torch.full((x.shape[1],), penalty, dtype=torch.float64)
    ridge[-1] = 0
    w = torch.zeros(x.shape[1], dtype=torch.float64)

    def loss(at: Tensor) -> float:
        return float((shares * F.softplus(-signs * (x @ at))).sum() + (ridge * at * at).sum() / 2)

    for _ in range(_NEWTON_STEPS):
        p = torch.sigmoid(-signs * (x @ w))
        gradient = ridge * w - x.T @ (shares * signs * p)
        if gradient.abs().max() < _TOLERANCE:
            break
        curvature = (x.T * (shares * p * (1 - p))) @ x + torch.diag(ridge)
        step = torch.linalg.solve(curvature, gradient)
        size = 1.0
        # A full step may overshoot where the sets lie far apart.
        while loss(w - size * step) > loss(w) and size > _TOLERANCE:
            size /= 2
        w = w - size * step
    return w[:-1]
