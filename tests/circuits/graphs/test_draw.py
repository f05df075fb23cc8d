import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from circuit_graphs import NASTY, small_graph
from PIL import Image

from circuits.graphs.draw import graph_to_svg, tuning_points
from circuits.graphs.draw_png import graph_picture
from circuits.graphs.graph import CircuitGraph, Edge, Node, Tuning
from circuits.graphs.layout import lay_out, text_width, wrapped
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


def test_widths_follow_magnitudes() -> None:
    wires = {wire.number: wire for wire in lay_out(small_graph()).wires}
    assert wires[1].share == 0.5
    assert wires[0].width > wires[1].width > wires[4].width


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
