"""What a build tells: how far it is, and what became of it."""

from dataclasses import dataclass

from featviz.atlas.entries import Failure


@dataclass(frozen=True)
class Moment:
    """How far a build is.

    Attributes:
        total: Images that were asked for.
        done: Images that are there.
        made: Images of this run.
        failed: Units that failed, now or before.
        dead: Images of this run that do not fire their unit.
        seconds: Since the build began.
        rate: Images a second, once workers have started; None before the first.
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
