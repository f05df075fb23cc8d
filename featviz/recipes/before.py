"""What all recipes do before the first step: check, and tell what the image will be called."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from featviz.config import RenderConfig
from featviz.models.model import Model
from featviz.objectives import Objective
from featviz.rendering import list_labels

Before: TypeAlias = Callable[[Sequence[str]], object]
"""Called with the labels of the images before the first step; may raise, so that it never comes."""


def announce(
    before: Before | None,
    model: Model,
    target: str | Objective,
    *,
    size: tuple[int, int],
    steps: int,
    seed: int,
) -> None:
    """Check a render, and tell what its images will be called, if somebody wants to know.

    Args:
        before: Who wants to know.
        model: The model.
        target: What is rendered.
        size: Height and width in pixels.
        steps: Steps of the optimiser.
        seed: Decides every random number.

    Raises:
        InputError: If a setting is wrong; see errors.py.
    """
    if before is not None:
        config = RenderConfig(size=size, steps=steps, seed=seed)
        before(list_labels(model, target, config=config))


def size_of(photo: Float[Tensor, "c h w"]) -> tuple[int, int]:
    """Return the height and width of a photograph in pixels."""
    return photo.shape[-2], photo.shape[-1]
