"""The page of the lessons: each one by AppTest, the way through the course in a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from streamlit.testing.v1 import AppTest

from app.lessons.course import COURSE, find_lesson, list_keys
from app.lessons.lesson import Choice, Lesson
from app_pages import open_page, plain
from benchmarks.serving import serve


def opened(**query: str) -> AppTest:
    """The page of the lessons at a link."""
    return open_page("lessons", **query)


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


# The right answer of each lesson, written out, and one that looks right: the whole width of the
# hill instead of that at half height, the echo of the arc of 30 degrees, the orientation of the
# source instead of that of the target.
ANSWERS: dict[str, tuple[str | float, str | float]] = {
    "noise": (
        "What it shows still excites the unit when it is shifted, turned and blurred",
        "It scores higher once it is finished",
    ),
    "units": (
        "Several pictures at once that are pushed apart: a diverse set",
        "The same channel with twice the steps",
    ),
    "curves": (60, 90),
    "composing": (0.67, 0.65),
    "trust": (
        "New photographs of faces excite it, others do not, and a shuffled network has no such "
        "unit",
        "The picture has a very high score",
    ),
    "turning": (130, 115),
}


@pytest.mark.parametrize("lesson", COURSE, ids=list_keys())
def test_wrong_answers_get_a_hint_and_the_right_one_counts(lesson: Lesson) -> None:
    page = opened(lesson=lesson.key, step=str(len(lesson.steps)))
    question = lesson.question()
    right, wrong = ANSWERS[lesson.key]
    assert answered(page) == set()
    page.button(key=f"check {lesson.key}").click().run()
    asked = "choose one of these" if isinstance(question, Choice) else "a number from "
    assert f"Give an answer first: {asked}" in page.info[-1].value

    def give(answer: str | float) -> None:
        box = page.radio if isinstance(question, Choice) else page.number_input
        box(key=f"answer {lesson.key}").set_value(answer).run()

    give(wrong)
    assert not page.warning
    page.button(key=f"check {lesson.key}").click().run()
    assert [each.value[:13] for each in page.warning] == ["**Not yet.** "]
    assert answered(page) == set()
    give(right)
    assert not page.warning
    page.button(key=f"check {lesson.key}").click().run()
    assert [each.value for each in page.success] == [f"**Right.** {question.why}"]
    assert answered(page) == {lesson.key}


def test_an_answer_is_still_there_after_coming_back() -> None:
    page = opened(lesson="turning", step="4")
    page.number_input(key="answer turning").set_value(130.0).run()
    page.button(key="check turning").click().run()
    for lesson, step in (("noise", "3"), ("turning", "4")):
        page.query_params["lesson"], page.query_params["step"] = lesson, step
        page.run()
    assert page.number_input(key="answer turning").value == 130.0
    assert [each.value[:11] for each in page.success] == ["**Right.** "]
    page.number_input(key="answer turning").set_value(115.0).run()
    assert not page.success
    page.button(key="check turning").click().run()
    assert [each.value[:13] for each in page.warning] == ["**Not yet.** "]


@pytest.mark.parametrize("answer", [-1, 361, 9999])
def test_a_number_that_is_none_of_those_asked_for_is_not_judged(answer: int) -> None:
    page = opened(lesson="turning", step="4")
    for given in (115, answer):
        page.number_input(key="answer turning").set_value(given).run()
        page.button(key="check turning").click().run()
    assert [each.value for each in page.info] == ["Give an answer first: a number from 0 to 355."]
    assert not page.warning
    assert not page.success


@pytest.mark.parametrize(("key", "written"), [("turning", "%d"), ("composing", "%.2f")])
def test_boxes_write_numbers_as_the_question_has_them(
    key: str, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    page = opened(lesson=key, step=str(len(find_lesson(key).steps)))
    assert page.number_input(key=f"answer {key}").proto.format == written
    assert "st.number_input" not in caplog.text  # streamlit logs it where format and type differ


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ({"lesson": "noise", "steps": "256"}, "2,717"),
        ({"lesson": "noise", "step": "2", "measure": "fine detail"}, "54.4"),
        ({"lesson": "units", "step": "1", "objective": "neuron"}, "`fire8:22@center`"),
        ({"lesson": "units", "step": "2", "share": "0"}, "100 % `fire8:16`"),
        ({"lesson": "curves", "unit": "arcs:6", "radius": "20", "orientation": "100"}, "197"),
        ({"lesson": "composing", "step": "3", "inputs": "120"}, "`fire4:142`"),
        ({"lesson": "composing", "step": "4", "cut": "true"}, "Median echo of all 32"),
        ({"lesson": "trust", "step": "2", "network": "random"}, "score **4**"),
        ({"lesson": "turning", "turn": "45", "pair": "opposite"}, "early curve 225° → arc 45°"),
        ({"lesson": "turning", "step": "2", "turn": "45", "network": "trained"}, "Turn them all"),
    ],
)
def test_a_link_opens_a_lesson_as_it_was(query: dict[str, str], seen: str) -> None:
    page = opened(**query)
    assert not page.exception
    assert not page.error
    assert seen in texts(page)


def test_the_strongest_inputs_are_told_beside_shuffled_networks() -> None:
    page = opened(lesson="composing", step="3")
    said = "**14 of 20** follow the rule: alike and exciting, or opposite and inhibiting. "
    assert page.caption[0].value == f"{said}In 20 shuffled networks 1 to 9 do."


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"lesson": "curve"}, "lesson='curve'; did you mean 'curves'?"),
        ({"lesson": "curves", "step": "9"}, "step='9'; it must be a whole number, 1 to 3"),
        ({"lesson": "curves", "step": "1", "orientation": "x"}, "orientation='x'"),
        ({"lesson": "curves", "step": "1", "unit": "fire5:<b>"}, "it can be fire5:38, arcs:6"),
        ({"lesson": "noise", "steps": "3"}, "steps='3'"),
        (
            {"lesson": "curves", "step": "1", "orientation": "3"},
            "orientation='3'; it must be one of 0, 5, 10 and so on, up to 355",
        ),
        ({"lesson": "composing", "step": "1", "arc": "7"}, "arc='7'; it must be one of 0, 15, 30"),
        ({"lesson": "composing", "step": "3", "inputs": "13"}, "inputs='13'; it must be one of 10"),
        ({"lesson": "turning", "step": "1", "turn": "50"}, "turn='50'; it must be one of 0, 15"),
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
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert browser.is_connected()
    with serve("--renders", tmp_path_factory.mktemp("served")) as app:
        yield app.base


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
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Not yet.")).to_be_visible(timeout=30_000)
    box.fill("999")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("a number from 0 to")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("Not yet.")).to_have_count(0)
    box.fill("130")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Right.")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("1 of 6")).to_be_visible()
    page.get_by_role("link", name="Noise").click()
    expect(page.get_by_text(find_lesson("noise").goal)).to_be_visible(timeout=30_000)
    expect(page.get_by_text("1 of 6")).to_be_visible()
    context.close()
    assert [each for each in strange if not each.startswith(("data:", "blob:"))] == []
