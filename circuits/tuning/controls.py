"""Networks with the same numbers in other places: what tuning means nothing beside.

A score of tuned units says little alone; the same measurement on a shuffled network says how many
there would be by chance.
"""

import copy
from collections.abc import Collection

import torch
from torch import Tensor, nn

from featviz.errors import CircuitError
from featviz.models.model import Model

WAYS = ("weights", "inputs")
"""What is permuted: all weights within each unit's kernel, or its input channels."""


def shuffled(
    model: Model,
    *,
    by: str = "weights",
    seed: int = 0,
    layers: Collection[str] | None = None,
) -> Model:
    """Return a copy of a network whose convolutions have their weights in other places.

    Each unit keeps its bias and the values of its weights, so the means and spreads of the
    activations stay about the same, and what is lost is the order.

    Args:
        model: The network; it is left alone.
        by: `weights`: each unit's weights change places among all its inputs and cells. `inputs`:
            the input channels of a layer change places, one permutation for all its units;
            kernels stay whole.
        seed: Of the permutations.
        layers: Module paths of the convolutions to shuffle; None: all.

    Raises:
        CircuitError: If there is no such convolution, none at all, or no such way.
    """
    if by not in WAYS:
        raise CircuitError(f"unknown way to shuffle {by!r}; choose one of {', '.join(WAYS)}")
    module = copy.deepcopy(model.module)
    convs = {path: m for path, m in module.named_modules() if isinstance(m, nn.Conv2d)}
    chosen = list(convs) if layers is None else list(layers)
    for path in chosen:
        if path not in convs:
            raise CircuitError(
                f"{path!r} in {model.name!r} is no convolution; the first is {next(iter(convs))!r}"
                if convs
                else f"{model.name!r} has no convolution to shuffle"
            )
    if not chosen:
        raise CircuitError(f"{model.name!r} has no convolution to shuffle")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for path in chosen:
            weight = convs[path].weight
            weight.copy_(_permuted(weight, by, generator))
    origin = f"{model.weights_origin}; {by} shuffled with seed {seed}"
    twin = Model(module, model.spec, weights_origin=origin)
    twin.training = model.training
    return twin


def _permuted(weight: Tensor, by: str, generator: torch.Generator) -> Tensor:
    outputs, inputs = weight.shape[:2]
    if by == "inputs":
        return weight[:, torch.randperm(inputs, generator=generator).to(weight.device)]
    flat = weight.flatten(1)
    order = torch.stack(
        [torch.randperm(flat.shape[1], generator=generator) for _ in range(outputs)]
    )
    return flat.gather(1, order.to(weight.device)).view_as(weight)
