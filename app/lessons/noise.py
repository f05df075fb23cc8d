"""From noise to feature: pixels against decorrelated Fourier, with and without transforms.

The pictures were rendered before (make_assets.py); all numbers are theirs, as stored.
"""

import streamlit as st

from app.lessons.charts import bar_chart, pictures
from app.lessons.controls import choose, slide_over
from app.lessons.lesson import Choice, Lesson, Option, Question, Reference, Step
from app.lessons.shelf import numbers, read_strip

WAYS = {
    "pixels-still": "pixels, held still",
    "pixels-moved": "pixels, moved",
    "fourier-still": "Fourier, held still",
    "fourier-moved": "Fourier, moved",
}
_MEASURES = {"score": "score", "fine detail": "high", "left after new moves": "robust_ratio"}


def measure(name: str) -> dict[str, float]:
    """Return one number for the finished picture of each way.

    Args:
        name: `score`: the mean activation of the unit; `fine detail`: the share of the spectrum's
            power above a quarter of a cycle a pixel, in percent; `left after new moves`: the
            score after moves and blurs that no render trains with, in percent of the score.
    """
    found = numbers("noise")
    key = _MEASURES[name]
    last = {way: found[way][key] for way in WAYS}
    plain = {way: each[-1] if isinstance(each, list) else each for way, each in last.items()}
    return plain if name == "score" else {way: 100 * each for way, each in plain.items()}


def _climb() -> None:
    found = numbers("noise")
    steps = [int(step) for step in found["steps"]]
    after = slide_over("steps", "Steps of the climb", steps, default=steps[0])
    at = steps.index(after)
    shown = [read_strip(f"noise-{way}")[at] for way in WAYS]
    captions = [f"**{words}** · {found[way]['score'][at]:,.0f}" for way, words in WAYS.items()]
    texts = [f"{found['unit']} as {words}, after {after} steps" for words in WAYS.values()]
    # Not as wide as the page: both rows are to be seen at once on a projector.
    _, middle, _ = st.columns([1, 6, 1])
    with middle:
        for first in (0, 2):
            pair = slice(first, first + 2)
            pictures(shown[pair], captions[pair], texts[pair])


def _climb_words() -> str:
    return (
        f"All four pictures began as faint noise. Each step changed them a little, so that one "
        f"channel of a network, `{numbers('noise')['unit']}`, fires more. The number is its mean "
        "activation.\n\n"
        "**Pixels**: each pixel changes on its own. **Fourier**: what changes are waves, long and "
        "short ones alike, in colours that vary independently in photographs.\n\n"
        "**Moved**: before each step the picture is shifted, turned and scaled a little, at "
        "random. Only what survives this can grow.\n\n"
        "Move the slider. Where do you first see something?"
    )


def _measures() -> None:
    name = choose("measure", "What to measure", list(_MEASURES))
    unit = "mean activation" if name == "score" else "percent"
    found = measure(name)
    rows = [{"name": WAYS[way], "value": value} for way, value in found.items()]
    said = ", ".join(f"{WAYS[way]} {value:.3g}" for way, value in found.items())
    bar_chart(rows, x="", y=unit, text=f"{name}: {said}", flat=True)
    finished = [read_strip(f"noise-{way}")[-1] for way in WAYS]
    pictures(
        finished,
        [f"{found[way]:,.3g}" if name != "score" else f"{found[way]:,.0f}" for way in WAYS],
        [f"finished picture: {words}" for words in WAYS.values()],
    )


def _measures_words() -> str:
    score, fine, left = measure("score"), measure("fine detail"), measure("left after new moves")
    return (
        f"Free pixels that are held still win: {score['pixels-still']:,.0f} against "
        f"{score['fourier-moved']:,.0f}. But after new shifts, turns and blurs "
        f"{left['pixels-still']:.0f} % of that is left.\n\n"
        "Two things differ between the four. **Moves** decide what is left: "
        f"{left['pixels-still']:.0f} % without and {left['pixels-moved']:.0f} % with them for "
        f"pixels, {left['fourier-still']:.0f} and {left['fourier-moved']:.0f} % for Fourier. (The "
        "new moves are of the kind that moved pictures trained with, only wider, and blurred; that "
        "favours them.)\n\n"
        "**Fourier** changes less there, but about halves the fine detail, as moves do: "
        f"{fine['pixels-still']:.0f} % becomes {fine['fourier-still']:.0f} %; with moves, "
        f"{fine['pixels-moved']:.0f} becomes {fine['fourier-moved']:.0f} %.\n\n"
        "So a picture is not better because its score is higher. Compare the three measures."
    )


def _question() -> Question:
    score = measure("score")
    return Choice(
        "Free pixels, held still, score highest. Why is Fourier with moves still the better "
        "picture of what the unit looks for?",
        (
            Option(
                "It scores higher once it is finished",
                f"Look at the numbers at step 256: {score['fourier-moved']:,.0f} is less than "
                f"{score['pixels-still']:,.0f}.",
            ),
            Option("What it shows still excites the unit when it is shifted, turned and blurred"),
            Option(
                "It was smoothed when it was finished",
                "Nothing is done to a finished picture. Which change during the climb could keep "
                "fine noise from growing?",
            ),
            Option(
                "It took more steps",
                "All four took the same steps; the slider moves them together.",
            ),
        ),
        "What the unit looks for does not vanish when an object moves by a pixel. Noise that only "
        "fits one exact place does.",
    )


NOISE = Lesson(
    key="noise",
    title="From noise to feature",
    goal="Say what makes a picture of a unit readable, and why the highest score is not the "
    "best picture.",
    steps=(
        Step("Climb four ways", _climb_words, _climb),
        Step("Measure what came out", _measures_words, _measures),
        Step("Question", lambda: "Move the slider once more before you answer.", _climb),
    ),
    question=_question,
    references=(
        Reference(
            "Olah, Mordvintsev, Schubert 2017, Feature Visualization, Distill",
            "The Enemy of Feature Visualization; Preconditioning and Parameterization",
            "https://distill.pub/2017/feature-visualization",
        ),
    ),
)
