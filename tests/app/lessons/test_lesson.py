"""Questions are judged, and the course is what it promises to be."""

import re
from itertools import pairwise

import pytest

from app.lessons import shelf
from app.lessons.course import COURSE, find_lesson, list_keys, neighbours
from app.lessons.lesson import Choice, Lesson, Number, Option
from featviz.errors import RecordError

CHOICE = Choice("Which?", (Option("this"), Option("that", "Look again.")), "Because.")


def number(**changes: float | None) -> Number:
    given = {"answer": 100.0, "tolerance": 5.0, "least": 0.0, "most": 355.0, **changes}
    return Number("How much?", why="So.", low="More.", high="Less.", **given)


def test_a_choice_is_right_or_gets_its_own_hint() -> None:
    assert (CHOICE.judge("this").right, CHOICE.judge("this").words) == (True, "Because.")
    assert (CHOICE.judge("that").right, CHOICE.judge("that").words) == (False, "Look again.")


@pytest.mark.parametrize(
    "options",
    [
        (Option("a"), Option("b")),
        (Option("a", "no"), Option("b", "no")),
        (Option("a"), Option("a", "no")),
    ],
)
def test_a_choice_needs_one_right_answer(options: tuple[Option, ...]) -> None:
    with pytest.raises(ValueError, match="needs different answers, one of them without a hint"):
        Choice("Which?", options, "Because.")


@pytest.mark.parametrize(
    ("given", "words"),
    [(95, "So."), (105, "So."), (94.9, "More."), (105.1, "Less."), (float("nan"), "More.")],
)
def test_a_number_has_a_tolerance_and_hints_to_either_side(given: float, words: str) -> None:
    assert number().judge(given).words == words
    assert number().judge(given).right == (words == "So.")


@pytest.mark.parametrize(
    ("answer", "given", "words"),
    [(355, 0, "So."), (0, 355, "So."), (350, 20, "Less."), (10, 300, "More."), (10, 370, "So.")],
)
def test_degrees_are_judged_the_shorter_way_round(answer: float, given: float, words: str) -> None:
    assert number(answer=answer, period=360.0).judge(given).words == words


def test_the_course_has_an_order_without_holes() -> None:
    keys = list_keys()
    assert len(keys) == len(set(keys)) >= 6
    assert neighbours(keys[0])[0] is neighbours(keys[-1])[1] is None
    for before, after in pairwise(keys):
        assert neighbours(before)[1] is find_lesson(after)
        assert neighbours(after)[0] is find_lesson(before)
    with pytest.raises(KeyError):
        find_lesson("none")


@pytest.mark.parametrize("lesson", COURSE, ids=list_keys())
def test_a_lesson_has_a_goal_short_words_and_a_reference(lesson: Lesson) -> None:
    assert lesson.goal
    assert lesson.goal.endswith(".")
    assert len(lesson.steps) >= 3
    assert all(r.text and r.section and r.link.startswith("https://") for r in lesson.references)
    for step in lesson.steps[:-1]:
        words = re.findall(r"[A-Za-z]{2,}", step.words())
        assert 50 <= len(words) <= 125, f"{step.title}: {len(words)} words"
        assert not re.search(r"\b(nan|None)\b", step.words())
    question = lesson.question()
    if isinstance(question, Number):
        assert question.judge(question.answer).right
        assert question.least <= question.answer <= question.most


def test_strips_hold_squares_and_are_small() -> None:
    files = sorted(shelf._FOLDER.glob("*.webp"))
    assert len(files) > 10
    assert sum(file.stat().st_size for file in files) < 3 * 2**20
    for file in files:
        assert file.stat().st_size < 2**20
        assert all(picture.width == picture.height for picture in shelf.read_strip(file.stem))


def test_a_missing_picture_says_what_to_do() -> None:
    with pytest.raises(RecordError, match=r"no pictures for the lessons .*none\.webp.*make_assets"):
        shelf.read_strip("none")
