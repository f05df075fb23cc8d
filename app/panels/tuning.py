"""How a unit answers to drawn curves and lines of every orientation."""

import streamlit as st

from app.components.drawing import drawing
from app.links import Place
from app.networks import held, list_here
from app.plain import as_text
from circuits.tuning.curve import TuningCurve
from circuits.tuning.measuring import measure_tuning
from circuits.tuning.page import polar_svg
from featviz.errors import FeatvizError

_STIMULI = {
    "curve": "Each direction is where the bulge points: 0° like `)`, clockwise, 90° a smile.",
    "line": "Each direction lies along the line: 0° level, counter-clockwise, 90° upright.",
}


@st.cache_data(max_entries=256, show_spinner=False)
def _plot(model: str, site: str, channel: int, stimulus: str) -> tuple[str, str]:
    """Return the polar plot of a unit as SVG, and what it says; the answers behind it are large."""
    with held(model) as loaded:
        curve = measure_tuning(loaded, site, [channel], stimulus=stimulus)[0]
    return polar_svg(curve), _words(curve)


def show_tuning(place: Place) -> None:
    """Show polar plots of a unit; where its network is not here, say so."""
    if place.model not in list_here() or place.channel is None:
        st.info("The network is not on this machine, so no stimuli can be shown to it.")
        return
    with st.spinner("Showing curves and lines to the network ..."):
        _show_plots(place, place.channel)


def _show_plots(place: Place, channel: int) -> None:
    columns = st.columns(len(_STIMULI))
    for column, (stimulus, convention) in zip(columns, _STIMULI.items(), strict=True):
        with column:
            try:
                svg, words = _plot(place.model, place.site, channel, stimulus)
            except FeatvizError as error:
                st.info(as_text(str(error)))
                continue
            st.markdown(f"**{stimulus}s**")
            drawing(svg, key=f"polar {stimulus}")
            st.caption(f"{words}  \n{convention}")


def _words(curve: TuningCurve) -> str:
    if curve.silent:
        return "It never responds to them."
    return (
        f"prefers {curve.preferred_deg:.0f}°, width at half height {curve.fwhm_deg:.0f}°, echo "
        f"{curve.echo:.2f}, selectivity {curve.selectivity:.2f}, peak {curve.peak:.3g}"
    )
