"""Which kinds of stimulus a unit answers to, and how strongly: the measurement behind a map.

    found = probe_site(model, "fire4")
    found.best["curve"]  # largest response of each channel to any curve, dark or light

Strokes and corners are drawn dark on light and light on dark, for units know the difference;
edges, gratings and colour pairs hold both. rules.py turns the answers into families.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import stimuli
from circuits.tuning.measuring import (
    TuningConfig,
    TuningCurve,
    grid_for,
    measure_responses,
    read_map,
    tuning_curves,
)
from featviz.errors import CircuitError
from featviz.models.model import Model

DARK = stimuli.Ink(paper=1.0, value=0.24, width_px=1.5)
LIGHT = stimuli.Ink(paper=0.0, value=0.76, width_px=1.5)
PROBES: dict[str, tuple[stimuli.Ink, ...]] = {
    "line": (DARK, LIGHT),
    "curve": (DARK, LIGHT),
    "angle": (DARK, LIGHT),
    "corner": (DARK, LIGHT),
    "edge": (DARK,),
    "grating": (DARK,),
    "high_low": (DARK,),
    "color_pair": (DARK,),
}
"""Oriented stimuli, and the inks that each is drawn with."""

ROUND = "ring"
"""Rings and discs around the middle, which have no orientation."""

_ROUND_RADII = (0.06, 0.1, 0.16, 0.25, 0.4)  # in receptive fields
ANGLES = 36


@dataclass(frozen=True, eq=False)
class Probed:
    """The answers of all channels of one site.

    Attributes:
        site: Name of the site.
        curves: Stimulus -> tuning of each channel, with the ink it answers to most.
        light: Stimulus -> whether that is light on dark.
        best: Stimulus -> largest response of each channel; `ring` too.
        scale_px: What lengths are multiples of.
    """

    site: str
    curves: dict[str, list[TuningCurve]]
    light: dict[str, list[bool]]
    best: dict[str, Float[Tensor, " c"]]
    scale_px: float


def probe_site(model: Model, site: str, *, angles: int = ANGLES, batch: int = 32) -> Probed:
    """Measure all channels of a site with all stimuli.

    Args:
        model: The network.
        site: Name of the site.
        angles: Orientations over the period of each stimulus.
        batch: Pictures at a time.

    Raises:
        CircuitError: If the model takes no RGB, a setting is out of range, or a response is not a
            finite number.
        SiteError: If the site is unknown.
    """
    curves: dict[str, list[TuningCurve]] = {}
    light: dict[str, list[bool]] = {}
    best: dict[str, Tensor] = {}
    scale, size = 0.0, (0, 0)
    for name, inks in PROBES.items():
        drawn = []
        for ink in inks:
            config = TuningConfig(angles=angles, ink=ink, batch=batch)
            grid = grid_for(model, site, stimulus=name, config=config)
            scale, size = grid.scale_px, grid.size
            found = measure_responses(model, [site], grid, batch=batch)[site]
            drawn.append(tuning_curves(model, site, grid, found))
        tops = torch.tensor([[_top(curve) for curve in of] for of in drawn])
        values, which = tops.max(0)
        curves[name] = [drawn[k][c] for c, k in enumerate(which.tolist())]
        light[name] = [inks[k] is LIGHT for k in which.tolist()]
        best[name] = values
    best[ROUND] = _round(model, site, size, scale)
    return Probed(site, curves, light, best, scale)


def _top(curve: TuningCurve) -> float:
    return float(curve.surface.amax())


@torch.no_grad()
def _round(model: Model, site: str, size: tuple[int, int], scale_px: float) -> Float[Tensor, " c"]:
    """Return the largest response of each channel to rings and discs, dark and light."""
    radii = torch.tensor([max(1.0, share * scale_px) for share in _ROUND_RADII])
    pictures = []
    for ink in (DARK, LIGHT):
        pictures.append(stimuli.rings(radii, size=size, ink=ink))
        for radius in radii.tolist():
            # A stroke as wide as the disc's radius, along half of it, fills the disc.
            filled = stimuli.Ink(paper=ink.paper, value=ink.value, width_px=radius)
            pictures.append(stimuli.rings(torch.tensor([radius / 2]), size=size, ink=filled))
    images = torch.cat(pictures).to(model.device)
    found = read_map(model.record(images, [site])[site], "center").cpu()
    if not found.isfinite().all():
        raise CircuitError(
            f"{site!r} in {model.name!r} gave a response that is not a finite number; are its "
            "weights complete?"
        )
    return found.amax(0)
