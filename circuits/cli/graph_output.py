"""What `featviz circuit graph` gives: a file of some kind, tables or one JSON document."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.output import print_json, print_table
from featviz.errors import OutputError

if TYPE_CHECKING:
    from circuits.graphs.check import CircuitCheck
    from circuits.graphs.gate_agreement import GateAgreement
    from circuits.graphs.graph import CircuitGraph

FORMATS = (".html", ".svg", ".png", ".json")


@dataclass(frozen=True)
class Proof:
    """What stands beside a graph.

    Attributes:
        check: What is left of the target with the circuit alone; None with `--no-check`.
        agreement: Of gate policies.
    """

    check: "CircuitCheck | None"
    agreement: "GateAgreement"


def check_output(output: Path | None, *, overwrite: bool) -> None:
    """Refuse outputs of unknown kinds, or that are there already, before anything is computed."""
    if output is None:
        return
    if output.suffix.lower() not in FORMATS:
        raise OutputError(
            f"{str(output)!r} is of no known kind; end its name in {', '.join(FORMATS)}"
        )
    if output.is_dir():
        raise OutputError(f"{str(output)!r} is a folder; name a file in it")
    if output.exists() and not overwrite:
        raise OutputError(f"{str(output)!r} exists already; choose another or pass --overwrite")


def write_graph(
    output: Path,
    found: "CircuitGraph",
    proof: Proof,
    theme: Any,
) -> None:
    """Write a graph as the kind of file that its name asks for."""
    from circuits.graphs.draw import graph_to_svg
    from circuits.graphs.draw_png import graph_picture
    from circuits.graphs.page import write_graph_page
    from featviz.images import make_folder, png_bytes, write_file

    make_folder(output.parent)
    kind = output.suffix.lower()
    if kind == ".html":
        command = shlex.join(["featviz", *sys.argv[1:]])
        write_graph_page(
            output, found, check=proof.check, agreement=proof.agreement, command=command
        )
    elif kind == ".svg":
        write_file(output, graph_to_svg(found).encode())
    elif kind == ".png":
        write_file(output, png_bytes(graph_picture(found, theme=theme)))
    else:
        write_file(output, found.to_json().encode())


def print_graph(found: "CircuitGraph", proof: Proof, output: Path | None, *, as_json: bool) -> None:
    """Print a graph and what stands beside it as tables, or as JSON."""
    if as_json:
        _print_document(found, proof, output)
        return
    rows = [
        [edge.target, edge.source, f"{edge.weight:+.4g}", f"{edge.positive:+.4g}",
         f"{edge.negative:+.4g}"]
        for node in reversed(found.nodes) for edge in found.inputs(node.id)
    ]  # fmt: skip
    click.echo(repr(found))
    print_table(["unit", "input", found.meta["score"], "kernel +", "kernel -"], rows)
    for key in ("families", "approximated"):
        for line in found.meta.get(key, "").splitlines():
            click.echo(f"  {line}")
    _print_proof(proof)
    if output is not None:
        click.echo(str(output))


def _print_document(found: "CircuitGraph", proof: Proof, output: Path | None) -> None:
    from circuits.graphs.check_report import check_document
    from circuits.graphs.gate_report import gate_document
    from circuits.graphs.graph_json import graph_document

    document = graph_document(found)
    for node in document["nodes"]:
        # Pictures are for the file; a terminal has no use for them.
        del node["image"]
    print_json(
        {
            "file": None if output is None else str(output),
            "check": None if proof.check is None else check_document(proof.check),
            "gate_agreement": gate_document(proof.agreement),
            **document,
        }
    )


def _print_proof(proof: Proof) -> None:
    from circuits.graphs.check_report import HEADS, check_rows, check_text
    from circuits.graphs.gate_report import TITLE, gate_heads, gate_rows, gate_text

    click.echo()
    if proof.check is not None:
        print_table(HEADS, check_rows(proof.check))
        click.echo(check_text(proof.check))
        click.echo()
    agreement = proof.agreement
    click.echo(TITLE)
    if agreement.rows:
        print_table(gate_heads(agreement), gate_rows(agreement))
    click.echo(gate_text(agreement))
    for note in agreement.notes:
        click.echo(f"  {note}")
