"""kill -9 at random moments: twenty in a run of this file, then the atlas is as if there were none.

Slow: each death of a worker or an actor costs the imports of another one.
"""

import dataclasses
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas_builds import QUICK, check_clean, files, lines, small_request
from counted_net import FILE, SLEEP, noted
from featviz.atlas.building.build import build_atlas, resume_atlas
from featviz.atlas.building.moments import Moment
from featviz.atlas.building.request import Request
from featviz.atlas.building.status import read_status
from featviz.atlas.checking.verify import verify

RAY = importlib.util.find_spec("ray") is not None
KILLS = {
    "driver": 11,
    "driver of workers": 1,
    "worker": 5 if RAY else 8,  # so that there are twenty everywhere
    "ray actor": 3 if RAY else 0,
}
KILLED: Counter[str] = Counter()
"""What a run of this file killed."""

VARIANTS = ("positive", "negative", "diverse:2")
WORDS = [
    "counted_net:net", "--sites", "stem,block,late", "--variants", ",".join(VARIANTS),
    "--steps", "2", "--size", "32", "--precision", "float32", "--batch", "2", "--device", "cpu",
]  # fmt: skip
STEP_S = 0.03  # so that a batch takes longer than its overhead, and moments fall into batches
TESTS = Path(__file__).parents[3]

pytestmark = pytest.mark.slow


def request() -> Request:
    config = dataclasses.replace(QUICK, batch=2)
    return small_request(
        "counted_net:net", sites=("stem", "block", "late"), variants=VARIANTS, config=config
    )


class Uninterrupted:
    """The same atlas, built in peace."""

    def __init__(self, folder: Path) -> None:
        os.environ[FILE] = str(folder / "noted")
        batches = len(build_progress(folder / "a")) - 1
        del os.environ[FILE]
        self.files = files(folder / "a")
        self.images = len(lines(folder / "a"))
        self.steps = len(noted(folder / "noted", "step"))
        self.batch_steps = self.steps / batches


def build_progress(root: Path) -> list[Moment]:
    moments: list[Moment] = []
    build_atlas(root, request(), progress=moments.append)
    return moments


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    return Uninterrupted(tmp_path_factory.mktemp("calm"))


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FILE, str(tmp_path / "noted"))
    monkeypatch.setenv(SLEEP, str(STEP_S))
    return tmp_path / "noted"


def check(root: Path, calm: Uninterrupted, notes: Path, *, in_flight: int) -> None:
    """Assert that nothing differs, and that only what was in flight was rendered again.

    Args:
        root: Of the atlas.
        calm: The one built in peace.
        notes: Who did steps.
        in_flight: Batches at most that were lost.
    """
    assert files(root) == calm.files
    check_clean(root)
    assert verify(root).clean
    assert len(lines(root)) == calm.images
    (found,) = read_status(root).requests
    assert (found.done, found.to_do, found.failed) == (found.total, 0, 0)
    steps = len(noted(notes, "step"))
    assert calm.steps <= steps <= calm.steps + in_flight * calm.batch_steps


@pytest.fixture
def nursery() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(TESTS / "driver_nursery.py")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        cwd=TESTS,
    ) as process:  # fmt: skip
        yield process
        assert process.stdin
        process.stdin.close()


def start(nursery: subprocess.Popen[str], *words: str) -> int:
    assert nursery.stdin
    assert nursery.stdout
    nursery.stdin.write(json.dumps(["atlas", *words, "--progress", "none"]) + "\n")
    nursery.stdin.flush()
    return int(nursery.stdout.readline())


def ended(nursery: subprocess.Popen[str]) -> int:
    """Return how the driver ended; what it says itself comes before."""
    assert nursery.stdout
    while True:
        line = nursery.stdout.readline()
        assert line
        try:
            return int(line)
        except ValueError:
            continue


def kill_drivers(
    nursery: subprocess.Popen[str],
    whose: str,
    root: Path,
    notes: Path,
    moments: list[float],
    *words: str,
) -> None:
    for k, moment in enumerate(moments):
        before = len(noted(notes, "step"))
        driver = start(nursery, "build", *WORDS, "-o", str(root), *words)
        while (k == 0 or words) and len(noted(notes, "step")) == before:
            time.sleep(0.005)  # the first gets as far as rendering, and so do those with workers
        time.sleep(moment)
        os.kill(driver, signal.SIGKILL)
        assert ended(nursery) == -signal.SIGKILL, "it had ended before"
        KILLED[whose] += 1


def test_of_the_driver(
    calm: Uninterrupted, notes: Path, tmp_path: Path, nursery: subprocess.Popen[str]
) -> None:
    draw = random.Random(0)
    moments = [draw.uniform(0.02, 0.45) for _ in range(KILLS["driver"])]
    kill_drivers(nursery, "driver", tmp_path / "a", notes, moments)
    start(nursery, "resume", str(tmp_path / "a"), "--allow-factory")
    assert ended(nursery) == 0
    check(tmp_path / "a", calm, notes, in_flight=KILLS["driver"])


def test_of_the_driver_of_workers(
    calm: Uninterrupted, notes: Path, tmp_path: Path, nursery: subprocess.Popen[str]
) -> None:
    draw = random.Random(1)
    moments = [draw.uniform(0.0, 0.2) for _ in range(KILLS["driver of workers"])]
    more = ("--executor", "spawn", "--workers", "2")
    kill_drivers(nursery, "driver of workers", tmp_path / "a", notes, moments, *more)
    for worker in set(noted(notes, "load")) - {os.getpid()}:
        wait_until_gone(worker)
    start(nursery, "resume", str(tmp_path / "a"), "--allow-factory")
    assert ended(nursery) == 0
    check(tmp_path / "a", calm, notes, in_flight=2 * KILLS["driver of workers"])


def wait_until_gone(process: int) -> None:
    end = time.monotonic() + 10
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < end, "a worker outlived its driver"
        time.sleep(0.02)


class Killer(threading.Thread):
    """Kills those that load the network, each a random moment later, until that were enough."""

    def __init__(self, notes: Path, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._notes, self._kills, self._draw = notes, kills, random.Random(seed)
        self.killed = 0
        self.enough = threading.Event()

    def run(self) -> None:
        due: dict[int, float] = {}
        dead: set[int] = set()
        while self.killed < self._kills and not self.enough.is_set():
            for process in noted(self._notes, "load"):
                if process != os.getpid() and process not in due:
                    due[process] = time.monotonic() + self._draw.uniform(0.02, 0.4)
            for process, moment in due.items():
                if process not in dead and moment < time.monotonic() and self.killed < self._kills:
                    os.kill(process, signal.SIGKILL)
                    dead.add(process)
                    self.killed += 1
            time.sleep(0.005)


@pytest.mark.parametrize(("whose", "executor"), [("worker", "spawn"), ("ray actor", "ray")])
def test_of_what_renders(
    whose: str, executor: str, calm: Uninterrupted, notes: Path, tmp_path: Path
) -> None:
    if executor == "ray" and not RAY:
        pytest.skip("Ray is not installed")
    killer = Killer(notes, KILLS[whose], seed=2)
    killer.start()
    built = build_atlas(tmp_path / "a", request(), executor=executor, workers=2)
    killer.enough.set()
    killer.join()
    KILLED[whose] += killer.killed
    assert killer.killed == KILLS[whose]
    assert built.failures == ()
    (again,) = resume_atlas(tmp_path / "a")
    assert again.last.made == 0
    check(tmp_path / "a", calm, notes, in_flight=KILLS[whose])


def test_that_is_twenty() -> None:
    if len(KILLED) < sum(count > 0 for count in KILLS.values()):
        pytest.skip("only a part of this file was run")
    assert KILLED.total() == 20
