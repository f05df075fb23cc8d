"""Curve detectors: draw a curve, hear what a unit says to it, see its tuning curve.

Measured live with circuits.measure_responses, on stimuli of circuits.stimuli; only how the
hill moves with the radius was measured before (make_assets.py).
"""

from dataclasses import dataclass

import streamlit as st
from PIL import Image

from app.lessons.charts import pictures, tuning_chart
from app.lessons.controls import choose, slide
from app.lessons.lesson import Lesson, Number, Question, Reference, Step
from app.lessons.shelf import numbers
from app.networks import held
from circuits import TuningConfig, TuningCurve, measure_responses, measure_tuning
from circuits.tuning.measuring import grid_for
from featviz.images import to_picture
from featviz.models import Model

STEP_DEG = 5
_REAL, _BUILT = "squeezenet1_1", "artificial_curves"
HOME = {
    "fire5:38": _REAL,
    "fire5:161": _REAL,
    "fire4:6": _REAL,
    "arcs:6": _BUILT,
}
_ASKED = "fire5:161"
RADII_PX = tuple(range(15, 51, 5))
"""What can be drawn: about the radii for which the hand-built network was made, 16 to 48 px."""
_USUAL_PX = 40
_ASKED_WITHIN_DEG = 15


@dataclass(frozen=True)
class Answers:
    """What one unit says to curves of one radius.

    Attributes:
        angles_deg: Orientations, in steps of 5 degrees.
        response: To each, at least 0.
        drawings: The curves themselves.
        highest_deg: Orientation of the largest response.
        middle_deg: Circular mean of the orientations, weighted by the response.
        fwhm_deg: How many degrees give more than half of the largest response.
    """

    angles_deg: tuple[float, ...]
    response: tuple[float, ...]
    drawings: tuple[Image.Image, ...]
    highest_deg: float
    middle_deg: float
    fwhm_deg: float


@dataclass(frozen=True)
class Tuned:
    """What describes the tuning of one unit, over four radii; see circuits.TuningCurve.

    Attributes:
        angles_deg: Orientations.
        response: Mean over the radii.
        preferred_deg: Circular mean of the orientations, weighted by the response: unlike the
            place of the largest response, small bumps do not move it.
        fwhm_deg: How many degrees give more than half of it.
        echo: Response to the opposite orientation, as a share of the largest.
    """

    angles_deg: tuple[float, ...]
    response: tuple[float, ...]
    preferred_deg: float
    fwhm_deg: float
    echo: float


def answer_curves(model: Model, unit: str, radius_px: float) -> Answers:
    """Show curves of one radius to a unit, at all orientations.

    Args:
        model: The network.
        unit: `SITE:CHANNEL`.
        radius_px: Of the curves.
    """
    site, _, channel = unit.rpartition(":")
    config = TuningConfig(levels=(float(radius_px),))
    grid = grid_for(model, site, stimulus="curve", config=config)
    surface = measure_responses(model, [site], grid)[site][:, :, int(channel)]
    curve = TuningCurve(
        unit=unit,
        channel=int(channel),
        angles_deg=grid.angles_deg,
        response=surface[:, 0],
        period_deg=360.0,
        surface=surface,
        levels=config.levels or (),
        level="radius_px",
        stimulus="curve",
    )
    return Answers(
        tuple(curve.angles_deg.tolist()),
        tuple(curve.response.tolist()),
        tuple(to_picture(image) for image in grid.images()),
        curve.preferred_deg,
        curve.mean_deg,
        curve.fwhm_deg,
    )


def describe_tuning(model: Model, unit: str) -> Tuned:
    """Measure the tuning of a unit to curves.

    Args:
        model: The network.
        unit: `SITE:CHANNEL`.
    """
    site, _, channel = unit.rpartition(":")
    (curve,) = measure_tuning(model, site, [int(channel)], stimulus="curve")
    return Tuned(
        tuple(curve.angles_deg.tolist()),
        tuple(curve.response.tolist()),
        curve.mean_deg,
        curve.fwhm_deg,
        curve.echo,
    )


@st.cache_data(max_entries=64, show_spinner="Drawing curves ...")
def _answers(unit: str, radius_px: int) -> Answers:
    with held(HOME[unit]) as model:
        return answer_curves(model, unit, radius_px)


@st.cache_data(max_entries=16, show_spinner="Measuring ...")
def tuned(unit: str) -> Tuned:
    """Return the tuning of one of the units of this lesson, measured once."""
    with held(HOME[unit]) as model:
        return describe_tuning(model, unit)


def _drawing(unit: str, *, curve_too: bool, radius_px: int, default: int) -> None:
    orientation = slide(
        "orientation", "Orientation, degrees", 0, 355, default=default, step=STEP_DEG
    )
    found = _answers(unit, radius_px)
    at = orientation // STEP_DEG
    drawing, said = st.columns([1, 2] if curve_too else [2, 1], vertical_alignment="center")
    with drawing:
        words = f"a curve of orientation {found.angles_deg[at]:.0f}° and radius {radius_px} px"
        picture = found.drawings[at].resize((384, 384), Image.Resampling.NEAREST)
        pictures([picture], [f"`{unit}` says **{found.response[at]:,.0f}**"], [words])
    with said:
        if curve_too:
            tuning_chart(
                {unit: (found.angles_deg, found.response)},
                text=f"response of {unit} by orientation; the largest at {found.highest_deg:.0f}°, "
                f"the middle of the hill at {found.middle_deg:.0f}°",
                marked_deg=found.angles_deg[at],
            )
        else:
            st.metric("your curve", f"{found.angles_deg[at]:.0f}°")


def _draw() -> None:
    unit = choose("unit", "Unit", ["fire5:38", "arcs:6"])
    radius = slide("radius", "Radius, px", RADII_PX[0], RADII_PX[-1], default=_USUAL_PX, step=5)
    _drawing(unit, curve_too=True, radius_px=radius, default=0)
    found = _answers(unit, radius)
    columns = st.columns(2)
    columns[0].metric("highest point", f"{found.highest_deg:.0f}°")
    columns[1].metric("middle of the hill", f"{found.middle_deg:.0f}°")


def _draw_words() -> str:
    return (
        "To find out what a unit does, ask it. We draw a curve and read the number that comes "
        "out.\n\n"
        "**Orientation**: 0° looks like `)`, 90° like a smile, and so on, clockwise. The red line "
        "in the chart is your curve. The chart is the unit's **tuning curve**: its response to "
        "curves of every orientation, at your radius.\n\n"
        "`fire5:38` is a unit of a trained network. `arcs:6` is one of a network that was wired by "
        "hand, without any training. Turn the curve until the response is largest. Then change "
        "the radius: what moves, the highest point, the middle of the hill, or only its height?"
    )


def _width() -> None:
    unit = choose("unit", "Unit", ["fire5:38", "arcs:6", "fire4:6"])
    found = tuned(unit)
    tuning_chart(
        {unit: (found.angles_deg, found.response)},
        text=f"tuning of {unit}: prefers {found.preferred_deg:.0f}°, {found.fwhm_deg:.0f}° wide, "
        f"echo {found.echo:.2f}",
        level=max(found.response) / 2,
    )
    columns = st.columns(3)
    columns[0].metric("preferred", f"{found.preferred_deg:.0f}°")
    columns[1].metric("width at half height", f"{found.fwhm_deg:.0f}°")
    columns[2].metric("echo", f"{found.echo:.2f}")


def _width_words() -> str:
    real, built, odd = tuned("fire5:38"), tuned("arcs:6"), tuned("fire4:6")
    drawn = numbers("radii")["fire5:38"]
    highest, middle = drawn["highest_deg"], drawn["middle_deg"]
    return (
        f"What moved? From radius {drawn['radii_px'][0]} to {drawn['radii_px'][-1]} px the highest "
        f"point of `fire5:38` jumps between {min(highest):.0f}° and {max(highest):.0f}°, for its "
        f"hill is broad and rough. The middle stays at {min(middle):.0f}° to {max(middle):.0f}°."
        "\n\n"
        "So three numbers, over four radii. **Preferred**: the middle, a circular mean. **Width**: "
        "how many degrees give more than half the peak. **Echo**: the response to the opposite "
        "curve, as a share of the peak.\n\n"
        f"`fire5:38`: {real.preferred_deg:.0f}°, {real.fwhm_deg:.0f}°, {real.echo:.2f}. `arcs:6`, "
        f"wired for 90°: {built.preferred_deg:.0f}°, {built.fwhm_deg:.0f}°, {built.echo:.2f}.\n\n"
        f"`fire4:6` answers to curves too, but its echo is {odd.echo:.2f}: a curve and its "
        "opposite are nearly the same to it, and its middle lies between two hills. It is no curve "
        "detector."
    )


def _ask() -> None:
    _drawing(_ASKED, curve_too=False, radius_px=_USUAL_PX, default=0)


def _question() -> Question:
    found = _answers(_ASKED, _USUAL_PX)
    return Number(
        f"Here is another unit, `{_ASKED}`, without its tuning curve. How wide is its tuning: how "
        "many degrees give more than half of its largest response?",
        answer=found.fwhm_deg,
        tolerance=_ASKED_WITHIN_DEG,
        why=f"Its largest response, {max(found.response):.0f}, is at {found.highest_deg:.0f}°; "
        f"{found.fwhm_deg:.0f}° in all give more than half of it. A few degrees more or less count "
        "as right: you see only every fifth one.",
        low="It is wider. Find the largest response first, then go to both sides of it until half "
        "of it is left.",
        high="It is narrower. Do not count where it answers at all, only where it gives more than "
        "half of its largest response.",
        least=0,
        most=360,
        step=5,
    )


CURVES = Lesson(
    key="curves",
    title="Curve detectors",
    goal="Measure what a unit looks for with drawings, and read a tuning curve.",
    steps=(
        Step("Draw, and listen", _draw_words, _draw),
        Step("Three numbers", _width_words, _width),
        Step("Question", lambda: "Turn the curve, and watch what the unit says.", _ask),
    ),
    question=_question,
    references=(
        Reference(
            "Cammarata, Goh, Carter, Schubert, Petrov, Olah 2020, Curve Detectors, Distill",
            "Joint Tuning Curves; Synthetic Curves; Radial Tuning Curve",
            "https://distill.pub/2020/circuits/curve-detectors",
        ),
    ),
)
