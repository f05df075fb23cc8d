"""Which lessons there are, in the order of the course."""

from app.lessons.composing import COMPOSING
from app.lessons.curves import CURVES
from app.lessons.lesson import Lesson
from app.lessons.noise import NOISE
from app.lessons.trust import TRUST
from app.lessons.turning import TURNING
from app.lessons.units import UNITS

COURSE: tuple[Lesson, ...] = (NOISE, UNITS, CURVES, COMPOSING, TRUST, TURNING)


def list_keys() -> list[str]:
    """Return the words of the lessons in URLs, in order."""
    return [lesson.key for lesson in COURSE]


def find_lesson(key: str) -> Lesson:
    """Return a lesson.

    Raises:
        KeyError: If there is none of this word.
    """
    return {lesson.key: lesson for lesson in COURSE}[key]


def neighbours(key: str) -> tuple[Lesson | None, Lesson | None]:
    """Return the lessons before and after one; None at the ends."""
    at = list_keys().index(key)
    return (COURSE[at - 1] if at else None, COURSE[at + 1] if at + 1 < len(COURSE) else None)
