"""A small network that notes in a file who loads it, and each step of a climb; slow if asked."""

import os
import time
from pathlib import Path

import torch
from torch import nn

from nets import small_net

FILE = "COUNTED_FILE"
SLEEP = "COUNTED_SLEEP_S"
BROKEN = "COUNTED_BROKEN"  # while this file is there, passes fail
DEADLY = "COUNTED_DEADLY"  # the channel of stem that kills its process


def _note(letter: str) -> None:
    if FILE in os.environ:
        with Path(os.environ[FILE]).open("a") as file:
            file.write(f"{letter} {os.getpid()}\n")


def _on_step(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    del module
    if inputs[0].requires_grad:
        _note("step")
        time.sleep(float(os.environ.get(SLEEP, "0")))
        if Path(os.environ.get(BROKEN, "nothing")).exists():
            raise RuntimeError("broken on purpose")


def _watch(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    del module, inputs

    def look(gradient: torch.Tensor) -> None:
        if gradient[:, int(os.environ[DEADLY])].any():
            os._exit(9)

    if DEADLY in os.environ and output.requires_grad:
        output.register_hook(look)


def net() -> nn.Module:
    """Return the network."""
    _note("load")
    network = small_net()
    network.register_forward_pre_hook(_on_step)
    network.stem.register_forward_hook(_watch)
    return network


def other_net() -> nn.Module:
    """Return one with other weights."""
    return small_net(seed=1)


def with_nan() -> nn.Module:
    """Return one whose unit stem:2 is not a number."""
    network = small_net()
    with torch.no_grad():
        network.stem.weight[2] = torch.nan
    return network


def noted(path: Path, letter: str) -> list[int]:
    """Return the processes that noted something, in order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(f"{letter} ")]
