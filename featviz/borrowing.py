"""Use somebody's network and give it back as it was, whatever happens."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def borrowed(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode with frozen parameters, and restore both afterwards.

    Modes are kept module by module and gradient flags parameter by parameter; the global random
    state is restored too, for networks that draw numbers even in eval mode.

    Args:
        network: The module to borrow.
    """
    modes = [(module, module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    cuda = sorted({p.device.index or 0 for p, _ in flags if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed, which would also reset devices that are not ours.
        torch.default_generator.manual_seed(0)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(0)
        try:
            # Not .eval(): networks may override it, and it would have to be undone by .train().
            for module, _ in modes:
                module.training = False
            for parameter, _ in flags:
                parameter.requires_grad_(False)
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for parameter, flag in flags:
                parameter.requires_grad_(flag)
