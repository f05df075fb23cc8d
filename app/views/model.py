"""Model: a network as a diagram of its sites, where it comes from, how much of it is rendered."""

import streamlit as st

from app.components.diagram import SiteBox, diagram
from app.frame import opened
from app.library import picture_url
from app.links import Place, address
from app.networks import list_here, network, sites_of
from app.plain import as_text
from featviz.atlas.reading import Atlas
from featviz.models.model import Model
from featviz.sites import Site

_STRIP = 12


def _boxes(atlas: Atlas, place: Place, sites: list[Site] | None) -> list[SiteBox]:
    """Return a box for each site of the network; without the network, of the atlas."""
    there = atlas.sites(place.model)
    known = {site.name: site for site in sites or []}
    return [
        _box(atlas, Place(place.atlas, place.model, name), known.get(name), name in there)
        for name in [*known, *(name for name in there if name not in known)]
    ]


def _box(atlas: Atlas, place: Place, site: Site | None, there: bool) -> SiteBox:
    counts = atlas.counts(place.model, place.site)
    facts = []
    if site is not None:
        maps = "x".join(map(str, site.map_size)) or "no"
        facts = [f"{site.channels} channels, {maps} map"]
    if not there:
        return SiteBox(place.site, "", (*facts, "not rendered"), 0.0, (), faint=True)
    facts.append(_count(counts["units"], "unit") + " rendered" + _dead(counts["dead"]))
    variant = atlas.variants(place.model, place.site)[0]
    best = atlas.images(
        place.model, place.site, variant=variant, sort="score", descending=True, limit=_STRIP
    )
    return SiteBox(
        name=place.site,
        address=address("site", place.query()),
        facts=tuple(facts),
        share=counts["units"] / site.channels if site is not None else 1.0,
        sources=tuple(picture_url(place.atlas, atlas.thumb_path(e)) for e in best),
    )


def _dead(count: int) -> str:
    return f", {_count(count, 'image')} of units that never fired" if count else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _provenance(model: Model | None) -> None:
    """Say where the network and its weights come from."""
    if model is None:
        st.caption(
            "This network is not on this machine, so its units can be looked at and not run. "
            "Start with 'featviz app --model NAME' where it can be loaded."
        )
        return
    weights = model.spec.weights
    height, width = model.spec.size
    facts = {
        "Weights": model.weights_origin,
        "Licence": (weights.licence if weights else "") or "not stated",
        "Images": f"{model.spec.channels} channels, {height}x{width} px",
    }
    columns = st.columns(len(facts))
    for column, (head, words) in zip(columns, facts.items(), strict=True):
        column.caption(head)
        column.text(words)


with opened() as (atlas, place):
    st.header(as_text(place.model))
    found = network(place.model) if place.model in list_here() else None
    if found is not None and found.spec.summary:
        st.write(as_text(found.spec.summary))
    _provenance(found)
    counts = atlas.counts(place.model)
    for column, (head, number) in zip(st.columns(3), counts.items(), strict=True):
        column.metric(head, f"{number:,}")
    sites = sites_of(place.model) if found is not None else None
    diagram(_boxes(atlas, place, sites), key="sites")
