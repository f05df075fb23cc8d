"""Where batches run: in this process, or in others that may die without harm.

An executor takes batches and yields what became of them, in any order; all of them do the same
work, so the files are the same. Ray's is in ray_executor.py.
"""

import itertools
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from multiprocessing import connection
from types import TracebackType
from typing import Protocol, runtime_checkable

from featviz.atlas.building.plan import AtlasPlan, Batch
from featviz.atlas.building.worker import Outcome, Setup, Worker, failure
from featviz.atlas.entries import Failure
from featviz.errors import RenderError

TRIES = 3
_START_TRIES = 5
_GRACE_S = 5.0


@runtime_checkable
class Executor(Protocol):
    """Runs batches."""

    workers: int

    def run(self, batches: Iterator[Batch]) -> Iterator[Outcome]:
        """Yield what became of batches, in any order; each job is in one outcome.

        Args:
            batches: Taken as workers become free.
        """

    def close(self) -> None:
        """End what was started; work in flight is lost."""


class Serial:
    """Runs batches in this process, one after the other.

    Args:
        worker: With its model.
    """

    workers = 1

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def run(self, batches: Iterator[Batch]) -> Iterator[Outcome]:
        """Yield what became of each batch, in order."""
        yield from map(self._worker.render, batches)

    def close(self) -> None:
        """Do nothing: nothing was started."""


class Queue:
    """Batches that wait, also those whose worker died.

    A batch is tried again, three times in all, and then job by job: one of them may be what kills.

    Args:
        batches: What is to be done.
        plan: Of the atlas.
    """

    def __init__(self, batches: Iterator[Batch], plan: AtlasPlan) -> None:
        self._batches, self._plan = batches, plan
        self._again: deque[Batch] = deque()
        self._tries: dict[tuple[str, ...], int] = {}

    @property
    def waiting(self) -> bool:
        """Whether there is a batch to take."""
        if not self._again:
            self._again.extend(itertools.islice(self._batches, 1))
        return bool(self._again)

    def take(self) -> Batch:
        """Return a batch; there must be one waiting."""
        return self._again.popleft()

    def lost(self, batch: Batch, reason: str, *, tries: int = 1) -> Outcome | None:
        """Put back a batch whose worker died; return what became of it if that was once too often.

        Args:
            batch: What was in flight.
            reason: How the worker ended.
            tries: How often that was.
        """
        name = tuple(job.key for job in batch.jobs)
        self._tries[name] = self._tries.get(name, 0) + tries
        if self._tries[name] < TRIES:
            self._again.append(batch)
            return None
        if len(batch.jobs) > 1:
            self._again.extend(batch.singly())
            return None
        return Outcome(batch, (), (self._failure(batch, reason),))

    def _failure(self, batch: Batch, reason: str) -> Failure:
        return failure(
            batch.jobs[0],
            f"the worker died {TRIES} times while rendering it: {reason}",
            model=self._plan.model,
            weights=self._plan.weights,
        )


class _Process:
    """A process with a worker: ready once it says so, free once it has answered."""

    def __init__(self, setup: Setup) -> None:
        ours, theirs = connection.Pipe()
        alive_read, self._alive = os.pipe()
        self.pipe = ours
        self.batch: Batch | None = None
        self.ready = False
        try:
            fds = (theirs.fileno(), alive_read)
            # A session of its own, so that Ctrl-C in a terminal reaches the driver alone.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "featviz.atlas.building.process", *map(str, fds)],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        finally:
            theirs.close()
            os.close(alive_read)
        self.send(setup)

    def send(self, message: object) -> None:
        """Send something, if there is somebody; that there is nobody is seen when receiving."""
        try:
            self.pipe.send(message)
        except OSError:
            return

    def end(self) -> str:
        """End the process at once, and return how it had ended if it had."""
        code = self.process.poll()
        self.process.kill()
        try:
            code = self.process.wait(_GRACE_S) if code is None else code
        finally:
            self.pipe.close()
            os.close(self._alive)
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class Spawned:
    """Runs batches in processes of this machine; those that die are replaced.

    Args:
        plan: Of the atlas.
        setup: What the workers must know.
        workers: How many processes.

    Raises:
        RenderError: From `run`, if workers cannot start.
    """

    def __init__(self, plan: AtlasPlan, setup: Setup, *, workers: int) -> None:
        self.workers = workers
        self._plan, self._setup = plan, setup
        self._processes: list[_Process] = []
        self._failed_starts = 0

    def run(self, batches: Iterator[Batch]) -> Iterator[Outcome]:
        """Yield what became of batches, in any order.

        Raises:
            RenderError: If workers cannot start.
        """
        queue = Queue(batches, self._plan)
        while True:
            self._give(queue)
            if not queue.waiting and not any(process.batch for process in self._processes):
                return
            for process in self._answering():
                outcome = self._receive(process, queue)
                if outcome is not None:
                    yield outcome

    def _give(self, queue: Queue) -> None:
        """Give batches to processes that are free, and start processes for those that wait."""
        for process in self._processes:
            if process.ready and process.batch is None and queue.waiting:
                process.batch = queue.take()
                process.send(process.batch)
        while queue.waiting and len(self._processes) < self.workers:
            self._start()

    def _start(self) -> None:
        self._processes.append(_Process(self._setup))

    def _answering(self) -> list[_Process]:
        ready = connection.wait([process.pipe for process in self._processes])
        return [process for process in self._processes if process.pipe in ready]

    def _receive(self, process: _Process, queue: Queue) -> Outcome | None:
        """Return what a process has done; if it died, its batch goes back."""
        try:
            message = process.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return self._bury(process, queue)
        if isinstance(message, Exception):
            raise message
        self._failed_starts = 0
        if message is None:
            process.ready = True
            return None
        process.batch = None
        assert isinstance(message, Outcome)
        return message

    def _bury(self, process: _Process, queue: Queue) -> Outcome | None:
        self._processes.remove(process)
        reason = process.end()
        if process.batch is not None:
            return queue.lost(process.batch, reason)
        if not process.ready:
            self._failed_starts += 1
        if self._failed_starts >= _START_TRIES:
            raise RenderError(
                f"{_START_TRIES} workers in a row ended with {reason} while they loaded the "
                "model; is there memory for so many? Try fewer --workers"
            )
        return None

    def close(self) -> None:
        """End the processes."""
        while self._processes:
            self._processes.pop().end()

    def __enter__(self) -> "Spawned":
        """Return the executor."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes."""
        self.close()
