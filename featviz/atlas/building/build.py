"""Render what a request asks for and an atlas lacks: `build_atlas`, `resume_atlas`.

The driver: it alone writes. Each batch is kept whole or not at all, so that whatever ends a build,
another one goes on where it was.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from featviz.atlas.building.builder_lock import Builder, build_lock
from featviz.atlas.building.executors import Executor, Serial, Spawned
from featviz.atlas.building.lost_pictures import lost_pictures
from featviz.atlas.building.moments import Built, Moment
from featviz.atlas.building.plan import AtlasPlan, Batch, Job, make_atlas_plan, read_plans
from featviz.atlas.building.request import Request
from featviz.atlas.building.worker import Outcome, Setup, Worker
from featviz.atlas.entries import Failure
from featviz.atlas.layout import Layout, create_layout, open_layout
from featviz.atlas.reading import Atlas
from featviz.atlas.store import Store
from featviz.errors import ConfigError, RecordError
from featviz.interrupts import held_interrupts
from featviz.models.model import Model

EXECUTORS = ("serial", "spawn", "ray")


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
    first: tuple[float, int, float] | None = None
    start: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count a batch."""
        self.made += len(outcome.images)
        self.done += len(outcome.images)
        self.dead += sum(bool(image.parts["dead"]) for image in outcome.images)
        self.failed += len(outcome.failures)
        self.cost_done += outcome.batch.cost
        if self.first is None:
            self.first = (self._seconds(), self.made, self.cost_done)
        self.report()

    def report(self) -> None:
        """Tell how far the build is."""
        if self.progress is not None:
            self.progress(self.moment())

    def moment(self) -> Moment:
        """Return how far the build is."""
        seconds, made, cost = self._seconds(), self.made, self.cost_done
        rate = left = None
        if self.first is not None and self.cost_done > self.first[2]:
            # By the first outcome the workers have started; what that took says nothing.
            began, made_then, cost_then = self.first
            seconds, made, cost = seconds - began, made - made_then, cost - cost_then
        if made:
            rate = made / max(seconds, 1e-9)
            left = seconds * max(self.cost - self.cost_done, 0.0) / cost
        counts = (self.total, self.done, self.made, self.failed, self.dead)
        return Moment(*counts, self._seconds(), rate, left)

    def _seconds(self) -> float:
        return time.monotonic() - self.start


def build_atlas(
    root: str | Path,
    request: Request,
    *,
    executor: str = "serial",
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Callable[[Moment], None] | None = None,
) -> Built:
    """Render what a request asks for and the atlas lacks.

    Args:
        root: Folder of the atlas; made if it is not there.
        request: What to render.
        executor: `serial`: in this process; `spawn`: in processes of this machine; `ray`.
        workers: How many processes or Ray actors; None: 1.
        retry_failed: Whether to try again what failed too often in earlier builds.
        progress: Called after each batch.

    Raises:
        InputError: If the request does not fit the model, the folder cannot be written to, or
            another build is at work there.
        RecordError: If the folder of the pictures is gone, or empty in spite of the records.
        RenderError: If workers cannot start.
        KeyboardInterrupt: On Ctrl-C; what was finished is kept.
    """
    check_executor(executor, workers)
    model = request.model.load()
    plan = make_atlas_plan(request.with_whole_paths(), model)
    # Not before: what is asked for by a wrong name leaves no folder.
    layout = create_layout(root)
    return _run(
        layout, plan, model, executor, workers, retry_failed=retry_failed, progress=progress
    )


def resume_atlas(
    root: str | Path,
    *,
    executor: str = "serial",
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Callable[[Moment], None] | None = None,
) -> list[Built]:
    """Go on with everything that an atlas was asked for, in the precision of then.

    The networks that the atlas names are loaded: a `module.path:factory` runs its code, so trust
    the folder first.

    Args:
        root: Folder of the atlas.
        executor: As for `build_atlas`; it may be another one than before.
        workers: As for `build_atlas`.
        retry_failed: Whether to try again what failed too often.
        progress: Called after each batch; counts are of one request at a time.

    Raises:
        RecordError: If there is no atlas, the model, its weights or what the settings come to are
            others than before, or the folder of the pictures is gone, or empty in spite of the
            records.
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
        plan = _as_before(old, make_atlas_plan(old.request, model, precision=old.precision), root)
        built.append(
            _run(
                layout, plan, model, executor, workers,
                retry_failed=retry_failed, progress=progress,
            )
        )  # fmt: skip
    return built


def _as_before(old: AtlasPlan, plan: AtlasPlan, root: str | Path) -> AtlasPlan:
    """Return a plan if it comes to the images of the earlier one."""
    if plan.weights != old.weights:
        raise RecordError(
            f"{plan.model!r} has other weights than when {str(root)!r} was begun, so its units "
            "would be others; put the weights of then back, or build anew"
        )
    if _identities(plan) != _identities(old):
        raise RecordError(
            f"the settings of {str(root)!r} come to other images than when it was begun: a file "
            "that they name has changed, or featviz; put that back, or build anew"
        )
    return plan


def _identities(plan: AtlasPlan) -> dict[tuple[str, str], str]:
    return {(part.site, part.variant): part.identity for part in plan.parts}


def check_executor(executor: str, workers: int | None) -> None:
    """Raise ConfigError for an executor or a number of workers that there is not."""
    if executor not in EXECUTORS:
        raise ConfigError(f"the executor is {', '.join(EXECUTORS)}; got {executor!r}")
    if workers is not None and (not isinstance(workers, int) or not 1 <= workers <= 10_000):
        raise ConfigError(f"workers must be 1 or more, got {workers!r}")
    if executor == "serial" and workers not in (None, 1):
        raise ConfigError(
            f"the serial executor works in this process alone, so {workers} workers need another: "
            "--executor spawn or ray"
        )


@dataclass(frozen=True)
class Before:
    """What earlier builds left of the jobs of a plan.

    Attributes:
        done: Keys of the jobs whose images are all there.
        failed: The other jobs that were tried, by key.
    """

    done: frozenset[str]
    failed: Mapping[str, Failure]

    def given_up(self) -> set[str]:
        """Return the keys of the jobs that failed too often to be tried again."""
        return {key for key, failure in self.failed.items() if failure.given_up}


def look_before(atlas: Atlas, jobs: Iterable[Job]) -> Before:
    """Return what earlier builds left of jobs.

    Args:
        atlas: Where to look.
        jobs: Of a plan.
    """
    # Of work that was done and taken back in part since, attempts are counted on.
    failures = atlas.failures(also_done=True)
    there, failed = atlas.work(), {failure.job: failure for failure in failures}
    done, bad = set(), {}
    for job in jobs:
        if job.key in there and there[job.key].images >= job.images:
            done.add(job.key)
        elif job.key in failed:
            bad[job.key] = failed[job.key]
    return Before(frozenset(done), bad)


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
        jobs = list(plan.jobs())
        with Atlas(layout.root) as atlas:
            before = look_before(atlas, jobs)
        lost = lost_pictures(layout) if before.done else ""
        if lost:
            raise RecordError(lost)
        left_out = set() if retry_failed else before.given_up()
        skipped = before.done | left_out
        tally = _Tally(
            total=sum(job.images for job in jobs),
            done=sum(job.images for job in jobs if job.key in before.done),
            failed=len(left_out),
            cost=sum(batch.cost for batch in plan.batches(skipped)),
            progress=progress,
        )
        tally.report()
        if len(skipped) < len(jobs):
            runner = _start(plan, model, executor, count)
            try:
                _drive(runner, plan.batches(skipped), layout, tally, before)
            finally:
                runner.close()
        with Atlas(layout.root) as atlas:
            after = look_before(atlas, jobs)
        return Built(tally.moment(), tuple(after.failed.values()))


def _drive(
    runner: Executor, batches: Iterator[Batch], layout: Layout, tally: _Tally, before: Before
) -> None:
    with Store(layout.root) as store:
        for outcome in runner.run(batches):
            # Ctrl-C waits until the batch is kept.
            with held_interrupts():
                store.add(outcome.images)
                store.note([_counted(failure, before) for failure in outcome.failures])
                tally.add(outcome)


def _counted(failure: Failure, before: Before) -> Failure:
    """Return a failure with the number of its attempt."""
    last = before.failed.get(failure.job)
    return failure if last is None else replace(failure, attempt=last.attempt + 1)


def _start(plan: AtlasPlan, model: Model, executor: str, workers: int) -> Executor:
    """Return the executor, started."""
    request = plan.request
    threads = max(1, torch.get_num_threads() // workers)
    setup = Setup(request.model, plan.weights, request.kind, request.thumb_px, threads)
    if executor == "serial":
        return Serial(Worker(setup, model))
    if executor == "spawn":
        return Spawned(plan, setup, workers=workers)
    from featviz.atlas.building.ray_executor import RayActors

    return RayActors(plan, setup, workers=workers)
