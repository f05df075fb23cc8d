"""Equivariance: turn the family, turn the weights.

Kernels come from circuits.expand, scores from circuits.families, live.
"""

from dataclasses import dataclass

import streamlit as st
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from app.lessons.charts import bar_chart, pictures
from app.lessons.controls import choose, slide, slide_over
from app.lessons.lesson import Lesson, Number, Question, Reference, Step
from app.networks import held, network
from circuits import (
    AngleProfile,
    EquivarianceScore,
    Thresholds,
    angle_profile,
    equivariance_score,
    expand,
    measure_tuning,
    rotation,
    shuffled,
    tuned_curves,
)
from circuits.artificial.model import orientations_deg
from circuits.families.symmetry import rotated
from circuits.pictures.kernels import kernel_picture

_SPACING_DEG = 15
_CURVES = Thresholds(peak_frac=0.25, selectivity=0.6, echo=0.3)
_NETWORKS = ("wired by hand", "trained", "shuffled")
_PAIRS = {"alike": 0, "60° apart": 60, "opposite": 180}
_TOLERANCE_DEG = 20.0
_PICTURE_PX = 300


@dataclass(frozen=True)
class Wiring:
    """Kernels between two families of curves.

    Attributes:
        kernel: [target, source, y, x].
        target_deg: Orientation of each target.
        source_deg: Orientation of each source.
    """

    kernel: Float[Tensor, "o i kh kw"]
    target_deg: tuple[float, ...]
    source_deg: tuple[float, ...]


def wire_by_hand() -> Wiring:
    """Return the kernels from the early curves to the arcs of the hand-built network."""
    weights = expand(network("artificial_curves"), "early_curves", "arcs")
    return Wiring(weights.kernel, orientations_deg("arcs"), orientations_deg("early_curves"))


def wire_trained(*, in_disorder: bool = False) -> Wiring:
    """Return the kernels between the curve detectors of fire4 and fire5 of SqueezeNet.

    These are the units that pass thresholds on their tuning; 0 degrees and so on as measured.

    Args:
        in_disorder: Whether the same units are read from the network with each unit's weights in
            another order.
    """
    model = network("squeezenet1_1")
    sources, targets = (
        tuned_curves(measure_tuning(model, site, stimulus="curve"), thresholds=_CURVES)
        for site in ("fire4", "fire5")
    )
    read = shuffled(model, seed=0) if in_disorder else model
    weights = expand(read, "fire4", "fire5", units=[curve.channel for curve in targets])
    return Wiring(
        weights.kernel[:, [curve.channel for curve in sources]],
        tuple(curve.mean_deg for curve in targets),
        tuple(curve.mean_deg for curve in sources),
    )


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


@st.cache_data(max_entries=3, show_spinner="Reading the weights ...")
def wiring(name: str) -> Wiring:
    """Return the kernels of one of the networks of this lesson, read once."""
    if name == "wired by hand":
        with held("artificial_curves"):
            return wire_by_hand()
    with held("squeezenet1_1"):
        return wire_trained(in_disorder=name == "shuffled")


@st.cache_data(max_entries=16, show_spinner=False)
def score(name: str, turn_deg: int) -> EquivarianceScore:
    """Return how well the kernels of a network keep a turn, with its controls."""
    found = wiring(name)
    return equivariance_score(
        found.kernel,
        found.target_deg,
        found.source_deg,
        symmetry=rotation(turn_deg),
        tolerance_deg=None if name == "wired by hand" else _TOLERANCE_DEG,
    )


@st.cache_data(max_entries=4, show_spinner=False)
def profile(name: str) -> AngleProfile:
    """Return the mean weight of a network by difference of orientation."""
    found = wiring(name)
    return angle_profile(found.kernel.sum((2, 3)), found.target_deg, found.source_deg)


def _picture(kernel: Tensor, scale: float) -> Image.Image:
    return kernel_picture(kernel, scale=scale, side_px=_PICTURE_PX)


def _turn() -> None:
    pair = choose("pair", "The two curves are", list(_PAIRS))
    turn = slide("turn", "Turn, degrees clockwise", 0, 345, default=0, step=_SPACING_DEG)
    turn -= turn % _SPACING_DEG
    found = wiring("wired by hand")
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
    found = wiring("wired by hand")
    quarter = turned_kernels(found, 0, 0, 90)[3]
    odd = score("wired by hand", 15).score
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
    turn = slide_over("turn", "Turn, degrees clockwise", [45, 90, 135, 180], default=90)
    found = score(name, turn)
    rows = [
        {"name": "turned with the units", "value": found.score},
        {"name": "not turned", "value": found.unrotated},
        {"name": "units in random order, best of 20", "value": max(found.shuffled_channels)},
    ]
    if found.wrong_direction is not None:
        rows.insert(1, {"name": "turned the other way", "value": found.wrong_direction})
    said = ", ".join(f"{row['name']} {row['value']:.2f}" for row in rows)
    bar_chart(rows, x="", y="mean correlation", text=f"{name}: {said}", flat=True, ends=(-0.3, 1))
    st.caption(f"{found.pairs:,} pairs of kernels compared")


def _family_words() -> str:
    built, real, none = (score(name, 90) for name in _NETWORKS)
    found = wiring("trained")
    return (
        "One pair may agree by luck. So turn all kernels of two families at once, and take the "
        "mean correlation, beside three ways to do it wrong.\n\n"
        f"**Wired by hand**, by 90°: {built.score:.2f}; wrong ways reach "
        f"{max(built.wrong_direction or 0, built.unrotated):.2f}. **Trained**: "
        f"{len(found.source_deg)} curve detectors of fire4 and {len(found.target_deg)} of fire5, "
        f"{real.score:.2f}; in random order at most {max(real.shuffled_channels):.2f}. "
        f"**Shuffled** weights: {none.score:.2f}.\n\n"
        "So training found the symmetry, but only roughly: its kernels have 3x3 cells, and the "
        "family has gaps. Do not expect a law of nature. Compare with the controls."
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
        for row in profile(name).rows()
        if row["pairs"]
    ]
    said = ", ".join(f"{row['name']} {row['value']:.2f}" for row in rows)
    # One scale for the trained network and its shuffled twin, so that they can be compared.
    scale = profile("trained" if name == "shuffled" else name)
    reach = 1.1 * max(abs(row["mean"]) for row in scale.rows() if row["pairs"])
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
    rows = profile("trained").rows()
    like, opposite = rows[0], rows[-1]
    return (
        "If weights turn with the units, only the **difference** of two orientations matters. So "
        "we may put all pairs of the same difference together.\n\n"
        f"**Trained**: up to 30° apart, {100 * like['positive']:.0f} % of {like['pairs']} pairs "
        f"excite, on average by {like['mean']:+.2f}. Beyond 150°, "
        f"{100 * (1 - opposite['positive']):.0f} % of {opposite['pairs']} pairs inhibit, by "
        f"{opposite['mean']:+.2f}. Both lie outside of what random order gives, the grey bar.\n\n"
        "That is the circuit of the fourth lesson, for the whole family at once. Five numbers say "
        "what hundreds of kernels do. With shuffled weights nothing of it is left."
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
            "on equivariant features and circuits",
            "https://distill.pub/2020/circuits/equivariance",
        ),
    ),
)
