"""`featviz facet`."""

from pathlib import Path
from typing import Any

import click

from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, print_json, prints_to_stderr


@click.command()
@click.argument("model")
@click.argument("site")
@click.argument("positives", type=click.Path(path_type=Path))
@click.argument("negatives", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write: .npy."
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@model_options
@json_option
def facet(
    model: str,
    site: str,
    positives: Path,
    negatives: Path,
    output: Path,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Learn what tells the photographs in POSITIVES from those in NEGATIVES at SITE of MODEL.

    The file holds a direction, one number a channel, for objectives such as 'facet(fire8:77, fire4,
    FILE)' and 'direction(fire4, FILE)'.
    """
    import io

    import numpy as np

    from featviz.errors import OutputError
    from featviz.images import write_file
    from featviz.metrics import PictureFolder
    from featviz.objectives import facet_direction

    if output.suffix != ".npy":
        raise OutputError(f"{str(output)!r} must end in .npy")
    if output.exists() and not overwrite:
        raise OutputError(f"{str(output)!r} exists; choose another name or pass --overwrite")
    folders = [PictureFolder.open(folder) for folder in (positives, negatives)]
    loaded = load_model(model, **options)
    size, channels = loaded.spec.size, loaded.spec.channels
    with prints_to_stderr():
        sets = (
            (images.to(loaded.device) for images in folder.batches(size, channels=channels))
            for folder in folders
        )
        direction = facet_direction(loaded, site, *sets)
    content = io.BytesIO()
    np.save(content, direction.numpy(), allow_pickle=False)
    write_file(output, content.getvalue())
    counts = [len(folder) for folder in folders]
    if as_json:
        print_json(
            {"file": str(output), "channels": len(direction), "images": counts, "site": site}
        )
    else:
        click.echo(
            f"{output}: {len(direction)} channels, from {counts[0]} and {counts[1]} photographs"
        )
