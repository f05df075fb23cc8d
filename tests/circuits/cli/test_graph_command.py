import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.cli import circuit
from circuits.families.family import parse_families, write_families
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
    assert document["gate_agreement"]["adjacent"] == [["early_curves", "arcs"]]
    assert document["gate_agreement"]["rows"] == []


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


FAMILIES = "right=arcs:0-2; early=early_curves:0-23"


def test_families_from_text_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "families.json"
    write_families(file, parse_families(FAMILIES))
    options = ("--depth", 1, "--keep", 3, "--no-check", "--score", "weights", "--json")
    by_text, by_file = (
        json.loads(run(NAME, "arcs:0-3", "--families", given, *options).stdout)
        for given in (FAMILIES, file)
    )
    assert by_text == by_file
    nodes = {node["id"]: node["units"] for node in by_text["nodes"]}
    assert nodes.pop("right") == [0, 1, 2]
    assert set(nodes) == {"early", "arcs:3"}
    assert by_text["meta"]["families"].endswith("\nright: arcs:0-2")


def test_a_page_of_families_with_the_check_of_several_units(tmp_path: Path) -> None:
    file = tmp_path / "circuit.html"
    sizes = ("--depth", 1, "--keep", 2, "--no-images", "-q")
    result = run(NAME, "arcs:0-2", "--families", FAMILIES, "-o", file, *sizes)
    assert "right: arcs:0-2" in result.stdout
    assert "Correlation of the 3 units arcs:0-2 with themselves" in result.stdout
    content = file.read_text("utf-8")
    assert 'data-node="right"' in content
    assert "stacked: a family and how many units" in content


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nothing.json", "cannot read the families 'nothing.json'"),
        ("a=arcs:99", "units that do not exist: arcs:99; 'arcs' has 24 channels"),
        ("a=arc:1", "does not run through 'arc'; did you mean 'arcs'"),
        ("a=arcs:0; b=arcs:0", "arcs:0 is in two families"),
        ("a=early_curves:20", "holds no unit of 'a'"),
        ("=arcs:0", "a family has an empty name"),
        ("a=arcs:", "empty unit set"),
    ],
)
def test_wrong_families_are_refused(tmp_path: Path, given: str, said: str) -> None:
    sizes = ("--depth", 1, "--keep", 2, "--no-check", "--score", "weights")
    with pytest.raises(CircuitError, match=said):
        run(NAME, "arcs:6", "--families", given, "-o", tmp_path / "a.html", *sizes)
    assert list(tmp_path.iterdir()) == []


QUICK = ("--depth", 1, "--keep", 3, "--no-check", "--score", "weights", "--through", "lines")


def test_the_first_gates_build_the_graph_and_the_others_are_compared() -> None:
    def gates(*options: object) -> tuple[str, list[list[str]]]:
        document = json.loads(run(NAME, "arcs:0,6", *QUICK, *options, "--json").stdout)
        rows = document["gate_agreement"]["rows"]
        assert {row["top"] for row in rows} == {3}
        return document["meta"]["gates"], [row["gates"] for row in rows]

    assert gates() == (
        "identity", [["identity", "positive_top"], ["identity", "attribution"]],
    )  # fmt: skip
    assert gates("--gates", "positive_top") == (
        "positive_top", [["positive_top", "identity"], ["positive_top", "attribution"]],
    )  # fmt: skip
    assert gates("--gates", "data_mean, identity") == ("data_mean", [["data_mean", "identity"]])


def test_the_terminal_always_says_how_far_gates_agree() -> None:
    said = run(NAME, "arcs:0,6", *QUICK).stdout
    assert "Do the gates matter?" in said
    assert "same top 3" in said
    assert "the graph was built with identity" in said
    with pytest.raises(CircuitError, match="'identity,identity' names a policy twice"):
        run(NAME, "arcs:6", *QUICK, "--gates", "identity,identity")
    with pytest.raises(CircuitError, match="unknown gates 'open'"):
        run(NAME, "arcs:6", *QUICK, "--gates", "identity,open")


def test_without_images_the_gates_that_want_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.cli.graph._pictures", lambda *_, needed: (None, str(needed)))
    said = run(NAME, "arcs:6", *QUICK).stdout
    assert "lines -> arcs: attribution is not compared: it needs images" in said
