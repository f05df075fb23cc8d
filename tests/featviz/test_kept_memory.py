import contextlib
import ctypes
import subprocess
import sys
import threading

import pytest

from featviz import kept_memory as module
from featviz.kept_memory import kept_memory

# Faults of pages that the system had to clear, for 20 blocks of 40 MB.
COUNT_FAULTS = """
import contextlib, resource, sys
import torch
from featviz.kept_memory import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

faults()
before, outside = resident_mb(), faults()
with kept_memory():
    faults()
    inside = faults()
print(outside, inside, resident_mb() - before)
"""

# Memory that is left after 8 threads, all there at once, have run a network, one after another.
COUNT_LEFT = """
import resource, threading
import torch
from featviz.kept_memory import kept_memory, share_one_heap

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

share_one_heap()
conv = torch.nn.Conv2d
network = torch.nn.Sequential(conv(3, 64, 3), torch.nn.MaxPool2d(2), conv(64, 128, 3))
together, turn = threading.Barrier(8), threading.Lock()

def run():
    with kept_memory(), torch.no_grad():
        for _ in range(3):
            network(torch.ones(16, 3, 96, 96))

def work():
    torch.ones(10)
    together.wait()
    with turn:
        run()
    together.wait()

run()
before = resident_mb()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident_mb() - before)
"""


@pytest.fixture
def calls(monkeypatch):
    """A C library that notes what it is told."""
    noted = []

    class Library(ctypes.CDLL):
        def __init__(self):
            pass

        def mallopt(self, parameter, value):
            noted.append((parameter, value))

        def malloc_trim(self, _pad):
            noted.append("trim")

    monkeypatch.setattr(module, "_tunable_glibc", Library)
    return noted


def test_threads_that_share_a_heap_leave_nothing():
    if module._tunable_glibc() is None:
        pytest.skip("needs glibc with an untuned allocator")
    done = subprocess.run(
        [sys.executable, "-c", COUNT_LEFT], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 30, "with heaps of their own 130 to 290 MB are left"


def test_keeps_pages_and_gives_them_back():
    if module._tunable_glibc() is None:
        pytest.skip("needs glibc with an untuned allocator")
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], capture_output=True, text=True, check=True
    )
    outside, inside, kept_mb = map(float, done.stdout.split())
    assert outside > 20 * 1000
    assert inside < outside / 50
    assert kept_mb < 10


def test_goes_back_to_what_glibc_adjusts_itself_to(calls):
    with contextlib.suppress(KeyboardInterrupt), kept_memory():
        assert calls == list(module._KEEPING.items())
        raise KeyboardInterrupt
    assert calls[len(module._KEEPING) :] == [*module._ADJUSTED.items(), "trim"]


def test_the_last_thread_gives_back(calls):
    first_in, second_out = threading.Event(), threading.Event()

    def long():
        with kept_memory():
            first_in.set()
            second_out.wait(10)

    thread = threading.Thread(target=long)
    thread.start()
    first_in.wait(10)
    with kept_memory():
        pass
    assert "trim" not in calls
    second_out.set()
    thread.join()
    assert calls.count("trim") == 1


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "LD_PRELOAD", "GLIBC_TUNABLES"])
def test_leaves_a_tuned_allocator_alone(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert module._tunable_glibc.__wrapped__() is None


def test_leaves_another_c_library_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert module._tunable_glibc.__wrapped__() is None
    with kept_memory():
        pass
