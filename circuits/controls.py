"""Networks without learnt order: what a number measured on the network means nothing beside.

A score of units or circuits says little alone; the same measurement on a network whose weights
are in other places, or drawn anew, says how much there would be by chance.
"""

import copy
from collections.abc import Collection, Mapping

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
        CircuitError: If there is no such convolution, none at all, or no such way; if one
            computes its weights, as under weight norm.
    """
    if by not in WAYS:
        raise CircuitError(f"unknown way to shuffle {by!r}; choose one of {', '.join(WAYS)}")
    convs = {path: m for path, m in model.module.named_modules() if isinstance(m, nn.Conv2d)}
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
    weights = {path: _permuted(convs[path].weight.detach(), by, generator) for path in chosen}
    return _twin(model, weights, f"{by} shuffled with seed {seed}")


def with_random_weights(model: Model, *, seed: int = 0) -> Model:
    """Return a copy of a network whose layers have normal weights of the same mean and spread.

    Biases and norms stay. Each layer gets new numbers, where `shuffled` puts the same ones into
    other places, so that a unit's few large weights are gone too.

    Args:
        model: The network; it is left alone.
        seed: Of the weights.

    Raises:
        CircuitError: If it has neither convolutions nor linear layers, or one computes its
            weights.
    """
    layers = {
        path: m for path, m in model.module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)
    }
    if not layers:
        raise CircuitError(f"{model.name!r} has no convolution or linear layer to draw weights for")
    generator = torch.Generator().manual_seed(seed)
    weights = {path: _drawn(layer.weight.detach(), generator) for path, layer in layers.items()}
    return _twin(model, weights, f"weights drawn at random with seed {seed}")


def _twin(model: Model, weights: Mapping[str, Tensor], how: str) -> Model:
    """Return a copy of a network with other weights in some of its layers."""
    module = copy.deepcopy(model.module)
    with torch.no_grad():
        for path, weight in weights.items():
            own = dict(module.get_submodule(path).named_parameters(recurse=False))
            if "weight" not in own:
                raise CircuitError(
                    f"{path!r} in {model.name!r} computes its weights, so others put there would "
                    "not last; remove its parametrisation first"
                )
            own["weight"].copy_(weight)
    twin = Model(module, model.spec, weights_origin=f"{model.weights_origin}; {how}")
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


def _drawn(weight: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(weight.shape, generator=generator).to(weight)
    return drawn * weight.std(correction=0) + weight.mean()
