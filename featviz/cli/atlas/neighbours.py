"""`featviz atlas neighbours`."""

from pathlib import Path
from typing import Any

import click

from featviz.cli.atlas.examples import report_lines, tell_skipped
from featviz.cli.atlas.places import open_place, place_options
from featviz.cli.atlas.progress import progress_option, told_progress
from featviz.cli.loading import model_options
from featviz.cli.output import json_option, print_json


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photographs, with the folders below. [none: by weights alone]",
)
@click.option("--count", type=int, default=10, show_default=True, help="Neighbours of each unit.")
@click.option(
    "--statistic",
    type=click.Choice(["maximum", "mean"]),
    default="maximum",
    show_default=True,
    help="What counts of a map.",
)
@click.option("--across", is_flag=True, help="Also look in other sites, by activation.")
@click.option("--batch", type=int, default=32, show_default=True, help="Images at a time.")
@click.option("--loaders", type=int, help="Threads that read. [one a core]")
@click.option("--every", type=int, default=2000, show_default=True, help="Save after so many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of orders and shuffles.")
@place_options
@model_options
@progress_option
@json_option
def neighbours(
    folder: Path, images: Path | None, progress: str, as_json: bool, **options: Any
) -> int:
    """Find the units most like each unit of the atlas FOLDER.

    By activation: correlation over the images. By weights: cosine of the kernels. Both stand beside
    what chance gives. Stop it at any time, and the same command goes on.
    """
    from featviz.atlas import Store
    from featviz.atlas.neighbours import NeighbourSettings, collect_neighbours, keep_neighbours
    from featviz.atlas.pass_state import open_state
    from featviz.atlas.picture_sources import FolderSource

    names = ("count", "statistic", "across", "batch", "loaders", "every", "seed")
    settings = NeighbourSettings(**{name: options.pop(name) for name in names})
    source = None if images is None else FolderSource(images)
    model, sites = open_place(folder, **options)
    with Store(folder) as store:
        with told_progress(progress, "images") as tell:
            found = collect_neighbours(
                model,
                sites,
                source,
                settings=settings,
                state=store.layout.unfinished,
                progress=tell,
            )
        keep_neighbours(store, found)
        state = open_state(store.layout.unfinished, found.key)
        if state is not None:
            state.remove()
    about: dict[str, Any] = {
        "atlas": str(folder),
        "model": model.name,
        "sites": {
            name: {
                "units": site.channels,
                "activation": found.by_activation(name, 0) is not None,
                "weights": found.by_weights(name, 0) is not None,
            }
            for name, site in found.sites.items()
        },
    }
    if found.report is not None and source is not None:
        about |= report_lines(found.report, source.passed_over)
    if as_json:
        print_json(about)
    elif progress != "json":
        _tell(about)
    return 0


def _tell(about: dict[str, Any]) -> None:
    for name, site in about["sites"].items():
        ways = [way for way in ("activation", "weights") if site[way]]
        click.echo(f"{name}: {site['units']} units, by {' and '.join(ways) or 'nothing'}")
        if not site["weights"]:
            click.echo(f"{name}: its channels are not those of one convolution", err=True)
    if "images" in about:
        tell_skipped(about)
    else:
        click.echo("by weights alone; --images FOLDER compares activations too", err=True)
