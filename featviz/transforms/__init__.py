"""Robustness transforms: small random changes that keep the image from being adversarial noise."""

from collections.abc import Sequence

from featviz.errors import ConfigError, did_you_mean
from featviz.transforms.affine import Flip, Jitter, Pad, Rotate, Scale
from featviz.transforms.base import Affine, Drawn, Extent, Filter, Transform
from featviz.transforms.blur import Blur
from featviz.transforms.color_jitter import ColorJitter
from featviz.transforms.crops import Crops
from featviz.transforms.fused import Moves, Transforms
from featviz.transforms.noise import Noise
from featviz.transforms.presets import LUCID, MACO, PRESETS, SMOOTH

TRANSFORMS: dict[str, type[Transform]] = {
    kind.name: kind
    for kind in (
        Blur,
        ColorJitter,
        Crops,
        Flip,
        Jitter,
        Noise,
        Pad,
        Rotate,
        Scale,
    )
}


def parse_transforms(text: str | Sequence[Transform] | Transforms) -> Transforms:
    """Return transforms from a preset's name or a list such as `jitter:8,rotate:-5..5,scale:0.9/1`.

    Args:
        text: `a..b` draws uniformly between a and b, `a/b/c` chooses one of the values. A
            sequence of transforms, or `Transforms`, is taken as it is.

    Raises:
        ConfigError: If a name is unknown or a number malformed.
    """
    if isinstance(text, Transforms):
        return text
    if not isinstance(text, str):
        return Transforms(text)
    if text in PRESETS:
        return Transforms(PRESETS[text], text=text)
    return Transforms([_parse_one(item.strip(), text) for item in text.split(",")])


def _parse_one(item: str, text: str) -> Transform:
    name, _, value = item.partition(":")
    if name in PRESETS:
        parts = Transforms(PRESETS[name]).text
        raise ConfigError(
            f"the preset {name!r} in {text!r} must stand alone; "
            + (f"write its parts: {parts}" if PRESETS[name] else "leave it out")
        )
    if name not in TRANSFORMS:
        raise ConfigError(
            f"unknown transform {name!r} in {text!r}{did_you_mean(name, {*TRANSFORMS, *PRESETS})} "
            f"write a preset ({', '.join(PRESETS)}) or a list of {', '.join(TRANSFORMS)} such as "
            "'jitter:8,scale:0.9..1.1,rotate:-10..10'"
        )
    kind = TRANSFORMS[name]
    try:
        return kind.from_text(value)
    except ValueError:
        raise ConfigError(
            f"bad value {value!r} of {name!r} in {text!r}; write {kind.form}"
        ) from None


__all__ = [
    "LUCID",
    "MACO",
    "PRESETS",
    "SMOOTH",
    "TRANSFORMS",
    "Affine",
    "Blur",
    "ColorJitter",
    "Crops",
    "Drawn",
    "Extent",
    "Filter",
    "Flip",
    "Jitter",
    "Moves",
    "Noise",
    "Pad",
    "Rotate",
    "Scale",
    "Transform",
    "Transforms",
    "parse_transforms",
]
