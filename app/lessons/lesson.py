"""What a lesson is, and how an answer is checked.

No streamlit here: views/lessons.py shows lessons, and the figures of a lesson show themselves.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What is said to an answer.

    Attributes:
        right: Whether it is right.
        words: Why it is right, or a hint.
    """

    right: bool
    words: str


@dataclass(frozen=True)
class Option:
    """One answer to choose.

    Attributes:
        text: The answer.
        hint: What is said to whoever chooses it; empty: it is right.
    """

    text: str
    hint: str = ""


@dataclass(frozen=True)
class Choice:
    """A question with answers to choose from, one of them right.

    Attributes:
        prompt: The question.
        options: The answers.
        why: Said after the right one.
    """

    prompt: str
    options: tuple[Option, ...]
    why: str

    def __post_init__(self) -> None:
        """Check that there is one right answer, and no answer twice."""
        texts = [option.text for option in self.options]
        right = [option for option in self.options if not option.hint]
        if len(right) != 1 or len(set(texts)) != len(texts):
            raise ValueError(f"{self.prompt!r} needs different answers, one of them without a hint")

    def judge(self, answer: str) -> Verdict:
        """Judge the text of an option.

        Raises:
            KeyError: If it is none of them.
        """
        hint = {option.text: option.hint for option in self.options}[answer]
        return Verdict(not hint, hint or self.why)


@dataclass(frozen=True)
class Number:
    """A question whose answer is a number.

    Attributes:
        prompt: The question.
        answer: The right number.
        tolerance: How far off is still right.
        why: Said after a right one.
        low: Hint for a number that is too small.
        high: Hint for one that is too large.
        least: Smallest number that can be given.
        most: Largest one.
        step: Of the box.
        period: After how much numbers mean the same, as 360 for degrees; None: never.
    """

    prompt: str
    answer: float
    tolerance: float
    why: str
    low: str
    high: str
    least: float
    most: float
    step: float = 1.0
    period: float | None = None

    def judge(self, answer: float) -> Verdict:
        """Judge a number; of degrees, by the shorter way round."""
        off = answer - self.answer
        if self.period is not None:
            off = (off + self.period / 2) % self.period - self.period / 2
        if not math.isfinite(off) or abs(off) > self.tolerance:
            return Verdict(False, self.high if off > 0 else self.low)
        return Verdict(True, self.why)


Question = Choice | Number


@dataclass(frozen=True)
class Step:
    """One part of a lesson: a figure with its control, beside a few words.

    Attributes:
        title: What it is about, a few words.
        words: Text beside the figure, Markdown, at most 125 words; made when shown, so that its
            numbers are those that were computed.
        figure: Shows the control and the figure.
    """

    title: str
    words: Callable[[], str]
    figure: Callable[[], None]


@dataclass(frozen=True)
class Reference:
    """Where to read on.

    Attributes:
        text: Authors, year, title, where.
        section: Which part of it.
        link: Address, as text.
    """

    text: str
    section: str
    link: str


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        key: Its word in URLs.
        title: A few words.
        goal: What one can do afterwards, one sentence.
        steps: Its parts; the last one is that of the question.
        question: Made when shown.
        references: Where to read on.
    """

    key: str
    title: str
    goal: str
    steps: tuple[Step, ...]
    question: Callable[[], Question]
    references: tuple[Reference, ...]
