"""A small network that notes in a file who loads it, and each step of a climb; slow if asked."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from nets import small_net

FILE = "COUNTED_FILE"
SLEEP = "COUNTED_SLEEP_S"
BROKEN = "COUNTED_BROKEN"  # while this file is there, passes fail


def _note(letter: str) -> None:
    if FILE in os.environ:
        with Path(os.environ[FILE]).open("a") as file:
            file.write(f"{letter} {os.getpid()}\n")


def _on_step(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    del module
    if inputs[0].requires_grad:
        _note("step")
        time.sleep(float(os.environ.get(SLEEP, "0")))
        if Path(os.environ.get(BROKEN, "nothing")).exists():
            raise RuntimeError("broken on purpose")


def net() -> nn.Module:
    """Return the network."""
    _note("load")
    network = small_net()
    network.register_forward_pre_hook(_on_step)
    return network


def other_net() -> nn.Module:
    """Return one with other weights."""
    return small_net(seed=1)


def _with_bad_unit(what: Callable[[Tensor], Tensor]) -> nn.Module:
    """Return one that does something when its unit stem:2 is climbed, to the gradient of those."""

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        del module, inputs
        if output.requires_grad:
            output.register_hook(lambda g: what(g) if g[:, 2].any() else g)

    network = net()
    network.stem.register_forward_hook(watch)
    return network


def raising_net() -> nn.Module:
    """Return one that raises when its unit stem:2 is climbed."""

    def fail(gradient: Tensor) -> Tensor:
        raise RuntimeError(f"stem:2 does not like {tuple(gradient.shape)}")

    return _with_bad_unit(fail)


def nan_net() -> nn.Module:
    """Return one whose gradient is not a number where its unit stem:2 is climbed."""

    def spoil(gradient: Tensor) -> Tensor:
        rows = gradient[:, 2].flatten(1).any(1)
        return torch.where(rows[:, None, None, None], torch.nan, gradient)

    return _with_bad_unit(spoil)


def deadly_net() -> nn.Module:
    """Return one that kills its process when its unit stem:2 is climbed."""

    def die(gradient: Tensor) -> Tensor:
        del gradient
        os._exit(9)

    return _with_bad_unit(die)


def noted(path: Path, letter: str) -> list[int]:
    """Return the processes that noted something, in order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(f"{letter} ")]
