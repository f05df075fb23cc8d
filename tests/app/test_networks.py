"""Networks are shared by sessions: computing with one hinders nobody who only looks at it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from app import networks
from app.library import LIBRARY
from app.likeness import weights_likeness
from app.networks import held, list_here, load_told, network, sites_of
from app.weights import neighbour_sites
from app_pages import open_page
from featviz.errors import ModelError

PATIENCE_S = 20


def all_end(*actions: Callable[[], object]) -> bool:
    """Start actions one after the other in threads, and tell whether all come to an end."""
    threads = [threading.Thread(target=action, daemon=True) for action in actions]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    end = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


@contextmanager
def held_by_another(name: str) -> Iterator[None]:
    """Let another thread hold a network."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with held(name):
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert taken.wait(PATIENCE_S)
    yield
    done.set()
    thread.join()


def test_those_who_load_and_those_who_hold_never_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = networks.load

    def slowly(name: str) -> object:
        time.sleep(1)
        return load(name)

    networks._loaded.clear()
    neighbour_sites.clear()
    monkeypatch.setattr(networks, "load", slowly)
    assert all_end(
        lambda: neighbour_sites("squeezenet1_1", "fire4"),
        lambda: weights_likeness("artificial_curves", "lines", 1),
        lambda: network("artificial_curves"),
    )


def test_a_network_in_use_is_no_hindrance_to_another_one() -> None:
    def other() -> None:
        with held("artificial_curves"):
            pass

    with held_by_another("squeezenet1_1"):
        assert all_end(other)


def test_a_network_is_for_one_thread_at_a_time() -> None:
    found: list[str] = []

    def wait() -> None:
        with held("artificial_curves"):
            found.append("held")

    with held_by_another("artificial_curves"):
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        thread.join(0.3)
        assert found == []
    thread.join(PATIENCE_S)
    assert found == ["held"]


def test_its_sites_are_read_while_it_is_in_use() -> None:
    with ThreadPoolExecutor(1) as pool, held_by_another("squeezenet1_1"):
        sites = pool.submit(sites_of, "squeezenet1_1").result(PATIENCE_S)
    assert [site.name for site in sites] == [s.name for s in network("squeezenet1_1").sites()]


def test_the_form_of_renders_is_shown_while_the_network_is_in_use() -> None:
    with held_by_another("squeezenet1_1"):
        test = open_page("render", model="squeezenet1_1", kind="direction", unit="fire4:1")
    assert not test.exception
    assert [button.label for button in test.button] == ["Render"]


def test_only_networks_that_were_loaded_before_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "nets:small_net"
    monkeypatch.setattr(LIBRARY, "models", (name,))
    monkeypatch.setattr(networks, "_TOLD", {})
    with pytest.raises(ModelError, match="is not on this machine"):
        network(name)
    load_told([name])
    assert name in list_here()
    assert network(name) is network(name)
    assert network(name).name == name
