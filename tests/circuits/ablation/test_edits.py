import re

import pytest

from circuits.ablation.edits import (
    DropWeights,
    ScaleEdge,
    SelectInputs,
    SetUnits,
    parse_edit,
)
from featviz.errors import CircuitError, UnitError
from featviz.units import parse_units

A, B = parse_units("fire3:0-15"), parse_units("fire4:7")


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("units fire3:0-15", SetUnits(A)),
        ("mean fire3:0-15", SetUnits(A, "mean")),
        ("negative weights of fire4:7", DropWeights(B)),
        ("positive weights fire3:0-15->fire4:7", DropWeights(B, "positive", A)),
        ("inputs fire3:0-15 of fire4:7", SelectInputs(A, B, keep=False)),
        ("edge fire3:0-15->fire4:7 x0.5", ScaleEdge(A, B, 0.5)),
        ("edge fire3:0-15->fire4:7 x-2", ScaleEdge(A, B, -2.0)),
    ],
)
def test_text_is_read_and_written_back(text: str, edit: object) -> None:
    assert parse_edit(text) == edit
    assert str(edit) == text


def test_what_the_text_leaves_out_comes_from_outside() -> None:
    whole = parse_edit("negative weights", of="fire4")
    assert isinstance(whole, DropWeights)
    assert (whole.targets.site, whole.targets.spans) == ("fire4", None)
    assert parse_edit("  inputs   fire3:0-15 ", of="fire4:7", keep=True) == SelectInputs(A, B)
    assert parse_edit("edge fire3:0-15 -> fire4:7") == ScaleEdge(
        parse_units("fire3:0-15"), parse_units("fire4:7"), 0.0
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("negativ weights", "did you mean 'negative weights'"),
        ("drop everything", "'drop everything' is no edit; write"),
        ("", "'' is no edit"),
        ("units", "'units' names no units"),
        ("inputs", "'inputs' names no units"),
        ("negative weights", "'negative weights' names no layer"),
        ("negative weights fire4", "cannot read 'fire4' after 'negative weights'"),
        ("edge fire3:4", "names no two ends"),
        ("edge fire3:4->fire4:7 xtwo", "bad factor 'two'"),
        ("edge fire3:4->fire4:7 xnan", "the factor of an edge must be a finite number, got nan"),
    ],
)
def test_text_that_is_no_edit(text: str, said: str) -> None:
    with pytest.raises(CircuitError, match=re.escape(said)):
        parse_edit(text)


def test_only_inputs_can_be_kept_and_units_have_no_position() -> None:
    with pytest.raises(CircuitError, match="'units fire3:0' cannot be kept"):
        parse_edit("units fire3:0", keep=True)
    with pytest.raises(UnitError, match="names a position"):
        parse_edit("units fire3:0@1,2")
    with pytest.raises(UnitError, match="bad channel 'x'"):
        parse_edit("edge fire3:x->fire4:7")
    with pytest.raises(UnitError, match="bad channel 'x'"):
        parse_edit("negative weights of fire4:x")
