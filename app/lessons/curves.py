"""Curve detectors: draw a curve, hear what a unit says to it, see its tuning curve.

Everything is measured live with circuits.measure_responses, on stimuli of circuits.stimuli.
"""

from dataclasses import dataclass

import streamlit as st
from PIL import Image

from app.lessons.charts import pictures, tuning_chart
from app.lessons.controls import choose, slide
from app.lessons.lesson import Lesson, Number, Question, Reference, Step
from app.networks import held
from circuits import TuningConfig, measure_responses, measure_tuning
from circuits.tuning.measuring import grid_for
from featviz.images import to_picture
from featviz.models import Model

STEP_DEG = 5
_REAL, _BUILT = "squeezenet1_1", "artificial_curves"
_HOME = {
    "fire5:38": _REAL,
    "fire5:161": _REAL,
    "fire4:6": _REAL,
    "arcs:6": _BUILT,
}
_ASKED = "fire5:161"
_RADIUS_PX = (15, 90)
_USUAL_PX = 40


@dataclass(frozen=True)
class Answers:
    """What one unit says to curves of one radius.

    Attributes:
        angles_deg: Orientations, in steps of 5 degrees.
        response: To each, at least 0.
        drawings: The curves themselves.
    """

    angles_deg: tuple[float, ...]
    response: tuple[float, ...]
    drawings: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Tuned:
    """What describes the tuning of one unit, over four radii; see circuits.TuningCurve.

    Attributes:
        angles_deg: Orientations.
        response: Mean over the radii.
        preferred_deg: Orientation of the largest response.
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
    response = measure_responses(model, [site], grid)[site][:, 0, int(channel)]
    return Answers(
        tuple(grid.angles_deg.tolist()),
        tuple(response.tolist()),
        tuple(to_picture(image) for image in grid.images()),
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
        curve.preferred_deg,
        curve.fwhm_deg,
        curve.echo,
    )


@st.cache_data(max_entries=64, show_spinner="Drawing curves ...")
def _answers(unit: str, radius_px: int) -> Answers:
    with held(_HOME[unit]) as model:
        return answer_curves(model, unit, radius_px)


@st.cache_data(max_entries=16, show_spinner="Measuring ...")
def tuned(unit: str) -> Tuned:
    """Return the tuning of one of the units of this lesson, measured once."""
    with held(_HOME[unit]) as model:
        return describe_tuning(model, unit)


def _drawing(unit: str, *, curve_too: bool, radius_px: int, default: int) -> None:
    orientation = slide(
        "orientation", "Orientation, degrees", 0, 355, default=default, step=STEP_DEG
    )
    found = _answers(unit, radius_px)
    at = round(orientation / STEP_DEG) % len(found.angles_deg)
    drawing, said = st.columns([1, 2] if curve_too else [2, 1], vertical_alignment="center")
    with drawing:
        words = f"a curve of orientation {found.angles_deg[at]:.0f}° and radius {radius_px} px"
        picture = found.drawings[at].resize((384, 384), Image.Resampling.NEAREST)
        pictures([picture], [f"`{unit}` says **{found.response[at]:,.0f}**"], [words])
    with said:
        if curve_too:
            best = found.angles_deg[max(range(len(found.response)), key=found.response.__getitem__)]
            tuning_chart(
                {unit: (found.angles_deg, found.response)},
                text=f"response of {unit} by orientation; the largest at {best:.0f}°",
                marked_deg=found.angles_deg[at],
            )
        else:
            st.metric("response", f"{found.response[at]:,.0f}")


def _draw() -> None:
    unit = choose("unit", "Unit", ["fire5:38", "arcs:6"])
    least, most = _RADIUS_PX
    radius = slide("radius", "Radius, px", least, most, default=_USUAL_PX, step=5)
    _drawing(unit, curve_too=True, radius_px=radius, default=0)


def _draw_words() -> str:
    return (
        "To find out what a unit does, ask it. We draw a curve and read the number that comes "
        "out.\n\n"
        "**Orientation**: 0° looks like `)`, 90° like a smile, and so on, clockwise. The red line "
        "in the chart is your curve. The chart is the unit's **tuning curve**: its response to "
        "curves of every orientation, at your radius.\n\n"
        "`fire5:38` is a unit of a trained network. `arcs:6` is one of a network that was wired by "
        "hand, without any training. Turn the curve until the response is largest. Then change "
        "the radius: does the peak move, or only its height?"
    )


def _width() -> None:
    unit = choose("unit", "Unit", ["fire5:38", "arcs:6", "fire4:6"])
    found = tuned(unit)
    tuning_chart(
        {unit: (found.angles_deg, found.response)},
        text=f"tuning of {unit}: peak at {found.preferred_deg:.0f}°, {found.fwhm_deg:.0f}° wide, "
        f"echo {found.echo:.2f}",
        level=max(found.response) / 2,
    )
    columns = st.columns(3)
    columns[0].metric("preferred", f"{found.preferred_deg:.0f}°")
    columns[1].metric("width at half height", f"{found.fwhm_deg:.0f}°")
    columns[2].metric("echo", f"{found.echo:.2f}")


def _width_words() -> str:
    real, built, odd = tuned("fire5:38"), tuned("arcs:6"), tuned("fire4:6")
    return (
        "Three numbers tell a tuning curve. **Preferred**: where its peak is. **Width**: how many "
        "degrees give more than half the peak. **Echo**: the response to the opposite curve, as a "
        "share of the peak.\n\n"
        f"`fire5:38` prefers {real.preferred_deg:.0f}°, is {real.fwhm_deg:.0f}° wide, and has an "
        f"echo of {real.echo:.2f}. The hand-built `arcs:6` is alike: {built.fwhm_deg:.0f}° and "
        f"{built.echo:.2f}.\n\n"
        f"`fire4:6` also answers to curves, but its echo is {odd.echo:.2f}: it says nearly the "
        "same to a curve and to its opposite. It is no curve detector. One good picture would not "
        "have told you; two opposite stimuli do."
    )


def _ask() -> None:
    _drawing(_ASKED, curve_too=False, radius_px=_USUAL_PX, default=0)


def _question() -> Question:
    found = _answers(_ASKED, _USUAL_PX)
    best = found.angles_deg[max(range(len(found.response)), key=found.response.__getitem__)]
    width = tuned(_ASKED).fwhm_deg
    return Number(
        f"Here is another unit, `{_ASKED}`, without its tuning curve. Which orientation does it "
        "prefer, in degrees?",
        answer=best,
        tolerance=15,
        why=f"Its largest response is at {best:.0f}°; up to 15° beside it count. At half of its "
        f"peak it is {width:.0f}° wide, so nobody can tell a single degree.",
        low="Clockwise of your answer there is a stronger response. Turn the curve further.",
        high="There is a stronger response before your answer. Turn the curve back.",
        least=0,
        most=355,
        step=5,
        period=360,
    )


CURVES = Lesson(
    key="curves",
    title="Curve detectors",
    goal="Measure what a unit looks for with drawings, and read a tuning curve.",
    steps=(
        Step("Draw, and listen", _draw_words, _draw),
        Step("Three numbers", _width_words, _width),
        Step("Question", lambda: "Turn the curve, and watch the response.", _ask),
    ),
    question=_question,
    references=(
        Reference(
            "Cammarata, Goh, Carter, Schubert, Petrov, Olah 2020, Curve Detectors, Distill",
            "on synthetic curves and tuning",
            "https://distill.pub/2020/circuits/curve-detectors",
        ),
    ),
)
