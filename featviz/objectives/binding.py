"""From objectives, one an image, to one function that scores a batch."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.objectives.activations import Activations, Part, Score
from featviz.objectives.base import Objective, Sum


def bind(objectives: Sequence[Objective], *, device: torch.device, together: int = 1) -> Score:
    """Return one function that scores image k by objective k.

    What objectives hold is moved to the device here, once, so that scores wait for no copy.

    Args:
        objectives: One an image.
        device: Where the activations will be.
        together: How many images of one objective there are. They stand next to each other, and
            those of a joint objective are compared among themselves alone.
    """
    if any(objective.joint for objective in objectives):
        return _bind_runs(objectives, device, together)
    kinds = {type(objective) for objective in objectives}
    kind = kinds.pop() if len(kinds) == 1 else Objective
    if kind is Sum:
        return _bind_sums([o for o in objectives if isinstance(o, Sum)], device)
    return kind.bind_rows(objectives, device)


def list_runs(objectives: Sequence[Objective], *, together: int = 1) -> list[slice]:
    """Return which neighbouring images have one and the same objective.

    Args:
        objectives: One an image.
        together: How many images a joint objective compares. Where none is joint, a batch may
            begin and end between the images of one objective.
    """
    if any(objective.joint for objective in objectives):
        lengths = [
            min(together, len(objectives) - first) for first in range(0, len(objectives), together)
        ]
    else:
        lengths = [len(list(run)) for _, run in itertools.groupby(objectives, key=id)]
    ends = list(itertools.accumulate(lengths))
    return [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def _bind_sums(sums: Sequence[Sum], device: torch.device) -> Score:
    """Bind term by term where all sums have as many terms."""
    if len({len(s.terms) for s in sums}) > 1 or not sums[0].terms:
        return Objective.bind_rows(sums, device)
    constants = torch.tensor([s.constant for s in sums], device=device)
    columns = [
        (
            torch.tensor([s.terms[k][0] for s in sums], device=device),
            bind([s.terms[k][1] for s in sums], device=device),
        )
        for k in range(len(sums[0].terms))
    ]

    def score(activations: Activations) -> Float[Tensor, " b"]:
        total = constants
        for weights, term in columns:
            total = total + weights * term(activations)
        return total

    return score


def _bind_runs(objectives: Sequence[Objective], device: torch.device, together: int) -> Score:
    runs = list_runs(objectives, together=together)
    bound = [objectives[rows.start].bound(device) for rows in runs]
    lengths = [rows.stop - rows.start for rows in runs]

    def score(activations: Activations) -> Float[Tensor, " b"]:
        split = {name: tensor.float().split(lengths) for name, tensor in activations.items()}
        scores = []
        for k, (rows, run) in enumerate(zip(runs, bound, strict=True)):
            found = {name: split[name][k] for name in objectives[rows.start].sites}
            scores.append(run(Part(found, whole=activations, rows=rows)))
        return torch.cat(scores)

    return score
