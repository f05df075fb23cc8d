"""How curves compose: the network wired by hand, its echo, and a curve detector that was trained.

Kernels come from circuits.expand, tuning without weights from circuits.tuning_effects, live. The
inputs of the trained unit, their pictures, all controls and the echoes of the whole family were
computed before (make_assets.py, learned_curve.py).
"""

import statistics
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.lessons.charts import bar_chart, input_chart, pictures, tuning_chart
from app.lessons.controls import slide, switch
from app.lessons.learned_curve import count_inputs, family_medians, told
from app.lessons.lesson import Lesson, Number, Question, Reference, Step
from app.lessons.shelf import numbers, read_strip
from app.networks import held
from circuits import expand, parse_edit, tuning_effects
from circuits.artificial.model import orientations_deg
from featviz.models import Model

_BUILT, _REAL = "artificial_curves", "squeezenet1_1"
_UNIT = "fire5:38"
_WIRED_DEG = 90
_ASKED_DEG = 45
_SPACING_DEG = 15


@dataclass(frozen=True)
class Effect:
    """The tuning of a unit with and without some weights.

    Attributes:
        angles_deg: Orientations of the curves shown.
        before: Response of the whole network.
        after: Response without the weights.
        echo_before: Response to the opposite curve, as a share of the peak.
        echo_after: The same without the weights.
    """

    angles_deg: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    echo_before: float
    echo_after: float


def measure_effect(model: Model, unit: str) -> Effect:
    """Measure the tuning of a unit to curves with and without its negative weights.

    Args:
        model: The network; restored.
        unit: `SITE:CHANNEL`.
    """
    site, _, channel = unit.rpartition(":")
    edit = parse_edit(f"negative weights of {unit}")
    (found,) = tuning_effects(model, [edit], site, [int(channel)], draws=0)
    return Effect(
        tuple(found.before.angles_deg.tolist()),
        tuple(found.before.response.tolist()),
        tuple(found.after.response.tolist()),
        found.before.echo,
        found.after.echo,
    )


def sum_inputs(model: Model, channel: int) -> list[tuple[float, float, float]]:
    """Return what an arc of the hand-built network reads of each early curve.

    Returns:
        Orientation of the early curve; sums of its positive and of its negative weights.
    """
    weights = expand(model, "early_curves", "arcs", units=[channel])
    up, down = (weights.strength(by)[0].tolist() for by in ("positive", "negative"))
    return list(zip(orientations_deg("early_curves"), up, down, strict=True))


@st.cache_data(max_entries=64, show_spinner="Measuring with and without ...")
def effect(name: str, unit: str) -> Effect:
    """Return `measure_effect` of a network that is here, measured once."""
    with held(name) as model:
        return measure_effect(model, unit)


@st.cache_data(max_entries=24, show_spinner=False)
def _sums(channel: int) -> list[tuple[float, float, float]]:
    with held(_BUILT) as model:
        return sum_inputs(model, channel)


def _inputs() -> list[tuple[int, float, float]]:
    """Return the inputs of the trained unit, the strongest first; see learned_curve.py."""
    return [(channel, off, weight) for channel, off, weight in numbers("learned")["inputs"]]


def _arc(default: int) -> tuple[int, str]:
    degrees = slide(
        "arc", "Orientation of the arc, degrees", 0, 345, default=default, step=_SPACING_DEG
    )
    return degrees, f"arcs:{degrees // _SPACING_DEG}"


def _wiring() -> None:
    degrees, unit = _arc(_WIRED_DEG)
    found = _sums(int(unit.partition(":")[2]))
    rows: list[dict[str, Any]] = []
    for source, up, down in found:
        rows += [{"name": f"{source:.0f}", "value": value} for value in (up, down)]
    bar_chart(
        rows,
        x="orientation of the early curve (degrees)",
        y="sum of weights",
        text=f"the arc of {degrees}° is excited by early curves near {degrees}° and inhibited by "
        f"those near {(degrees + 180) % 360}°",
        signed=True,
    )


def _wiring_words() -> str:
    found = {source: (up, down) for source, up, down in _sums(_WIRED_DEG // _SPACING_DEG)}
    like, opposite = found[_WIRED_DEG][0], found[(_WIRED_DEG + 180) % 360][1]
    return (
        "This network has no training. Its weights follow a formula: lines make early curves, "
        "early curves make arcs.\n\n"
        "The chart shows what one arc reads. Red inputs **excite** it, blue ones **inhibit** it. "
        f"The arc of {_WIRED_DEG}° takes {like:.1f} in all from early curves of its own "
        f"orientation, and {opposite:.1f} from the opposite ones.\n\n"
        "Move the slider: the red hill follows the arc, the blue valley stays opposite. A curve is "
        "made of shorter curves like it, laid end to end, and of the absence of opposite ones. "
        "What is the blue part good for?"
    )


def _chart(found: Effect, unit: str, *, gone: bool) -> None:
    """Show the tuning of a unit, and beside it that without its negative weights."""
    lines = {"as it is": (found.angles_deg, found.before)}
    said = f"tuning of {unit}: echo {found.echo_before:.2f}"
    if gone:
        lines["without negative weights"] = (found.angles_deg, found.after)
        said += f", without its negative weights {found.echo_after:.2f}"
    tuning_chart(lines, text=said)
    columns = st.columns(2)
    columns[0].metric("echo as it is", f"{found.echo_before:.2f}")
    columns[1].metric("without negative weights", f"{found.echo_after:.2f}" if gone else "?")


def _echo(default: int = 0) -> None:
    _, unit = _arc(default)
    gone = switch("cut", "Remove its negative weights")
    _chart(effect(_BUILT, unit), unit, gone=gone)


def _echo_words() -> str:
    found, early = effect(_BUILT, "arcs:0"), statistics.mean(numbers("early")["echo"])
    return (
        "The **echo** is the response to the opposite curve, as a share of the peak. As it is, the "
        f"arc of 0° has an echo of {found.echo_before:.2f}: it is silent when you show it the "
        "opposite curve.\n\n"
        f"Now remove its negative weights. The echo is {found.echo_after:.2f}. The early curves "
        f"that it reads have an echo themselves, {early:.2f} on average, and positive weights "
        "alone hand it on. Inhibition by opposite curves had cancelled that.\n\n"
        f"The peak changes, too: from {max(found.before):,.0f} to {max(found.after):,.0f}. Less "
        "inhibition is more of everything; the echo, a share, tells what is lost.\n\n"
        "So detecting a curve is also ruling out what looks almost like it. Does a trained network "
        "do the same?"
    )


def _trained() -> None:
    count = slide("inputs", "Strongest inputs", 10, 120, default=20, step=10)
    rows = [
        {"name": f"fire4:{channel}", "off_deg": off, "weight": weight}
        for channel, off, weight in _inputs()[:count]
    ]
    input_chart(rows, text=f"the {count} strongest inputs of {_UNIT} by orientation and weight")
    follow = count_inputs(_inputs()[:count])["follow"]
    drawn = numbers("learned")["shuffled_follow"][str(count)]
    st.caption(
        f"**{follow} of {count}** follow the rule: alike and exciting, or opposite and inhibiting. "
        f"In {len(drawn)} shuffled networks {min(drawn)} to {max(drawn)} do."
    )
    names = numbers("inputs")["units"]
    by_name = {f"fire4:{channel}": (off, weight) for channel, off, weight in _inputs()}
    shown = (1, 2, 5, 6)
    pictures(
        [read_strip("inputs")[k] for k in shown],
        [
            f"`{names[k]}`  \n{by_name[names[k]][0]:+.0f}°, **{by_name[names[k]][1]:+.2f}**"
            for k in shown
        ],
        [f"feature of {names[k]}" for k in shown],
    )


def _trained_words() -> str:
    found, many = count_inputs(_inputs()[:20]), count_inputs(_inputs()[:120])
    drawn = numbers("learned")["shuffled_follow"]["20"]
    return (
        f"`{_UNIT}` was learned from photographs; nobody wired it. Each point is an input from "
        "`fire4`: sideways its orientation, seen from the unit's; upwards its weight.\n\n"
        f"Of the 20 strongest, {found['like']} lie within 45° of the unit, and "
        f"{found['like_excite']} of them excite it. {found['opposite']} lie within 45° of the "
        f"opposite: {found['opposite_inhibit']} inhibit it. So {found['follow']} follow the rule "
        f"of the hand-built network; with shuffled weights at most {max(drawn)} do.\n\n"
        f"But {found['between']} lie between, and {found['between_inhibit']} of those inhibit it: "
        "that the hand-built network does not do. And the rule fades. Of 120 inputs, "
        f"{many['like_excite']} of {many['like']} like ones excite, but only "
        f"{many['opposite_inhibit']} of {many['opposite']} opposite ones inhibit."
    )


def _learned_echo() -> None:
    gone = switch("cut", "Remove its negative weights")
    _chart(effect(_REAL, _UNIT), _UNIT, gone=gone)
    if gone:
        found = family_medians(numbers("chance")["all"])
        names = ("as it is", "random weights", "largest random", "without negative weights")
        rows = [{"name": name, "value": found[name]} for name in names]
        said = ", ".join(f"{row['name']} {row['value']:.2f}" for row in rows)
        count = len(numbers("chance")["all"]["units"])
        st.markdown(f"Median echo of all {count} curve detectors of fire5")
        bar_chart(rows, x="", y="median echo", text=said, flat=True, ends=(0, 1), height_px=170)


def _learned_echo_words() -> str:
    found, family = effect(_REAL, _UNIT), family_medians(numbers("chance")["all"])
    one, every = numbers("chance")["one"], numbers("chance")["all"]
    drawn = told(row[0] for row in one["random"])
    as_far = sum(each >= found.echo_after for each in drawn)
    return (
        f"Remove the negative weights of `{_UNIT}`: its echo grows from {found.echo_before:.2f} to "
        f"{found.echo_after:.2f}. It looks like the same effect. But remove as many weights at "
        f"random: of {len(one['random'])} times the unit still answers {len(drawn)} times (a "
        f"silent one has no echo), and {as_far} times its echo is at least as large. This unit "
        "alone proves nothing.\n\n"
        f"So look at all {len(every['units'])} curve detectors of fire5. Without negative weights "
        f"their median echo grows from {family['as it is']:.2f} to "
        f"{family['without negative weights']:.2f}; in {len(every['random'])} random removals to "
        f"{family['largest random']:.2f} at most. {family['beyond']} of them lie beyond all of "
        "their own random removals.\n\n"
        f"The family shows the effect; `{_UNIT}` is one of its weakest members. Each edit deserves "
        "a control, and each claim more than one unit."
    )


def _ask() -> None:
    _echo(0)


def _question() -> Question:
    found = effect(_BUILT, f"arcs:{_ASKED_DEG // _SPACING_DEG}")
    return Number(
        f"Set the arc to {_ASKED_DEG}° and remove its negative weights. How large is its echo?",
        answer=found.echo_after,
        tolerance=0.006,  # two digits are shown
        why=f"It is {found.echo_after:.2f}: without inhibition, the arc answers to the opposite "
        f"curve with {100 * found.echo_after:.0f} % of its peak, instead of "
        f"{100 * found.echo_before:.0f} %.",
        low="It is larger. Is the switch on, and the arc at the right orientation? Give two "
        "digits.",
        high="It is smaller. Read the echo at the right orientation, with two digits.",
        least=0.0,
        most=1.0,
        step=0.01,
    )


COMPOSING = Lesson(
    key="composing",
    title="How curves compose",
    goal="Read a circuit from its weights, break it, and tell what breaks beside chance.",
    steps=(
        Step("Wired by hand", _wiring_words, _wiring),
        Step("Without inhibition", _echo_words, _echo),
        Step("Learned", _trained_words, _trained),
        Step("Break the learned one", _learned_echo_words, _learned_echo),
        Step("Question", lambda: "The hand-built network again.", _ask),
    ),
    question=_question,
    references=(
        Reference(
            "Cammarata, Goh, Carter, Voss, Schubert, Olah 2021, Curve Circuits, Distill",
            "The Components of Curve Detectors; An Artificial Artificial Neural Network",
            "https://distill.pub/2020/circuits/curve-circuits",
        ),
    ),
)
