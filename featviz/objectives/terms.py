"""What the terms of an objective give one by one: they add up to its score."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.objectives.activations import Activations, Score
from featviz.objectives.base import Objective, Sum
from featviz.objectives.joint import Diverse
from featviz.objectives.near import Near
from featviz.objectives.spelling import shortest
from featviz.objectives.transparency import Transparent


def term_labels(objective: Objective) -> tuple[str, ...]:
    """Return how the terms of an objective read, signs and weights included.

    Those of a sum, in their order, the constant last; what `diversity`, `keep` and `alpha` of a
    render add or take away; anything else is one term.

    Args:
        objective: Any.
    """
    if isinstance(objective, Diverse):
        return (*term_labels(objective.objective), "diversity")
    if isinstance(objective, Near):
        return (*term_labels(objective.objective), "keep")
    if isinstance(objective, Transparent):
        return (*term_labels(objective.objective), "alpha")
    if isinstance(objective, Sum):
        labels = [Sum(0.0, (term,)).label for term in objective.terms]
        return (*labels, *([shortest(objective.constant)] if objective.constant else []))
    return (objective.label,)


def term_scores(objective: Objective, activations: Activations) -> list[Float[Tensor, "*b"]]:
    """Return what each term of an objective adds to the score, in the order of `term_labels`.

    Args:
        objective: Any.
        activations: Of images that all have this objective.
    """
    if isinstance(objective, Diverse | Near | Transparent):
        inner = term_scores(objective.objective, activations)
        total = objective.score(activations)
        return [*inner, total - torch.stack(inner).sum(0)]
    if isinstance(objective, Sum):
        found = [k * term.score(activations) for k, term in objective.terms]
        constant = [torch.full_like(found[0], objective.constant)] if objective.constant else []
        return [*found, *constant]
    return [objective.score(activations)]


class TermWatch:
    """A score of images that keeps its terms as it goes; gradients are those of the score.

    Args:
        score: Scores image k by objective k.
        objectives: One an image.
        together: How many neighbouring images belong to one objective, see `bind`.

    Attributes:
        width: The most terms that an objective has.
    """

    def __init__(self, score: Score, objectives: Sequence[Objective], *, together: int = 1) -> None:
        self._score = score
        firsts = range(0, len(objectives), together)
        self._runs = [objectives[first : first + together] for first in firsts]
        self._kept: list[Tensor] = []
        self.width = max(len(term_labels(run[0])) for run in self._runs)

    def __call__(self, activations: Activations) -> Float[Tensor, " b"]:
        """Return the scores."""
        with torch.no_grad():
            self._kept.append(self._terms(activations))
        return self._score(activations)

    def take(self, views: int) -> Float[Tensor, "b terms"]:
        """Return the terms at the first look since the last call, 0 where an image has fewer.

        Args:
            views: How many calls make one look; the terms are the mean over them.
        """
        terms = torch.stack(self._kept[:views]).mean(0)
        self._kept.clear()
        return terms

    def _terms(self, activations: Activations) -> Float[Tensor, "b terms"]:
        lengths = [len(run) for run in self._runs]
        split = {name: tensor.float().split(lengths) for name, tensor in activations.items()}
        rows = []
        for k, (objective, *_) in enumerate(self._runs):
            found = term_scores(objective, {name: split[name][k] for name in objective.sites})
            columns = torch.stack(found, 1)
            rows.append(F.pad(columns, (0, self.width - columns.shape[1])))
        return torch.cat(rows)


def by_label(
    objective: Objective, values: Float[Tensor, "terms ..."]
) -> dict[str, Float[Tensor, "..."]]:
    """Return values of terms by their labels; terms that read the same are added up.

    Args:
        objective: The objective.
        values: Those of each term, in order; more are left out.
    """
    found: dict[str, Tensor] = {}
    for k, label in enumerate(term_labels(objective)):
        found[label] = found[label] + values[k] if label in found else values[k]
    return found
