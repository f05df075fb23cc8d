"""How alike the units of a site are to one of them, as numbers to sort by.

In photographs: the correlation that the pass over a dataset kept, which knows the nearest units
only. In weights: the cosine of the kernels that make the units, which knows all that read the same.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from app.networks import held, list_here, table_of
from featviz.atlas.neighbours.kernels import cosines_with, incoming_kernels
from featviz.atlas.neighbours.records import read_neighbours

MAX_UNITS = 4096
"""Units of a site whose kernels are compared."""


def photographs_likeness(evidence: Mapping[str, Any], site: str, channel: int) -> dict[int, float]:
    """Return the correlation of the nearest units of a site with one of them; empty: not known.

    Args:
        evidence: Of the unit, as `Atlas.evidence` gives it.
        site: Name of the site.
        channel: The unit; it is as like itself as can be.

    Raises:
        RecordError: If the evidence cannot be understood.
    """
    found = evidence.get("neighbours")
    said = None if found is None else read_neighbours(found).activation
    if said is None:
        return {}
    return {**{k: value for at, k, value in said.units if at == site}, channel: 1.0}


def weights_likeness(model: str, site: str, channel: int) -> dict[int, float]:
    """Return the cosine of the kernels of a site's units with that of one of them.

    Empty where the network is not here, or the units have no kernels of their own.
    """
    if model not in list_here():
        return {}
    return _cosines(model, site, channel)


@st.cache_data(max_entries=64, show_spinner="Comparing kernels ...")
def _cosines(model: str, site: str, channel: int) -> dict[int, float]:
    found = table_of(model).resolve(site)
    if found.channels > MAX_UNITS or not 0 <= channel < found.channels:
        return {}
    with held(model) as loaded:
        kernels = incoming_kernels(loaded, found)
    if kernels is None:
        return {}
    row = cosines_with(kernels, channel)
    return {k: float(value) for k, value in enumerate(row) if np.isfinite(value)}
