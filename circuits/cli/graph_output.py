"""What `featviz circuit graph` gives: a file of some kind, tables or one JSON document."""

import os
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

MAX_NAME_BYTES = 240
"""Of a file; while it is written, its name is a few bytes longer, and 255 is the most."""
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
    """Refuse outputs that could not be written, before anything is computed.

    Raises:
        OutputError: If the kind is unknown, the file is there and may not be replaced, or its
            folder can be neither written to nor made.
    """
    if output is None:
        return
    if output.suffix.lower() not in FORMATS:
        raise OutputError(
            f"{str(output)!r} is of no known kind; end its name in {', '.join(FORMATS)}"
        )
    longest = max(len(os.fsencode(part)) for part in output.parts)
    if longest > MAX_NAME_BYTES:
        raise OutputError(
            f"a name of {longest} bytes in the path {str(output)[:60]!r}... is too long; at most "
            f"{MAX_NAME_BYTES} can be written"
        )
    if output.is_dir():
        raise OutputError(f"{str(output)!r} is a folder; name a file in it")
    if os.path.lexists(output) and not overwrite:
        raise OutputError(f"{str(output)!r} exists already; choose another or pass --overwrite")
    from featviz.images import check_folder

    check_folder(output.parent)


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
    for key in ("families", "approximated", "ended"):
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
    from circuits.graphs.gate_report import TITLE, gate_heads, gate_rows, gate_text

    click.echo()
    if proof.check is not None:
        _print_check(proof.check)
        click.echo()
    agreement = proof.agreement
    click.echo(TITLE)
    if agreement.rows:
        print_table(gate_heads(agreement), gate_rows(agreement))
    click.echo(gate_text(agreement))
    for note in agreement.notes:
        click.echo(f"  {note}")


def _print_check(check: "CircuitCheck") -> None:
    from circuits.graphs import check_report as report

    click.echo(f"{report.TITLE} {report.check_headline(check)}")
    print_table(report.HEADS, report.check_rows(check))
    scores = report.score_rows(check)
    if scores:
        print_table(report.SCORE_HEADS, scores)
    for line in report.check_verdicts(check):
        click.echo(f"  {line}")
    click.echo(report.check_text(check))
    for name, text in report.check_terms(check):
        click.echo(f"  {name}: {text}")
