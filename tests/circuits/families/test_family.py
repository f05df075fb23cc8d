import json
from pathlib import Path

import pytest

from circuits.families.family import (
    Family,
    check_known,
    check_partition,
    families_from_json,
    families_to_json,
    parse_families,
    read_families,
    write_families,
)
from featviz.errors import CircuitError
from featviz.units import Unit


def document(**family: object) -> str:
    return json.dumps({"schema": "featviz-families-1", "families": [family]})


def test_text_and_json_give_the_same_families(tmp_path: Path) -> None:
    typed = parse_families("curves = fire4:3,7-9 ; lines=features.2#1:0-1;")
    assert typed == [
        Family.of("curves", "fire4", [3, 7, 8, 9]),
        Family.of("lines", "features.2#1", [0, 1]),
    ]
    assert families_from_json(families_to_json(typed)) == typed
    angled = [Family.of("öre", "fire4", [1, 0], angles_deg=[90, 12.5])]
    write_families(tmp_path / "a.json", angled)
    assert read_families(tmp_path / "a.json") == angled
    given = families_from_json(document(name="c", units=["a:0-1", "b:4"], angles_deg=[0, 1, 2]))
    assert given == [Family("c", (Unit("a", 0), Unit("a", 1), Unit("b", 4)), (0.0, 1.0, 2.0))]
    assert given[0].channels("b") == (4,)


def test_order_by_angle() -> None:
    family = Family.of("c", "a", [5, 6, 7], angles_deg=[30, 350, 10]).by_angle()
    assert family == Family.of("c", "a", [7, 5, 6], angles_deg=[10, 30, 350])
    with pytest.raises(CircuitError, match="has no angles to order it by"):
        Family.of("c", "a", [5]).by_angle()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "are no JSON"),
        ("[" * 100_000, "are no JSON"),
        ("[]", "have schema None, not 'featviz-families-1'"),
        ('{"schema": "2"}', "have schema '2'"),
        ('{"schema": "featviz-families-1"}', 'lack the list "families"'),
        ('{"schema": "featviz-families-1", "families": [3]}', "family 0 is no object with a name"),
        (document(name="c"), "lacks a list of units"),
        (document(name="c", units=[3]), "lacks a list of units"),
        (document(name="c", units=[]), "has no units"),
        (document(name=" ", units=["a:1"]), "empty name"),
        (document(name="c", units=["a:1"], angels_deg=[1]), "did you mean 'angles_deg'"),
        (document(name="c", units=["a:1"], angles_deg=[1, 2]), "has 1 units and 2 angles"),
        (document(name="c", units=["a:1"], angles_deg=["x"]), "no list of numbers"),
        (document(name="c", units=["a:1"], angles_deg=[True]), "no list of numbers"),
        (document(name="c", units=["a:1"], angles_deg=[float("nan")]), "no finite number"),
        (document(name="c", units=["a:1", "a:0-2"]), "names units twice: a:1; keep each once"),
        (document(name="c", units=["a:1@2,3"]), "names positions: a:1@2,3"),
        (document(name="c", units=["a:*"]), "names all channels"),
        (document(name="c", units=["a"]), "the family 'c': 'a' names no unit"),
        (document(name="c", units=["a:0-999999999999"]), "names too many units"),
    ],
)
def test_wrong_json(text: str, said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        families_from_json(text)


def test_wrong_text_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match="'fire4:3' names no family; write NAME=UNITS"):
        parse_families("fire4:3")
    many = "a=s:0-59999; b=s:0-49999"
    with pytest.raises(CircuitError, match="'s:0-49999' names too many units; all families toget"):
        parse_families(many)
    with pytest.raises(CircuitError, match="family 'a': 's:0-2999999' names too many units"):
        parse_families("a=s:0-2999999")
    with pytest.raises(CircuitError, match="family 'c': 's:0-59999' names too many units"):
        families_from_json(document(name="c", units=["s:0-59999", "s:0-59999"]))
    with pytest.raises(CircuitError, match="two families have one name: a; rename one"):
        parse_families("a=b:1; a=b:2")
    with pytest.raises(CircuitError, match="two families have one name"):
        families_to_json([Family.of("a", "b", [1]), Family.of("a", "b", [2])])
    with pytest.raises(CircuitError, match="cannot read the families"):
        read_families(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(CircuitError, match=r"bad.json': the families have schema"):
        read_families(tmp_path / "bad.json")
    (tmp_path / "image.json").write_bytes(b"\xff\x00")
    with pytest.raises(CircuitError, match="cannot read the families"):
        read_families(tmp_path / "image.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(CircuitError, match="has more than"):
        read_families(tmp_path / "large.json")


def test_unknown_units() -> None:
    families = parse_families("curves=fire4:3,300-302")
    check_known(families, {"fire4": 303})
    with pytest.raises(CircuitError, match=r"do not exist: fire4:300, .* 256 channels, 0 to 255"):
        check_known(families, {"fire4": 256})
    with pytest.raises(CircuitError, match="unknown site 'fire4'; did you mean 'fire3'"):
        check_known(families, {"fire3": 128})


def test_partitions() -> None:
    check_partition(parse_families("a=s:0-2; b=s:3; c=other:0"), "s", 4)
    with pytest.raises(CircuitError, match=r"units in several families: s:2 \(a and b\); leave"):
        check_partition(parse_families("a=s:0-2; b=s:2-3"), "s", 4)
    with pytest.raises(CircuitError, match="2 units in no family: s:1, s:3; add them"):
        check_partition(parse_families("a=s:0,2"), "s", 4)
    with pytest.raises(CircuitError, match="units that do not exist: s:4; 's' has 4 channels"):
        check_partition(parse_families("a=s:0-4"), "s", 4)
    with pytest.raises(CircuitError, match=r"s:7 and 91 more; add them"):
        check_partition(parse_families("a=s:99"), "s", 100)
