import json
from pathlib import Path

import pytest
from circuit_graphs import NASTY, png, small_graph
from playwright.sync_api import Browser, Page

from browser import open_offline
from circuits.families.family import parse_families
from circuits.graphs.check import CheckRow, CircuitCheck
from circuits.graphs.faithfulness import Faithfulness
from circuits.graphs.family_nodes import with_families
from circuits.graphs.gate_agreement import GateAgreement, GateRow
from circuits.graphs.graph import CircuitGraph, Edge, Node
from circuits.graphs.page import script_json, write_graph_page

CHECK = CircuitCheck(
    "top:2",
    "stimuli <of> mine",
    "zero",
    (CheckRow(("mid",), 2, 9, 0.91, (0.1, float("nan")), (), (0.3, 0.5)),),
    Faithfulness(0.8, 0.1, {}, (0.1,) * 20, (0.05,) * 17 + (0.9,) * 3),
    checked_on=31,
    chosen_on=30,
)

AGREEMENT = GateAgreement(
    ("identity", "attribution"),
    (
        GateRow(
            "low", "mid", (3, 4), ("identity", "attribution"), (0.2, 0.4), (0.06, 0.08),
            (0.5, 1.0), 4, 0.125,
        ),
    ),
    (("mid", "top"),),
    ("low -> mid: <positive_top> is not compared",),
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "circuit.html"
    write_graph_page(
        path, small_graph(), check=CHECK, agreement=AGREEMENT, command="featviz <this>"
    )
    return path


def visible(page: Page) -> int:
    return page.locator(".wires .wire:not(.off)").count()


def test_json_inside_a_script_cannot_end_it() -> None:
    text = script_json(small_graph())
    assert not set("<>&") & set(text)
    assert json.loads(text)["nodes"][1]["label"] == NASTY
    assert json.loads(text)["nodes"][0]["image"] is None


def test_hovering_an_edge_shows_its_kernel_in_numbers(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    box = page.locator('.hit[data-edge="0"]').bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    cells = page.locator("#kernel td")
    assert cells.all_text_contents() == ["0.13", "-0.75", "0", "0.33"]
    assert cells.nth(3).get_attribute("title") == str(1 / 3)
    assert "excites: weights +0.5000" in page.locator("#kernel").inner_text()
    assert "low:0 to mid:3" in page.locator("#kernel").inner_text()
    page.locator("#kernel summary").click()
    assert "0.3333333333333333" in page.locator("#kernel pre").inner_text()
    assert problems == []


def test_a_click_focuses_a_unit_and_escape_shows_all(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    page.locator('.node[data-node="mid:3"]').click()
    panel = page.locator("#panel")
    assert panel.locator("h2").inner_text() == "mid:3"
    assert [text.split()[0] for text in panel.locator("li").all_inner_texts()] == [
        "low:0", "low:1", "top:2",
    ]  # fmt: skip
    assert page.locator(".wires .wire.pale").count() == 2
    assert page.locator(".node.pale").count() == 1
    panel.locator("li button").nth(2).click()
    assert panel.locator("h2").inner_text() == "top:2"
    assert panel.locator("img").get_attribute("alt") == "feature image of top:2"
    assert "tuning to the stimulus curve: most at 180°" in panel.inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".pale").count() == 0
    assert problems == []


def test_the_keyboard_alone_reaches_units_and_kernels(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    page.locator('.node[data-node="mid:4"]').focus()
    page.keyboard.press("Enter")
    assert page.locator("#panel h2").inner_text() == "mid:4"
    page.locator("#panel li button").first.focus()
    assert "low:1 to mid:4" in page.locator("#kernel").inner_text()
    page.locator(".stage").focus()
    before = page.locator("#drawing").get_attribute("transform")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    assert page.locator("#drawing").get_attribute("transform") != before
    assert problems == []


def test_the_slider_hides_weak_edges(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    assert visible(page) == 5
    page.locator("#least").fill("0.4")
    assert visible(page) == 4  # 1 of 4 goes; .25 of .5 stays
    page.locator("#least").fill("0.6")
    assert visible(page) == 3
    assert page.locator("#counter").inner_text().startswith("3 of 5 edges")
    assert problems == []


def test_zoom_pan_and_back(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    drawing = page.locator("#drawing")
    start = drawing.get_attribute("transform")
    page.locator("#in").click()
    zoomed = drawing.get_attribute("transform")
    assert zoomed != start
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + 5, box["y"] + box["height"] - 5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y - 20)
    page.mouse.up()
    assert drawing.get_attribute("transform") != zoomed
    page.locator("#whole").click()
    assert drawing.get_attribute("transform") == start
    assert problems == []


def scale_of(page: Page) -> float:
    text = page.locator("#drawing").get_attribute("transform") or ""
    return float(text.rpartition("scale(")[2].rstrip(")"))


def test_zoom_and_drag_have_ends(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    for name in ("in", "out"):
        button = page.locator(f"#{name}")
        for _ in range(40):
            button.dispatch_event("click")
        assert button.get_attribute("aria-disabled") == "true"
        ended = page.locator("#drawing").get_attribute("transform")
        button.dispatch_event("click")
        assert page.locator("#drawing").get_attribute("transform") == ended
        stage, drawing = (page.locator(s).bounding_box() for s in (".stage", "#drawing"))
        assert stage is not None
        assert drawing is not None
        if name == "in":
            assert scale_of(page) == 4
        else:
            # The whole graph, and no smaller than it must be for that.
            assert drawing["width"] <= stage["width"] + 1
            assert drawing["height"] <= stage["height"] + 1
            assert scale_of(page) == 1 or (
                drawing["width"] > 0.6 * stage["width"] or drawing["height"] > 0.6 * stage["height"]
            )
    page.locator(".stage").focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    stage, drawing = (page.locator(s).bounding_box() for s in (".stage", "#drawing"))
    assert stage is not None
    assert drawing is not None
    assert drawing["x"] + drawing["width"] > stage["x"] + 20
    assert problems == []


def large_kernels(side: int) -> CircuitGraph:
    """A unit with 30 inputs whose kernels have long numbers of both signs."""
    values = [(-1) ** k * 0.0123456 / (k + 1) for k in range(side * side)]
    kernel = tuple(tuple(values[side * r : side * r + side]) for r in range(side))
    nodes = tuple(Node(f"low:{k}", "low", (k,)) for k in range(30))
    edges = tuple(Edge(node.id, "top:0", 1.0 + k, kernel) for k, node in enumerate(nodes))
    return CircuitGraph((*nodes, Node("top:0", "top", (0,), image=png())), edges)


@pytest.mark.parametrize("width", [1024, 1600])
@pytest.mark.parametrize(("side", "numbers"), [(3, "real"), (7, "percent"), (31, "none")])
def test_the_panel_is_always_whole(
    browser: Browser, tmp_path: Path, width: int, side: int, numbers: str
) -> None:
    file = tmp_path / "large.html"
    write_graph_page(file, large_kernels(side))
    page, problems = open_offline(browser, file, width=width)
    page.locator('.node[data-node="top:0"]').click()
    for down in (0, 300):
        page.evaluate(f"window.scrollTo(0, {down})")
        page.wait_for_timeout(50)
        page.locator("#panel li button").first.focus()
        panel, kernel = (page.locator(s).bounding_box() for s in ("#panel", "#kernel"))
        assert panel is not None
        assert kernel is not None
        assert panel["x"] + panel["width"] <= width
        assert panel["y"] + panel["height"] <= 900
        assert kernel["y"] + kernel["height"] <= panel["y"] + panel["height"]
        cut = page.evaluate(
            """() => [...document.querySelectorAll("#panel, #kernel, #kernel *:not(pre)")]
            .filter((e) => e.scrollWidth > e.clientWidth && e.clientWidth > 0
                || e.getBoundingClientRect().right > document.querySelector("#panel")
                    .getBoundingClientRect().right).map((e) => e.outerHTML.slice(0, 60))"""
        )
        assert cut == []
        assert page.evaluate(
            "(() => { const k = document.querySelector('#kernel');"
            " return k.scrollHeight <= k.clientHeight })()"
        )
    text = page.locator("#kernel").inner_text()
    assert "kernel sums +" in text
    assert "\u2212" in text
    cells = page.locator("#kernel td").all_inner_texts()
    if numbers == "none":
        assert set(cells) == {""}
    elif numbers == "real":
        assert cells[0] == "0.012"
    elif width == 1024:
        assert cells[:2] == ["100", "-50"]
        assert "numbers: percent of it" in text
    assert problems == []


def test_a_unit_shows_its_tuning_enlarged_and_widths_have_a_key(
    browser: Browser, file: Path
) -> None:
    page, problems = open_offline(browser, file)
    page.locator('.node[data-node="top:2"]').click()
    large = page.locator("#panel svg.large")
    assert large.locator("text").all_text_contents() == ["2.5", "0", "90", "180"]
    box = large.bounding_box()
    assert box is not None
    assert box["width"] == 150
    assert page.locator("#widths .line").evaluate_all(
        "all => all.map((e) => e.style.borderTopWidth)"
    ) == ["1.14px", "3.3px", "6px"]
    assert problems == []


def test_labels_stay_text_and_the_check_stands_beside(browser: Browser, file: Path) -> None:
    page, problems = open_offline(browser, file)
    assert page.locator("img").count() == 0
    page.locator('.node[data-node="low:1"]').click()
    assert NASTY in page.locator("#panel").inner_text()
    assert page.locator("#panel img").count() == 0
    assert page.locator("#panel b").count() == 0
    body = page.locator("body").inner_text()
    assert "over stimuli <of> mine" in body
    assert "0.05 (0.00 to 0.10)" in body  # a silenced unit counts as 0
    assert "with random weights" in body
    assert "0.40 (0.30 to 0.50)" in body
    assert "faithfulness 0.80: better than 20 of 20 random selections (p = 0.048)." in body
    assert "incompleteness 0.10: better than 3 of 20" in body
    assert "2 random selections are too few to tell" in page.locator(".verdict").inner_text()
    terms = page.locator("#check dt").all_inner_texts()
    assert terms == ["correlation", "faithfulness", "incompleteness", "rule"]
    assert "Held out: 30 of them chose the units, and the check is on the other 31;" in body
    assert "featviz <this>" in body
    assert problems == []


def test_how_far_gates_agree_stands_on_the_page(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    page, problems = open_offline(browser, file)
    section = page.locator("#gates")
    assert section.locator("h2").inner_text() == "Do the gates matter?"
    assert section.locator("td").all_inner_texts() == [
        "low -> mid", "2", "identity / attribution", "0.30 (0.20 to 0.40)", "0.07",
        "0.75 (0.50 to 1.00)", "0.12",
    ]  # fmt: skip
    assert "No gate lies between mid -> top" in section.inner_text()
    assert "<positive_top> is not compared" in section.inner_text()
    assert problems == []
    adjacent = tmp_path / "adjacent.html"
    none = GateAgreement(("identity", "attribution"), (), (("low", "mid"),), ())
    write_graph_page(adjacent, small_graph(), agreement=none)
    page, problems = open_offline(browser, adjacent)
    assert page.locator("#gates table").count() == 0
    assert "No gate lies between: all columns are adjacent" in page.locator("#gates").inner_text()
    assert problems == []


def test_a_family_is_a_stack_that_lists_its_units(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "families.html"
    write_graph_page(file, with_families(small_graph(), parse_families("pair=mid:3-4")))
    page, problems = open_offline(browser, file)
    assert "5 units in 4 nodes, among them 1 family, 3 edges" in page.locator("body").inner_text()
    node = page.locator('.node[data-node="pair"]')
    assert node.locator(".behind").count() == 2
    assert node.locator(".badge").text_content() == "2"
    node.click()
    assert "family of mid: 3, 4" in page.locator("#panel").inner_text()
    assert problems == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1024, True)])
def test_nothing_is_cropped_or_overlaps(
    browser: Browser, file: Path, width: int, *, dark: bool
) -> None:
    page, problems = open_offline(browser, file, width=width, dark=dark)
    stage = page.locator(".stage").bounding_box()
    assert stage is not None
    nodes = page.locator(".node").all()
    boxes = []
    for node in nodes:
        box = node.bounding_box()
        assert box is not None
        boxes.append(box)
        assert box["x"] >= stage["x"]
        assert box["x"] + box["width"] <= stage["x"] + stage["width"]
        assert box["y"] + box["height"] <= stage["y"] + stage["height"]
    for k, one in enumerate(boxes):
        for other in boxes[k + 1 :]:
            apart = (
                one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"]
                or other["y"] + other["height"] <= one["y"]
            )  # fmt: skip
            assert apart
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    assert problems == []
