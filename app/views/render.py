"""Render: any unit, sum, direction or way between two units, made while one looks on.

A link names `model` and `unit` as on other pages; what is changed in the form then stands in the
parameters `net` and `of`, because leaving a page takes from the URL what its boxes are bound to.
"""

import streamlit as st

from app.components.menu import lead_menu
from app.job import Job
from app.job_stage import job_stage, other_jobs
from app.keeping import choose_atlas
from app.library import LIBRARY
from app.links import forget, read_choice, read_number, read_text, told_plainly
from app.networks import held, list_here, network, sites_of, table_of
from app.plain import as_text
from app.rendering import inherit, owner, queue
from app.wishes import (
    GOALS,
    KINDS,
    MOST_IMAGES,
    MOST_STEPS,
    SIDES_PX,
    Wish,
    check_parts,
    command_text,
    make_task,
    python_text,
    wish_to_text,
)
from featviz.config import LARGEST_SEED, RenderConfig
from featviz.errors import FeatvizError
from featviz.models import Model
from featviz.params import PARAMETERISATIONS
from featviz.transforms import PRESETS

_STEPS, _SIDE_PX = 128, 128
_MOST_SEED = min(LARGEST_SEED, 2**53 - 1)  # JavaScript knows no larger whole number exactly
_FIRST_MODEL = "squeezenet1_1"
_LONG = 300


def _check_link(here: list[str]) -> str:
    """Check what the URL says; return the model."""
    model = read_choice("model", here, _FIRST_MODEL if _FIRST_MODEL in here else here[0])
    read_choice("net", here, model)
    read_choice("kind", KINDS, "unit")
    read_choice("goal", GOALS, "channel")
    for name in ("unit", "of", "text", "weights", "first", "last", "param", "transforms"):
        read_text(name)
    read_number("steps", 1, MOST_STEPS, _STEPS)
    read_number("px", *SIDES_PX, _SIDE_PX)
    read_number("seed", 0, _MOST_SEED, 0)
    read_number("images", 1, MOST_IMAGES, 1)
    return model


def _choose_wish(sites: list[str]) -> Wish:
    """Show what can be maximised."""
    kind = st.pills(
        "What to maximise",
        KINDS,
        default="unit",
        key="kind",
        bind="query-params",
        help="A unit, a sum of several, a direction in a site, or a path from one unit to another.",
    )
    middle = read_text("site") or sites[len(sites) // 2]
    if kind == "sum":
        text = _text(
            "Units and numbers with + - * /",
            "text",
            f"{middle}:0 + {middle}:1",
            "Such as fire4:5 - 0.5*fire4:9, fire4:17@7,9 for one position (y, x), "
            "class_logit(207), deepdream(fire4), group(fire4, [5:1, 9:-0.5]).",
        )
        return Wish("sum", text=text)
    if kind == "direction":
        return _choose_direction(sites, middle)
    if kind == "path":
        first = _text("From", "first", f"{middle}:0", "The unit that the first image is of.")
        last = _text("To", "last", f"{middle}:1", "The unit of the last image, of the same site.")
        return Wish("path", first=first, last=last)
    unit = _text(
        "Unit",
        "of",
        read_text("unit") or f"{middle}:0",
        "SITE:CHANNEL, such as fire4:141; fire4:141@7,9 is one position (y, x); "
        "fire4:0-3 are four units.",
    )
    goal = st.pills(
        "Goal",
        GOALS,
        default="channel",
        key="goal",
        bind="query-params",
        help="All of the unit's map, one position of it (the middle, or that after the @), or as "
        "little as possible.",
    )
    st.caption(f"Sites: {as_text(', '.join(sites[:24]))}{' ...' if len(sites) > 24 else ''}")
    return Wish("unit", unit=unit, goal=goal or "channel")


def _choose_direction(sites: list[str], middle: str) -> Wish:
    """Show what a direction consists of."""
    read_choice("site", sites, middle)  # `in` may still be of the network before: it counts as none
    site = st.selectbox("Site", sites, sites.index(middle), key="in", bind="query-params")
    weights = _text("Weights", "weights", "0:1, 1:1", "CHANNEL:WEIGHT; all others have 0.")
    power = st.slider(
        "Power of the cosine",
        0.0,
        4.0,
        0.0,
        0.5,
        key="power",
        bind="query-params",
        help="How much it counts that the activation points that way, and not only how far.",
    )
    return Wish("direction", site=site, weights=weights, power=power)


def _text(label: str, key: str, default: str, help_text: str) -> str:
    return st.text_input(
        label, default, max_chars=_LONG, key=key, bind="query-params", help=help_text
    )


def _choose_settings(wish: Wish) -> RenderConfig:
    """Show how it can be rendered."""
    left, right = st.columns(2)
    param = left.selectbox(
        "Image as",
        list(PARAMETERISATIONS),
        key="param",
        bind="query-params",
        help="What is optimised: coefficients of waves, pixels, a small network ...",
    )
    transforms = right.selectbox(
        "Transforms",
        ["lucid", *(name for name in PRESETS if name != "lucid")],
        key="transforms",
        bind="query-params",
        accept_new_options=True,
        help="Small random moves that keep the image from being noise. A preset, or a list such "
        "as jitter:8,rotate:-10..10.",
    )
    steps = _number(left, "Steps", "steps", 1, MOST_STEPS, _STEPS)
    size = _number(right, "Side, px", "px", *SIDES_PX, _SIDE_PX)
    seed = _number(left, "Seed", "seed", 0, _MOST_SEED, 0)
    # On the way between two units each image is a mixture, so one alone shows nothing.
    least, usual = (2, 4) if wish.kind == "path" else (1, 1)
    key = "images" if wish.kind != "path" else "ways"
    images = _number(right, "Images", key, least, MOST_IMAGES, usual)
    diversity = 0.0
    if images > 1 and wish.kind != "path":
        diversity = st.slider(
            "Diversity",
            0.0,
            2.0,
            0.0,
            0.1,
            key="diversity",
            bind="query-params",
            help="Share of the score for being unlike the other images.",
        )
    check_parts(param or "", transforms or "")
    return RenderConfig(
        steps=steps,
        size=size,
        seed=seed,
        images=images,
        diversity=diversity,
        param=param or "fourier",
        transforms=transforms or "lucid",
    )


def _number(
    column: "st.delta_generator.DeltaGenerator",
    label: str,
    key: str,
    least: int,
    most: int,
    default: int,
) -> int:
    return int(column.number_input(label, least, most, default, key=key, bind="query-params"))


def _start(model: Model, text: str, config: RenderConfig, place: str) -> None:
    """Put the render into the queue.

    Raises:
        FeatvizError: If something is wrong with it.
    """
    with held(model.name):
        task = make_task(model, text, config)
    job = queue().submit(owner(), task, title=text[:80], keep_in=choose_atlas(place))
    st.session_state["job"] = job.id


def _stage(job: Job | None) -> None:
    """Show the job that is looked at."""
    if job is None:
        st.info(
            "Nothing is rendered yet. Choose a unit and press **Render**: the image, its score and "
            "its spectrum appear here while they come about.",
            icon=":material/auto_awesome:",
        )
        return
    job_stage(job, key="live")


def _show_texts(model: Model, text: str, config: RenderConfig) -> None:
    """Show what renders the same elsewhere."""
    command = command_text(model, text, config)
    if command:
        with st.popover("Copy command", icon=":material/terminal:", width="stretch"):
            st.code(command, language="bash", wrap_lines=True)
    with st.popover("Copy Python", icon=":material/code:", width="stretch"):
        st.code(python_text(model, text, config), language="python", wrap_lines=True)


def _control(here: list[str], chosen: str, place: str) -> str:
    """Show the form, and start what it asks for; return what is wrong with it."""
    name = st.selectbox(
        "Network", here, here.index(chosen), key="net", bind="query-params",
        on_change=forget, args=("site", "unit"),
    )  # fmt: skip
    model = network(name or chosen)
    if st.session_state.get("warmed") != model.name:
        st.session_state["warmed"] = model.name
        queue().warm(model.name)
    try:
        wish = _choose_wish([site.name for site in sites_of(model.name)])
        config = _choose_settings(wish)
        text = wish_to_text(wish, table_of(model.name))
        pressed = st.button("Render", type="primary", icon=":material/play_arrow:", width="stretch")
        _show_texts(model, text, config)
        if pressed:
            _start(model, text, config, place)
    except FeatvizError as error:
        return str(error)
    return ""


with told_plainly():
    lead_menu()
    here = list_here()
    chosen = _check_link(here)
    place = read_choice("atlas", list(LIBRARY.roots), LIBRARY.first) if LIBRARY.roots else ""
    st.header("Render", anchor=False)
    controls, stage = st.columns([1, 2], gap="large")
    with controls:
        problem = _control(here, chosen, place)
    with stage:
        if problem:
            st.error(as_text(problem), icon=":material/error:")
        inherit()
        mine = queue().of(owner())
        current = queue().find(owner(), st.session_state.get("job", ""))
        current = current or (mine[-1] if mine else None)
        if current is not None or not problem:
            _stage(current)
        other_jobs([job for job in mine if job is not current])
