"""The optimisers that climb, each with its settings.

Adam and NAdam treat every number on its own, so the images of a batch share nothing. L-BFGS
measures all its numbers by common dot products and one line search: it gets one image at a time,
see `RenderConfig.batch_on`.
"""

from collections.abc import Iterable

import torch
from torch import nn

from featviz.config import Optimiser


def make_optimiser(
    kind: Optimiser,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    device: torch.device,
) -> torch.optim.Optimizer:
    """Return an optimiser.

    One step of L-BFGS is one direction and a line search along it, under the transforms of that
    step: several evaluations of the network, and never a lower score of the same transformed image.

    Args:
        kind: `adam`, `nadam` or `lbfgs`.
        parameters: What it changes.
        learning_rate: Length of a step; for L-BFGS, of the first try of the line search.
        device: Where the parameters are.
    """
    if kind == "lbfgs":
        return torch.optim.LBFGS(
            parameters, lr=learning_rate, max_iter=1, max_eval=25, line_search_fn="strong_wolfe"
        )
    if kind == "nadam":
        return torch.optim.NAdam(parameters, lr=learning_rate)
    fused = device.type in {"cpu", "cuda"}
    return torch.optim.Adam(parameters, lr=learning_rate, fused=fused)
