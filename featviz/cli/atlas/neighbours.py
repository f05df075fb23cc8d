"""`featviz atlas neighbours`."""

from pathlib import Path
from typing import Any

import click

from featviz.cli.atlas.pass_progress import (
    progress_option,
    report_lines,
    tell_end,
    told_progress,
)
from featviz.cli.atlas.places import open_place, place_options
from featviz.cli.loading import model_options
from featviz.cli.output import json_option


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
def neighbours(folder: Path, images: Path | None, shown: str, as_json: bool, **options: Any) -> int:
    """Find the units most like each unit of the atlas FOLDER.

    By activation: correlation over the images. By weights: cosine of the kernels. Both stand beside
    what chance gives. Stop it at any time, and the same command goes on.
    """
    from featviz.atlas import Store
    from featviz.atlas.neighbours.nearest import (
        NeighbourSettings,
        collect_neighbours,
        keep_neighbours,
    )
    from featviz.atlas.passes.picture_sources import FolderSource

    names = ("count", "statistic", "across", "batch", "loaders", "every", "seed")
    settings = NeighbourSettings(**{name: options.pop(name) for name in names})
    source = None if images is None else FolderSource(images)
    model, sites = open_place(folder, **options)
    with Store(folder) as store:
        with told_progress(shown, "images") as tell:
            found = collect_neighbours(
                model,
                sites,
                source,
                settings=settings,
                state=store.layout.unfinished,
                progress=tell,
            )
        keep_neighbours(store, found)
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
    tell_end(about, _summary(about), shown=shown, as_json=as_json)
    return 0


def _summary(about: dict[str, Any]) -> list[str]:
    lines = []
    for name, site in about["sites"].items():
        ways = [way for way in ("activation", "weights") if site[way]]
        lines.append(f"{name}: {site['units']} units, by {' and '.join(ways) or 'nothing'}")
        if not site["weights"]:
            lines.append(f"{name}: its channels are not those of one convolution")
    if "images" not in about:
        lines.append("by weights alone; --images FOLDER compares activations too")
    return lines
