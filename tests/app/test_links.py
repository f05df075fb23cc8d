"""Places and their URLs; what links name is found by the pages' tests."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from app.library import Library, open_library
from app.links import MAX_TEXT, Place, address, find_unit, read_number, read_place, read_text
from app_atlases import MODEL, curves_atlas
from app_pages import show_library
from featviz.atlas import Atlas
from featviz.errors import RecordError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curves_atlas(tmp_path_factory.mktemp("links") / "first").root


@pytest.fixture
def atlas(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlas]:
    show_library(monkeypatch, open_library([root]))
    with Atlas(root) as opened:
        yield opened


@pytest.fixture
def query(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The query of the URL, to be filled."""
    found: dict[str, str] = {}
    monkeypatch.setattr(st, "query_params", found)
    return found


@pytest.mark.parametrize("place", [
    Place("first", MODEL), Place("first", MODEL, "arcs"), Place("first", MODEL, "arcs", 3),
])  # fmt: skip
def test_a_place_survives_its_url(atlas: Atlas, query: dict[str, str], place: Place) -> None:
    query |= place.query()
    assert read_place(atlas, "first") == place


def test_only_an_atlas_that_is_not_the_first_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    show_library(monkeypatch, Library({"first": Path("a"), "other": Path("b")}))
    assert Place("first", "net").query() == {"model": "net"}
    assert Place("other", "net", "s", 0).query() == {
        "atlas": "other", "model": "net", "unit": "s:0",
    }  # fmt: skip


def test_an_address_hides_nothing_in_a_name() -> None:
    assert address("unit", {"unit": "a&b=c#d:1", "x": "<>"}) == (
        "/unit?unit=a%26b%3Dc%23d%3A1&x=%3C%3E"
    )


@pytest.mark.parametrize(
    ("text", "site", "channel"),
    [("arcs:3", "arcs", 3), (" arcs:03 ", "arcs", 3), ("lines", "lines", None)],
)
def test_units_are_found_as_they_are_typed(
    atlas: Atlas, text: str, site: str, channel: int | None
) -> None:
    assert find_unit(atlas, "first", MODEL, text) == Place("first", MODEL, site, channel)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arcs:٣", "'arcs:٣' is no unit; write SITE:CHANNEL, such as arcs:0"),
        (":3", "is no unit"),
        ("arcs:1e3", "is no unit"),
        ("arcz:3", "did you mean 'arcs'?"),
    ],
)
def test_a_unit_that_is_none_is_told(atlas: Atlas, text: str, words: str) -> None:
    with pytest.raises(RecordError, match=re.escape(words)):
        find_unit(atlas, "first", MODEL, text)


@pytest.mark.parametrize("text", ["", "-1", "7", "2.0", "²", "1_0", " 3", "nan"])
def test_numbers_are_plain_and_within_bounds(query: dict[str, str], text: str) -> None:
    query["depth"] = text
    with pytest.raises(RecordError, match="it must be a whole number, 1 to 6"):
        read_number("depth", 1, 6, 2)
    query["depth"] = "6"
    assert read_number("depth", 1, 6, 2) == 6
    assert read_number("other", 1, 6, 2) == 2


def test_long_text_is_not_believed(query: dict[str, str]) -> None:
    query["filter"] = "x" * MAX_TEXT
    assert read_text("filter") == query["filter"]
    query["filter"] += "x"
    with pytest.raises(RecordError, match=f"{MAX_TEXT + 1} characters"):
        read_text("filter")
