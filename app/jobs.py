"""Renders that were asked for: one at a time, first come first served, each seen by who asked.

The queue knows no Streamlit. A thread of it hands tasks to the process that renders and takes in
what that sends; pages look at jobs whenever they like.
"""

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from app.job import Course, Job, State, take_in, thinned
from app.render_task import Finished, Message, Preview, Refused, Task, Warm
from featviz.errors import ConfigError, FeatvizError

MOST_WAITING = 5
"""Jobs of one owner that may wait or run."""
MOST_ENDED = 4
"""Jobs of one owner that are remembered after their end."""
MOST_JOBS = 20
"""Jobs of all owners that are remembered."""


class Host(Protocol):
    """What renders: see render_host.py."""

    def begin(self, task: Task | Warm) -> None:
        """Hand a task over, or tell of one that is likely."""

    def receive(self) -> Message:
        """Return the next message."""

    def kill(self) -> None:
        """End what is rendered."""

    def close(self) -> None:
        """End everything."""


class JobQueue:
    """Jobs of everybody.

    Args:
        host: What renders.
        keep: Puts a result where it is to stay and returns its keys.
    """

    def __init__(self, host: Host, keep: Callable[[Job, Finished], tuple[str, ...]]) -> None:
        self._host, self._keep = host, keep
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._warm = ""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, owner: str, task: Task, *, title: str, keep_in: str = "") -> Job:
        """Put a render at the end of the queue.

        Args:
            owner: Who asks.
            task: What to render.
            title: For people.
            keep_in: Name of the atlas that the result goes to; empty: it is not kept.

        Raises:
            ConfigError: If the owner has too many waiting, or the server stops.
        """
        with self._changed:
            if self._closed:
                raise ConfigError("the server is stopping; start it again with 'featviz app'")
            if sum(job.active for job in self._of(owner)) >= MOST_WAITING:
                raise ConfigError(
                    f"{MOST_WAITING} renders of yours are under way; wait for one, or cancel one"
                )
            job = Job(secrets.token_urlsafe(16), owner, title, task, keep_in)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._forget(owner)
            self._wake()
            return job

    def warm(self, model: str) -> None:
        """Let a network be loaded where it renders, if nothing else is to do there.

        Args:
            model: Name of the network.
        """
        with self._changed:
            if not self._closed and not self._waiting and self._running is None:
                self._warm = model
                self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="renders")
            self._thread.start()
        self._changed.notify_all()

    def of(self, owner: str) -> list[Job]:
        """Return the jobs of an owner, oldest first.

        Args:
            owner: Who asked.
        """
        with self._changed:
            return self._of(owner)

    def find(self, owner: str, job_id: str) -> Job | None:
        """Return a job of an owner; None if there is none, or it is another's.

        Args:
            owner: Who asked.
            job_id: Of the job.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            return job if job is not None and job.owner == owner else None

    def ahead(self, job: Job) -> int:
        """Return how many jobs, of anybody, run or wait before one that waits.

        Args:
            job: One of this queue; of one that does not wait, it is 0.
        """
        with self._changed:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def cancel(self, owner: str, job_id: str) -> None:
        """End a job of an owner, if it has not ended.

        Args:
            owner: Who asked.
            job_id: Of the job.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.owner != owner or not job.active:
                return
            self._end(job, State.CANCELLED)
            if job is self._running:
                self._host.kill()
            else:
                self._waiting.remove(job)

    def close(self) -> None:
        """Cancel everything and end the process that renders."""
        with self._changed:
            self._closed = True
            for job in [*self._waiting, *([self._running] if self._running else [])]:
                self._end(job, State.CANCELLED)
            self._waiting.clear()
            self._changed.notify_all()
        self._host.kill()
        if self._thread is not None:
            self._thread.join()
        self._host.close()

    def _of(self, owner: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.owner == owner]

    def _forget(self, owner: str) -> None:
        """Drop old jobs, so that memory stays flat."""
        ended = [job for job in self._of(owner) if not job.active]
        for job in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._jobs[job.id]
        everybody = [job for job in self._jobs.values() if not job.active]
        for job in everybody[: max(0, len(self._jobs) - MOST_JOBS)]:
            del self._jobs[job.id]

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed and not self._warm:
                    self._changed.wait()
                if self._closed:
                    return
                warm, self._warm = self._warm, ""
            if warm:
                with contextlib.suppress(FeatvizError):  # a render will tell
                    self._host.begin(Warm(warm))
            with self._changed:
                if not self._waiting:
                    continue
                job = self._running = self._waiting.popleft()
                job.state, job.started = State.RUNNING, time.monotonic()
            try:
                self._render(job)
            except FeatvizError as error:
                self._fail(job, str(error))
            # The queue must outlive whatever happens to one job.
            except Exception as error:  # noqa: BLE001
                self._fail(job, f"the render failed: {type(error).__name__}: {error}")
            finally:
                if job.state is State.CANCELLED:
                    self._host.close()  # waits until it is gone, so that the next job gets another
                with self._changed:
                    self._running = None

    def _render(self, job: Job) -> None:
        """Hand a job over and take in what comes, until the last message."""
        self._host.begin(job.task)
        while job.state is State.RUNNING:
            message = self._host.receive()
            if isinstance(message, Preview):
                with self._changed:
                    take_in(job, message)
            elif isinstance(message, Refused):
                return self._fail(job, message.reason)
            else:
                return self._finish(job, message)
        return None

    def _finish(self, job: Job, result: Finished) -> None:
        note = ""
        kept: tuple[str, ...] = ()
        if job.state is State.RUNNING and job.keep_in:
            try:
                kept = self._keep(job, result)
            except (FeatvizError, OSError) as error:
                note = f"the result could not be kept: {error}"
        with self._changed:
            if job.state is not State.RUNNING:
                return
            job.courses = {
                image.own["unit"]: Course(
                    thinned(tuple(enumerate(result.history[image.own["unit"]], start=1))),
                    image.picture,
                    result.amplitudes[image.own["unit"]],
                )
                for image in result.images
            }
            job.finished, job.note, job.kept = result, note, kept
            job.frequency = result.frequency
            self._end(job, State.DONE)

    def _fail(self, job: Job, reason: str) -> None:
        with self._changed:
            if job.state is State.RUNNING:
                job.error = reason
                self._end(job, State.FAILED)

    @staticmethod
    def _end(job: Job, state: State) -> None:
        job.state, job.ended = state, time.monotonic()
