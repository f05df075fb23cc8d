"""Which units a unit reads and which read it, as signed kernels.

Weights between two neighbouring sites are expanded once for all pairs (circuits.expand) and kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
import torch

from app.networks import held, table_of
from circuits.expansion.expand import expand
from circuits.expansion.weight_map import WeightMap
from circuits.tracing.site_columns import site_columns
from featviz.errors import FeatvizError

GATES = ("identity", "positive_top", "positive_paths")
"""Policies that need no images."""


@dataclass(frozen=True)
class Connection:
    """One unit that is read or reads.

    Attributes:
        site: Its site.
        channel: Its channel there.
        kernel: Rows of weights, each divided by the largest of the list: -1..1.
        strength: Root of the sum of squares of the weights.
        total: Sum of the weights.
    """

    site: str
    channel: int
    kernel: tuple[tuple[float, ...], ...]
    strength: float
    total: float


@dataclass(frozen=True)
class Connections:
    """The strongest connections between a unit and a neighbouring site.

    Attributes:
        site: Name of the neighbour.
        items: Strongest first.
        notes: What was approximated between the sites.
        largest: Largest magnitude of a weight among the items: the scale of the kernels.
    """

    site: str
    items: tuple[Connection, ...]
    notes: tuple[str, ...]
    largest: float


@st.cache_data(max_entries=64, show_spinner=False)
def neighbour_sites(model: str, site: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the sites that a site reads directly, and those that read it.

    Args:
        model: Name of the network.
        site: One of its sites.

    Raises:
        FeatvizError: If there is no such network or site.
    """
    before = _read_by(model, site)
    table = table_of(model)
    order = table.resolve(site).order
    later = [name for name in table.names() if table.resolve(name).order > order]
    # All of them: a branch may end far behind. A network is asked once, whatever the site.
    return before, tuple(name for name in later if site in _read_by(model, name))


@st.cache_data(max_entries=1024, show_spinner=False)
def _read_by(model: str, site: str) -> tuple[str, ...]:
    """Return the sites that a site reads directly."""
    table_of(model).resolve(site)
    with held(model) as loaded:
        try:
            return tuple(site_columns(loaded, site, depth=1)[0])
        except FeatvizError:
            return ()  # it shares its channels with another site, or nothing lies before it


@st.cache_resource(max_entries=8, show_spinner="Expanding weights ...")
def weights_between(model: str, source: str, target: str, gates: str) -> WeightMap:
    """Return the kernels between all units of two sites.

    Raises:
        CircuitError: If there are none, or too many.
    """
    with held(model) as loaded:
        return expand(loaded, source, target, gates=gates)


def inputs_of(weights: WeightMap, channel: int, *, count: int) -> Connections:
    """Return the strongest inputs of a unit of the target.

    Args:
        weights: Between the sites.
        channel: Of the target.
        count: Connections at most.
    """
    row = weights.kernel[weights.targets.index(channel)]
    return _strongest(weights, weights.source, weights.sources, row, count)


def outputs_of(weights: WeightMap, channel: int, *, count: int) -> Connections:
    """Return the units of the target that read a unit of the source most.

    Args:
        weights: Between the sites.
        channel: Of the source.
        count: Connections at most.
    """
    column = weights.kernel[:, weights.sources.index(channel)]
    return _strongest(weights, weights.target, weights.targets, column, count)


def _strongest(
    weights: WeightMap, site: str, channels: Sequence[int], kernels: torch.Tensor, count: int
) -> Connections:
    strength = kernels.flatten(1).square().sum(1).sqrt()
    order = torch.argsort(strength, descending=True, stable=True)[:count].tolist()
    largest = float(kernels[order].abs().max()) if order else 0.0
    scale = largest or 1.0
    items = tuple(
        Connection(
            site=site,
            channel=channels[k],
            kernel=tuple(tuple((row / scale).tolist()) for row in kernels[k]),
            strength=float(strength[k]),
            total=float(kernels[k].sum()),
        )
        for k in order
        if float(strength[k]) > 0
    )
    return Connections(site, items, weights.notes, largest)
