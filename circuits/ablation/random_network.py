"""A network with random weights of the same spread: circuits can be found in that one too."""

import copy

import torch
from torch import nn

from featviz.errors import CircuitError
from featviz.models import Model


def with_random_weights(model: Model, *, seed: int = 0) -> Model:
    """Return a copy of a network whose layers have normal weights of the same mean and spread.

    Biases and norms stay. Measure on it what was measured on the network: a score that is as high
    there says nothing. See `circuits.shuffled` for the same weights in other places.

    Args:
        model: The network; it is left alone.
        seed: Of the weights.

    Raises:
        CircuitError: If it has neither convolutions nor linear layers.
    """
    module = copy.deepcopy(model.module)
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    if not layers:
        raise CircuitError(f"{model.name!r} has no convolution or linear layer to draw weights for")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers:
            weight = layer.weight
            drawn = torch.randn(weight.shape, generator=generator).to(weight)
            weight.copy_(drawn * weight.std(correction=0) + weight.mean())
    origin = f"{model.weights_origin}; weights drawn at random with seed {seed}"
    twin = Model(module, model.spec, weights_origin=origin)
    twin.training = model.training
    return twin
