"""Lessons: the course, one step at a time, with a question at the end of each lesson."""

import streamlit as st

from app.components.menu import lead_menu
from app.components.ways import Way, ways
from app.lessons.course import COURSE, find_lesson, list_keys, neighbours
from app.lessons.lesson import Choice, Lesson, Question, Verdict
from app.links import address, read_choice, read_number, told_plainly

_STYLE = """
<style>
.stMainBlockContainer { padding-top: 4rem; padding-bottom: 1.5rem; }
.st-key-figure img { border: 1px solid #8886; }
.st-key-words p, .st-key-words li { font-size: 1.2rem; line-height: 1.55; }
.st-key-figure p, .st-key-figure label p { font-size: 1.05rem; }
.st-key-figure [data-testid="stMetricValue"] p { font-size: 1.9rem; line-height: 1.2; }
.st-key-question p { font-size: 1.15rem; line-height: 1.45; }
</style>
"""
_ANSWERED = "lessons answered"
_GIVEN = "lessons given"


def _address(lesson: Lesson, step: int = 1) -> str:
    return address("lessons", {"lesson": lesson.key, "step": str(step)})


def _show_course(current: Lesson) -> None:
    """Show all lessons as links, and how many are answered."""
    answered = st.session_state.setdefault(_ANSWERED, set())
    links = [
        Way(
            f"{'✓' if lesson.key in answered else number} {lesson.key.capitalize()}",
            _address(lesson),
            current=lesson is current,
        )
        for number, lesson in enumerate(COURSE, start=1)
    ]
    count = Way(f"{len(answered)} of {len(COURSE)} answered")
    ways([*links, count], key="course", label="lessons")


def _show_ways(lesson: Lesson, step: int) -> None:
    """Show where one can go on: the steps of the lesson, and the lessons beside it."""
    before, after = neighbours(lesson.key)
    if step > 1:
        back = Way(f"← {lesson.steps[step - 2].title}", _address(lesson, step - 1))
    elif before is not None:
        back = Way(f"← Lesson: {before.title}", _address(before))
    else:
        back = Way("← To the atlas", "/")
    if step < len(lesson.steps):
        on = Way(f"Next: {lesson.steps[step].title} →", _address(lesson, step + 1))
    elif after is not None:
        on = Way(f"Next lesson: {after.title} →", _address(after))
    else:
        on = Way("To the atlas →", "/")
    here = Way(f"Step {step} of {len(lesson.steps)}")
    ways([back, here, on], key="ways", label="steps", apart=True)


def _ask(lesson: Lesson) -> None:
    """Show the question, take an answer, and say what it is worth."""
    question = lesson.question()
    st.markdown(f"**{question.prompt}**")
    answer = _read_answer(question, lesson.key)
    given = st.session_state.setdefault(_GIVEN, {})
    # Never disabled: the click that ends the typing of a number would be lost on it.
    if st.button("Check", type="primary", key=f"check {lesson.key}"):
        if answer is None or not _fits(question, answer):
            st.info(f"Give an answer first: {_asked(question)}.")
            return
        given[lesson.key] = answer
        if _judge(question, answer).right:
            st.session_state[_ANSWERED].add(lesson.key)
            st.rerun()  # the progress above counts it
    if answer is None or given.get(lesson.key) != answer:
        return
    verdict = _judge(question, answer)
    if verdict.right:
        st.success(f"**Right.** {verdict.words}", icon=":material/check_circle:")
    else:
        st.warning(f"**Not yet.** {verdict.words}", icon=":material/lightbulb:")


def _fits(question: Question, answer: str | float) -> bool:
    if isinstance(question, Choice):
        return True
    return question.least <= float(answer) <= question.most


def _asked(question: Question) -> str:
    if isinstance(question, Choice):
        return "choose one of these"
    return f"a number from {question.least:g} to {question.most:g}"


def _judge(question: Question, answer: str | float) -> Verdict:
    if isinstance(question, Choice):
        return question.judge(str(answer))
    return question.judge(float(answer))


def _read_answer(question: Question, key: str) -> str | float | None:
    """Show the answers or a box, and return what is there; at first, what was given last."""
    given = st.session_state.get(_GIVEN, {}).get(key)
    if given is not None and f"answer {key}" not in st.session_state:
        st.session_state[f"answer {key}"] = given
    if isinstance(question, Choice):
        texts = [option.text for option in question.options]
        return st.radio(
            "Answer", texts, index=None, key=f"answer {key}", label_visibility="collapsed"
        )
    # Without ends: Streamlit keeps a number beyond them to itself, and the one before would count.
    whole = float(question.step).is_integer()
    kind: type[int] | type[float] = int if whole else float
    return st.number_input(
        "Answer",
        value=None,
        step=kind(question.step),
        format=None if whole else "%.2f",
        key=f"answer {key}",
        label_visibility="collapsed",
        placeholder=_asked(question).capitalize(),
    )


def _show(lesson: Lesson, number: int) -> None:
    """Show one step of a lesson."""
    step, last = lesson.steps[number - 1], number == len(lesson.steps)
    st.subheader(lesson.title, divider="gray")
    st.markdown(f":material/flag: {lesson.goal}")
    left, right = st.columns([2, 3], gap="large")
    with right, st.container(key="figure"):
        step.figure()
    with left:
        st.markdown(f"#### {step.title}")
        with st.container(key="words"):
            st.markdown(step.words())
        if last:
            with st.container(key="question"):
                _ask(lesson)
    _show_ways(lesson, number)
    for reference in lesson.references:
        st.caption(f"{reference.text}: *{reference.section}*. `{reference.link}`")


with told_plainly():
    lead_menu()
    st.html(_STYLE)
    keys = list_keys()
    lesson = find_lesson(read_choice("lesson", keys, keys[0]))
    number = read_number("step", 1, len(lesson.steps), 1)
    _show_course(lesson)
    _show(lesson, number)
