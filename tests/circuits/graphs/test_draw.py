import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from circuit_graphs import NASTY, png, small_graph
from PIL import Image

from circuits.expansion.gates import GATES
from circuits.families.family import parse_families
from circuits.graphs.draw import (
    FAMILY_LINE,
    TUNING_LINE,
    graph_to_svg,
    legend_top,
    peak_text,
    scale_lines,
    tuning_marks,
    tuning_points,
)
from circuits.graphs.draw_png import graph_picture
from circuits.graphs.family_nodes import with_families
from circuits.graphs.graph import CircuitGraph, Edge, Node, Tuning
from circuits.graphs.layout import (
    BADGE_PX,
    MARGIN_PX,
    PICTURE_PX,
    STACK_PX,
    WIDTHS_SHOWN,
    badge,
    lay_out,
    text_width,
    wire_width,
    wrapped,
)
from featviz.errors import CircuitError

SVG = "{http://www.w3.org/2000/svg}"


def test_the_svg_is_well_formed_and_says_everything_as_text() -> None:
    root = ET.fromstring(graph_to_svg(small_graph()))
    titles = {title.text for title in root.iter(f"{SVG}title")}
    assert f"low:1 {NASTY}" in titles
    assert "low:0 to mid:3: weights +0.5, kernel sums +0.4583 and -0.75" in titles
    texts = "".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for word in ("excites", "inhibits", "over all inputs", "ratherlonglabel"):
        assert word in texts.replace(" ", "") or word in texts
    wires = [e for e in root.iter(f"{SVG}path") if "data-edge" in e.attrib]
    signs = {int(w.attrib["data-edge"]): "neg" in w.attrib["class"] for w in wires}
    assert signs == {0: False, 1: True, 2: False, 3: False, 4: True}


def family_graph() -> CircuitGraph:
    families = parse_families("two=mid:3-4; lows=low:0-1")
    return with_families(small_graph(), families)


def test_a_family_is_a_stack_with_its_number_of_units() -> None:
    single, joined = (ET.fromstring(graph_to_svg(g)) for g in (small_graph(), family_graph()))

    def of(root: ET.Element, name: str) -> list[ET.Element]:
        return [e for e in root.iter() if name in e.attrib.get("class", "").split()]

    assert of(single, "behind") == of(single, "badge") == []
    assert len(of(joined, "behind")) == 4
    assert [e.find(f"{SVG}text").text for e in of(joined, "badge")] == ["2", "2"]  # type: ignore[union-attr]
    said = ["".join(root.itertext()) for root in (single, joined)]
    assert [FAMILY_LINE in text for text in said] == [False, True]
    assert "2 units: 3, 4" in said[1]


def test_the_stack_and_the_number_are_in_the_png_too() -> None:
    graph = family_graph()
    layout = lay_out(graph)
    for theme, paper in (("light", 255), ("dark", 0x14)):
        picture = graph_picture(graph, theme=theme, resolution=1)
        for name, stacked in (("two", True), ("top:2", False)):
            place = layout.places[name]
            corner = (int(place.x + place.width + 3 + 2 * STACK_PX), int(place.y + 20))
            assert (picture.getpixel(corner)[0] != paper) == stacked  # type: ignore[index]
        text, x, y, _ = badge(layout.places["two"])
        assert text == "2"
        at = (int(x + 3), int(y + BADGE_PX / 2))
        assert abs(picture.getpixel(at)[0] - paper) > 150  # type: ignore[index]


def test_clear_cells_of_a_sheet_show_what_is_behind() -> None:
    nodes = tuple(replace(n, image=png("#ff0000")) for n in small_graph().nodes)
    bare = replace(small_graph(), nodes=nodes)
    graph = with_families(bare, parse_families("lows=low:0-1"))
    place = lay_out(graph).places["lows"]
    assert place.picture_x is not None
    x, y = int(place.picture_x + 10), int(place.y)
    for theme, box in (("light", (0xF4, 0xF6, 0xF8)), ("dark", (0x20, 0x26, 0x2C))):
        picture = graph_picture(graph, theme=theme, resolution=1)
        assert picture.getpixel((x, y + 3)) == box
        assert picture.getpixel((x, y + 28)) == (255, 0, 0)


@pytest.mark.parametrize("gates", GATES)
def test_the_key_fits_on_the_paper(gates: str) -> None:
    graph = small_graph()
    meta = {**graph.meta, "score": "contribution", "gates": gates}
    layout = lay_out(replace(graph, nodes=graph.nodes[:1], edges=(), meta=meta))
    lines = (*scale_lines(layout.graph), FAMILY_LINE, TUNING_LINE)
    assert max(map(text_width, lines)) + 2 * MARGIN_PX <= layout.width


def test_widths_follow_magnitudes() -> None:
    wires = {wire.number: wire for wire in lay_out(small_graph()).wires}
    assert wires[1].share == 0.5
    assert wires[0].width > wires[1].width > wires[4].width


def test_the_legend_shows_the_width_of_some_shares() -> None:
    root = ET.fromstring(graph_to_svg(small_graph()))
    legend = next(e for e in root.iter(f"{SVG}g") if e.attrib.get("class") == "legend")
    widths = [e.attrib["stroke-width"] for e in legend.iter(f"{SVG}path")][2:]
    assert widths == [f"{wire_width(share):.2f}" for share in WIDTHS_SHOWN]
    said = [e.text for e in legend.iter(f"{SVG}text")]
    assert [text for text in said if text in ("0.1", "0.5", "1")] == ["0.1", "0.5", "1"]
    # The wires of a share are as wide as the legend says, in the PNG too.
    wire = next(wire for wire in lay_out(small_graph()).wires if wire.share == 0.5)
    assert wire.width == wire_width(0.5)
    layout = lay_out(small_graph())
    picture = graph_picture(small_graph(), resolution=1)
    x, y = MARGIN_PX + 470, legend_top(layout) + 6
    rows = [
        sum(
            np.abs(np.subtract(picture.getpixel((int(x + 80 * k + 15), row)), 255)).max() > 60
            for row in range(int(y) - 8, int(y) + 9)
        )
        for k in range(3)
    ]
    assert rows[0] <= 2 < rows[1] < rows[2] <= 7


def test_nodes_keep_apart_and_on_the_paper() -> None:
    layout = lay_out(small_graph())
    for place in layout.places.values():
        assert place.y + place.height < layout.height
        assert place.x + max(place.width, *map(text_width, place.lines)) <= layout.width
    columns: dict[float, list[tuple[float, float]]] = {}
    for place in layout.places.values():
        columns.setdefault(place.x, []).append((place.y, place.y + place.height))
    assert len(columns) == 3
    for spans in columns.values():
        for (_, bottom), (top, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
            assert bottom < top


def test_inputs_of_a_lone_target_come_by_weight() -> None:
    nodes = (*(Node(f"a:{k}", "a", (k,)) for k in range(3)), Node("b:0", "b", (0,)))
    edges = tuple(Edge(f"a:{k}", "b:0", w) for k, w in enumerate((-1.0, 0.5, 2.0)))
    places = lay_out(CircuitGraph(nodes, edges)).places
    assert places["a:2"].y < places["a:1"].y < places["a:0"].y


@pytest.mark.parametrize("text", ["", "short", "many words in a row", "x" * 300, "W" * 40 + " a b"])
def test_wrapped_text_fits_and_loses_nothing(text: str) -> None:
    lines = wrapped(text, 120)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(text_width(line) <= 120 for line in lines)


def test_tunings_point_where_the_bulge_does() -> None:
    down = tuning_points(Tuning("curve", 360, (0.0, 1.0, 0.0, 0.0)), 0, 0, 10)
    assert down[1] == pytest.approx((0, 10))
    line = tuning_points(Tuning("line", 180, (0.0, 1.0)), 0, 0, 10)
    assert [tuple(np.round(point, 6)) for point in line if math.hypot(*point) > 1] == [
        (0, -10), (0, 10),
    ]  # fmt: skip
    assert tuning_points(Tuning("curve", 360, (0.0,)), 3, 4, 10)[0] == (3, 4)


def test_a_tuning_is_marked_with_degrees_and_its_peak() -> None:
    root = ET.fromstring(graph_to_svg(small_graph()))
    groups = [e for e in root.iter(f"{SVG}g") if e.attrib.get("class") == "tuning"]
    marks = [[text.text for text in group.iter(f"{SVG}text")] for group in groups]
    assert marks == [["1", "0", "90", "180"], ["2.5", "0", "90", "180"]]
    rings = [[float(c.attrib["r"]) for c in group.iter(f"{SVG}circle")] for group in groups]
    assert rings == [[19, 9.5]] * 2
    # Marks stay inside of their place, which the page enlarges.
    for tuning in (Tuning("curve", 360, (1.0,)), Tuning("line", 180, (1.0,))):
        feet = [y for _, _, y, _ in tuning_marks(tuning, 0, 0)]
        assert min(feet) >= 6
        assert max(feet) <= PICTURE_PX
    place = {text: (x, y) for text, x, y, _ in tuning_marks(Tuning("curve", 360, (1.0,)), 0, 0)}
    assert place["0"][0] > 36 > place["180"][0]
    assert place["90"][1] > 28  # as curves run clockwise
    line = {text: (x, y) for text, x, y, _ in tuning_marks(Tuning("line", 180, (1.0,)), 0, 0)}
    assert line["90"][1] < 28


@pytest.mark.parametrize(
    ("peak", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (42.44, "42.4"), (1593.2, "1593"), (2e7, "2e+07")],
)
def test_the_peak_has_three_digits(peak: float, text: str) -> None:
    assert peak_text(Tuning("curve", 360, (peak, 0.0))) == text


def test_the_png_has_both_signs_and_both_themes() -> None:
    light, dark = (graph_picture(small_graph(), theme=t, resolution=1) for t in ("light", "dark"))
    assert light.size == dark.size
    assert light.getpixel((0, 0)) == (255, 255, 255)
    assert dark.getpixel((0, 0)) == (0x14, 0x18, 0x1C)
    for color in ((0xCA, 0x00, 0x20), (0x05, 0x71, 0xB0)):
        assert share(light, color) > 1e-4
    alone = graph_picture(replace(small_graph(), edges=()), resolution=1)
    assert share(alone, (0xCA, 0x00, 0x20)) < share(light, (0xCA, 0x00, 0x20))


def share(picture: Image.Image, color: tuple[int, int, int]) -> float:
    return float((np.abs(np.asarray(picture).astype(int) - color).max(2) < 8).mean())


def test_pictures_that_cannot_be_are_refused() -> None:
    with pytest.raises(CircuitError, match="unknown theme 'blue'; choose light or dark"):
        graph_picture(small_graph(), theme="blue")
    with pytest.raises(CircuitError, match="would be too large; write SVG or HTML"):
        graph_picture(small_graph(), resolution=100)
