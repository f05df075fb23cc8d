"""Render what a request asks for and an atlas lacks: `build_atlas`, `resume_atlas`.

The driver: it alone writes. Each batch is kept whole or not at all, so that whatever ends a build,
another one goes on where it was.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from featviz.atlas.entries import Failure
from featviz.atlas.executors import Executor, Serial, Spawned
from featviz.atlas.layout import Layout, create_layout, open_layout
from featviz.atlas.locking import Builder, build_lock
from featviz.atlas.plan import AtlasPlan, Job, make_atlas_plan, read_plans
from featviz.atlas.reading import Atlas
from featviz.atlas.request import Request
from featviz.atlas.store import Store
from featviz.atlas.worker import Outcome, Setup, Worker
from featviz.errors import ConfigError, RecordError
from featviz.interrupts import held_interrupts
from featviz.models.model import Model

EXECUTORS = ("local", "spawn", "ray")


@dataclass(frozen=True)
class Moment:
    """How far a build is.

    Attributes:
        total: Images that were asked for.
        done: Images that are there.
        made: Images of this run.
        failed: Units that failed, now or before.
        dead: Images of this run that do not fire their unit.
        seconds: Since the first batch began.
        rate: Images a second; None before the first.
        seconds_left: Estimate; None before the first.
    """

    total: int
    done: int
    made: int = 0
    failed: int = 0
    dead: int = 0
    seconds: float = 0.0
    rate: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Built:
    """What became of a build.

    Attributes:
        last: How far it is.
        failures: Work that failed and was not done since.
    """

    last: Moment
    failures: tuple[Failure, ...]


@dataclass
class _Tally:
    """Counts while a build runs; durations by a clock that never goes back."""

    total: int
    done: int
    failed: int
    cost: float
    progress: Callable[[Moment], None] | None
    made: int = 0
    dead: int = 0
    cost_done: float = 0.0
    start: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count a batch."""
        self.made += len(outcome.images)
        self.done += len(outcome.images)
        self.dead += sum(bool(image.parts["dead"]) for image in outcome.images)
        self.failed += len(outcome.failures)
        self.cost_done += outcome.batch.cost
        self.report()

    def report(self) -> None:
        """Tell how far the build is."""
        if self.progress is not None:
            self.progress(self.moment())

    def moment(self) -> Moment:
        """Return how far the build is."""
        seconds = time.monotonic() - self.start
        rate = left = None
        if self.made and self.cost_done:
            rate = self.made / max(seconds, 1e-9)
            left = seconds * max(self.cost - self.cost_done, 0.0) / self.cost_done
        counts = (self.total, self.done, self.made, self.failed, self.dead)
        return Moment(*counts, seconds, rate, left)


def build_atlas(
    root: str | Path,
    request: Request,
    *,
    executor: str = "local",
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Callable[[Moment], None] | None = None,
) -> Built:
    """Render what a request asks for and the atlas lacks.

    Args:
        root: Folder of the atlas; made if it is not there.
        request: What to render.
        executor: `local`: in this process; `spawn`: in processes of this machine; `ray`.
        workers: How many processes or Ray actors; None: 1 here, with Ray one a GPU, or one if
            there is none.
        retry_failed: Whether to try again what failed in an earlier build.
        progress: Called after each batch.

    Raises:
        InputError: If the request does not fit the model, the folder cannot be written to, or
            another build is at work there.
        RenderError: If workers cannot start.
        KeyboardInterrupt: On Ctrl-C; what was finished is kept.
    """
    check_executor(executor, workers)
    layout = create_layout(root)
    model = request.model.load()
    plan = make_atlas_plan(request, model)
    return _run(
        layout, plan, model, executor, workers, retry_failed=retry_failed, progress=progress
    )


def resume_atlas(
    root: str | Path,
    *,
    executor: str = "local",
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Callable[[Moment], None] | None = None,
) -> list[Built]:
    """Go on with everything that an atlas was asked for.

    Args:
        root: Folder of the atlas.
        executor: As for `build_atlas`; it may be another one than before.
        workers: As for `build_atlas`.
        retry_failed: Whether to try again what failed.
        progress: Called after each batch; counts are of one request at a time.

    Raises:
        RecordError: If there is no atlas, or the model or its weights are others than before.
        InputError: If the folder cannot be written to, or another build is at work there.
        RenderError: If workers cannot start.
        KeyboardInterrupt: On Ctrl-C; what was finished is kept.
    """
    check_executor(executor, workers)
    layout = open_layout(root)
    saved = read_plans(layout)
    if not saved:
        raise RecordError(f"nothing was asked of {str(root)!r} yet; 'featviz atlas build' does")
    built = []
    for old in saved:
        model = old.request.model.load()
        plan = make_atlas_plan(old.request, model)
        if plan.weights != old.weights:
            raise RecordError(
                f"{plan.model!r} has other weights than when {str(root)!r} was begun, so its units "
                "would be others; put the weights of then back, or build anew"
            )
        built.append(
            _run(
                layout, plan, model, executor, workers,
                retry_failed=retry_failed, progress=progress,
            )
        )  # fmt: skip
    return built


def check_executor(executor: str, workers: int | None) -> None:
    """Raise ConfigError for an executor or a number of workers that there is not."""
    if executor not in EXECUTORS:
        raise ConfigError(f"the executor is {', '.join(EXECUTORS)}; got {executor!r}")
    if workers is not None and (not isinstance(workers, int) or not 1 <= workers <= 10_000):
        raise ConfigError(f"workers must be 1 or more, got {workers!r}")
    if executor == "local" and workers not in (None, 1):
        raise ConfigError(
            f"the local executor works in this process alone, so {workers} workers need another: "
            "--executor spawn or ray"
        )


def lacking(plan: AtlasPlan, layout: Layout, *, retry_failed: bool) -> tuple[set[str], set[str]]:
    """Return the keys of the jobs of a plan that are done, and of those that failed.

    Args:
        plan: What was asked for.
        layout: Of the atlas.
        retry_failed: Whether those that failed are to be done all the same; then none is returned.
    """
    with Atlas(layout.root) as atlas:
        there = atlas.images_of_jobs()
        bad = set() if retry_failed else {failure.job for failure in atlas.failures()}
    jobs = list(plan.jobs())
    done = {job.key for job in jobs if there.get(job.key, 0) >= job.images}
    return done, {job.key for job in jobs if job.key in bad} - done


def _run(
    layout: Layout,
    plan: AtlasPlan,
    model: Model,
    executor: str,
    workers: int | None,
    *,
    retry_failed: bool,
    progress: Callable[[Moment], None] | None,
) -> Built:
    """Render what a plan lacks."""
    count = workers or 1
    with build_lock(layout, Builder(os.getpid(), executor, count)):
        plan.save(layout)
        done, failed = lacking(plan, layout, retry_failed=retry_failed)
        skipped = done | failed
        jobs = list(plan.jobs())
        tally = _Tally(
            total=sum(job.images for job in jobs),
            done=sum(job.images for job in jobs if job.key in done),
            failed=len(failed),
            cost=sum(batch.cost for batch in plan.batches(skipped)),
            progress=progress,
        )
        tally.report()
        if len(skipped) < len(jobs):
            runner = _start(plan, model, executor, count)
            try:
                _drive(runner, plan, skipped, layout, tally)
            finally:
                runner.close()
        return Built(tally.moment(), _failures(layout, jobs))


def _drive(
    runner: Executor, plan: AtlasPlan, skipped: set[str], layout: Layout, tally: _Tally
) -> None:
    with Store(layout.root) as store:
        for outcome in runner.run(plan.batches(skipped)):
            # Ctrl-C waits until the batch is kept.
            with held_interrupts():
                store.add(outcome.images)
                store.note(outcome.failures)
                tally.add(outcome)


def _failures(layout: Layout, jobs: list[Job]) -> tuple[Failure, ...]:
    keys = {job.key for job in jobs}
    with Atlas(layout.root) as atlas:
        return tuple(failure for failure in atlas.failures() if failure.job in keys)


def _start(plan: AtlasPlan, model: Model, executor: str, workers: int) -> Executor:
    """Return the executor, started."""
    request = plan.request
    threads = max(1, torch.get_num_threads() // workers)
    setup = Setup(request.model, plan.weights, request.kind, request.thumb_px, threads)
    if executor == "local":
        return Serial(Worker(setup, model))
    if executor == "spawn":
        return Spawned(plan, setup, workers=workers)
    from featviz.atlas.ray_executor import RayActors

    return RayActors(plan, setup, workers=workers)
