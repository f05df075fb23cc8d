"""How a unit answers to drawn curves and lines of every orientation."""

import streamlit as st
from jaxtyping import Float
from torch import Tensor

from app.components.drawing import drawing
from app.links import Place
from app.networks import held, list_here, network
from app.plain import as_text
from circuits.stimuli import Grid
from circuits.tuning.curve import TuningCurve
from circuits.tuning.measuring import TuningConfig, grid_for, measure_responses, tuning_curves
from circuits.tuning.page import polar_svg
from featviz.borrowing import own_settings
from featviz.errors import FeatvizError

_STIMULI = {
    "curve": "Each direction is where the bulge points: 0° like `)`, clockwise, 90° a smile.",
    "line": "Each direction lies along the line: 0° level, counter-clockwise, 90° upright.",
}


@st.cache_resource(max_entries=16, show_spinner=False)
def _answers(model: str, site: str, stimulus: str) -> tuple[Grid, Float[Tensor, "a l c"]]:
    """Return the stimuli and the answers of all units of a site: one costs as much as all."""
    config = TuningConfig()
    with own_settings(), held(model) as loaded:
        grid = grid_for(loaded, site, stimulus=stimulus, config=config)
        found = measure_responses(loaded, [site], grid, region=config.region, batch=config.batch)
    return grid, found[site]


def _curve(place: Place, channel: int, stimulus: str) -> TuningCurve:
    grid, answers = _answers(place.model, place.site, stimulus)
    return tuning_curves(network(place.model), place.site, grid, answers, units=[channel])[0]


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
                curve = _curve(place, channel, stimulus)
            except FeatvizError as error:
                st.info(as_text(str(error)))
                continue
            st.markdown(f"**{stimulus}s**")
            drawing(polar_svg(curve), key=f"polar {stimulus}")
            st.caption(f"{_words(curve)}  \n{convention}")


def _words(curve: TuningCurve) -> str:
    if curve.silent:
        return "It never responds to them."
    return (
        f"prefers {curve.preferred_deg:.0f}°, width at half height {curve.fwhm_deg:.0f}°, echo "
        f"{curve.echo:.2f}, selectivity {curve.selectivity:.2f}, peak {curve.peak:.3g}"
    )
