"""Ctrl-C comes between steps, not within one."""

import signal
import threading

import pytest

from featviz.interrupts import held_interrupts


def test_it_is_held_until_asked_for():
    done = []

    def work():
        with held_interrupts() as check:
            signal.raise_signal(signal.SIGINT)
            done.append("step")
            check()
            done.append("next")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["step"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_last_one_is_not_lost():
    done = []

    def work():
        with held_interrupts():
            signal.raise_signal(signal.SIGINT)
            done.append("step")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["step"]


def test_one_before_an_error_goes_first():
    def work():
        with held_interrupts():
            signal.raise_signal(signal.SIGINT)
            raise MemoryError

    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_errors_alone_pass():
    with pytest.raises(MemoryError), held_interrupts():
        raise MemoryError


def test_a_second_one_comes_at_once():
    done = []

    def work():
        with held_interrupts():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            done.append("step")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_others_stay():
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        with held_interrupts() as check:
            signal.raise_signal(signal.SIGINT)
            check()
        assert came == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_hold_nothing():
    seen = []

    def work():
        with held_interrupts() as check:
            seen.append(signal.getsignal(signal.SIGINT))
            check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
