"""Photographs that an option of a command names, as images for a network."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from featviz.models import Model


def read_photographs(model: "Model", folder: Path, count: int) -> "tuple[Tensor, str]":
    """Return the first photographs of a folder at the network's size, and what they are.

    Args:
        model: The network.
        folder: Of `--images`.
        count: Photographs at most.

    Raises:
        PictureError: If there is no such folder, it holds fewer than two pictures, one cannot be
            read, or the network takes neither RGB nor grey.
    """
    import torch

    from featviz.metrics import PictureFolder

    pictures = PictureFolder.open(folder)
    some = PictureFolder(pictures.path, pictures.files[:count])
    batches = list(some.batches(model.spec.size, channels=model.spec.channels))
    return torch.cat(batches), f"{len(some)} photographs of {folder}"
