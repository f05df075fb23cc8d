"""One render that was asked for, and how far it is: what the queue writes and pages read."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.render_task import Finished, Preview, Task

MOST_POINTS = 400
"""Points of a curve; a longer one is thinned."""


class State(StrEnum):
    """What a job is doing."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Course:
    """How one image got to where it is.

    Attributes:
        points: Step and score.
        picture: As it is now, as a data URL.
        amplitudes: Of its spectrum.
    """

    points: tuple[tuple[int, float | None], ...]
    picture: str
    amplitudes: tuple[float, ...]

    @property
    def step(self) -> int:
        """Steps done."""
        return self.points[-1][0] if self.points else 0


@dataclass(eq=False)
class Job:
    """One render that was asked for. The queue changes it; pages read it.

    Attributes:
        id: Nobody can guess it.
        owner: Who may see it and end it.
        title: For people.
        task: What is rendered.
        keep_in: Name of the atlas that the result goes to; empty: it is not kept.
        state: What it is doing.
        courses: By label, as far as they are known.
        frequency: Of the rings of the spectra.
        finished: The result.
        error: Why it failed.
        note: What else went wrong.
        kept: Keys of its images in the atlas.
        started: When it began, by a clock that never goes back, s.
        ended: When it ended.
    """

    id: str
    owner: str
    title: str
    task: Task
    keep_in: str = ""
    state: State = State.WAITING
    courses: Mapping[str, Course] = field(default_factory=dict)
    frequency: tuple[float, ...] = ()
    finished: Finished | None = None
    error: str = ""
    note: str = ""
    kept: tuple[str, ...] = ()
    started: float | None = None
    ended: float | None = None

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (State.WAITING, State.RUNNING)

    @property
    def seconds(self) -> float:
        """How long it has run."""
        if self.started is None:
            return 0.0
        return (time.monotonic() if self.ended is None else self.ended) - self.started


def take_in(job: Job, preview: Preview) -> None:
    """Add a preview to a job; its mappings are replaced, never changed, for pages read them."""
    courses = dict(job.courses)
    for label, score, picture, amplitudes in zip(
        preview.labels, preview.scores, preview.pictures, preview.amplitudes, strict=True
    ):
        before = courses[label].points if label in courses else ()
        if before and before[-1][0] >= preview.step:
            before = ()  # memory ran out, and its batch began anew
        points = thinned((*before, (preview.step, score)))
        courses[label] = Course(points, picture, amplitudes)
    job.courses, job.frequency = courses, preview.frequency


def thinned(
    points: tuple[tuple[int, float | None], ...],
) -> tuple[tuple[int, float | None], ...]:
    """Return every second point, as often as needed, and the last.

    Args:
        points: Step and score, in order of steps.
    """
    while len(points) > MOST_POINTS:
        points = (*points[:-1:2], points[-1])
    return points
