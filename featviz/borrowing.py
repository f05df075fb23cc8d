"""Use somebody's network and process, and give both back as they were, whatever happens."""

import contextlib
from collections.abc import Iterator
from typing import Any

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
def own_settings() -> Iterator[None]:
    """Compute in float32 with gradients, whatever the user has set, and restore that afterwards.

    So there is no inference mode and no autocast, new tensors are float32 and on the CPU unless
    told otherwise, and CUDA does not take TF32, with 10 bits, instead.
    """
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        for kind in filter(torch.amp.is_autocast_available, ("cpu", "cuda", "mps")):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_without_tf32())
        stack.enter_context(cpu_by_default())
        try:
            torch.set_default_dtype(torch.float32)
            yield
        finally:
            torch.set_default_dtype(dtype)


def cpu_by_default() -> contextlib.AbstractContextManager[object]:
    """Make new tensors on the CPU unless told otherwise, whatever the user has set."""
    # Not always: the context would slow every call of torch.
    if torch.empty(0).device.type == "cpu":
        return contextlib.nullcontext()
    return torch.device("cpu")


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    """Switch TF32 off by whichever of torch's two interfaces is in use; they do not mix."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    new = _uses_new_interface()
    places = [matmul, cudnn.conv] if new else [matmul, cudnn]
    name, off = ("fp32_precision", "ieee") if new else ("allow_tf32", False)
    before = [getattr(place, name) for place in places]
    try:
        for place in places:
            setattr(place, name, off)
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)


def _uses_new_interface() -> bool:
    """Tell whether somebody chose a precision for float32 by the names of torch 2.9 and later."""
    if getattr(torch.backends, "fp32_precision", "none") != "none":
        return True
    try:
        # Refuses to answer where the new names were used.
        _ = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    except RuntimeError:
        return True
    return False
