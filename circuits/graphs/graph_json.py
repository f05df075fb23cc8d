"""Circuit graphs as JSON.

{"schema": "featviz-circuit-1", "meta": {"model": "squeezenet1_1"},
 "nodes": [{"id": "fire4:141", "site": "fire4", "units": [141], "label": "", "score": 1.0,
            "image": "BASE64 PNG or null",
            "tuning": {"stimulus": "curve", "period_deg": 360, "response": [0.1]}}],
 "edges": [{"source": "fire3:7", "target": "fire4:141", "weight": -0.5,
            "kernel": [[0.0, -0.5]], "scale": 0.9, "score_name": "weights"}]}
"""

import base64
import binascii
import json
from typing import Any, NoReturn

from circuits.graphs.graph import CircuitGraph, Edge, Kernel, Node, Tuning, check_counts
from featviz.errors import CircuitError, did_you_mean

SCHEMA = "featviz-circuit-1"
MAX_CHARACTERS = 2**27
_NODE = {"id": str, "site": str, "units": list, "label": str, "score": float}
_EDGE = {"source": str, "target": str, "weight": float, "score_name": str}
_TUNING = {"stimulus": str, "period_deg": float, "response": list}


def graph_document(graph: CircuitGraph) -> dict[str, Any]:
    """Return a graph as plain data for JSON."""
    return {
        "schema": SCHEMA,
        "meta": dict(graph.meta),
        "nodes": [_node_document(node) for node in graph.nodes],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "weight": edge.weight,
                "kernel": None if edge.kernel is None else [list(row) for row in edge.kernel],
                "scale": edge.scale,
                "score_name": edge.score_name,
            }
            for edge in graph.edges
        ],
    }


def _node_document(node: Node) -> dict[str, Any]:
    tuning = node.tuning
    return {
        "id": node.id,
        "site": node.site,
        "units": list(node.units),
        "label": node.label,
        "score": node.score,
        "image": None if node.image is None else base64.b64encode(node.image).decode(),
        "tuning": None
        if tuning is None
        else {
            "stimulus": tuning.stimulus,
            "period_deg": tuning.period_deg,
            "response": list(tuning.response),
        },
    }


def graph_to_json(graph: CircuitGraph) -> str:
    """Return a graph as one JSON document; numbers keep all their digits."""
    return json.dumps(graph_document(graph), ensure_ascii=False, allow_nan=False)


def graph_from_json(text: str) -> CircuitGraph:
    """Read a graph.

    Args:
        text: Of `graph_to_json`.

    Raises:
        CircuitError: If it is no such document, or no graph.
    """
    if not isinstance(text, str):
        raise CircuitError(
            f"a graph is read from the text of to_json(), got {type(text).__name__}; of a file, "
            "give path.read_text()"
        )
    if len(text) > MAX_CHARACTERS:
        raise CircuitError(
            f"the graph has {len(text)} characters, at most {MAX_CHARACTERS} are read; leave out "
            "images or edges"
        )
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CircuitError(f"the graph is no JSON: {error}; write it with to_json()") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise CircuitError(
            f"the document is no circuit graph: its schema must be {SCHEMA!r}, got {found!r}"
        )
    _check_keys(document, {"schema", "meta", "nodes", "edges"}, "the graph")
    nodes, edges = (_list_of(document, key) for key in ("nodes", "edges"))
    check_counts(len(nodes), len(edges))
    meta = document.get("meta", {})
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        raise CircuitError("the graph's meta must hold texts by name")
    return CircuitGraph(
        tuple(_node(item, f"node {k}") for k, item in enumerate(nodes)),
        tuple(_edge(item, f"edge {k}") for k, item in enumerate(edges)),
        meta,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _list_of(document: dict[str, Any], key: str) -> list[Any]:
    items = document.get(key)
    if not isinstance(items, list):
        raise CircuitError(f"the graph's {key!r} must be a list, got {type(items).__name__}")
    return items


def _check_keys(item: dict[str, Any], known: set[str], where: str) -> None:
    for key in item:
        if key not in known:
            raise CircuitError(
                f"{where} has an unknown entry {key!r}{did_you_mean(key, known)} "
                f"known are {', '.join(sorted(known))}"
            )


def _fields(item: Any, kinds: dict[str, type], more: set[str], where: str) -> dict[str, Any]:
    """Return the entries of an object, checked by type; texts and scores may be left out."""
    if not isinstance(item, dict):
        raise CircuitError(f"{where} must be an object, got {type(item).__name__}")
    _check_keys(item, kinds.keys() | more, where)
    found: dict[str, Any] = {}
    for key, kind in kinds.items():
        if key not in item:
            if key in ("label", "score", "score_name"):
                continue
            raise CircuitError(f"{where} lacks {key!r}")
        value = item[key]
        if kind is float:
            found[key] = _number(value, f"{key!r} of {where}")
        elif isinstance(value, kind):
            found[key] = value
        else:
            raise CircuitError(
                f"{key!r} of {where} must be a {kind.__name__}, got {type(value).__name__}"
            )
    return found


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CircuitError(f"{where} must be a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError as error:
        raise CircuitError(f"{where} is too large a number") from error


def _numbers(values: Any, where: str) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise CircuitError(f"{where} must be a list of numbers, got {type(values).__name__}")
    return tuple(_number(value, where) for value in values)


def _node(item: Any, where: str) -> Node:
    found = _fields(item, _NODE, {"image", "tuning"}, where)
    units = found["units"]
    if not all(isinstance(unit, int) and not isinstance(unit, bool) for unit in units):
        raise CircuitError(f"'units' of {where} must be whole numbers")
    tuning = item.get("tuning")
    if tuning is not None:
        parts = _fields(tuning, _TUNING, set(), f"the tuning of {where}")
        parts["response"] = _numbers(parts["response"], f"'response' of {where}")
        tuning = Tuning(**parts)
    image = _image(item.get("image"), where)
    return Node(**{**found, "units": tuple(units)}, image=image, tuning=tuning)


def _image(text: Any, where: str) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise CircuitError(f"the image of {where} is no base64: {error}") from error


def _edge(item: Any, where: str) -> Edge:
    found = _fields(item, _EDGE, {"kernel", "scale"}, where)
    scale = item.get("scale")
    return Edge(
        **found,
        kernel=_kernel(item.get("kernel"), f"the kernel of {where}"),
        scale=None if scale is None else _number(scale, f"'scale' of {where}"),
    )


def _kernel(rows: Any, where: str) -> Kernel | None:
    if rows is None:
        return None
    if not isinstance(rows, list):
        raise CircuitError(f"{where} must be a list of rows, got {type(rows).__name__}")
    return tuple(_numbers(row, where) for row in rows)
