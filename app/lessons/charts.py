"""Charts and rows of pictures of the lessons: large letters, colours for every eye and both themes.

Red raises and blue lowers, as in all pictures of weights; two lines differ in colour and in dashes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import streamlit as st
from PIL import Image

RED, BLUE = "#d6604d", "#4393c3"
_LINES = ("#3b9ac9", "#e69f00", "#9a9a9a")
_GREY = "#8a8a8a"
_DASHES = ([1, 0], [7, 4], [2, 3])
_LETTERS: dict[str, Any] = {"labelFontSize": 15, "titleFontSize": 16, "titleFontWeight": "normal"}
_HEIGHT_PX = 320
Rows = Sequence[Mapping[str, Any]]


def pictures(
    row: Sequence[Image.Image], captions: Sequence[str], texts: Sequence[str], *, columns: int = 0
) -> None:
    """Show pictures side by side, each with a caption below.

    Args:
        row: The pictures.
        captions: Below each, Markdown.
        texts: What each shows, for those who do not see it.
        columns: Places in a row; 0: as many as pictures.
    """
    places = st.columns(columns or len(row))
    for k, (picture, caption, text) in enumerate(zip(row, captions, texts, strict=True)):
        with places[k % len(places)]:
            st.image(picture, width="stretch", alt=text)
            st.markdown(caption, text_alignment="center")


def tuning_chart(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    text: str,
    marked_deg: float | None = None,
    level: float | None = None,
) -> None:
    """Show responses by orientation as lines.

    Args:
        curves: Name of a line -> orientations in degrees, and responses.
        text: What it shows, for those who do not see it.
        marked_deg: Orientation that is marked; None: none.
        level: Response at which a thin line is drawn, such as half the peak; None: none.
    """
    rows = [
        {"orientation": x, "response": y, "line": name}
        for name, (angles, values) in curves.items()
        for x, y in zip(angles, values, strict=True)
    ]
    names = list(curves)
    color = alt.Color(
        "line:N",
        sort=names,
        scale=alt.Scale(domain=names, range=list(_LINES[: len(names)])),
        legend=_legend() if len(names) > 1 else None,
    )
    dash = alt.StrokeDash(
        "line:N",
        sort=names,
        scale=alt.Scale(domain=names, range=_DASHES[: len(names)]),
        legend=None,
    )
    layers: list[Any] = [
        alt.Chart(_data(rows))
        .mark_line(strokeWidth=3.5)
        .encode(x=_degrees("orientation"), y=_axis("response:Q", "response"), color=color)
        .encode(strokeDash=dash, tooltip=["line:N", "orientation:Q", "response:Q"])
    ]
    if marked_deg is not None:
        layers.append(
            alt.Chart(_data([{"orientation": marked_deg}]))
            .mark_rule(strokeWidth=3, color=RED)
            .encode(x=_degrees("orientation"))
        )
    if level is not None:
        layers.append(
            alt.Chart(_data([{"response": level}]))
            .mark_rule(strokeWidth=1.5, strokeDash=[4, 4], color=_GREY)
            .encode(y="response:Q")
        )
    _show(alt.layer(*layers), text)


def bar_chart(
    rows: Rows,
    *,
    x: str,
    y: str,
    text: str,
    signed: bool = False,
    flat: bool = False,
    ends: tuple[float, float] | None = None,
    height_px: int = _HEIGHT_PX,
) -> None:
    """Show bars, and where rows have `low` and `high`, a grey band of what chance gives.

    Args:
        rows: One a bar: `name`, `value`, perhaps `low` and `high`.
        x: Title of the names.
        y: Title of the values.
        text: What it shows, for those who do not see it.
        signed: Whether bars above 0 are red and those below blue.
        flat: Whether bars lie, for long names.
        ends: Of the axis of values; None: as the values need.
        height_px: Of the chart.
    """
    names = alt.Axis(labelAngle=0, labelLimit=260, **_LETTERS)
    along: dict[str, Any] = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "title": x or None,
        "axis": names,
    }
    place = alt.Y(**along) if flat else alt.X(**along)
    size = _axis("value:Q", y, flat=flat, ends=ends)
    if signed:
        color: Any = alt.condition("datum.value < 0", alt.value(BLUE), alt.value(RED))
    else:
        color = alt.value(_LINES[0])
    axes: dict[str, Any] = {"y": place, "x": size} if flat else {"x": place, "y": size}
    bars = (
        alt.Chart(_data(rows)).mark_bar().encode(color=color, tooltip=["name:N", "value:Q"], **axes)
    )
    layers: list[Any] = [bars]
    if any("low" in row for row in rows):
        spread = {"y": alt.Y("low:Q"), "y2": "high:Q", "x": alt.X(**along)}
        band = alt.Chart(_data(rows)).mark_bar(color=_GREY, opacity=0.55, width={"band": 0.35})
        layers.append(band.encode(**spread))
    _show(alt.layer(*layers), text, height_px=height_px)


def input_chart(rows: Rows, *, text: str) -> None:
    """Show inputs of a unit as points: difference of orientation, and weight.

    Args:
        rows: One an input: `name`, `off_deg` from -180 to 180, `weight`.
        text: What it shows, for those who do not see it.
    """
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            "off_deg:Q",
            title="orientation of the input, less that of the unit (degrees)",
            scale=alt.Scale(domain=[-180, 180]),
            axis=alt.Axis(values=list(range(-180, 181, 60)), **_LETTERS),
        ),
        y=_axis("weight:Q", "sum of its weights"),
        color=alt.condition("datum.weight < 0", alt.value(BLUE), alt.value(RED)),
        tooltip=["name:N", "off_deg:Q", "weight:Q"],
    )
    zero = alt.Chart(_data([{"weight": 0}])).mark_rule(color=_GREY).encode(y="weight:Q")
    _show(alt.layer(zero, base.mark_circle(size=170, opacity=0.9)), text)


def _show(chart: Any, text: str, *, height_px: int = _HEIGHT_PX) -> None:
    st.altair_chart(chart.properties(height=height_px), width="stretch", alt=text)


def _data(rows: Rows) -> Any:
    return alt.Data(values=[dict(row) for row in rows])  # type: ignore[no-untyped-call]


def _legend() -> Any:
    return alt.Legend(title=None, orient="top", labelFontSize=16, labelLimit=400, symbolSize=400)


def _degrees(field: str) -> Any:
    return alt.X(
        f"{field}:Q",
        title="orientation of the curve (degrees)",
        scale=alt.Scale(domain=[0, 360]),
        axis=alt.Axis(values=list(range(0, 361, 45)), **_LETTERS),
    )


def _axis(
    field: str, title: str, *, flat: bool = False, ends: tuple[float, float] | None = None
) -> Any:
    kind: Any = alt.X if flat else alt.Y
    scale = alt.Undefined if ends is None else alt.Scale(domain=list(ends), nice=False)
    return kind(field, title=title, axis=alt.Axis(tickCount=5, **_LETTERS), scale=scale)
