"""DeepDream: a photograph in growing sizes, each with more of what a network sees in it."""

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.borrowing import own_settings
from featviz.errors import ConfigError
from featviz.metrics import pixel_metrics, score_images
from featviz.models.model import Model
from featviz.objectives import Objective, deepdream
from featviz.recipes.before import Before, announce, size_of
from featviz.rendering import render
from featviz.result import RenderResult

# Octaves of DeepDream: each enlarges by this factor; Mordvintsev, Olah, Tyka 2015, notebook.
OCTAVE_SCALE = 1.4
_SMALLEST_PX = 64


def dream(
    model: Model,
    target: str | Objective,
    photo: Float[Tensor, "c h w"],
    *,
    octaves: int = 3,
    steps: int = 24,
    keep: float = 1.0,
    seed: int = 0,
    progress: bool | None = None,
    before: Before | None = None,
) -> RenderResult:
    """Let a network see more of what it sees in a photograph, coarse shapes first.

    The photograph is rendered at growing sizes; what was added at one is enlarged and carried
    over to the next. Interrupted, it adds what it has, enlarged, to the photograph, and measures
    that; its record says how far the octave was.

    Args:
        model: The model.
        target: A site, all of which is excited (DeepDream); or any objective.
        photo: Values 0..1; the image gets its size.
        octaves: Sizes, each 1.4 times the one before.
        steps: Steps at each size.
        keep: Share of the score for staying near what each octave starts from: the photograph
            with what the octaves before added; 0 lets it go.
        seed: Decides the moves.
        progress: Whether to show a bar; None: on a terminal.
        before: Called with the label of the image when all has been checked; None: nothing is.

    Raises:
        ConfigError: If the smallest size is below 64 px.

    References:
        Mordvintsev, Olah, Tyka 2015, "Inceptionism". Differs: Adam on Fourier coefficients
        instead of normalised gradient steps on pixels.
    """
    objective = deepdream(target) if isinstance(target, str) else target
    sizes = _octave_sizes(size_of(photo), octaves)
    announce(before, model, objective, size=sizes[0], steps=steps, seed=seed)
    added = photo.new_zeros(photo.shape)
    result: RenderResult | None = None
    for size in sizes:
        small = _resized(photo, size)
        # What the smaller octave added, on top of this octave's own detail.
        begin = (small + _resized(added, size)).clamp(0, 1)
        try:
            result = render(
                model,
                objective,
                steps=steps,
                size=size,
                start=begin,
                keep=keep,
                transforms="jitter:8",
                learning_rate=0.02,
                redirect_steps=0,
                seed=seed,
                progress=progress,
            )
        except KeyboardInterrupt:  # before the first step of this octave
            if result is None:
                raise
            return _at_full_size(model, objective, photo, added, result)
        added = result.images[0] - small
        if result.interrupted:
            break
    assert result is not None
    if result.interrupted and size != sizes[-1]:
        return _at_full_size(model, objective, photo, added, result)
    return result


def _at_full_size(
    model: Model,
    objective: Objective,
    photo: Float[Tensor, "c h w"],
    added: Float[Tensor, "c _h _w"],
    result: RenderResult,
) -> RenderResult:
    """Return what an octave got to, enlarged to the photograph and measured there."""
    size = size_of(photo)
    image = (photo + _resized(added, size)).clamp(0, 1)[None]
    with own_settings(), torch.no_grad():
        shown = image.to(model.device)
        score = score_images(model, [objective.prepared(model, size=size)], shown).cpu()
    entry = {
        **result.record["images"][0],
        "score": score.item() if score.isfinite() else None,
        "metrics": pixel_metrics(image)[0],
    }
    config = dataclasses.replace(result.config, size=size)
    record = {
        **result.record,
        "config": config.to_json(),
        "ran": {**result.record["ran"], "size": list(size), "interrupted": True},
        "images": [entry],
    }
    return dataclasses.replace(
        result, images=image, score=score, record=record, config=config, interrupted=True
    )


def _resized(image: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c h2 w2"]:
    return F.interpolate(image[None], size=size, mode="bicubic", antialias=True)[0]


def _octave_sizes(size: tuple[int, int], octaves: int) -> list[tuple[int, int]]:
    if octaves < 1:
        raise ConfigError(f"octaves must be 1 or more, got {octaves}")
    factors = [OCTAVE_SCALE**-k for k in reversed(range(octaves))]
    sizes = [(round(size[0] * f), round(size[1] * f)) for f in factors]
    if min(sizes[0]) < _SMALLEST_PX:
        raise ConfigError(
            f"the smallest of {octaves} octaves has {min(sizes[0])} px, below {_SMALLEST_PX}; use "
            "fewer octaves or a larger photograph"
        )
    return sizes
