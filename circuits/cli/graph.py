"""`featviz circuit graph`: the circuit of a unit as a page, a picture or a file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from circuits.cli.graph_building import Builder
from circuits.cli.graph_images import graph_images
from circuits.cli.graph_output import Proof, check_output, print_graph, write_graph
from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, prints_to_stderr
from featviz.errors import CircuitError

if TYPE_CHECKING:
    from torch import Tensor

    from circuits.families.family import Family
    from circuits.graphs.gate_agreement import GateAgreement
    from circuits.graphs.graph import CircuitGraph
    from featviz.models import Model

# Those of circuits.graphs.gate_agreement, which would import torch.
_COMPARED = ("identity", "positive_top", "attribution")
_EXAMPLES = """\b
featviz circuit graph squeezenet1_1 fire5:38 --depth 3 -o circuit.html
featviz circuit graph artificial_curves arcs:6 --depth 3 --keep 8 -o circuit.html
featviz circuit graph squeezenet1_1 fire5:38 --score weights --gates positive_top -o circuit.svg
featviz circuit graph squeezenet1_1 fire5:38 --gates positive_top,identity,data_mean
featviz circuit graph squeezenet1_1 fire5:38 --images photos/ -o circuit.json
featviz circuit graph artificial_curves arcs:0-11 --families "right=arcs:0-5; down=arcs:6-11"
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model")
@click.argument("unit")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An interactive page (.html), a still picture (.svg, .png) or the graph (.json).",
)
@click.option("--depth", type=int, default=3, show_default=True, help="Sites to go back.")
@click.option("--keep", type=int, default=6, show_default=True, help="Inputs of each unit at most.")
@click.option("--width", type=int, default=12, show_default=True, help="Units of a column at most.")
@click.option(
    "--threshold",
    type=float,
    default=0.0,
    show_default=True,
    help="Least edge, as a share of the strongest into the same unit.",
)
@click.option(
    "--score",
    type=click.Choice(["contribution", "weights"]),
    default="contribution",
    show_default=True,
    help="What ranks inputs: kernel times activation over the images, or the kernel's L2 norm.",
)
@click.option(
    "--gates",
    metavar="GATES,...",
    default=",".join(_COMPARED),
    show_default=True,
    help="Policy between sites that are not adjacent, then those that it is compared with; see "
    "'featviz circuit expand'. One alone is compared with the default ones.",
)
@click.option(
    "--through", metavar="SITE,SITE", help="Sites it may run through. [those 'featviz sites' lists]"
)
@click.option(
    "--families",
    metavar="FILE|NAME=UNITS;...",
    help="Draw the units of each family as one node; a file as 'featviz circuit families --save' "
    "writes it, or text.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photographs for the score, the gates and the check. [arcs and lines, drawn]",
)
@click.option(
    "--image-count",
    type=click.IntRange(2),
    default=64,
    show_default=True,
    help="Photographs to use at most.",
)
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Silence all units that are not in the circuit and compare.",
)
@click.option(
    "--hold-out/--no-hold-out",
    default=True,
    show_default=True,
    help="Choose units on one half of the images and check them on the other.",
)
@click.option(
    "--ablation",
    type=click.Choice(["zero", "mean"]),
    default="zero",
    show_default=True,
    help="What silenced units become in the check.",
)
@click.option("--no-images", is_flag=True, help="Render no feature images.")
@click.option("--steps", type=int, default=64, show_default=True, help="Of each feature image.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of images and random draws.")
@click.option(
    "--theme",
    type=click.Choice(["light", "dark"]),
    default="light",
    show_default=True,
    help="Of a PNG; pages and SVG follow the reader's.",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@model_options
@click.option(
    "-q", "--quiet", is_flag=True, help="No progress; with -o, print nothing but the file's name."
)
@json_option
def graph(
    model: str,
    unit: str,
    output: Path | None,
    score: str,
    gates: str,
    through: str | None,
    families: str | None,
    images: Path | None,
    image_count: int,
    check: bool,
    hold_out: bool,
    ablation: str,
    no_images: bool,
    steps: int,
    seed: int,
    theme: Any,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what UNIT (SITE:CHANNELS) of MODEL is built from, column by column, and check it.

    Each unit keeps its strongest inputs from the sites before; red excites, blue inhibits. Between
    adjacent sites the kernels are the network's own; otherwise they are expanded under the first of
    the --gates, and how far the others agree with it is always shown.
    Units of one of the --families are drawn as one node: it reads as its units do on average, and
    is read as their sum.

    The check silences all other units of the sites and says how far the unit stays itself, beside
    as many units at random and beside circuits of networks with shuffled and with random weights,
    with a verdict in words: better than chance, or not to be trusted. It is on images that had no
    part in choosing the units, see --hold-out.
    It is on unless --no-check: a picture alone proves nothing. Without --images it uses arcs and
    lines, which say nothing about units that see something else.
    """
    check_output(output, overwrite=overwrite)
    named, policies, say = _families(families), _policies(gates), _teller(quiet=quiet)
    sizes = {name: options.pop(name) for name in _SIZES}
    loaded = load_model(model, **options)
    looks = score == "contribution" or _needs_images(policies[0])
    seen = graph_images(
        loaded, unit, images, count=image_count, needed=check or looks, looks=looks,
        hold_out=hold_out, seed=seed,
    )  # fmt: skip
    ways = {"gates": policies[0], "sites": _sites(through), **sizes}
    build = Builder(score, seen.choosing, ways, progress=not quiet)
    with prints_to_stderr():
        found = build(loaded, unit)
        if not found.edges:
            raise CircuitError(f"the circuit of {unit} is empty: {found.meta['ended']}")
        shown = _joined(found, named, loaded)
        how = {"ablation": ablation, "seed": seed}
        checked = build.check(loaded, found, seen, say, **how) if check else None
        say("comparing gates")
        agreed = _agreement(loaded, found, seen.choosing, policies, sizes["keep"], seed)
        if output is not None:
            say("tuning and feature images")
            dressed = _dressed(loaded, found, None if no_images else (steps, seed), quiet=quiet)
            write_graph(output, _joined(dressed, named, loaded), Proof(checked, agreed), theme)
    if quiet and output is not None and not as_json:
        click.echo(str(output))
    else:
        print_graph(shown, Proof(checked, agreed), output, as_json=as_json)


_SIZES = ("depth", "keep", "width", "threshold")


def _sites(through: str | None) -> list[str] | None:
    return None if through is None else [site.strip() for site in through.split(",")]


def _teller(*, quiet: bool) -> "Callable[[str], None]":
    """Return what says on stderr which stage begins."""
    return lambda stage: None if quiet else click.echo(f"{stage} ...", err=True)


def _policies(text: str) -> list[str]:
    """Return the policies of `--gates`, each once."""
    from circuits.expansion.gates import check_gates

    found: list[str] = [check_gates(name.strip()) for name in text.split(",")]
    if len(set(found)) < len(found):
        raise CircuitError(f"--gates {text!r} names a policy twice; name each once")
    return found


def _needs_images(gates: str) -> bool:
    from circuits.expansion.gates import NEEDS_IMAGES

    return gates in NEEDS_IMAGES


def _agreement(
    model: "Model",
    found: "CircuitGraph",
    images: "Tensor | None",
    policies: list[str],
    top: int,
    seed: int,
) -> "GateAgreement":
    """Return how far the other policies agree with the first; one alone meets the default ones."""
    from circuits.graphs.gate_agreement import gate_agreement

    others = policies[1:] or _COMPARED
    return gate_agreement(model, found, images, gates=others, top=top, seed=seed)


def _joined(
    found: "CircuitGraph", families: "list[Family] | None", model: "Model"
) -> "CircuitGraph":
    from circuits.graphs.family_nodes import with_families

    return found if families is None else with_families(found, families, model=model)


def _families(text: str | None) -> "list[Family] | None":
    """Read families from a file, or as text if it is none and has an equals sign."""
    from circuits.families.family import parse_families, read_families

    if text is None:
        return None
    if "=" in text and not Path(text).is_file():
        return parse_families(text)
    return read_families(Path(text))


def _dressed(
    model: "Model", found: "CircuitGraph", drawn: tuple[int, int] | None, *, quiet: bool
) -> "CircuitGraph":
    """Return the graph with tuning and, where steps and a seed are given, feature images."""
    from circuits.graphs.features import with_images, with_tuning

    tuned = with_tuning(found, model)
    if drawn is None:
        return tuned
    return with_images(tuned, model, steps=drawn[0], seed=drawn[1], progress=not quiet)
