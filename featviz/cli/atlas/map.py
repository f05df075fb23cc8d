"""`featviz atlas map`: the activation atlas of a site."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from featviz.atlas.activation_map.settings import LayoutName, MapConfig
from featviz.cli.atlas.pass_progress import progress_option, to_stdout, told_progress
from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, print_json, print_table, prints_to_stderr

if TYPE_CHECKING:
    from featviz.atlas.activation_map.making import ActivationMap, Told

Command = Callable[..., Any]

FAILED_CELLS = 3
_DEFAULTS = MapConfig()
_EXAMPLES = """\b
featviz atlas map squeezenet1_1 fire8 --images photographs/ -o map/
featviz atlas map inceptionv1 mixed4c --images photographs/ -o map/ --grid 20 --grid 40
featviz atlas map squeezenet1_1 fire8 --images few/ --positions 40 --layout pca -o map/
"""


def _whole(name: str, help_text: str, *, least: int = 1) -> Callable[[Command], Command]:
    return click.option(
        f"--{name}",
        type=click.IntRange(min=least),
        default=getattr(_DEFAULTS, name.replace("-", "_")),
        show_default=True,
        help=help_text,
    )


@click.command("map", epilog=_EXAMPLES)
@click.argument("model")
@click.argument("site")
@click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Photographs, in folders or not; thousands make a map, hundreds a sketch.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--grid",
    "grids",
    type=click.IntRange(min=1),
    multiple=True,
    default=_DEFAULTS.grids,
    show_default=True,
    help="Cells along each side; several: --grid 20 --grid 40.",
)
@_whole("min-points", "Activations that a cell needs.")
@_whole("samples", "Activations at most.")
@_whole("positions", "Random places of each photograph.")
@click.option(
    "--layout",
    type=click.Choice(get_args(LayoutName)),
    help="How activations are laid out.  [default: the first that is installed]",
)
@click.option(
    "--whitening",
    type=float,
    default=_DEFAULTS.whitening,
    show_default=True,
    help="Ridge of the correlation matrix; less brings out rare channels.",
)
@click.option(
    "--classes/--no-classes", default=True, show_default=True, help="Find what cells speak for."
)
@_whole("steps", "Steps of the optimiser for each cell.")
@_whole("size", "Side of each cell in pixels.")
@_whole("tries", "Pictures of each cell, of which the best is kept.")
@_whole("seed", "Decides every random number.", least=0)
@click.option("--batch", type=click.IntRange(min=1), help="Photographs and cells at a time.")
@model_options
@progress_option
@click.option("-q", "--quiet", is_flag=True, help="The same as --progress none.")
@json_option
def map_command(
    model: str,
    site: str,
    images: Path,
    output: Path,
    grids: tuple[int, ...],
    shown: str,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Make the activation atlas of SITE: average activations on a 2-D map, each rendered.

    Activations at random places of photographs are laid out so that similar ones lie near each
    other; the mean of each cell is rendered. In the folder lie index.html, the map to look at; a
    sheet a grid; and map.json. An interrupted run goes on where it was with the same command.

    Exit codes: 0 all cells are there, 2 bad input, 3 some cells have no picture, 130 interrupted.
    """
    own = {name: options.pop(name) for name in (
        "min_points", "samples", "positions", "layout", "whitening", "classes", "steps", "size",
        "tries", "seed", "batch",
    )}  # fmt: skip
    config = MapConfig(grids=grids, **own)
    from featviz.atlas.activation_map import make_map

    loaded = load_model(model, **options)
    with _progress("none" if quiet else shown) as told:
        made = make_map(loaded, site, images=images, folder=output, config=config, told=told)
    if shown == "json" and not quiet:
        click.echo(json.dumps({"event": "end", **_summary(made)}))
    elif as_json:
        print_json(_summary(made))
    else:
        _print(made)
    return FAILED_CELLS if made.failed else 0


@contextlib.contextmanager
def _progress(shown: str) -> Iterator["Told"]:
    """Give what tells of one thing that is done after the other."""
    tells: dict[str, Callable[[int, int], None]] = {}
    say = to_stdout()  # before the network's own prints go to stderr
    with prints_to_stderr(), contextlib.ExitStack() as current:

        def told(what: str, done: int, total: int) -> None:
            if what not in tells:
                current.close()
                tells[what] = current.enter_context(told_progress(shown, what, say=say))
            tells[what](done, total)

        yield told


def _summary(made: "ActivationMap") -> dict[str, Any]:
    about = made.document
    return {
        "page": str(made.page),
        "map": str(made.folder / "map.json"),
        "samples": about["samples"],
        "photographs": about["photographs"]["read"],
        "skipped": about["photographs"]["skipped"],
        "layout": about["layout"],
        "failed": made.failed,
        "grids": [
            {
                "side": grid["side"],
                "sheet": str(made.folder / grid["sheet"]),
                "cells": len(grid["cells"]),
                "in_cells": grid["in_cells"],
                "likeness_of_means": grid["likeness_of_means"],
            }
            for grid in about["grids"]
        ],
    }


def _print(made: "ActivationMap") -> None:
    found = _summary(made)
    click.echo(
        f"{found['samples']} activations of {found['photographs']} photographs, "
        f"laid out by {found['layout']['layout']}"
    )
    for name, reason in list(found["skipped"].items())[:3]:
        click.echo(f"could not read {name}: {reason}", err=True)
    if len(found["skipped"]) > 3:
        click.echo(f"and {len(found['skipped']) - 3} more, see map.json", err=True)
    rows = []
    for grid in found["grids"]:
        alike = grid["likeness_of_means"]
        shown = ["-", "-"]
        if alike["pairs"]:
            shown = [f"{alike['neighbours']:.2f}", f"{alike['random']:.2f}"]
        row = [f"{grid['side']}x{grid['side']}", str(grid["cells"]), str(grid["in_cells"])]
        rows.append([*row, *shown, grid["sheet"]])
    print_table(["grid", "cells", "activations", "alike", "by chance", "sheet"], rows)
    if made.failed:
        click.echo(f"{made.failed} cells have no picture; run it again to retry them", err=True)
    click.echo(f"open {found['page']}")
