"""What people do with photographs: invert features, dream, transfer style, accentuate.

Each is a few calls of `render` with the settings that suit.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from featviz.borrowing import own_settings
from featviz.config import RenderConfig
from featviz.errors import ConfigError
from featviz.metrics import pixel_metrics, score_images
from featviz.models.model import Model
from featviz.objectives import (
    Objective,
    caricature,
    deepdream,
    inversion,
    style,
    total_variation,
)
from featviz.rendering import list_labels, render
from featviz.result import RenderResult

Before: TypeAlias = Callable[[Sequence[str]], object]
"""Called with the labels of the images before the first step; may raise, so that it never comes."""

# Octaves of DeepDream: each enlarges by this factor; Mordvintsev, Olah, Tyka 2015, notebook.
OCTAVE_SCALE = 1.4
_SMALLEST_PX = 64


def invert(
    model: Model,
    site: str,
    photo: Float[Tensor, "c h w"],
    *,
    steps: int = 256,
    smoothness: float = 0.5,
    seed: int = 0,
    progress: bool | None = None,
    before: Before | None = None,
) -> RenderResult:
    """Look for an image that a site cannot tell from a photograph: what the site still knows.

    Args:
        model: The model.
        site: Site name; the deeper, the less of the photograph is left.
        photo: Values 0..1; the image gets its size.
        steps: Steps of the optimiser.
        smoothness: Weight of the total variation penalty.
        seed: Decides the noise that it starts from.
        progress: Whether to show a bar; None: on a terminal.
        before: Called with the label of the image when all has been checked; None: nothing is.

    References:
        Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them".
        Differs: Fourier coefficients instead of pixels, Adam, jitter of two pixels.
    """
    objective: Objective = inversion(site, photo)
    if smoothness:
        objective = objective + smoothness * total_variation()
    _announce(before, model, objective, size=_size(photo), steps=steps, seed=seed)
    return render(
        model,
        objective,
        steps=steps,
        size=_size(photo),
        transforms="jitter:2",
        seed=seed,
        progress=progress,
    )


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
    sizes = _octave_sizes(_size(photo), octaves)
    _announce(before, model, objective, size=sizes[0], steps=steps, seed=seed)
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
    size = _size(photo)
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


def accentuate(
    model: Model,
    target: str | Objective,
    photo: Float[Tensor, "c h w"],
    *,
    steps: int = 64,
    keep: float = 2.0,
    seed: int = 0,
    progress: bool | None = None,
    before: Before | None = None,
) -> RenderResult:
    """Bring out in a photograph what a unit sees in it.

    Args:
        model: The model.
        target: A unit, or any objective.
        photo: Values 0..1; the image gets its size.
        steps: Steps of the optimiser.
        keep: Share of the score for staying near the photograph.
        seed: Decides the moves.
        progress: Whether to show a bar; None: on a terminal.
        before: Called with the label of the image when all has been checked; None: nothing is.

    References:
        Hamblin et al. 2024, "Feature Accentuation"; see objectives/near.py for what differs.
    """
    _announce(before, model, target, size=_size(photo), steps=steps, seed=seed)
    return render(
        model,
        target,
        steps=steps,
        size=_size(photo),
        start=photo,
        keep=keep,
        transforms="jitter:8,scale:0.9..1.1,rotate:-5..5",
        learning_rate=0.02,
        seed=seed,
        progress=progress,
    )


def transfer_style(
    model: Model,
    content: Float[Tensor, "c h w"],
    look: Float[Tensor, "c h w"],
    *,
    content_site: str,
    style_sites: Sequence[str],
    style_weight: float = 1.0,
    steps: int = 256,
    seed: int = 0,
    progress: bool | None = None,
    before: Before | None = None,
) -> RenderResult:
    """Paint the content of one photograph in the texture of another.

    Args:
        model: The model.
        content: Values 0..1; the image gets its size and starts from it.
        look: Values 0..1, resized to the same size.
        content_site: Where the content must stay the same.
        style_sites: Where the textures must match; Gram matrices.
        style_weight: Of the mean over the style sites, beside 1 for the content.
        steps: Steps of the optimiser.
        seed: Decides the moves.
        progress: Whether to show a bar; None: on a terminal.
        before: Called with the label of the image when all has been checked; None: nothing is.

    Raises:
        ConfigError: If there is no style site, or the weight is not finite.

    References:
        Gatys, Ecker, Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks";
        Mordvintsev et al. 2018, "Differentiable Image Parameterizations", style transfer.
    """
    if not style_sites:
        raise ConfigError("style transfer needs at least one site whose texture is matched")
    if not math.isfinite(style_weight):
        raise ConfigError(f"style_weight must be a finite number, got {style_weight}")
    textures = [style(site, look) for site in style_sites]
    total: Objective = inversion(content_site, content)
    for texture in textures:
        total = total + style_weight / len(textures) * texture
    _announce(before, model, total, size=_size(content), steps=steps, seed=seed)
    return render(
        model,
        total,
        steps=steps,
        size=_size(content),
        start=content,
        transforms="jitter:4",
        redirect_steps=0,
        seed=seed,
        progress=progress,
    )


def exaggerate(
    model: Model,
    site: str,
    photo: Float[Tensor, "c h w"],
    *,
    cosine_power: float = 2.0,
    steps: int = 256,
    seed: int = 0,
    progress: bool | None = None,
    before: Before | None = None,
) -> RenderResult:
    """Draw the caricature of a photograph as a site sees it, from noise.

    Args:
        model: The model.
        site: Site name.
        photo: Values 0..1; the image gets its size.
        cosine_power: Higher values keep closer to the photograph.
        steps: Steps of the optimiser.
        seed: Decides the noise that it starts from.
        progress: Whether to show a bar; None: on a terminal.
        before: Called with the label of the image when all has been checked; None: nothing is.

    References:
        Lucid 0.3.10, recipes `caricature`: 512 steps there.
    """
    objective = caricature(site, photo, cosine_power=cosine_power)
    _announce(before, model, objective, size=_size(photo), steps=steps, seed=seed)
    return render(
        model,
        objective,
        steps=steps,
        size=_size(photo),
        seed=seed,
        progress=progress,
    )


def _announce(
    before: Before | None,
    model: Model,
    target: str | Objective,
    *,
    size: tuple[int, int],
    steps: int,
    seed: int,
) -> None:
    """Check a render, and tell what its images will be called, if somebody wants to know."""
    if before is not None:
        config = RenderConfig(size=size, steps=steps, seed=seed)
        before(list_labels(model, target, config=config))


def _size(photo: Float[Tensor, "c h w"]) -> tuple[int, int]:
    return photo.shape[-2], photo.shape[-1]


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
