"""What takes one render of a photograph: inversion, accentuation, style, caricature."""

import math
from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor

from featviz.ascent import Moment
from featviz.errors import ConfigError
from featviz.models.model import Model
from featviz.objectives import Objective, caricature, inversion, style, total_variation
from featviz.recipes.before import Before, announce, size_of
from featviz.rendering import render
from featviz.result import RenderResult


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
    announce(before, model, objective, size=size_of(photo), steps=steps, seed=seed)
    return render(
        model,
        objective,
        steps=steps,
        size=size_of(photo),
        transforms="jitter:2",
        seed=seed,
        progress=progress,
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
    callback: Callable[[Moment], None] | None = None,
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
        callback: As for `render`.

    References:
        Hamblin et al. 2024, "Feature Accentuation"; see objectives/near.py for what differs.
    """
    announce(before, model, target, size=size_of(photo), steps=steps, seed=seed)
    return render(
        model,
        target,
        steps=steps,
        size=size_of(photo),
        start=photo,
        keep=keep,
        transforms="jitter:8,scale:0.9..1.1,rotate:-5..5",
        learning_rate=0.02,
        seed=seed,
        progress=progress,
        callback=callback,
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
    announce(before, model, total, size=size_of(content), steps=steps, seed=seed)
    return render(
        model,
        total,
        steps=steps,
        size=size_of(content),
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
    announce(before, model, objective, size=size_of(photo), steps=steps, seed=seed)
    return render(
        model,
        objective,
        steps=steps,
        size=size_of(photo),
        seed=seed,
        progress=progress,
    )
