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

from app.job import Course, Job, State, take_in, thinned
from app.render_host import Host
from app.render_task import Finished, Preview, Refused, Task, Warm
from featviz.errors import ConfigError, FeatvizError

MOST_WAITING = 5
"""Jobs of one owner that may wait or run."""
MOST_ENDED = 4
"""Jobs of one owner that are remembered after their end."""
MOST_ACTIVE = 20
"""Jobs of all owners that may wait or run."""
MOST_JOBS = 20
"""Jobs of all owners that are remembered."""
_APART_S = 10.0
"""After the use of one network, so long none is warmed for another one."""


class JobQueue:
    """Jobs of everybody.

    Args:
        host: What renders.
        keep: Puts a result where it is to stay and returns its keys.
        present: Tells whether an owner is there.
        patience_s: After an absence of so long an owner's jobs are dropped.
        look_every_s: How often that is looked at.
    """

    def __init__(
        self,
        host: Host,
        keep: Callable[[Job, Finished], tuple[str, ...]],
        *,
        present: Callable[[str], bool] = lambda _owner: True,
        patience_s: float = 60.0,
        look_every_s: float = 5.0,
    ) -> None:
        self._host, self._keep, self._present = host, keep, present
        self._patience_s, self._look_every_s = patience_s, look_every_s
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._warm = ""
        self._used = ("", 0.0)
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
            ConfigError: If the owner or all together have too many waiting, or the server stops.
        """
        with self._changed:
            if self._closed:
                raise ConfigError("the server is stopping; start it again with 'featviz app'")
            if sum(job.active for job in self._of(owner)) >= MOST_WAITING:
                raise ConfigError(
                    f"{MOST_WAITING} renders of yours are under way; wait for one, or cancel one"
                )
            if sum(job.active for job in self._jobs.values()) >= MOST_ACTIVE:
                raise ConfigError(
                    f"{MOST_ACTIVE} renders of all who use this server are under way; try again "
                    "when some are done"
                )
            job = Job(secrets.token_urlsafe(16), owner, title, task, keep_in)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._forget(owner)
            self._wake()
            return job

    def warm(self, model: str) -> None:
        """Let a network be loaded where it renders, if nothing else is or was just done there.

        Args:
            model: Name of the network.
        """
        with self._changed:
            other, when = self._used
            busy = other not in ("", model) and time.monotonic() - when < _APART_S
            if not self._closed and not self._waiting and self._running is None and not busy:
                self._warm, self._used = model, (model, time.monotonic())
                self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="renders")
            self._thread.start()
            threading.Thread(target=self._watch, daemon=True, name="owners").start()
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

    def inherit(self, owner: str, is_same: Callable[[str], bool]) -> None:
        """Give an owner the jobs of others who have gone, as a reload makes another session.

        Args:
            owner: Who takes them over.
            is_same: Tells of another owner whether it is the same user.
        """
        with self._changed:
            for job in self._jobs.values():
                other = job.owner
                if other != owner and is_same(other) and not self._present(other):
                    job.owner = owner

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
            if job is not None and job.owner == owner:
                self._cancel(job)

    def drop(self, owner: str) -> None:
        """End and forget all jobs of an owner who has gone; what is being kept is kept.

        Args:
            owner: Who has gone.
        """
        with self._changed:
            for job in self._of(owner):
                self._cancel(job)
                del self._jobs[job.id]

    def _cancel(self, job: Job) -> None:
        # A result that is there is being kept: too late.
        if not job.active or job.finished is not None:
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

    def _watch(self) -> None:
        """Drop the jobs of owners who have gone, who would never see them."""
        absent: dict[str, float] = {}
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, self._look_every_s):
                    return
                owners = {job.owner for job in self._jobs.values()}
            now = time.monotonic()
            absent = {o: absent.get(o, now) for o in owners if not self._present(o)}
            for owner, since in absent.items():
                if now - since >= self._patience_s:
                    self.drop(owner)

    def _work(self) -> None:
        while (found := self._next()) is not None:
            if isinstance(found, Job):
                self._run(found)
                continue
            with contextlib.suppress(Exception):  # a render will tell
                self._host.begin(found)

    def _next(self) -> Job | Warm | None:
        """Wait for something to do, and return it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed or self._warm)
            if self._closed:
                return None
            warm, self._warm = self._warm, ""
            if not self._waiting:
                return Warm(warm)
            job = self._running = self._waiting.popleft()
            job.state, job.started = State.RUNNING, time.monotonic()
            return job

    def _run(self, job: Job) -> None:
        """Render a job; the queue outlives whatever happens to it."""
        try:
            self._render(job)
        except FeatvizError as error:
            self._fail(job, str(error))
        except Exception as error:  # noqa: BLE001
            self._fail(job, f"the render failed: {type(error).__name__}: {error}")
        if job.state is State.CANCELLED:
            with contextlib.suppress(Exception):  # it was told to end, and is forgotten
                self._host.close()  # waits until it is gone, so that the next job gets another
        with self._changed:
            self._running = None
            self._used = (job.task.model, time.monotonic())

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
        """Take in a result, then keep it; from here on a job cannot be cancelled."""
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
            job.frequency, job.finished = result.frequency, result
        if job.keep_in:
            try:
                job.kept = self._keep(job, result)
            except (FeatvizError, OSError) as error:
                job.note = f"the result could not be kept: {error}"
            # Whatever it is, the result is there to be seen and downloaded.
            except Exception as error:  # noqa: BLE001
                job.note = f"the result could not be kept: {type(error).__name__}: {error}"
        with self._changed:
            self._end(job, State.DONE)

    def _fail(self, job: Job, reason: str) -> None:
        with self._changed:
            if job.state is State.RUNNING:
                job.error = reason
                self._end(job, State.FAILED)

    @staticmethod
    def _end(job: Job, state: State) -> None:
        job.state, job.ended = state, time.monotonic()
