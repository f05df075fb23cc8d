"""The page of the lessons: each one by AppTest, the way through the course in a browser."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

from app.lessons.course import COURSE, find_lesson, list_keys
from app.lessons.lesson import Choice, Lesson
from app_pages import plain

MAIN = Path(__file__).parents[3] / "app" / "main.py"
REPO = MAIN.parents[1]


def opened(**query: str) -> AppTest:
    """The page of the lessons at a link."""
    page = AppTest.from_file(str(MAIN), default_timeout=60).run()
    page.switch_page("views/lessons.py")
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def texts(page: AppTest) -> str:
    return "\n".join(each.value for each in page.markdown)


def answered(page: AppTest) -> set[str]:
    found: set[str] = page.session_state["lessons answered"]
    return found


# One control of each lesson: step, key, another value, and what is then to be seen.
MOVED = {
    "noise": ("1", "slider", "steps", 256, "2,717"),
    "units": ("2", "slider", "share", 0, "100 % `fire8:16`"),
    "curves": ("1", "slider", "orientation", 220, "`fire5:38` says **6"),
    "composing": ("2", "toggle", "cut", True, None),
    "trust": ("2", "group", "network", "random", "score **4**"),
    "turning": ("1", "slider", "turn", 45, "the same, turned by 45°"),
}


@pytest.mark.parametrize("lesson", COURSE, ids=list_keys())
def test_each_step_is_shown_and_the_control_has_an_effect(lesson: Lesson) -> None:
    for step in range(1, len(lesson.steps) + 1):
        page = opened(lesson=lesson.key, step=str(step))
        assert not page.exception
        assert not page.error
        assert f"#### {lesson.steps[step - 1].title}" in texts(page)
    at, kind, key, value, seen = MOVED[lesson.key]
    page = opened(lesson=lesson.key, step=at)
    before = [each.value for each in page.metric]
    if kind == "toggle":
        page.toggle(key=key).set_value(value).run()
    elif kind == "group":
        page.segmented_control(key=key).set_value(value).run()
    else:
        control = page.select_slider if lesson.key in ("noise", "units") else page.slider
        control(key=key).set_value(value).run()
    assert not page.exception
    if seen is None:
        assert [each.value for each in page.metric] != before
    else:
        assert seen in texts(page)


@pytest.mark.parametrize("lesson", COURSE, ids=list_keys())
def test_wrong_answers_get_a_hint_and_the_right_one_counts(lesson: Lesson) -> None:
    page = opened(lesson=lesson.key, step=str(len(lesson.steps)))
    question = lesson.question()
    assert answered(page) == set()
    assert page.button(key=f"check {lesson.key}").disabled
    if isinstance(question, Choice):
        wrong = next(option for option in question.options if option.hint)
        right = next(option for option in question.options if not option.hint).text
        answer, given, hint = page.radio, wrong.text, wrong.hint
    else:
        given = question.most if question.answer < question.most / 2 else question.least
        answer, right, hint = page.number_input, question.answer, question.judge(given).words
    answer(key=f"answer {lesson.key}").set_value(given).run()
    assert not page.warning
    page.button(key=f"check {lesson.key}").click().run()
    assert [each.value for each in page.warning] == [f"**Not yet.** {hint}"]
    assert answered(page) == set()
    answer = page.radio if isinstance(question, Choice) else page.number_input
    answer(key=f"answer {lesson.key}").set_value(right).run()
    assert not page.warning
    page.button(key=f"check {lesson.key}").click().run()
    assert [each.value for each in page.success] == [f"**Right.** {question.why}"]
    assert answered(page) == {lesson.key}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"lesson": "curve"}, "lesson='curve'; did you mean 'curves'?"),
        ({"lesson": "curves", "step": "9"}, "step='9'; it must be a whole number, 1 to 3"),
        ({"lesson": "curves", "step": "1", "orientation": "x"}, "orientation='x'"),
        ({"lesson": "curves", "step": "1", "unit": "fire5:<b>"}, "it can be fire5:38, arcs:6"),
        ({"lesson": "noise", "steps": "3"}, "steps='3'"),
        ({"lesson": "composing", "step": "2", "cut": "maybe"}, "it can be true, false"),
    ],
)
def test_a_bad_link_is_told(query: dict[str, str], said: str) -> None:
    page = opened(**query)
    assert not page.exception
    assert len(page.error) == 1
    assert said in plain(page.error[0].value)


def test_without_a_lesson_the_course_begins() -> None:
    assert [each.value for each in opened().subheader] == [COURSE[0].title]


# ---- in a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    script = (
        "import sys; from app.library import Library; from app.serving import make_server; "
        "make_server(Library(), port=int(sys.argv[1])).run()"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(port)], cwd=REPO, env=environment
    ) as process:
        base = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            try:
                with urllib.request.urlopen(f"{base}/_stcore/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.1)
        yield base
        process.terminate()


def test_a_lesson_is_followed_answered_and_left(browser: Browser, served: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    strange: list[str] = []
    page.on("pageerror", lambda error: strange.append(str(error)))
    page.on(
        "request",
        lambda asked: strange.append(asked.url) if not asked.url.startswith(served) else None,
    )
    page.goto(f"{served}/lessons?lesson=turning&step=1&turn=90")
    expect(page.get_by_text("early curve 90° → arc 90°")).to_be_visible(timeout=60_000)
    page.get_by_role("slider").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("early curve 105° → arc 105°")).to_be_visible()
    page.wait_for_url("**/lessons?*turn=105*")
    page.get_by_text("Next: Turn them all").click()
    page.wait_for_url("**/lessons?lesson=turning&step=2")
    expect(page.get_by_text("Step 2 of 4")).to_be_visible(timeout=30_000)
    page.go_back()
    page.wait_for_url("**/lessons?*turn=105*")
    expect(page.get_by_text("Step 1 of 4")).to_be_visible(timeout=30_000)
    page.goto(f"{served}/lessons?lesson=turning&step=4")
    box = page.get_by_placeholder("A number")
    box.fill("115")
    box.press("Enter")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Not yet.")).to_be_visible(timeout=30_000)
    box.fill("130")
    box.press("Enter")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Right.")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("1 of 6")).to_be_visible()
    page.get_by_role("link", name="Noise").click()
    expect(page.get_by_text(find_lesson("noise").goal)).to_be_visible(timeout=30_000)
    expect(page.get_by_text("1 of 6")).to_be_visible()
    context.close()
    assert [each for each in strange if not each.startswith(("data:", "blob:"))] == []
