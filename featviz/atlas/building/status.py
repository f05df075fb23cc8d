"""How far an atlas is: read from its folder alone, whether a build is at work there or not."""

from dataclasses import dataclass
from pathlib import Path

from featviz.atlas.building.build import look_before
from featviz.atlas.building.builder_lock import Builder, read_builder
from featviz.atlas.building.lost_pictures import lost_pictures
from featviz.atlas.building.plan import AtlasPlan, read_plans
from featviz.atlas.layout import open_layout
from featviz.atlas.reading import Atlas, Work


@dataclass(frozen=True)
class RequestStatus:
    """How far one request is.

    Attributes:
        model: Name of the model.
        sites: How many.
        variants: Such as `positive`.
        total: Images that were asked for.
        done: Images that are there.
        dead: How many of these do not fire their unit.
        failed: Images whose job failed and is tried again.
        given_up: Images whose job failed too often to be tried again.
        rate: Images a second, with as many workers as the last build had; None before the first.
        seconds_left: Estimate with as many workers, by what the sites cost; None before the first.
        errors: What was wrong, by unit and variant.
    """

    model: str
    sites: int
    variants: tuple[str, ...]
    total: int
    done: int
    dead: int
    failed: int
    given_up: int
    rate: float | None
    seconds_left: float | None
    errors: dict[str, str]

    @property
    def to_do(self) -> int:
        """Images that a resume renders."""
        return self.total - self.done - self.given_up


@dataclass(frozen=True)
class AtlasStatus:
    """How far an atlas is.

    Attributes:
        requests: One a build that was asked for.
        builder: Who builds, or built last; None if nobody did.
        running: Whether it is at work now.
        lost: What to do where the pictures are gone as a whole; empty if they are not.
    """

    requests: tuple[RequestStatus, ...]
    builder: Builder | None
    running: bool
    lost: str = ""


def read_status(root: str | Path) -> AtlasStatus:
    """Return how far an atlas is.

    Args:
        root: Its folder.

    Raises:
        RecordError: If there is no atlas, or its files cannot be read.
    """
    layout = open_layout(root)
    builder, running = read_builder(layout)
    workers = builder.workers if builder else 1
    with Atlas(root) as atlas:
        work = atlas.work()
        requests = tuple(_status(plan, atlas, work, workers) for plan in read_plans(layout))
    lost = lost_pictures(layout) if any(request.done for request in requests) else ""
    return AtlasStatus(requests, builder, running, lost)


def _status(plan: AtlasPlan, atlas: Atlas, work: dict[str, Work], workers: int) -> RequestStatus:
    total = done = dead = failed = given_up = 0
    seconds = cost_done = cost_left = 0.0
    costs = {(part.site, part.variant): part.cost for part in plan.parts}
    jobs = list(plan.jobs())
    before = look_before(atlas, jobs)
    for job in jobs:
        total += job.images
        cost = costs[job.site, job.variant] * job.images
        if job.key in before.done:
            done += job.images
            dead += work[job.key].dead
            seconds += work[job.key].seconds
            cost_done += cost
        elif job.key in before.failed and before.failed[job.key].given_up:
            given_up += job.images
        else:
            failed += job.images if job.key in before.failed else 0
            cost_left += cost
    rate = left = None
    if seconds:
        rate = workers * done / seconds
        left = seconds * cost_left / cost_done / workers
    return RequestStatus(
        plan.model,
        len({part.site for part in plan.parts}),
        plan.request.variants,
        total, done, dead, failed, given_up, rate, left,
        {f"{f.site}:{f.channel} {f.variant}": f.error for f in before.failed.values()},
    )  # fmt: skip
