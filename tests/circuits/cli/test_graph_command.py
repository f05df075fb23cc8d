import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.cli import circuit
from circuits.graphs.graph import CircuitGraph
from featviz.errors import CircuitError, OutputError, SiteError

NAME = ARTIFICIAL_CURVES.name


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(circuit, ["graph", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_one_json_document_with_the_graph_and_the_check() -> None:
    result = run(NAME, "arcs:6", "--depth", 1, "--keep", 8, "--json", "-q")
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["file"] is None
    assert len(document["edges"]) == 8
    row = document["check"]["rows"][0]
    assert row["correlation"] > 0.85
    assert len(row["random"]) == 5
    assert row["shuffled"]
    assert row["random_weights"]


@pytest.mark.parametrize("kind", ["html", "svg", "png", "json"])
def test_each_kind_of_file(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "new" / f"circuit.{kind}"
    options = ("--depth", 1, "--keep", 2, "--no-check", "--score", "weights", "--steps", 2, "-q")
    images = () if kind == "html" else ("--no-images",)
    result = run(NAME, "arcs:6", "-o", file, *options, *images)
    assert str(file) in result.stdout
    content = file.read_bytes()
    start = {"html": b"<!doctype html>", "svg": b"<svg", "png": b"\x89PNG", "json": b"{"}[kind]
    assert content.startswith(start)
    if kind == "json":
        assert CircuitGraph.from_json(content.decode()).meta["target"] == "arcs:6"
    if kind == "html":
        assert content.count(b"data-feature") == 3 + 1  # each unit's, and the script's selector
    with pytest.raises(OutputError, match="exists already; choose another or pass --overwrite"):
        run(NAME, "arcs:6", "-o", file)


def test_wrong_input_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is of no known kind"):
        run(NAME, "arcs:6", "-o", tmp_path / "circuit.pdf")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        run(NAME, "arcs:6", "-o", tmp_path / "folder.svg")
    with pytest.raises(SiteError, match="did you mean"):
        run(NAME, "arc:6", "-o", tmp_path / "a.html")
    with pytest.raises(CircuitError, match="depth must be 1 or more"):
        run(NAME, "arcs:6", "--depth", 0, "-o", tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"]
