"""Families of stimuli over orientation and one more quantity, drawn batch by batch.

A `Grid` knows every picture's parameters before any is drawn, so thousands fit into no memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.stimuli import strokes, surfaces, waves
from circuits.stimuli.canvas import Ink
from featviz.errors import CircuitError, did_you_mean

Draw: TypeAlias = Callable[[Tensor, Tensor, tuple[int, int], float, Ink], Tensor]

MAX_ANGLES = 3600
"""Steps of a tenth of a degree; more are taken for a slip."""

_MAX_LEVELS = 100
_CONTRAST = 1 / 255  # less cannot be told from nothing in a picture

# A curve of .72 of the receptive field to each side crosses all of it.
_REACH = 0.72
_RADII = (0.41, 0.59, 0.85, 1.23)


@dataclass(frozen=True)
class Family:
    """One kind of stimulus.

    Attributes:
        level: Name of the second quantity, with its unit.
        period_deg: After how many degrees a picture repeats, 360 or 180.
        levels: Default values of the second quantity, from the scale in px.
        draw: Makes images of angles, levels, size, scale and ink.
        summary: One line for listings.
    """

    level: str
    period_deg: float
    levels: Callable[[float], tuple[float, ...]]
    draw: Draw
    summary: str


def _times(*factors: float) -> Callable[[float], tuple[float, ...]]:
    return lambda scale_px: tuple(factor * scale_px for factor in factors)


def _always(*values: float) -> Callable[[float], tuple[float, ...]]:
    return lambda _scale_px: values


def _wavelengths(scale_px: float) -> tuple[float, ...]:
    """Return wavelengths that pixels can show, from the finest to the scale."""
    return tuple(max(2.5, scale_px * share) for share in (0.09, 0.18, 0.36, 0.72))


FAMILIES: dict[str, Family] = {
    "curve": Family(
        level="radius_px",
        period_deg=360,
        levels=_times(*_RADII),
        draw=lambda angle, level, size, scale, ink: strokes.arcs(
            angle, size=size, radius_px=level, half_length_px=_REACH * scale, ink=ink
        ),
        summary="arcs through the middle, by radius of curvature",
    ),
    "circle": Family(
        level="radius_px",
        period_deg=360,
        levels=_times(*_RADII),
        draw=lambda angle, level, size, _scale, ink: strokes.circles(
            angle, size=size, radius_px=level, ink=ink
        ),
        summary="full circles through the middle, by radius",
    ),
    "line": Family(
        level="width_px",
        period_deg=180,
        levels=_always(1.5, 2.5, 4.0),
        draw=lambda angle, level, size, scale, ink: strokes.lines(
            angle, size=size, width_px=level, half_length_px=_REACH * scale, ink=ink
        ),
        summary="straight lines through the middle, by width",
    ),
    "angle": Family(
        level="tip_radius_px",
        period_deg=360,
        levels=_times(0.0, 0.1, 0.2, 0.41),
        draw=lambda angle, level, size, scale, ink: strokes.angles(
            angle, size=size, radius_px=level, half_length_px=_REACH * scale, ink=ink
        ),
        summary="right angles, by radius of the tip: from sharp to round",
    ),
    "corner": Family(
        level="opening_deg",
        period_deg=360,
        levels=_always(45.0, 90.0, 135.0),
        draw=lambda angle, level, size, _scale, ink: surfaces.corners(
            angle, size=size, opening_deg=level, ink=ink
        ),
        summary="filled corners, by opening",
    ),
    "edge": Family(
        level="tip_radius_px",
        period_deg=360,
        levels=_always(0.0),
        draw=lambda angle, level, size, _scale, ink: surfaces.corners(
            angle, size=size, opening_deg=180.0, radius_px=level, ink=ink
        ),
        summary="half of the image in ink",
    ),
    "grating": Family(
        level="wavelength_px",
        period_deg=180,
        levels=_wavelengths,
        draw=lambda angle, level, size, _scale, ink: waves.gratings(
            angle, size=size, wavelength_px=level, contrast=abs(ink.paper - ink.value)
        ),
        summary="cosine gratings, by wavelength",
    ),
    "high_low": Family(
        level="ratio",
        period_deg=360,
        levels=_always(2.0, 4.0, 8.0),
        draw=lambda angle, level, size, scale, ink: waves.high_low(
            angle,
            size=size,
            high_px=max(2.5, 0.09 * scale),
            ratio=level,
            contrast=abs(ink.paper - ink.value),
        ),
        summary="high frequency beside low, by ratio of the wavelengths",
    ),
    "color_pair": Family(
        level="hue_deg",
        period_deg=360,
        levels=_always(0.0, 60.0, 120.0, 180.0, 240.0, 300.0),
        draw=lambda angle, level, size, _scale, ink: surfaces.color_pairs(
            angle, size=size, hue_deg=level, value=ink.paper
        ),
        summary="two halves in opposite hues, by hue",
    ),
}


@dataclass(frozen=True, eq=False)
class Grid:
    """Stimuli over orientation and one more quantity, the latter fastest.

    Attributes:
        stimulus: Name of the family.
        family: Its entry.
        angles_deg: Orientations, ascending from 0.
        levels: Values of the second quantity.
        size: Height and width of the images, px.
        scale_px: What lengths are measured by, usually a receptive field.
        ink: How it is drawn.
    """

    stimulus: str
    family: Family
    angles_deg: Float[Tensor, " a"]
    levels: Float[Tensor, " l"]
    size: tuple[int, int]
    scale_px: float
    ink: Ink

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.angles_deg) * len(self.levels)

    @property
    def parameters(self) -> dict[str, Float[Tensor, " n"]]:
        """What each picture shows: `angle_deg`, and the second quantity by its name."""
        return {
            "angle_deg": self.angles_deg.repeat_interleave(len(self.levels)),
            self.family.level: self.levels.repeat(len(self.angles_deg)),
        }

    def images(
        self, rows: slice = slice(None), *, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "n 3 h w"]:
        """Draw some of the pictures, or all.

        Args:
            rows: Which.
            device: Where.
        """
        angle, level = (values[rows].to(device) for values in self.parameters.values())
        return self.family.draw(angle, level, self.size, self.scale_px, self.ink)


def grid(
    stimulus: str,
    *,
    size: tuple[int, int],
    scale_px: float,
    angles: int | None = None,
    levels: Sequence[float] | None = None,
    ink: Ink | None = None,
) -> Grid:
    """Return a grid of one family.

    Args:
        stimulus: Name of the family, see `FAMILIES`.
        size: Height and width of the images, px.
        scale_px: What default levels and lengths are multiples of, usually a receptive field.
        angles: How many orientations over the period; None: steps of 5 degrees.
        levels: Values of the second quantity; None: the family's.
        ink: How it is drawn; None: grey .24 on white, strokes of 1.5 px.

    Raises:
        CircuitError: If the family is unknown, a number out of range, or the pictures are blank.
    """
    if stimulus not in FAMILIES:
        raise CircuitError(
            f"unknown stimulus {stimulus!r}{did_you_mean(stimulus, FAMILIES)} "
            f"choose one of {', '.join(FAMILIES)}"
        )
    family = FAMILIES[stimulus]
    count = round(family.period_deg / 5) if angles is None else angles
    if count < 4:
        raise CircuitError(f"angles must be 4 or more, got {count}: fewer show no tuning")
    if count > MAX_ANGLES:
        raise CircuitError(f"angles must be {MAX_ANGLES} or fewer, got {count}")
    if not 0 < scale_px < float("inf"):
        raise CircuitError(f"scale_px must be above 0, got {scale_px:g}")
    values = family.levels(scale_px) if levels is None else tuple(levels)
    if not values:
        raise CircuitError(f"give one value of {family.level} at least")
    if len(values) > _MAX_LEVELS:
        raise CircuitError(
            f"give {_MAX_LEVELS} values of {family.level} at most, got {len(values)}"
        )
    if ink is not None and ink.width_px > max(size):
        raise CircuitError(
            f"strokes of {ink.width_px:g} px are wider than the {size[0]}x{size[1]} px of the "
            "image; choose thinner ones"
        )
    step = family.period_deg / count
    made = Grid(
        stimulus=stimulus,
        family=family,
        angles_deg=torch.arange(count) * step,
        levels=torch.tensor(values, dtype=torch.float32),
        size=size,
        scale_px=float(scale_px),
        ink=ink or Ink(),
    )
    _check_visible(made, each=levels is not None)
    return made


def _check_visible(grid: Grid, *, each: bool) -> None:
    """Refuse pictures that show nothing: ink like the paper, or strokes over all of the image.

    Args:
        grid: The pictures.
        each: Whether each value of the second quantity must show something, as when the user chose
            it; else one is enough.
    """
    first = grid.images(slice(0, len(grid.levels)))
    blank = first.amax((1, 2, 3)) - first.amin((1, 2, 3)) < _CONTRAST
    if blank.all() or (each and blank.any()):
        level = float(grid.levels[blank][0])
        h, w = grid.size
        raise CircuitError(
            f"{grid.stimulus} stimuli of {grid.family.level} {level:g} are blank on {h}x{w} px; "
            f"let them fit, and ink (value {grid.ink.value:g}, width {grid.ink.width_px:g} px) "
            f"differ from the paper (value {grid.ink.paper:g})"
        )
