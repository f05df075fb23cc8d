"""`featviz atlas examples`."""

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
    required=True,
    help="Photographs, with the folders below.",
)
@click.option("--top", type=int, default=16, show_default=True, help="Images of largest values.")
@click.option("--bottom", type=int, default=4, show_default=True, help="Images of smallest values.")
@click.option("--bins", type=int, default=6, show_default=True, help="Quantile bins.")
@click.option("--per-bin", type=int, default=2, show_default=True, help="Images of each bin.")
@click.option(
    "--edges",
    type=click.Choice(["clip", "pad"]),
    default="clip",
    show_default=True,
    help="Crops that leave the image: the part inside, or grey around it.",
)
@click.option("--side", type=int, default=128, show_default=True, help="Longest side kept, px.")
@click.option("--batch", type=int, default=32, show_default=True, help="Images at a time.")
@click.option("--loaders", type=int, help="Threads that read. [one a core]")
@click.option("--every", type=int, default=2000, show_default=True, help="Save after so many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of the images.")
@place_options
@model_options
@progress_option
@json_option
def examples(
    folder: Path,
    images: Path,
    edges: str,
    side: int,
    shown: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Find the images that excite each unit of the atlas FOLDER most, least, and in between.

    One pass over the images for all sites; stop it at any time, and the same command goes on. For
    each unit the atlas then has images by maximum and by mean, crops of what the unit saw, a
    histogram, and how often it fires.
    """
    from featviz.atlas import Store, collect_examples
    from featviz.atlas.examples.collecting import ExampleSettings
    from featviz.atlas.examples.files import keep_examples
    from featviz.atlas.passes.picture_sources import FolderSource

    names = ("top", "bottom", "bins", "per_bin", "batch", "loaders", "every", "seed")
    settings = ExampleSettings(**{name: options.pop(name) for name in names})
    source = FolderSource(images)
    model, sites = open_place(folder, **options)
    with Store(folder) as store:
        with told_progress(shown, "images") as tell:
            found = collect_examples(
                model,
                sites,
                source,
                settings=settings,
                state=store.layout.unfinished,
                progress=tell,
            )
        with told_progress(shown, "pictures") as tell:
            gone = keep_examples(store, found, edges=edges, side=side, progress=tell)
    units = sum(site.channels for site in found.sites.values())
    about = {
        "atlas": str(folder),
        "model": model.name,
        "sites": list(found.sites),
        "units": units,
        **report_lines(found.report, source.passed_over),
        "gone": gone,
    }
    summary = f"{units} units of {len(found.sites)} sites, {found.report.used} images"
    tell_end(about, [summary], shown=shown, as_json=as_json)
    return 0
