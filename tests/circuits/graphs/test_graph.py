import base64
import json
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from circuit_graphs import png, small_graph
from PIL import Image
from typecheck import unchecked

from circuits.graphs.graph import MAX_EDGES, MAX_IMAGE_PIXELS, CircuitGraph, Edge, Node, Tuning
from circuits.graphs.graph_json import SCHEMA, graph_document, graph_from_json
from featviz.errors import CircuitError


def test_json_gives_the_same_graph_back() -> None:
    graph = small_graph()
    assert CircuitGraph.from_json(graph.to_json()) == graph
    assert json.loads(graph.to_json())["schema"] == SCHEMA


def test_questions_to_a_graph() -> None:
    graph = small_graph()
    assert graph.sites == ("low", "mid", "top")
    assert [edge.source for edge in graph.inputs("top:2")] == ["mid:3", "mid:4"]
    assert [edge.target for edge in graph.outputs("low:1")] == ["mid:4", "mid:3"]
    assert graph.channels() == {"low": (0, 1), "mid": (3, 4), "top": (2,)}
    edge = graph.edges[0]
    assert edge.positive == pytest.approx(0.125 + 1 / 3)
    assert edge.negative == -0.75
    assert (edge.color_scale, graph.edges[1].color_scale, graph.edges[2].color_scale) == (
        1.5,
        0.5,
        1,
    )
    assert graph.node("top:2").tuning.preferred_deg == 180  # type: ignore[union-attr]
    assert math.isnan(Tuning("curve", 360, (0.0, 0.0)).preferred_deg)
    assert "5 nodes" in repr(graph)
    with pytest.raises(CircuitError, match=r"there is no node 'top:3'; did you mean 'top:2'\?"):
        graph.node("top:3")


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is large and holds next to nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + png()[33:]


def node(name: str) -> Node:
    return Node(name, "a", (0,))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CircuitGraph((), ()), "needs at least one node"),
        (lambda: CircuitGraph((node("a"), node("a")), ()), "nodes are there twice: a; give each"),
        (lambda: CircuitGraph((node("ab1"),), (Edge("ab2", "ab1", 1.0),)),
         "leads to 'ab2', which is no node; did you mean 'ab1'"),
        (lambda: CircuitGraph((node("a"), node("b")), (Edge("a", "b", 1.0),) * 2),
         "edges are there twice: a -> b"),
        (lambda: CircuitGraph((node("a"), node("b")), (Edge("a", "b", 1.0), Edge("b", "a", 1.0))),
         "go in a circle through 'a'"),
        (lambda: CircuitGraph((node("a"),), (Edge("a", "a", 1.0),)), "in a circle"),
        (lambda: CircuitGraph((node("a"),), (Edge("a", "b", 1.0),) * (MAX_EDGES + 1)),
         "100001 edges; at most 10000 and 100000 can be shown: keep fewer"),
        (lambda: Edge("a", "b", math.nan), "the weight of a -> b is nan"),
        (lambda: Edge("a", "b", 1.0, scale=-1.0), "the scale of a -> b is -1"),
        (lambda: Edge("a", "b", 1.0, ((1.0,), (1.0, 2.0))), "rows of different lengths"),
        (lambda: Edge("a", "b", 1.0, ((math.inf,),)), "not finite"),
        (lambda: Edge("a", "b", 1.0, ()), "is 0x0"),
        (lambda: Node(" ", "a", (0,)), "empty id"),
        (lambda: Node("a", "", (0,)), "empty site"),
        (lambda: Node("a", "a", ()), "must have units"),
        (lambda: Node("a", "a", (1, 1)), "must have units, each once"),
        (lambda: Node("a", "a", (0,), label="x" * 301), "301 characters, at most 300"),
        (lambda: Node("a", "a", (0,), image=b"GIF89a"), "is no PNG"),
        (lambda: Node("a", "a", (0,), image=bomb(4096, 4097)), "'a' has 4096x4097 pixels, at most"),
        (lambda: Node("a", "a", (0,), image=bomb(2**31 - 1, 2**31 - 1)), "a smaller one"),
        (lambda: Node("a", "a", (0,), image=png()[:12]), "is no PNG"),
        (lambda: Node("a\n", "a", (0,)), r"control characters, .*: 'a\\n'; leave them out"),
        (lambda: Node("a", "a\0", (0,)), "holds control characters"),
        (lambda: Node("a", "a", (0,), label="\x1b[31m"), "holds control characters"),
        (lambda: Node("a", "a", (0,), label="\ud800"), "holds control characters"),
        (lambda: Node("a", "a", (0,), score=math.nan), "score of node 'a' is nan"),
        (lambda: Tuning("curve", 90, (1.0,)), "must be 180 or 360"),
        (lambda: Tuning("curve", 360, (-1.0,)), "finite and at least 0"),
        (lambda: Tuning("curve", 360, ()), "1 to 1440 values"),
    ],
)  # fmt: skip
def test_what_is_no_graph_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        make()


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    document = graph_document(small_graph())
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "its schema must be 'featviz-circuit-1', got 'list'"),
        ('{"schema": "other"}', "got 'other'"),
        (changed(lambda d: d.update(node=1)), "unknown entry 'node'; did you mean 'nodes'"),
        (changed(lambda d: d.update(nodes={})), "'nodes' must be a list, got dict"),
        (changed(lambda d: d.update(edges=[{}] * 100_001)), "100001 edges"),
        (changed(lambda d: d.update(meta={"a": 1})), "meta must hold texts"),
        (changed(lambda d: d["nodes"].__setitem__(0, 3)), "node 0 must be an object, got int"),
        (changed(lambda d: d["nodes"][0].pop("id")), "node 0 lacks 'id'"),
        (changed(lambda d: d["nodes"][0].update(id=3)), "'id' of node 0 must be a str, got int"),
        (changed(lambda d: d["nodes"][0].update(units=[True])), "must be whole numbers"),
        (changed(lambda d: d["nodes"][0].update(image="!")), "image of node 0 is no base64"),
        (changed(lambda d: d["nodes"][0].update(image=3)), "image of node 0 is no base64"),
        (changed(lambda d: d["edges"][0].update(weight="1")), "must be a number, got str"),
        (changed(lambda d: d["edges"][0].update(weight=10**400)), "too large a number"),
        (changed(lambda d: d["edges"][0].update(weight=math.nan)), "NaN is no number"),
        (changed(lambda d: d["edges"][0].update(kernel=3)), "must be a list of rows, got int"),
        (changed(lambda d: d["edges"][0].update(kernel=[3])), "must be a list of numbers, got int"),
        (changed(lambda d: d["nodes"][4]["tuning"].pop("stimulus")), "lacks 'stimulus'"),
    ],
)  # fmt: skip
def test_wrong_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        graph_from_json(text)


@pytest.mark.parametrize("wrong", [None, b"{}", {}])
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    said = f"got {type(wrong).__name__}; of a file, give path"
    with unchecked(), pytest.raises(CircuitError, match=said):
        CircuitGraph.from_json(wrong)


def test_a_bomb_in_a_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    image = base64.b64encode(bomb(60_000, 60_000)).decode()
    text = changed(lambda d: d["nodes"][0].update(image=image))
    with pytest.raises(CircuitError, match="the image of node 'low:0' has 60000x60000 pixels"):
        CircuitGraph.from_json(text)
    # The largest that is let through is one that Pillow opens without a warning.
    monkeypatch.setattr("circuits.graphs.graph.MAX_IMAGE_PIXELS", 8 * 8)
    assert Node("a", "a", (0,), image=png()).image == png()
    assert MAX_IMAGE_PIXELS < Image.MAX_IMAGE_PIXELS


def test_a_text_beyond_the_limit_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.graphs.graph_json.MAX_CHARACTERS", 10)
    with pytest.raises(CircuitError, match="at most 10 are read"):
        graph_from_json(" " * 11)


def test_optional_entries_may_be_left_out() -> None:
    graph = small_graph()
    document = graph_document(graph)
    del document["nodes"][0]["image"], document["nodes"][0]["label"], document["nodes"][0]["score"]
    found = graph_from_json(json.dumps(document))
    assert found.nodes[0] == replace(graph.nodes[0], image=None, score=1.0)
