"""`featviz contrast`."""

from pathlib import Path
from typing import Any

import click

from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, print_json, prints_to_stderr


@click.command()
@click.argument("model")
@click.argument("sites", nargs=-1, required=True, metavar="SITES...")
@click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photographs, some dozens at least.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write: .npz."
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@model_options
@json_option
def contrast(
    model: str,
    sites: tuple[str, ...],
    images: Path,
    output: Path,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure what the channels of SITES of MODEL do on photographs.

    The file serves as --contrast FILE of 'featviz render', in place of the photographs: they are
    read once, not at each render.
    """
    from featviz.rivals import check_rivals_path, measure_rivals, save_rivals

    check_rivals_path(output, overwrite=overwrite)
    loaded = load_model(model, **options)
    with prints_to_stderr():
        rivals = measure_rivals(loaded, sites, images)
    save_rivals(rivals, output, overwrite=overwrite)
    # Channels that no photograph moves have no scale and are no rivals.
    silent = {site: int((moments.sd == 0).sum()) for site, moments in rivals.moments.items()}
    channels = {site: len(moments.mean) for site, moments in rivals.moments.items()}
    if as_json:
        document = {"file": str(output), "images": rivals.pictures, "network": rivals.network}
        print_json({**document, "channels": channels, "silent": silent})
        return
    for site in rivals.moments:
        click.echo(
            f"{output}: {site}, {rivals.pictures} images; {channels[site]} channels, of which "
            f"{silent[site]} are the same on all"
        )
