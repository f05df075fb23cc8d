import pytest

from featviz.errors import UnitError
from featviz.units import Unit, parse_units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("fire4:7", ["fire4:7"]),
        ("fire4:0-2,5", ["fire4:0", "fire4:1", "fire4:2", "fire4:5"]),
        ("fire4:2,1-3", ["fire4:2", "fire4:1", "fire4:3"]),
        ("fire4:*", [f"fire4:{k}" for k in range(8)]),
        ("fire4:3@7,9", ["fire4:3@7,9"]),
        ("fire4:0-1@center", ["fire4:0@center", "fire4:1@center"]),
        ("layer1.0.relu#1.pre/0:4:2", ["layer1.0.relu#1.pre/0:4:2"]),
        ("inception_3a/3x3:1", ["inception_3a/3x3:1"]),
        (" fire4:1 ", ["fire4:1"]),
    ],
)
def test_text(text, units):
    assert [str(unit) for unit in parse_units(text).expand(8)] == units


def test_parts():
    assert parse_units("a.b:7@1,2").expand(8) == [Unit("a.b", 7, (1, 2))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fire4", "'fire4' names no unit; write SITE:CHANNEL"),
        (":3", "':3' names no unit"),
        ("", "'' names no unit"),
        ("fire4:", "'fire4:' is an empty unit set"),
        ("fire4:x", "bad channel 'x' in 'fire4:x'"),
        ("fire4:-1", "bad channel '-1'"),
        ("fire4:1,,2", "bad channel '' in"),
        ("fire4:5-2", "range '5-2' in 'fire4:5-2' is empty; write 2-5"),
        ("fire4:1@7", "bad position '@7' in 'fire4:1@7'; write @Y,X"),
        ("fire4:1@", "bad position '@'"),
        ("fire4:1@1,2,3", "bad position"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(UnitError, match=message):
        parse_units(text)


def test_channel_out_of_range():
    with pytest.raises(UnitError, match="channel 9 is out of range in 'fire4:3-9': 'fire4' has 8"):
        parse_units("fire4:3-9").expand(8)
