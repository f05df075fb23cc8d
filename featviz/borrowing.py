"""Use somebody's network and process, and give both back as they were, whatever happens."""

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
    device = flags[0][0].device if flags else torch.device("cpu")
    with own_randomness(device):
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


@contextlib.contextmanager
def own_randomness(device: torch.device, *, seed: int = 0) -> Iterator[None]:
    """Seed the global random state, for networks that draw numbers, and restore it afterwards.

    Args:
        device: Where the network computes, besides the CPU.
        seed: The seed.
    """
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed, which would also reset devices that are not ours.
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 in float32: convolutions on CUDA would take TF32, with 10 bits, instead."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before
