"""Images of sums, directions and paths: shown with those of units, and on a page of their own."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.library import open_library
from app_atlases import MODEL, image
from app_pages import components, open_page, plain, said, show_library, tiles
from featviz.atlas import NewImage, Store
from featviz.atlas.canonical import content_key

PATH = "interpolation(arcs, 0, 1)"
SUM = "0.5*arcs:0 + 0.5*arcs:1"


def render(text: str, number: int, site: str = "arcs") -> NewImage:
    """An image as the page Render keeps it."""
    made = image(site, 0, "live")
    label = f"{text} ~{number + 1}" if number else text
    parts = {
        "channel": None, "image": number, "label": label, "job": content_key([text]),
        "key": content_key([text, number]), "record": {"unit": label, "objective": text},
    }  # fmt: skip
    return replace(made, parts={**made.parts, **parts})


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An atlas as that of the app's renders: no unit has a positive image."""
    with Store(tmp_path / "renders") as store:
        store.add([render(PATH, number) for number in range(4)])
        store.add([render(SUM, 0), image("lines", 1, "live"), image("lines", 1, "more", image=1)])
    show_library(monkeypatch, open_library([tmp_path / "renders"]))


@pytest.mark.usefixtures("renders")
def test_all_images_of_a_render_stand_on_the_page_of_their_site() -> None:
    test = open_page("site", model=MODEL, site="arcs", variant="live")
    assert not test.exception
    shown = [tile["caption"] for tile in tiles(test)]
    assert sorted(shown) == sorted([PATH, SUM, *(f"{PATH} ~{k}" for k in (2, 3, 4))])
    assert "5 images of sums, directions or paths" in said(test)
    units = open_page("site", model=MODEL, site="lines", variant="live")
    assert [tile["caption"] for tile in tiles(units)] == ["1"]
    assert "1 of 1 units" in said(units)
    again = open_page("site", model=MODEL, site="lines", variant="more")
    assert tiles(again) == [], "further images of a unit stand on its own page"


def test_a_unit_that_was_rendered_twice_is_one_unit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = image("lines", 1, "live")
    second = replace(first, parts={**first.parts, "key": content_key("more steps")})
    with Store(tmp_path / "renders") as store:
        store.add([first, second])
    show_library(monkeypatch, open_library([tmp_path / "renders"]))
    test = open_page("site", model=MODEL, site="lines", variant="live")
    assert len(tiles(test)) == 2
    assert "1 of 1 units" in said(test)


@pytest.mark.usefixtures("renders")
def test_an_image_of_no_unit_has_a_page_with_its_record_and_its_fellows() -> None:
    site = open_page("site", model=MODEL, site="arcs", variant="live", filter="interpolation")
    (address,) = {tile["address"] for tile in tiles(site) if tile["caption"] == PATH}
    key = content_key([PATH, 0])
    assert address == f"/unit?model={MODEL}&site=arcs&image={key}"
    test = open_page("unit", model=MODEL, site="arcs", image=key)
    assert not test.exception
    assert not test.error
    assert PATH in plain(test.header[0].value)
    assert len(tiles(test)) == 4
    assert components(test, "grid")[0]["current"] == key
    labels = [button.proto.label for button in test.get("download_button")]
    assert labels == ["Image (webp)", "Record (JSON)"]
    assert f"featviz render --size 32 --steps 2 -o out/ {MODEL} '{PATH}'" in said(test)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"model": MODEL, "image": "0" * 64}, "the atlas has no image '000"),
        ({"model": MODEL, "image": "../x"}, "the atlas has no image '../x'"),
    ],
)
@pytest.mark.usefixtures("renders")
def test_an_image_that_is_not_there_is_told(query: dict[str, str], words: str) -> None:
    test = open_page("unit", **query)
    assert not test.exception
    assert words in plain(test.error[0].value)


@pytest.mark.usefixtures("renders")
def test_a_site_without_units_leads_to_what_there_is() -> None:
    test = open_page("unit", model=MODEL, site="arcs")
    assert not test.exception
    assert "No unit of this site has an image" in said(test)
    addresses = [way[1] for part in components(test, "ways") for way in part["links"]]
    assert f"/site?model={MODEL}&site=arcs" in addresses


@pytest.mark.usefixtures("renders")
def test_the_start_and_the_model_show_other_variants_where_no_image_is_positive() -> None:
    home = tiles(open_page("home"))
    assert {tile["caption"] for tile in home} >= {SUM, "lines:1"}
    boxes = components(open_page("model", model=MODEL), "diagram")[0]["boxes"]
    assert {box["name"]: len(box["sources"]) for box in boxes if box["address"]} == {
        "lines": 1, "arcs": 5,
    }  # fmt: skip
