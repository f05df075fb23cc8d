"""What the terms of an objective give one by one: they add up to its score."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.objectives.activations import Activations, Part, Score
from featviz.objectives.base import Objective, Sum
from featviz.objectives.binding import list_runs
from featviz.objectives.shaping import SETTINGS, Shaped
from featviz.objectives.spelling import shortest


def term_labels(objective: Objective) -> tuple[str, ...]:
    """Return how the terms of an objective read, signs and weights included.

    Those of a sum, in their order, the constant last; what `diversity`, `keep` and `alpha` of a
    render add or take away; anything else is one term.

    Args:
        objective: Any.
    """
    if isinstance(objective, Shaped):
        return (*term_labels(objective.objective), SETTINGS[type(objective)])
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
    if isinstance(objective, Shaped):
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
        runs = list_runs(objectives, together=together)
        self._runs = [(objectives[rows.start], rows) for rows in runs]
        self._looks_back = any(objective.looks_back for objective in objectives)
        self._kept: list[Tensor] = []
        self.width = max(len(term_labels(objective)) for objective, _ in self._runs)

    def __call__(self, activations: Activations) -> Float[Tensor, " b"]:
        """Return the scores."""
        with torch.set_grad_enabled(self._looks_back):
            self._kept.append(self._terms(activations).detach())
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
        found = []
        for objective, rows in self._runs:
            read = {name: activations[name][rows].float() for name in objective.sites}
            columns = torch.stack(
                term_scores(objective, Part(read, whole=activations, rows=rows)), 1
            )
            found.append(F.pad(columns, (0, self.width - columns.shape[1])))
        return torch.cat(found)


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
