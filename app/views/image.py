"""Your image: what a network sees in a photograph, why, and what a unit would see more of in it.

A link names `model`, `site` and `unit` as on other pages; what is changed in the boxes then stands
in `net` and `in`, because leaving a page takes from the URL what its boxes are bound to.
"""

import re

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from app.components.grid import grid
from app.components.menu import lead_menu
from app.components.photo import Places, photo
from app.components.ways import Way, ways
from app.job_stage import job_stage
from app.links import address, forget, read_choice, read_text, told_plainly
from app.looking import (
    METHODS,
    ORDERS,
    ClassScore,
    data_url,
    earlier_sites,
    explain,
    grid_px,
    heat_map,
    site_maps,
    top_classes,
    top_units,
)
from app.networks import held, list_here, network, sites_of
from app.panels.photograph import take_photograph
from app.photo_units import page_query, unit_tiles
from app.plain import as_text
from app.rendering import owner, queue
from app.uploads import fit
from app.wishes import accentuate_text, make_task
from featviz.config import RenderConfig
from featviz.errors import FeatvizError, RecordError, UnitError
from featviz.images import png_bytes
from featviz.models import Model
from featviz.sites import OUTPUT, Site
from featviz.units import parse_units

_UNITS = 24
_REASONS = 12
_CLASSES = 5
_DEFAULT_MODEL = "squeezenet1_1"


def _read_at(rows: int, columns: int) -> tuple[int, int] | None:
    """Return the position that the URL names; None for none, or one that another site had."""
    text = read_text("at")
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,5}),(\d{1,5})", text)
    if match is None:
        raise RecordError(f"the link has at={text!r}; a position is Y,X, such as 7,9")
    at = (int(match[1]), int(match[2]))
    return at if at[0] < rows and at[1] < columns else None


@st.cache_data(max_entries=12, show_spinner=False)
def _maps(name: str, site: str, picture: bytes, size: tuple[int, int]) -> NDArray[np.float32]:
    with held(name) as model:
        return site_maps(model, site, fit(picture, size, channels=model.spec.channels))


@st.cache_data(max_entries=12, show_spinner=False)
def _classes(name: str, picture: bytes, size: tuple[int, int]) -> list[ClassScore]:
    with held(name) as model:
        return top_classes(model, fit(picture, size, channels=model.spec.channels), _CLASSES)


@st.cache_data(max_entries=24, show_spinner="Asks the network ...")
def _reasons(
    name: str,
    picture: bytes,
    size: tuple[int, int],
    source: str,
    target: str,
    channel: int,
    method: str,
) -> tuple[list[tuple[int, float]], float, float]:
    """Return the units that gave most, the value explained, and what did not come from them."""
    with held(name) as model:
        seen = fit(picture, size, channels=model.spec.channels)
        found = explain(model, source, target, channel, seen, method)
    return found.top(_REASONS), found.value.item(), found.rest.item()


def _choose_unit(site: Site, strongest: int) -> int:
    """Return the channel that the URL names; of another site, the strongest one."""
    text = read_text("unit")
    if not text:
        return strongest
    units = parse_units(text)
    if units.site != site.name:
        return strongest
    found = units.expand(site.channels)
    if len(found) != 1:
        raise UnitError(f"the link has unit={text!r}, which is not one unit")
    return found[0].channel


def _show_classes(classes: list[ClassScore]) -> None:
    if not classes:
        return
    st.subheader("What the network says it is", anchor=False)
    for found in classes:
        words, bar = st.columns([3, 2], vertical_alignment="center")
        words.text(f"{found.name or found.index}")
        bar.progress(found.share, text=f"{found.share:.1%}, logit {found.logit:.4g}")


def _show_reasons(
    model: Model, sites: list[Site], site: Site, channel: int, picture: bytes, side: tuple[int, int]
) -> None:
    """Show which units of an earlier site made a unit or a class fire."""
    st.subheader("Why", anchor=False)
    unit = f"{site.name}:{channel}"
    targets = {unit: unit}
    if any(each.name == OUTPUT for each in sites):
        for found in _classes(model.name, picture, side):
            targets[f"{OUTPUT}:{found.index}"] = f"class {found.name or found.index}"
    columns = st.columns(3)
    target = columns[0].selectbox(
        "Explain",
        list(targets),
        format_func=targets.__getitem__,
        key="explain",
        bind="query-params",
    )
    name, _, number = (target or unit).rpartition(":")
    before = earlier_sites(sites, name)
    if not before:
        st.info(f"{as_text(name)} is the first site: nothing comes before it but the image.")
        return
    source = columns[1].selectbox("By units of", before, key="source", bind="query-params")
    method = columns[2].selectbox(
        "Method",
        METHODS,
        key="method",
        bind="query-params",
        help="Gradient times activation, which is fast, or integrated gradients, whose parts add "
        "up.",
    )
    try:
        reasons, value, rest = _reasons(
            model.name, picture, side, source or before[0], name, int(number), method or "gradient"
        )
    except FeatvizError as error:
        st.warning(as_text(str(error)), icon=":material/error:")
        return
    st.caption(
        f"{as_text(targets[target or unit])} is {value:.4g} where it fires most, of which "
        f"{rest:.4g} does not come from {as_text(source or before[0])}. A unit's number is what it "
        "gave; minus means it held back."
    )
    where = next(each for each in sites if each.name == (source or before[0]))
    maps = _maps(model.name, where.name, picture, side)
    seen = fit(picture, side, channels=model.spec.channels)
    grid(unit_tiles(model.name, where, reasons, maps, seen), key="reasons", density="medium")


def _show_accentuation(model: Model, unit: str, picture: bytes, size: tuple[int, int]) -> None:
    """Bring out in the photograph what a unit sees in it."""
    st.subheader("More of it", anchor=False)
    st.caption(
        f"Changes the photograph a little, so that {as_text(unit)} fires more. The result stays "
        "with you: it is not kept in an atlas."
    )
    steps, keep, seed = st.columns(3)
    count = steps.number_input("Steps", 1, 512, 48, key="more_steps", bind="query-params")
    near = keep.number_input("Stay near", 0.0, 50.0, 2.0, 0.5, key="more_keep", bind="query-params")
    number = seed.number_input("Seed", 0, 2**31, 0, key="more_seed", bind="query-params")
    config = RenderConfig(steps=int(count), seed=int(number), size=size)
    if st.button("Accentuate", type="primary", icon=":material/auto_fix_high:"):
        try:
            with held(model.name):
                seen = png_bytes(fit(picture, size, channels=model.spec.channels))
                task = make_task(model, unit, config, photo=seen, keep=near)
            job = queue().submit(owner(), task, title=f"{unit} in your photograph")
            st.session_state["photo job"] = job.id
        except FeatvizError as error:
            st.error(as_text(str(error)), icon=":material/error:")
    job_now = queue().find(owner(), st.session_state.get("photo job", ""))
    if job_now is not None:
        job_stage(job_now, key="accentuated")
    command = accentuate_text(model, unit, config, near)
    if command:
        with st.popover("Copy command", icon=":material/terminal:"):
            st.code(command, language="bash", wrap_lines=True)


def _show_photo(
    model: Model, site: Site, channel: int, picture: bytes, at: tuple[int, int] | None
) -> None:
    """Show where a unit fires, and the classes."""
    side, unit = model.spec.size, f"{site.name}:{channel}"
    seen = fit(picture, side, channels=model.spec.channels)
    maps = _maps(model.name, site.name, picture, side)
    rows, columns = maps.shape[1:]
    (y0, dy), (x0, dx) = (
        grid_px(n, axis, px)
        for n, axis, px in zip((rows, columns), (site.field.y, site.field.x), side, strict=True)
    )
    local = rows * columns > 1
    photo(
        data_url(seen),
        data_url(heat_map(maps[channel], site, side)) if local else "",
        text=f"your photograph, and where {unit} fires in it",
        size=side,
        places=Places(rows, columns, (y0, x0), (dy, dx)),
        at=at,
        query=page_query(),
        key="photo",
    )
    value = maps[channel].max() if at is None else maps[channel][at]
    st.caption(
        f"**{as_text(unit)}** is {value:.4g} "
        f"{'at most' if at is None else f'at {at[0]},{at[1]}'}. The "
        f"network sees the middle of the photograph, {side[0]}x{side[1]} px."
    )
    if at is not None:
        whole = {name: value for name, value in page_query().items() if name != "at"}
        ways([Way("The whole photograph", address("image", whole))], key="whole", label="crop")
    _show_classes(_classes(model.name, picture, side))


def _show(model: Model, sites: list[Site], site: Site, picture: bytes) -> None:
    """Show everything about the photograph."""
    side = model.spec.size
    seen: Image.Image = fit(picture, side, channels=model.spec.channels)
    maps = _maps(model.name, site.name, picture, side)
    rows, columns = maps.shape[1:]
    at = _read_at(rows, columns)
    by = read_choice("by", ORDERS, "peak")
    units = top_units(maps, _UNITS, by="mean" if by == "mean" else "peak", at=at)
    channel = _choose_unit(site, units[0][0])
    unit = f"{site.name}:{channel}"
    left, right = st.columns([2, 3], gap="large")
    with left:
        _show_photo(model, site, channel, picture, at)
    with right:
        head, order = st.columns([3, 2], vertical_alignment="bottom")
        there = f" at {at[0]},{at[1]}" if at is not None else ""
        head.subheader(f"Units of {as_text(site.name)} that fire most{there}", anchor=False)
        order.selectbox(
            "By their",
            ORDERS,
            key="by",
            bind="query-params",
            disabled=at is not None,
            help="The largest, or the mean value of a unit's map.",
        )
        grid(
            unit_tiles(model.name, site, units, maps, seen),
            key="units",
            density="medium",
            current=unit,
        )
        _show_reasons(model, sites, site, channel, picture, side)
        _show_accentuation(model, unit, picture, side)


with told_plainly():
    lead_menu()
    here = list_here()
    usual = read_choice("model", here, _DEFAULT_MODEL if _DEFAULT_MODEL in here else here[0])
    read_choice("net", here, usual)
    st.header("Your image", anchor=False)
    upload, which, where_ = st.columns([3, 1, 1], vertical_alignment="bottom")
    with upload:
        taken = take_photograph()
    named = which.selectbox(
        "Network", here, here.index(usual), key="net", bind="query-params",
        on_change=forget, args=("site", "unit", "at"),
    )  # fmt: skip
    model = network(named or usual)
    sites = [each for each in sites_of(model.name) if each.channels > 0]
    names = [each.name for each in sites]
    begin = read_text("unit").rpartition(":")[0]
    first = begin if begin in names else names[len(names) // 2]
    first = read_choice("site", names, first)
    # `in` may still be of the network before, and then counts as none.
    chosen = where_.selectbox("Site", names, names.index(first), key="in", bind="query-params")
    if taken is None:
        st.info(
            "Give a photograph: a PNG, JPEG or WebP of yours. You will see which units fire where, "
            "why, and what the network says it is.",
            icon=":material/add_photo_alternate:",
        )
    else:
        _show(model, sites, next(each for each in sites if each.name == chosen), taken)
