import math

import pytest

from app.filters import Filter, parse_filter
from featviz.errors import ConfigError

METRICS = ["score", "slope"]


def test_terms_become_spans_bounds_and_words() -> None:
    found = parse_filter("12, 100 - 140, score>2.5, slope <= -1, Curve ", METRICS)
    assert found == Filter(
        spans=((12, 12), (100, 140)),
        bounds=(("score", math.nextafter(2.5, 3), None), ("slope", None, -1.0)),
        words=("curve",),
    )


def test_bounds_of_one_metric_close_an_interval() -> None:
    found = parse_filter("score>1, score>=3, score<=9, score<12", METRICS)
    assert found.where() == {"score": (3.0, 9.0)}


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("score>2", [3]),
        ("score>=2", [2, 3]),
        ("score<2", [-1, 0]),
        ("score<=2", [-1, 0, 2]),
        ("score>-1, score<0", []),
        ("score>=-1, score<0", [-1]),
    ],
)
def test_a_strict_sign_leaves_the_number_out(text: str, inside: list[int]) -> None:
    least, most = parse_filter(text, METRICS).where()["score"]
    least, most = -math.inf if least is None else least, math.inf if most is None else most
    assert [x for x in (-1, 0, 2, 3) if least <= x <= most] == inside


@pytest.mark.parametrize(
    ("text", "channel", "said", "accepted"),
    [
        ("", 5, "fire4:5", True),
        ("5-7", 7, "fire4:7", True),
        ("5-7", 8, "fire4:8", False),
        ("1, 8", 8, "fire4:8", True),
        ("curve", 8, "fire4:8 Curves", True),
        ("curve, 9", 8, "fire4:8 curves", False),
        ("curve, line", 8, "curves", False),
        ("3", None, "logits", False),
    ],
)
def test_all_terms_must_hold(text: str, channel: int | None, said: str, accepted: bool) -> None:
    assert parse_filter(text, METRICS).accepts(channel, said) is accepted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9-3", "'9-3' ends before it begins; write 3-9"),
        ("scores>3", "names no metric of this atlas; did you mean 'score'?"),
        ("score>high", "'high' is not a number"),
        ("score>nan", "'nan' is not a number"),
        ("score<1e999", "'1e999' is not a number"),
        ("score=3", "'score=3' is not understood; write METRIC>NUMBER"),
    ],
)
def test_a_term_that_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_filter(text, METRICS)
    assert said in str(caught.value)
