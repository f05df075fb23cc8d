"""What a network says to the photographs of the course: live, for the lesson on trust."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from app.lessons.shelf import numbers, read_strip
from app.networks import held
from featviz.images import to_picture
from featviz.models import Model

UNIT = ("fire7", 9)
"""Site and channel of the unit that is shown photographs."""
_MODEL = "squeezenet1_1"
_TARGET = 954  # banana
_CLIMBS = 10
_LEVELS = 255


@dataclass(frozen=True)
class Nudged:
    """What a network says to a photograph with noise that was made for it.

    Attributes:
        picture: The photograph with the noise.
        noise: The noise alone, as strong as can be shown, on grey.
        guesses: The three most likely classes, and their probabilities.
        target: Probability of the class that the noise is for.
    """

    picture: Image.Image
    noise: Image.Image
    guesses: tuple[tuple[str, float], ...]
    target: float


@dataclass(frozen=True)
class Answer:
    """What a unit says to a photograph.

    Attributes:
        largest: Its largest activation.
        lit: The photograph, dark where the unit is silent.
        crop: What the place of the largest activation shows, and something around.
    """

    largest: float
    lit: Image.Image
    crop: Image.Image


def add_noise(
    model: Model, image: Float[Tensor, "1 3 h w"], target: int, *, reach: float
) -> Float[Tensor, "1 3 h w"]:
    """Return an image changed by at most `reach` a pixel, so that a class becomes likelier.

    Ten steps along the sign of the gradient, each of a quarter of the reach, kept within it.

    Args:
        model: The network; its parameters get no gradients.
        image: Values 0..1.
        target: Index of the class.
        reach: Largest change, 0..1.

    References:
        Goodfellow et al. 2015, "Explaining and harnessing adversarial examples", section 4, in
        several steps as in Madry et al. 2018, from the image itself instead of a random start.
    """
    changed = image.clone()
    for _ in range(_CLIMBS if reach > 0 else 0):
        changed.requires_grad_(True)
        with torch.enable_grad():
            likelihood = model(changed).log_softmax(1)[0, target]
            (slope,) = torch.autograd.grad(likelihood, changed)
        stepped = changed.detach() + reach / 4 * slope.sign()
        changed = stepped.clamp(image - reach, image + reach).clamp(0, 1)
    return changed.detach()


def answer_photograph(model: Model, photograph: Image.Image, site: str, channel: int) -> Answer:
    """Run a network over a photograph and show where one unit fires.

    Args:
        model: The network.
        photograph: RGB.
        site: Of the unit.
        channel: Of the unit.
    """
    map_ = model.record(to_image(photograph), [site])[site][0, channel]
    largest = float(map_.max())
    y, x = divmod(int(map_.argmax()), map_.shape[1])
    side = photograph.width
    strength = (map_ / (largest or 1)).clamp(0, 1).mul(255).byte().numpy()
    mask = Image.fromarray(strength).resize((side, side), Image.Resampling.BICUBIC)
    dark = Image.blend(photograph, Image.new("RGB", photograph.size, "black"), 0.8)
    lit = Image.composite(photograph, dark, mask)
    cell, half = side / map_.shape[1], side // 6
    left, top = (min(max(round((at + 0.5) * cell) - half, 0), side - 2 * half) for at in (x, y))
    return Answer(largest, lit, photograph.crop((left, top, left + 2 * half, top + 2 * half)))


def to_image(picture: Image.Image) -> Float[Tensor, "1 3 h w"]:
    """Return a picture as a batch of one image, values 0..1."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / _LEVELS


def _labels(model: Model) -> tuple[str, ...]:
    assert model.spec.labels is not None
    return tuple(model.spec.labels())


def photograph(name: str) -> Image.Image:
    """Return a photograph of the course."""
    names: list[str] = numbers("photographs")["names"]
    return read_strip("photographs")[names.index(name)]


@st.cache_data(max_entries=64, show_spinner="Looking for the worst noise ...")
def nudge(name: str, levels: int) -> Nudged:
    """Return what SqueezeNet says to a photograph of the course with noise towards a banana.

    Args:
        name: Of the photograph.
        levels: Largest change of a pixel, of 255.
    """
    image = to_image(photograph(name))
    with held(_MODEL) as model:
        changed = add_noise(model, image, _TARGET, reach=levels / _LEVELS)
        picture = to_picture(changed[0])
        changed = to_image(picture)  # what is classified is what is shown, in whole levels
        with torch.no_grad():
            likely = model(changed).softmax(1)[0]
    best = likely.topk(3)
    labels = _labels(model)
    noise = (changed - image)[0] / (2 * max(levels, 1) / _LEVELS) + 0.5
    return Nudged(
        picture,
        to_picture(noise.clamp(0, 1)),
        tuple(
            (labels[k], p) for k, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ),
        float(likely[_TARGET]),
    )


@st.cache_data(max_entries=8, show_spinner="Running the network ...")
def answer(name: str) -> Answer:
    """Return what the unit of this lesson says to a photograph of the course."""
    with held(_MODEL) as model:
        return answer_photograph(model, photograph(name), *UNIT)
