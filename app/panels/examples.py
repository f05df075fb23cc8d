"""Photographs that excite a unit most, least and in between, cut to what it can have seen."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.components.grid import Tile, grid
from app.library import picture_url
from app.links import Place, read_choice
from featviz.atlas import Atlas, read_examples
from featviz.atlas.examples.records import Example, KeptExample, Ranking, UnitExamples

_CHOICES = ("maximum", "mean")


def show_examples(atlas: Atlas, place: Place) -> None:
    """Show the dataset examples of a unit with quantiles and the histogram of its activation."""
    parts = atlas.evidence(place.model, place.site, place.channel or 0)
    if "examples" not in parts:
        st.info(
            "No photographs were shown to this unit yet. On the command line: featviz atlas "
            "examples ATLAS --images FOLDER",
            icon=":material/photo_library:",
        )
        return
    found = read_examples(parts["examples"], parts.get("histogram"))
    ranking = _ranking(found)
    st.caption(
        f"{found.images:,} photographs; {found.firing_rate:.0%} of them make it fire. The "
        "crop is all that the unit can have seen there."
    )
    _row(atlas, place, "Excite it most", ranking.top)
    for part in reversed(ranking.bins):
        _row(atlas, place, f"Quantile {part.low:.2g} to {part.high:.2g}", part.examples)
    _row(atlas, place, "Excite it least", ranking.bottom)
    _histogram(ranking)


def _ranking(found: UnitExamples) -> Ranking:
    if found.mean is None:
        return found.maximum
    read_choice("by", _CHOICES, _CHOICES[0])
    by = st.segmented_control(
        "By the largest value of its map, or by the mean",
        _CHOICES,
        default=_CHOICES[0],
        key="by",
        bind="query-params",
    )
    return found.mean if by == "mean" else found.maximum


def _row(atlas: Atlas, place: Place, head: str, examples: Sequence[Example]) -> None:
    tiles = []
    for number, example in enumerate(examples):
        key = _picture(example)
        if key is None:
            continue  # the photograph was gone when the pass kept its pictures
        tiles.append(
            Tile(
                id=f"{head} {number}",
                source=picture_url(place.atlas, atlas.layout.example(key)),
                address="",
                caption=f"{example.value:.3g} · {example.quantile:.0%}",
                text=f"{example.name}: {example.value:.4g}, above {example.quantile:.0%} of them",
            )
        )
    if tiles:
        st.markdown(f"**{head}**")
        grid(tiles, key=f"examples {head}", density="medium")


def _picture(example: Example) -> str | None:
    if not isinstance(example, KeptExample):
        return None
    return example.crop or example.picture


def _histogram(ranking: Ranking) -> None:
    first, width, counts = ranking.histogram
    if not counts:
        return
    st.markdown("**How often it takes which value**")
    rows: list[dict[str, Any]] = [
        {"activation": first + (k + 0.5) * width, "photographs": count}
        for k, count in enumerate(counts)
    ]
    st.bar_chart(rows, x="activation", y="photographs", height=200)
