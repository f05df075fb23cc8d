"""The page of a map in a real browser."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from atlas_pictures import LABELS
from PIL import Image
from playwright.sync_api import Browser, Page

from browser import open_offline
from featviz.atlas.activation_map.page import map_page

COLOURS = ((255, 0, 0), (0, 160, 0), (0, 0, 255))
PLACES = ((0, 0), (0, 1), (2, 1))


def document() -> dict[str, Any]:
    cells = [
        {
            "row": row, "column": column, "count": 9 * k + 1, "key": "k", "score": 1.5,
            "dead": k == 1, "shown": True,
            "classes": [{"class": 4, "name": LABELS[4], "attribution": 0.25},
                        {"class": 0, "name": LABELS[0], "attribution": 0.1}],
        }
        for k, (row, column) in enumerate(PLACES)
    ]  # fmt: skip
    alike = {"neighbours": 0.9, "random": 0.3, "pairs": 1}
    grid = {"cell_px": 16, "in_cells": 30, "likeness_of_means": alike}
    alone = {**cells[0], "shown": False, "score": None, "count": 30, "classes": None}
    return {
        "model": {"name": "net & co", "weights_sha256": "a" * 64},
        "site": "<fire8>",
        "samples": 1234,
        "photographs": {"read": 30, "skipped": {"x.png": "broken"}},
        "layout": {"layout": "pca"},
        "config": {"grids": [3, 1], "steps": 4, "layout": None, "batch": None},
        "grids": [
            {**grid, "side": 3, "sheet": "grid-3.webp", "cells": cells},
            {**grid, "side": 1, "sheet": "grid-1.webp", "cells": [alone]},
        ],
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    sheets = {}
    for side in (3, 1):
        sheet = Image.new("RGBA", (16 * side, 16 * side), (0, 0, 0, 0))
        for (row, column), colour in zip(PLACES, COLOURS, strict=True):
            if side == 3:
                sheet.paste(
                    (*colour, 255), (column * 16, row * 16, column * 16 + 16, row * 16 + 16)
                )
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", lossless=True)
        sheets[f"grid-{side}.webp"] = buffer.getvalue()
    path = tmp_path / "index.html"
    path.write_text(map_page(document(), sheets))
    return path


def ready(page: Page) -> None:
    page.wait_for_function("document.getElementById('map').mapView().scale > 1")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def view(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("document.getElementById('map').mapView()")
    return found


def middle_of(page: Page, row: int, column: int) -> tuple[float, float]:
    """Where the middle of a cell is on the screen."""
    box = page.locator("#map").bounding_box()
    assert box is not None
    now = view(page)
    side = now["scale"] / now["side"]
    return (
        box["x"] + now["x"] + (column + 0.5) * side,
        box["y"] + now["y"] + (row + 0.5) * side,
    )


def pixel(page: Page, row: int, column: int) -> list[int]:
    now = view(page)
    side = now["scale"] / now["side"]
    found: list[int] = page.evaluate(
        "([x, y]) => [...document.getElementById('map').getContext('2d')"
        ".getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data]",
        [now["x"] + (column + 0.5) * side, now["y"] + (row + 0.5) * side],
    )
    return found


@pytest.mark.parametrize("dark", [False, True])
def test_cells_lie_where_they_belong(browser: Browser, file: Path, dark: bool) -> None:
    page, problems = open_offline(browser, file, dark=dark)
    ready(page)
    for place, colour in zip(PLACES, COLOURS, strict=True):
        assert pixel(page, *place)[:3] == pytest.approx(list(colour), abs=3)
    assert pixel(page, 1, 1)[3] == 0
    assert page.title() == "Activation atlas of <fire8> in net & co"
    assert "cosine of 0.90, of any two cells 0.30" in page.locator("body").inner_text()
    assert "could not be read" in page.locator(".table").inner_text()
    assert problems == []


def test_hovering_shows_count_and_classes(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    ready(page)
    page.mouse.move(*middle_of(page, 2, 1))
    panel = page.locator("#panel")
    assert "19 activations, row 3, column 2" in panel.inner_text()
    assert panel.locator("li").all_inner_texts()[0].replace("\n", "").endswith(LABELS[4])
    page.mouse.move(*middle_of(page, 0, 1))
    assert "Dead: its picture does not fire it." in panel.inner_text()
    page.mouse.move(*middle_of(page, 1, 1))
    assert "Point at a cell" in panel.inner_text()
    assert problems == []


def test_click_drag_zoom_and_keys(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    ready(page)
    start = view(page)
    page.mouse.click(*middle_of(page, 0, 0))
    assert view(page)["kept"]["count"] == 1
    assert {k: view(page)[k] for k in "xy"} == {k: start[k] for k in "xy"}
    page.keyboard.press("ArrowRight")
    assert view(page)["kept"]["count"] == 10
    page.keyboard.press("ArrowDown")  # over an empty cell
    assert view(page)["kept"]["count"] == 19
    page.keyboard.press("Escape")
    assert view(page)["kept"] is None
    x, y = middle_of(page, 1, 1)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"document.getElementById('map').mapView().scale > {start['scale']}")
    assert middle_of(page, 1, 1) == pytest.approx((x, y), abs=1)
    page.mouse.down()
    page.mouse.move(x + 60, y - 20)
    page.mouse.up()
    assert middle_of(page, 1, 1) == pytest.approx((x + 60, y - 20), abs=1)
    page.locator("#whole").click()
    assert view(page)["scale"] == pytest.approx(start["scale"], abs=1)
    page.locator("#in").click()
    assert view(page)["scale"] > start["scale"]
    assert problems == []


def test_another_grid_and_a_cell_without_a_picture(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file, width=500)
    ready(page)
    page.locator("#sized").check()
    page.locator("#named").uncheck()
    page.locator("#grid").select_option("1")
    ready(page)
    page.locator("#map").scroll_into_view_if_needed()
    page.mouse.move(*middle_of(page, 0, 0))
    assert "It has no picture" in page.locator("#panel").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 500
    assert problems == []


def test_names_stay_text(file: Path) -> None:
    text = file.read_text()
    assert "alert(1)" in text
    assert "<script>alert" not in text
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["grids"][0]["cells"][0]["classes"][0]["name"] == LABELS[4]
