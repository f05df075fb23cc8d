"""From a unit's answers to stimuli to its family: edges, lines, curves, corners and so on.

    kinds = unit_kinds(probed, photographs)
    kinds[17].family

Rules over measured numbers, no learning; every threshold is in `KindRules`. network_map.py applies
them to whole networks, and to shuffled ones, where what is found is what chance finds.
"""

import math
from dataclasses import dataclass

import torch

from circuits.angles import angle_between
from circuits.kinds.photographed import PhotographEvidence
from circuits.kinds.probes import ROUND, Probed
from circuits.tuning.curve import TuningCurve

FAMILIES = (
    "edges",
    "lines",
    "curves",
    "corners",
    "colour contrast",
    "high-low frequency",
    "circles",
    "texture",
    "other",
)
"""All families, as they are named in files."""

_GREY = ("line", "curve", "angle", "corner", "edge", "grating", "high_low", ROUND)
_STIMULI = {
    "edges": ("edge",),
    "lines": ("line", "grating"),
    "curves": ("curve",),
    "corners": ("angle", "corner"),
    "colour contrast": ("color_pair",),
    "high-low frequency": ("high_low",),
    "circles": (ROUND,),
    "texture": ("grating",),
}
_RIVALS = {
    "edges": ("line", "grating", "high_low"),
    "lines": ("edge", "high_low"),
    "curves": ("line", "edge", "grating", "high_low"),
    "corners": ("curve", "line", "edge", "grating", "high_low"),
    "colour contrast": _GREY,
    "high-low frequency": tuple(name for name in _GREY if name != "high_low"),
    "circles": tuple(name for name in _GREY if name not in {ROUND, "high_low"}),
    "texture": ("line", "curve", "edge"),
}
_ORDER = (
    "colour contrast",
    "high-low frequency",
    "circles",
    "corners",
    "curves",
    "edges",
    "lines",
    "texture",
)


@dataclass(frozen=True)
class KindRules:
    """Thresholds.

    Attributes:
        floor: Least answer to any stimulus, over the unit's largest in photographs: units that
            hardly answer look selective.
        site_floor: Least answer, over the median of the site's units.
        color_factor: How much more a colour pair must excite than any grey stimulus.
        factor: How much more a family's stimulus must excite than those of its rivals.
        echo: Largest echo of what has a direction: edges, curves, corners, high-low frequency.
        line_echo: Largest response of lines to the line across, over the peak.
        line_fwhm_deg: Widest tuning of lines.
        fwhm_deg: Widest tuning of what has a direction.
        axis_error_deg: Largest angle between the contours that excite a unit in photographs and
            those of its best stimulus, for edges, lines, curves and high-low frequency; by chance
            a quarter is within 22.5.
        chroma: Least colour, over the mean, of what excites a colour unit in photographs.
    """

    floor: float = 0.25
    site_floor: float = 0.1
    color_factor: float = 1.5
    factor: float = 1.1
    echo: float = 0.5
    line_echo: float = 0.5
    line_fwhm_deg: float = 70.0
    fwhm_deg: float = 180.0
    axis_error_deg: float = 22.5
    chroma: float = 1.0


@dataclass(frozen=True, eq=False)
class UnitKind:
    """The family of one unit, and why.

    Attributes:
        channel: Its channel.
        family: One of `FAMILIES`.
        stimulus: What excites it most.
        curve: Its tuning to the stimulus of its family, or of those, to the strongest; without
            one (circles, other), to the strongest that has an orientation.
        light: Whether that is light on dark.
        margin: Answer to its family's stimulus over that to the best rival; for `other`, answer
            to the strongest stimulus over that to the next.
        top: Its largest answer to any stimulus.
        axis_error_deg: Angle between the contours of the stimulus of `curve` and those that excite
            it in photographs.
        weak: Whether it is `other` because it hardly answers.
    """

    channel: int
    family: str
    stimulus: str
    curve: TuningCurve
    light: bool
    margin: float
    top: float
    axis_error_deg: float
    weak: bool


def unit_kinds(
    probed: Probed, photographs: PhotographEvidence, *, rules: KindRules | None = None
) -> list[UnitKind]:
    """Return the family of each unit of a site.

    The first family counts whose stimulus excites the unit more than its rivals', by a factor,
    whose tuning is as the family's should be, and which photographs confirm; in the order colour
    contrast, high-low frequency, circles, corners, curves, edges, lines, texture. For circles,
    corners and texture there is no such check in photographs.

    Args:
        probed: Answers to stimuli.
        photographs: Answers to photographs, of the same site.
        rules: Thresholds; None: the defaults.
    """
    rules = rules or KindRules()
    tops = torch.stack(list(probed.best.values())).amax(0)
    floors = torch.maximum(photographs.peak * rules.floor, tops.median() * rules.site_floor)
    strong = (tops > 0) & (photographs.peak > 0) & (tops >= floors)
    return [_kind(probed, photographs, c, rules, strong=bool(strong[c])) for c in range(len(tops))]


def axis_deg(curve: TuningCurve) -> float:
    """Return the angle of the contours in the middle of a unit's best stimulus, 0..180.

    Counter-clockwise from horizontal, whatever the convention of the stimulus.
    """
    if curve.period_deg == 180:
        return curve.preferred_deg
    return (90 - curve.preferred_deg) % 180


def _kind(
    probed: Probed,
    photographs: PhotographEvidence,
    channel: int,
    rules: KindRules,
    *,
    strong: bool,
) -> UnitKind:
    best = {name: float(values[channel]) for name, values in probed.best.items()}
    order = sorted(best, key=lambda name: -best[name])
    axis = float(photographs.axis_deg[channel])
    colored = float(photographs.chroma[channel]) >= rules.chroma
    fits = (f for f in _ORDER if _is(f, best, probed, channel, rules, axis=axis, colored=colored))
    family = next(fits, "other") if strong else "other"
    next_best = _over(best[order[0]], best[order[1]])
    mine = _STIMULI.get(family, tuple(order))
    oriented = [name for name in mine if name != ROUND] or [n for n in order if n != ROUND]
    shown = max(oriented, key=lambda name: best[name])
    curve = probed.curves[shown][channel]
    return UnitKind(
        channel=channel,
        family=family,
        stimulus=order[0],
        curve=curve,
        light=probed.light[shown][channel],
        margin=next_best if family == "other" else _margin(family, best),
        top=best[order[0]],
        axis_error_deg=angle_between(axis_deg(curve), axis, 180),
        weak=not strong,
    )


def _over(value: float, rival: float) -> float:
    return value / rival if rival > 0 else math.inf if value > 0 else math.nan


def _margin(family: str, best: dict[str, float]) -> float:
    return _over(
        max(best[name] for name in _STIMULI[family]), max(best[name] for name in _RIVALS[family])
    )


def _is(
    family: str,
    best: dict[str, float],
    probed: Probed,
    channel: int,
    rules: KindRules,
    *,
    axis: float,
    colored: bool,
) -> bool:
    if family == "colour contrast":
        return colored and _margin(family, best) >= rules.color_factor
    # Lines excite edge units and the other way round: the stronger decides, without a margin.
    least = 1.0 if family in {"edges", "lines"} else rules.factor
    if not _margin(family, best) >= least:
        return False
    if family in {"circles", "texture"}:
        return True
    stimulus = max(_STIMULI[family], key=lambda name: best[name])
    curve = probed.curves[stimulus][channel]
    # The contours of a corner lie along two legs; there is no axis to compare.
    if family != "corners" and angle_between(axis_deg(curve), axis, 180) > rules.axis_error_deg:
        return False
    if family == "lines":
        return curve.fwhm_deg <= rules.line_fwhm_deg and curve.echo <= rules.line_echo
    return curve.fwhm_deg <= rules.fwhm_deg and curve.echo <= rules.echo
