import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.cli import circuit
from circuits.families.family import parse_families, write_families
from circuits.graphs.check import probe_images
from circuits.graphs.graph import CircuitGraph
from featviz.errors import CircuitError, OutputError, SiteError
from featviz.models import load
from nets import seeded

NAME = ARTIFICIAL_CURVES.name


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(circuit, ["graph", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check on an eighth of the stimuli, to be fast."""
    monkeypatch.setattr(
        "circuits.graphs.check.probe_images", lambda *given: probe_images(*given)[::7]
    )


@pytest.mark.usefixtures("few")
def test_one_json_document_with_the_graph_and_the_check() -> None:
    result = run(NAME, "arcs:6", "--depth", 1, "--keep", 8, "--json", "-q")
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["file"] is None
    assert len(document["edges"]) == 8
    row = document["check"]["rows"][0]
    assert row["correlation"] > 0.85
    assert len(row["random"]) == 39
    assert row["shuffled"]
    assert row["random_weights"]
    assert row["verdict"]["draws"] == 39
    assert document["check"]["verdict"].startswith("Preservation by 8 units of 42, early_curves")
    assert list(document["check"]["verdicts"]) == ["faithfulness", "incompleteness", "minimality"]
    assert len(document["check"]["random_minimality"]) == 39
    assert (document["check"]["chosen_on"], document["check"]["checked_on"]) == (9, 10)
    assert document["gate_agreement"]["adjacent"] == [["early_curves", "arcs"]]
    assert document["gate_agreement"]["rows"] == []


@pytest.mark.usefixtures("few")
def test_the_terminal_says_in_words_what_the_check_found() -> None:
    said = run(NAME, "arcs:6", "--depth", 1, "--keep", 8).stdout
    assert "Is it true? Preservation by 8 units of 42, early_curves (none of early_lines)" in said
    assert " of 39 random selections (p = 0." in said
    assert "Held out: 9 of them chose the units, and the check is on the other 10;" in said
    for term in ("correlation", "faithfulness", "incompleteness", "minimality", "rule"):
        assert f"\n  {term}: " in said


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("options", "why"),
    [(("--no-hold-out",), "as asked for"), (("--score", "weights"), "neither the score nor the")],
)
def test_images_are_held_out_only_where_they_choose(options: tuple[str, ...], why: str) -> None:
    said = run(NAME, "arcs:6", "--depth", 1, "--keep", 4, *options, "--json").stdout
    check = json.loads(said)["check"]
    assert (check["chosen_on"], check["checked_on"]) == (0, 19)
    assert check["why_not_held_out"].startswith(why)


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


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail that gets as far as loading the network."""

    def load_model(*_: object, **__: object) -> None:
        raise AssertionError("the output is to be looked at first")

    monkeypatch.setattr("circuits.cli.graph.load_model", load_model)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("circuit.pdf", "is of no known kind; end its name in .html, .svg, .png, .json"),
        ("circuit", "is of no known kind"),
        ("folder.svg", "is a folder; name a file in it"),
        ("there.json", "exists already; choose another or pass --overwrite"),
        ("dangling.json", "exists already"),
        ("there.json/a.html", "there.json' is no folder; choose another"),
        ("there.json/new/a.html", "there.json' is no folder; choose another"),
        ("locked/a.html", "cannot write into .*locked'; choose another folder"),
        ("locked/new/a.html", "cannot write into .*locked'; choose another folder"),
        ("x" * 300 + ".html", "a name of 305 bytes in the path .* is too long; at most 240"),
    ],
)
def test_the_output_is_looked_at_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "locked").mkdir()
    (tmp_path / "there.json").write_text("mine")
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nowhere")
    # Not by its mode: the administrator may write everywhere.
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, m: Path(p).name != "locked" and access(p, m))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=said):
        run(NAME, "arcs:6", "-o", tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.json").read_text() == "mine"


def test_quiet_gives_the_name_of_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "circuit.json"
    options = ("--depth", 1, "--keep", 2, "--no-check", "--score", "weights", "--steps", 2)
    result = run(NAME, "arcs:6", "-o", file, *options, "-q")
    assert (result.stdout, result.stderr) == (f"{file}\n", "")
    alone = run(NAME, "arcs:6", *options, "-q")
    assert "early_curves:6" in alone.stdout  # there is no file to look into
    assert alone.stderr == ""
    assert json.loads(run(NAME, "arcs:6", *options, "-q", "--json").stdout)["edges"]
    told = run(NAME, "arcs:6", "-o", file, *options, "--overwrite")
    assert "early_curves:6" in told.stdout
    for stage in ("comparing gates ...", "feature images ...", "100%"):
        assert stage in told.stderr


def test_the_stages_of_a_check_are_told_on_stderr() -> None:
    # A check is slow by nature: six circuits in other networks, and their random selections.
    options = ("--depth", 1, "--keep", 2)
    told = run(NAME, "arcs:6", *options).stderr
    assert told.index("100%") < told.index("checking, beside networks with shuffled")
    assert told.index("checking") < told.index("comparing gates ...")


def net() -> nn.Module:
    """Three units, of which the last never fires, and one of them feeds the output."""
    network = nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)
    )
    network(torch.zeros(1, 3, 64, 64))
    seeded(network)
    with torch.no_grad():
        network[2].bias[1] = -1e6  # type: ignore[index]
        network[2].bias[0] = 5.0  # type: ignore[index]
    return network


def nans() -> nn.Module:
    network = net()
    with torch.no_grad():
        network[0].weight[0] = torch.nan  # type: ignore[index]
    return network


def stored(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> None:
    model = load(network, mean=(0.5,) * 3, std=(0.5,) * 3, size=64)
    monkeypatch.setattr("circuits.cli.graph.load_model", lambda *_, **__: model)


def test_an_empty_circuit_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored(monkeypatch, net())
    said = (
        "the circuit of 3:1 is empty: no inputs from 2 to 3:1: on none of the 66 images is any of "
        "them above 0, so nothing contributes; give images that they respond to, or rank by"
    )
    for options in ((), ("--no-check",)):
        with pytest.raises(CircuitError, match=said):
            run("net", "3:1", *options, "-o", tmp_path / "a.html", "-q")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [("--no-check",), ("--score", "weights")])
def test_weights_that_are_no_numbers_are_told(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    stored(monkeypatch, nans())
    with pytest.raises(CircuitError, match=r"not finite .* so do the weights '0\.weight'; load"):
        run("net", "3:0", "--depth", 1, *options, "-q")


def test_the_circuit_of_a_logit(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(monkeypatch, net())
    found = json.loads(run("net", "logits:1", "--depth", 1, "--keep", 2, "-q", "--json").stdout)
    assert {edge["source"].split(":")[0] for edge in found["edges"]} <= {"3", "4"}
    assert found["edges"]
    assert found["check"]["rows"]


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


@pytest.mark.usefixtures("few")
def test_a_page_of_families_with_the_check_of_several_units(tmp_path: Path) -> None:
    file = tmp_path / "circuit.html"
    sizes = ("--depth", 1, "--keep", 2, "--no-images")
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
    monkeypatch.setattr(
        "circuits.cli.graph_images._pictures", lambda *_, needed: (None, str(needed))
    )
    said = run(NAME, "arcs:6", *QUICK).stdout
    assert "lines -> arcs: attribution is not compared: it needs images" in said
