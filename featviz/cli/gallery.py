"""`featviz gallery`: one unit under every setting, side by side, offline."""

import re
import time
from pathlib import Path
from typing import Any

import click

from featviz.cli.loading import Size, load_model, model_options
from featviz.cli.output import json_option, print_json, prints_to_stderr
from featviz.config import DEFAULT_SIZE_PX, RenderConfig

# A comma parts units where a site follows; other commas are inside one: fire4:5,7 and fire4:5@7,9.
_BETWEEN_UNITS = re.compile(r",(?=[^,:]+:)")


def split_units(text: str) -> list[str]:
    """Return the units of a list with commas between them."""
    return _BETWEEN_UNITS.split(text)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out/gallery"))
@click.option("--model", default="squeezenet1_1", show_default=True)
@click.option(
    "--units",
    multiple=True,
    metavar="UNIT,UNIT,...",
    help="Such as fire4:5,fire7:0-3. [one early, one middle, one deep]",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photographs, for percentile and self-identification.",
)
@click.option("--steps", type=int, default=RenderConfig.steps, show_default=True)
@click.option("--size", type=Size(), help=f"Pixels. [{DEFAULT_SIZE_PX}, or the network's own]")
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@json_option
def gallery(
    output: Path,
    model: str,
    units: tuple[str, ...],
    images: Path | None,
    steps: int,
    size: int | tuple[int, int] | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Render units under every setting, and a page that compares them.

    Each unit is rendered with every parameterisation, every preset of transforms, and the variants
    that matter; measures and the command stand below each picture. Files of an earlier gallery in
    the folder are replaced.
    """
    from featviz.gallery import make_gallery
    from featviz.metrics import PictureFolder

    started = time.monotonic()
    config = RenderConfig(steps=steps, size=size)
    photographs = None if images is None else PictureFolder.open(images)
    loaded = load_model(model, **options)
    with prints_to_stderr():
        made = make_gallery(
            loaded,
            output,
            units=[unit for text in units for unit in split_units(text)] or None,
            config=config,
            photographs=photographs,
            progress=not quiet,
        )
    seconds = time.monotonic() - started
    if as_json:
        pictures = {
            unit: [
                {
                    "setting": p.setting.name,
                    "command": p.figure.command or None,
                    **p.row,
                    "file": p.figure.path.relative_to(output).as_posix(),
                }
                for p in found
            ]
            for unit, found in made.units.items()
        }
        print_json({"page": str(made.page), "units": pictures, "seconds": seconds})
        return
    shown = sum(len(found) for found in made.units.values())
    click.echo(f"{shown} pictures of {len(made.units)} units in {seconds:.0f} s")
    click.echo(f"page  {made.page}")
