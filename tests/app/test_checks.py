"""Checks of circuits beside the pages that show them."""

import threading
import time
from collections.abc import Callable

import pytest

from app.checks import Check, Checks, Work
from app.circuit_graphs import Options, checking
from app.networks import copy_of, held
from circuits.graphs.check import CircuitCheck
from circuits.graphs.check_progress import Tell
from featviz.errors import CircuitError


def found(target: str = "a:0") -> CircuitCheck:
    return CircuitCheck(target, "images", "zero", (), None)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def test_a_check_is_made_once_for_all_who_look() -> None:
    checks, go_on, made = Checks(), threading.Event(), []

    def work(tell: Tell) -> CircuitCheck:
        made.append(1)
        tell(1, 4)
        assert go_on.wait(20)
        return found()

    one = checks.look("key", work)
    until(lambda: one.share == 0.25)
    assert checks.look("key", work) is one
    assert checks.ended("key") is None
    go_on.set()
    until(lambda: one.ended)
    assert checks.ended("key") is checks.look("key", work) is one
    assert one.found == found()
    assert made == [1]


def test_one_runs_at_a_time_and_one_that_nobody_looks_at_ends() -> None:
    checks = Checks(patience_s=0.3)
    running: list[str] = []
    most: list[int] = []

    def endless(name: str) -> Work:
        def work(tell: Tell) -> CircuitCheck:
            running.append(name)
            most.append(len(running))
            try:
                while True:
                    tell(1, 2)
                    time.sleep(0.01)
            finally:
                running.remove(name)

        return work

    first = checks.look("first", endless("first"))
    until(lambda: running == ["first"])
    second = checks.look("second", endless("second"))
    for _ in range(10):
        time.sleep(0.05)
        assert checks.look("first", endless("first")) is first
        assert checks.look("second", endless("second")) is second
    assert running == ["first"]
    assert (first.waiting, second.waiting) == (False, True)
    end = time.monotonic() + 20
    while running != ["second"]:  # the first one is left, and its turn goes on
        assert time.monotonic() < end
        checks.look("second", endless("second"))
        time.sleep(0.02)
    assert not second.waiting
    until(lambda: not running)
    assert set(most) == {1}
    assert checks.look("first", lambda _tell: found()) is not first
    until(lambda: checks.ended("first") is not None)


def test_one_that_waits_for_its_turn_can_be_left_too() -> None:
    checks, go_on = Checks(patience_s=0.1), threading.Event()

    def holds(_tell: Tell) -> CircuitCheck:
        assert go_on.wait(20)
        return found()

    checks.look("first", holds)
    second = checks.look("second", lambda _tell: found())
    time.sleep(1.0)
    assert checks.look("second", lambda _tell: found()) is not second
    go_on.set()
    until(lambda: checks.ended("first") is not None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CircuitError("no edges"), "no edges"),
        (MemoryError("none left"), "the check failed: MemoryError: none left"),
    ],
)
def test_what_goes_wrong_is_kept(error: Exception, words: str) -> None:
    def work(_tell: Tell) -> CircuitCheck:
        raise error

    checks = Checks()
    check = checks.look("key", work)
    until(lambda: check.ended)
    assert (check.error, check.found) == (words, None)
    assert checks.ended("key") is check
    other = checks.look("other", lambda _tell: found())
    until(lambda: other.ended)


def test_the_latest_are_kept() -> None:
    checks = Checks(most=3)

    def end(key: int) -> Check:
        check = checks.look(key, lambda _tell: found(str(key)))
        until(lambda: check.ended)
        return check

    made = [end(key) for key in range(5)]
    assert [checks.ended(key) for key in range(5)] == [None, None, *made[2:]]


def test_no_page_waits_for_a_check() -> None:
    options = Options(depth=1, keep=3)
    work = checking("artificial_curves", "arcs:0", options)
    reached, go_on = threading.Event(), threading.Event()
    check: list[CircuitCheck] = []

    def tell(_done: int, _parts: int) -> None:
        reached.set()
        assert go_on.wait(20)

    thread = threading.Thread(target=lambda: check.append(work(tell)))
    thread.start()
    assert reached.wait(20)
    free = threading.Event()

    def look() -> None:
        with held("artificial_curves"):
            free.set()

    threading.Thread(target=look).start()
    assert free.wait(20), "the network is free while it is checked"
    go_on.set()
    thread.join()
    assert check[0].rows[0].correlation > 0.5


def test_a_copy_shares_no_weights() -> None:
    copied = copy_of("artificial_curves")
    with held("artificial_curves") as model:
        pairs = list(zip(copied.module.parameters(), model.module.parameters(), strict=True))
    assert pairs
    for one, other in pairs:
        assert one.equal(other)
        assert one.data_ptr() != other.data_ptr()


def test_closing_ends_what_runs_and_waits_for_it() -> None:
    checks, ended = Checks(), threading.Event()

    def work(tell: Tell) -> CircuitCheck:
        try:
            while True:
                tell(1, 2)
                time.sleep(0.01)
        finally:
            ended.set()

    check = checks.look("key", work)
    until(lambda: check.share == 0.5)
    checks.close()
    assert ended.is_set()
