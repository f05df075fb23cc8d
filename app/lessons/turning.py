"""Equivariance: turn the family, turn the weights.

The hand-built network is measured live, with circuits.expand and circuits.families; what is told of
the trained one and its shuffled twin was measured before (make_assets.py, symmetry.py).
"""

from typing import Any

import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from app.lessons.charts import bar_chart, pictures
from app.lessons.controls import choose, slide, slide_over
from app.lessons.lesson import Lesson, Number, Question, Reference, Step
from app.lessons.shelf import numbers
from app.lessons.symmetry import TURNS_DEG, Wiring, profile_rows, score_turn, wire_by_hand
from app.networks import held
from circuits.families.symmetry import rotated
from circuits.pictures.kernels import kernel_picture

_SPACING_DEG = 15
_NETWORKS = ("wired by hand", "trained", "shuffled")
_PAIRS = {"alike": 0, "60° apart": 60, "opposite": 180}
_PICTURE_PX = 300


def turned_kernels(
    wiring: Wiring, target: int, apart_deg: int, turn_deg: int
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Turn one kernel of the hand-built network, and find the one between the turned units.

    Args:
        wiring: Of two families with a unit every 15 degrees, in order.
        target: Row of the target.
        apart_deg: Orientation of the source less that of the target, a multiple of 15.
        turn_deg: Clockwise, a multiple of 15.

    Returns:
        The kernel, the same turned, that between the turned units, and the correlation of the last
        two over the cells within the circle.
    """
    count = len(wiring.target_deg)
    source = (target + apart_deg // _SPACING_DEG) % count
    moved = turn_deg // _SPACING_DEG
    kernel = wiring.kernel[target, source]
    turned = rotated(kernel[None, None], float(turn_deg))[0, 0]
    actual = wiring.kernel[(target + moved) % count, (source + moved) % count]
    reach = torch.arange(len(kernel)) - (len(kernel) - 1) / 2
    inside = reach[:, None] ** 2 + reach[None] ** 2 <= ((len(kernel) - 1) / 2) ** 2
    both = torch.stack([turned[inside], actual[inside]]).double()
    return kernel, turned, actual, float(torch.corrcoef(both)[0, 1])


@st.cache_data(max_entries=1, show_spinner="Reading the weights ...")
def wiring() -> Wiring:
    """Return the kernels of the hand-built network, read once."""
    with held("artificial_curves") as model:
        return wire_by_hand(model)


@st.cache_data(max_entries=16, show_spinner=False)
def score(name: str, turn_deg: int) -> dict[str, Any]:
    """Return how well the kernels of a network keep a turn, with its controls; see score_turn."""
    if name == _NETWORKS[0]:
        return score_turn(wiring(), turn_deg, measured=False)
    found: dict[str, Any] = numbers("symmetry")[name]["turns"][str(turn_deg)]
    return found


@st.cache_data(max_entries=4, show_spinner=False)
def profile(name: str) -> list[dict[str, Any]]:
    """Return the mean weight of a network by difference of orientation; see profile_rows."""
    if name == _NETWORKS[0]:
        return profile_rows(wiring())
    found: list[dict[str, Any]] = numbers("symmetry")[name]["profile"]
    return found


def _picture(kernel: Tensor, scale: float) -> Image.Image:
    return kernel_picture(kernel, scale=scale, side_px=_PICTURE_PX)


def _turn() -> None:
    pair = choose("pair", "The two curves are", list(_PAIRS))
    turn = slide("turn", "Turn, degrees clockwise", 0, 345, default=0, step=_SPACING_DEG)
    found = wiring()
    kernel, turned, actual, alike = turned_kernels(found, 0, _PAIRS[pair], turn)
    scale = float(found.kernel.abs().max())
    apart = _PAIRS[pair]
    captions = [
        f"early curve {apart}° → arc 0°",
        f"the same, turned by {turn}°",
        f"early curve {(apart + turn) % 360}° → arc {turn}°",
    ]
    pictures([_picture(each, scale) for each in (kernel, turned, actual)], captions, captions)
    st.metric("correlation of the last two", f"{alike:.2f}")


def _turn_words() -> str:
    found = wiring()
    quarter = turned_kernels(found, 0, 0, 90)[3]
    odd = score("wired by hand", 15)["score"]
    return (
        "A family of curve detectors holds one unit for each orientation. What turns the picture "
        "turns one unit into the next. Do the weights turn along?\n\n"
        "Left: a kernel between two units. Red excites, blue inhibits. Middle: the same kernel, "
        "turned as a picture. Right: the real kernel between the two units that lie as much "
        "further round.\n\n"
        f"By 90° they agree exactly: correlation {quarter:.2f}. By 15° it is {odd:.2f} on average, "
        "for 5x5 cells can then only be turned by interpolation. So one kernel and a turn would "
        "describe the whole family: this is **equivariance**."
    )


def _family() -> None:
    name = choose("network", "Network", _NETWORKS)
    turn = slide_over("turn", "Turn, degrees clockwise", TURNS_DEG, default=90)
    found = score(name, turn)
    rows = [
        {"name": "turned with the units", "value": found["score"]},
        {"name": "not turned", "value": found["unrotated"]},
        {"name": "units in random order, best of 20", "value": found["random"]},
    ]
    if found["wrong"] is not None:
        rows.insert(1, {"name": "turned the other way", "value": found["wrong"]})
    said = ", ".join(f"{row['name']} {row['value']:.2f}" for row in rows)
    bar_chart(rows, x="", y="mean correlation", text=f"{name}: {said}", flat=True, ends=(-0.3, 1))
    st.caption(f"{found['pairs']:,} pairs of kernels compared")


def _family_words() -> str:
    built, real, none = (score(name, 90) for name in _NETWORKS)
    eighth, half = (score("trained", turn) for turn in (45, 180))
    found = numbers("symmetry")["trained"]
    return (
        "One pair may agree by luck. So turn all kernels of two families at once, and take the "
        "mean correlation, beside ways to do it wrong.\n\n"
        f"**Wired by hand**, by 90°: {built['score']:.2f}; wrong ways reach "
        f"{max(built['wrong'], built['unrotated'], built['random']):.2f}.\n\n"
        f"**Trained**, {found['sources']} curve detectors of fire4 and {found['targets']} of "
        f"fire5: {real['score']:.2f}; not turned {real['unrotated']:.2f}, in random order at most "
        f"{real['random']:.2f}: a trace. By 45° {eighth['score']:.2f} and by 180° "
        f"{half['score']:.2f}, but not turned {eighth['unrotated']:.2f} and "
        f"{half['unrotated']:.2f}: there the turn adds nothing. **Shuffled** weights, by 90°: "
        f"{none['score']:.2f}.\n\n"
        "So kernel by kernel the symmetry is hardly seen: 3x3 cells are coarse, and the family has "
        "gaps. The next step asks a coarser question."
    )


def _profile() -> None:
    name = choose("network", "Network", _NETWORKS)
    rows = [
        {
            "name": f"{row['from_deg']:.0f}-{row['to_deg']:.0f}°",
            "value": row["mean"],
            "low": row["chance_low"],
            "high": row["chance_high"],
        }
        for row in profile(name)
    ]
    said = ", ".join(f"{row['name']} {row['value']:.2f}" for row in rows)
    # One scale for the trained network and its shuffled twin, so that they can be compared.
    scale = profile("trained" if name == "shuffled" else name)
    reach = 1.1 * max(abs(row["mean"]) for row in scale)
    bar_chart(
        rows,
        x="difference of orientation",
        y="mean sum of weights",
        text=said,
        signed=True,
        ends=(-reach, reach),
    )
    st.caption("Grey: 95 % of 200 draws with the orientations in random order.")


def _profile_words() -> str:
    rows, none = profile("trained"), profile("shuffled")
    like, opposite = rows[0], rows[-1]
    largest = max(abs(row["mean"]) for row in none)
    return (
        "If weights turn with the units, only the **difference** of two orientations matters. So "
        "we may put all pairs of the same difference together.\n\n"
        f"**Trained**: up to 30° apart, {100 * like['positive']:.0f} % of {like['pairs']} pairs "
        f"excite, on average by {like['mean']:+.2f}. Beyond 150°, "
        f"{100 * (1 - opposite['positive']):.0f} % of {opposite['pairs']} pairs inhibit, by "
        f"{opposite['mean']:+.2f}. Both lie outside of what random order gives, the grey bar.\n\n"
        "That is the circuit of the fourth lesson, for the whole family at once. Five numbers say "
        "what hundreds of kernels do, and here the pattern is clear. With shuffled weights next to "
        f"nothing of it is left: no mean is beyond {largest:.2f}."
    )


def _question() -> Question:
    return Number(
        "In an equivariant family the curve of 40° reads the curve of 25° through some kernel. "
        "You turn the kernel by 90° clockwise. It now leads from the curve of 115° to which "
        "curve, in degrees?",
        answer=130,
        tolerance=0.5,
        why="40° + 90° = 130°: both ends turn with the kernel, and their difference stays 15°.",
        low="Both ends turn by 90°. The source went from 25° to 115°; where does the target go?",
        high="The difference between the two ends stays the same: 40° - 25°.",
        least=0,
        most=355,
        step=5,
        period=360,
    )


TURNING = Lesson(
    key="turning",
    title="Turn the family, turn the weights",
    goal="Recognise a symmetry in weights, and measure how well it holds.",
    steps=(
        Step("Turn one kernel", _turn_words, _turn),
        Step("Turn them all", _family_words, _family),
        Step("Only the difference counts", _profile_words, _profile),
        Step("Question", lambda: "Turn the kernels once more.", _turn),
    ),
    question=_question,
    references=(
        Reference(
            "Olah, Cammarata, Voss, Schubert, Goh 2020, Naturally Occurring Equivariance in Neural "
            "Networks, Distill",
            "Equivariant Features; Equivariant Circuits",
            "https://distill.pub/2020/circuits/equivariance",
        ),
    ),
)
