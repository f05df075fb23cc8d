"""Neuron, channel, direction, diversity: what a picture can be a picture of.

Pictures were rendered before (make_assets.py); which classes read a unit is read from the weights.
"""

import streamlit as st

from app.lessons.charts import bar_chart, pictures
from app.lessons.controls import choose, slide_over
from app.lessons.lesson import Choice, Lesson, Option, Question, Reference, Step
from app.lessons.shelf import numbers, read_strip
from app.networks import held
from circuits import raw_weights
from featviz.errors import ModelError
from featviz.models import Model

MODEL = "squeezenet1_1"
SETS = ("fire9:468", "fire9:441")
_OBJECTIVES = ("neuron", "channel", "negative")


def list_votes(model: Model, unit: str, *, count: int = 8) -> list[tuple[str, float]]:
    """Return the classes into which a unit of the last site votes most, and its weights there.

    Args:
        model: A network whose classes are read from its last site by one layer, as in SqueezeNet.
        unit: `SITE:CHANNEL`.
        count: How many.

    Raises:
        ModelError: If the network does not name its classes.
    """
    if model.spec.labels is None:
        raise ModelError(f"{model.name!r} does not name its classes, so votes cannot be told")
    site, _, channel = unit.rpartition(":")
    weights = raw_weights(model, site, "conv10").kernel[:, int(channel), 0, 0]
    best = weights.topk(count)
    labels = model.spec.labels()
    return [
        (labels[k], value)
        for k, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


@st.cache_data(max_entries=16, show_spinner=False)
def _votes(unit: str) -> list[tuple[str, float]]:
    with held(MODEL) as model:
        return list_votes(model, unit)


def _objective() -> None:
    found = numbers("objectives")
    kind = choose("objective", "What is maximised", _OBJECTIVES, default="channel")
    at = _OBJECTIVES.index(kind)
    picture, numbers_of = st.columns([3, 2], vertical_alignment="center")
    with picture:
        pictures(
            [read_strip("objectives")[at]],
            [f"`{found['labels'][at]}`"],
            [f"picture that maximises the {kind} {found['labels'][at]}"],
        )
    numbers_of.metric("mean of the map", f"{found['mean'][at]:,.0f}")
    numbers_of.metric("its largest place", f"{found['largest'][at]:,.0f}")


def _objective_words() -> str:
    found = numbers("objectives")
    return (
        "A channel answers at every place of the picture: it is a map of numbers.\n\n"
        "**Channel** maximises the mean of the map, and the motif fills the picture "
        f"(mean {found['mean'][1]:,.0f}). **Neuron** maximises one place, in the middle: the motif "
        f"appears once, as large as that place can see (mean {found['mean'][0]:,.0f}, but "
        f"{found['largest'][0]:,.0f} at its strongest place). **Negative** looks for the opposite: "
        "what silences the channel most, before negative numbers are cut off.\n\n"
        "All three are honest pictures of one channel. They answer different questions. Choose "
        "each and look at the two numbers."
    )


def _direction() -> None:
    found = numbers("mixed")
    percents = [round(100 * share) for share in found["shares"]]
    first, second = found["units"]
    percent = slide_over("share", f"Share of {second}, percent", percents, default=50)
    at = percents.index(percent)
    picture, chart = st.columns(2, vertical_alignment="center")
    with picture:
        pictures(
            [read_strip("mixed")[at]],
            [f"{100 - percent} % `{first}`, {percent} % `{second}`"],
            [f"picture of a direction: {100 - percent} % {first} and {percent} % {second}"],
        )
    with chart:
        values = found["responses"][at]
        rows = [{"name": u, "value": v} for u, v in zip(found["units"], values, strict=True)]
        said = f"{first} answers {values[0]:.0f}, {second} {values[1]:.0f}"
        bar_chart(rows, x="", y="mean activation", text=said)


def _direction_words() -> str:
    found = numbers("mixed")
    first, second = found["units"]
    middle = found["responses"][len(found["responses"]) // 2]
    ends = found["responses"][0][0], found["responses"][-1][1]
    return (
        "A layer with many channels is a space with as many axes. A unit is one axis; between two "
        "axes lies every mixture, and each can be made visible: we maximise a **direction**.\n\n"
        f"At the ends are `{first}` (arches and pipes) and `{second}` (fluffy dogs). Is the one "
        "halfway one thing, or two things side by side?\n\n"
        "Side by side: two dogs, and a pipe between them. And halves in the objective are no "
        f"halves in the answers: `{first}` gives {middle[0]:,.0f} of the {ends[0]:,.0f} that it "
        f"gives alone, `{second}` {middle[1]:,.0f} of {ends[1]:,.0f}.\n\n"
        "Nothing says that the network's own features lie along the axes. In one study random "
        "directions meant as much as units (Szegedy et al. 2014), in another they meant something "
        "less often (Bau et al. 2017)."
    )


def _diverse() -> None:
    unit = choose("unit", "Unit", SETS)
    found = numbers("sets")[unit]
    captions = [
        "never fired" if dead else f"{score:,.0f}"
        for score, dead in zip(found["score"], found["dead"], strict=True)
    ]
    row = read_strip(f"set-{unit.replace(':', '-')}")
    pictures(row, captions, [f"{unit}, picture {k + 1} of {len(row)}" for k in range(len(row))])
    votes = _votes(unit)
    rows = [{"name": name, "value": weight} for name, weight in votes]
    said = f"{unit} votes most for {', '.join(name for name, _ in votes)}"
    bar_chart(rows, x="", y="weight into the class", text=said, flat=True)


def _diverse_words() -> str:
    one, many = (", ".join(name for name, _ in _votes(unit)[:4]) for unit in SETS)
    seventh = _votes(SETS[0])[6][0]
    return (
        "One picture shows one way to excite a unit. Here four pictures of the same unit were "
        "pushed apart while they climbed: **diversity**. (A picture that never fired is a climb "
        "that failed, not a meaning.)\n\n"
        "Below are the classes that read the unit most. That tells what uses it, not what excites "
        f"it. `{SETS[0]}` votes for {one}: almost one idea, but the seventh is {seventh}. "
        f"`{SETS[1]}` votes for {many}. Some share a look, boxes or cloth around a face; one word "
        "for all is hard to find.\n\n"
        "A unit that serves several unrelated things is called **polysemantic**. One explanation: "
        "there are more things to tell apart than channels, so features share them. One picture "
        "would have hidden that."
    )


def _question() -> Question:
    names = [name for name, _ in _votes(SETS[1])]
    return Choice(
        f"`{SETS[1]}` votes for {names[0]}, {names[1]} and {names[2]} alike. You may make only "
        "one more picture to see whether it looks for one thing or several. Which?",
        (
            Option(
                "The same channel with twice the steps",
                "More steps climb further up the same hill. The question is whether there are "
                "other hills.",
            ),
            Option(
                "Its middle neuron",
                "That shows the motif once instead of many times. It would still be one motif.",
            ),
            Option(
                "Its negative",
                "That shows what silences the unit, not what else excites it.",
            ),
            Option("Several pictures at once that are pushed apart: a diverse set"),
        ),
        "A diverse set looks for different pictures that all excite the unit. If they share no "
        "idea, one label for the unit would be wrong.",
    )


UNITS = Lesson(
    key="units",
    title="Neuron, channel, direction",
    goal="Choose what a picture is to be a picture of, and recognise a unit that means several "
    "things.",
    steps=(
        Step("Neuron, channel, negative", _objective_words, _objective),
        Step("Between two units", _direction_words, _direction),
        Step("One unit, several things", _diverse_words, _diverse),
        Step("Question", lambda: "The figure is that of the last step.", _diverse),
    ),
    question=_question,
    references=(
        Reference(
            "Olah, Mordvintsev, Schubert 2017, Feature Visualization, Distill",
            "Optimization Objectives; Diversity; Interaction between Neurons",
            "https://distill.pub/2017/feature-visualization",
        ),
        Reference(
            "Olah, Cammarata, Schubert, Goh, Petrov, Carter 2020, Zoom In, Distill",
            "Polysemantic Neurons",
            "https://distill.pub/2020/circuits/zoom-in",
        ),
    ),
)
