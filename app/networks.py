"""The networks that the app computes with: loaded once, shared by all sessions, never changed.

A URL may name only networks that this machine has already: registered ones whose weights are here,
and those that the launcher was told with --model and loaded. No page downloads or imports one.

Locks are taken in one order. A network is fetched first and held then; what holds it calls no
function of Streamlit's cache but `network`, for that holds a lock of its own while it computes.
"""

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from app.library import LIBRARY
from featviz.errors import ModelError, did_you_mean
from featviz.kept_memory import kept_memory
from featviz.models import Model, list_models
from featviz.models.load import load
from featviz.models.spec import get_spec
from featviz.sites import Site, SiteTable

_LOCKS: dict[str, threading.RLock] = {}
_LOCKS_LOCK = threading.Lock()


@dataclass(frozen=True)
class _Loaded:
    """A network, and the table of its sites, which is read without holding the network."""

    model: Model
    table: SiteTable


_TOLD: dict[str, _Loaded] = {}
"""Networks of --model; they stay loaded."""


def load_told(names: Sequence[str]) -> None:
    """Load networks beyond the registered ones, before the server starts; they stay.

    Args:
        names: As `featviz.load` takes them; they may be downloaded and imported.

    Raises:
        FeatvizError: If one cannot be loaded or traced.
    """
    for name in names:
        _TOLD[name] = _load(name)


def list_here() -> list[str]:
    """Return the names of the networks that can be loaded at once, sorted."""
    registered = {name for name in list_models() if is_here(name)}
    return sorted(registered | (set(LIBRARY.models) & set(_TOLD)))


def is_here(name: str) -> bool:
    """Tell whether the weights of a registered network are on this machine."""
    weights = get_spec(name).weights
    return weights is None or weights.locate() is not None


def network(name: str) -> Model:
    """Return a network, loaded on its first use.

    Args:
        name: One of `list_here`.

    Raises:
        ModelError: If it is none of those that are here.
    """
    return _find(name).model


def table_of(name: str) -> SiteTable:
    """Return the sites of a network at its own size; waits for nobody who computes with it.

    Args:
        name: One of `list_here`.

    Raises:
        ModelError: If it is none of those that are here.
    """
    return _find(name).table


def sites_of(name: str) -> list[Site]:
    """Return the browsable sites of a network in its order; waits as little as `table_of`.

    Args:
        name: One of `list_here`.

    Raises:
        ModelError: If it is none of those that are here.
    """
    table = table_of(name)
    return [table.resolve(site) for site in table.names()]


@contextmanager
def held(name: str) -> Iterator[Model]:
    """Hold a network while it is traced or run: hooks and folded copies are not for two threads.

    Args:
        name: One of `list_here`.

    Raises:
        ModelError: If it is none of those that are here.
    """
    model = network(name)
    with _LOCKS_LOCK:
        lock = _LOCKS.setdefault(model.name, threading.RLock())
    # Pages come in threads of their own; what each of them frees would stay with the server.
    with lock, kept_memory():
        yield model


def copy_of(name: str) -> Model:
    """Return a copy of a network, for work that takes long, so that no page waits for it.

    Args:
        name: One of `list_here`.

    Raises:
        ModelError: If it is none of those that are here.
    """
    with held(name) as model:
        return copy.deepcopy(model)


def _find(name: str) -> _Loaded:
    here = list_here()
    if name not in here:
        raise ModelError(
            f"the network {name!r} is not on this machine{did_you_mean(name, here)} "
            f"here are {', '.join(here)}; start with 'featviz app --model NAME' to add one"
        )
    return _TOLD[name] if name in _TOLD else _loaded(name)


def _load(name: str) -> _Loaded:
    # Traced before anybody else has it, so no lock is needed.
    model = load(name)
    return _Loaded(model, model.site_table())


@st.cache_resource(max_entries=4, show_spinner="Loading the network ...")
def _loaded(name: str) -> _Loaded:
    return _load(name)
