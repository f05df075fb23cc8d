"""The networks that the app computes with: loaded once, shared by all sessions, never changed.

A URL may name only networks that this machine has already: registered ones whose weights are here,
and those that the launcher was told with --model. No page ever downloads or imports one.
"""

import threading

import streamlit as st

from app.library import LIBRARY
from featviz.errors import ModelError, did_you_mean
from featviz.models import Model, list_models
from featviz.models.load import load
from featviz.models.spec import get_spec

LOCK = threading.RLock()
"""Held while a network is traced or run: hooks and folded copies are not for two threads."""


def list_here() -> list[str]:
    """Return the names of the networks that can be loaded at once, sorted."""
    return sorted({name for name in list_models() if is_here(name)} | set(LIBRARY.models))


def is_here(name: str) -> bool:
    """Tell whether the weights of a registered network are on this machine."""
    weights = get_spec(name).weights
    return weights is None or weights.locate() is not None


def network(name: str) -> Model:
    """Return a network, loaded on its first use.

    Raises:
        ModelError: If it is none of those that are here.
    """
    here = list_here()
    if name not in here:
        raise ModelError(
            f"the network {name!r} is not on this machine{did_you_mean(name, here)} "
            f"here are {', '.join(here)}; start with 'featviz app --model NAME' to add one"
        )
    return _loaded(name)


@st.cache_resource(max_entries=4, show_spinner="Loading the network ...")
def _loaded(name: str) -> Model:
    with LOCK:
        return load(name)
