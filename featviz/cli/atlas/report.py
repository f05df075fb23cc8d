"""`featviz atlas report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featviz.cli.loading import load_recorded
from featviz.cli.output import json_option, print_json

if TYPE_CHECKING:
    from featviz.models import Model

_SHOWN = 10


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="The page, HTML.",
)  # fmt: skip
@click.option(
    "--images", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Photographs: measure self-identification of the images that lack it, and keep it.",
)  # fmt: skip
@click.option("--most", default=24, show_default=True, help="Images in each list.")
@click.option("--device", help="Where to measure. [as the record says, else cuda if there is one]")
@click.option(
    "--allow-factory", is_flag=True,
    help="Import the module.path:factory that a record names: it runs its code.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@json_option
def report(
    folder: Path,
    output: Path,
    images: Path | None,
    most: int,
    device: str | None,
    allow_factory: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write one page about the atlas in FOLDER: what is dead, failed, worst, slowest, noisy.

    Measurements are those that the atlas holds; --images adds self-identification: whether each
    image excites its own unit more than the other units of its site.
    """
    from featviz.atlas.exporting.arrival import check_arrival
    from featviz.atlas.layout import open_layout
    from featviz.atlas.reporting.report import write_report

    # Before anything is measured, which may take long.
    check_arrival(output, folder=False, outside=open_layout(folder).root, overwrite=overwrite)
    if images is not None:
        _measure(folder, images, device=device, allow_factory=allow_factory)
    found = write_report(folder, output, most=most, overwrite=overwrite)
    if as_json:
        print_json({"path": str(output), **found.to_json()})
    else:
        dead = sum(site.dead for site in found.sites)
        total = sum(site.images for site in found.sites)
        click.echo(f"{total} images, {dead} dead, {len(found.failures)} failures: {output}")
    return 0


def _measure(folder: Path, images: Path, *, device: str | None, allow_factory: bool) -> None:
    from tqdm import tqdm

    from featviz.atlas.reporting.measuring import measure_self
    from featviz.metrics import PictureFolder

    def load_one(arguments: Sequence[str]) -> "Model":
        return load_recorded(arguments, allow_factory=allow_factory, device=device)

    left_out: list[str] = []
    with tqdm(desc="self-identification", unit="image", disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        measure_self(
            folder,
            PictureFolder.open(images),
            load_recorded=load_one,
            progress=show,
            skipped=lambda _, error: left_out.append(str(error)),
        )
    for said in left_out[:_SHOWN]:
        click.echo(f"skipped: {said}", err=True)
    if len(left_out) > _SHOWN:
        click.echo(f"... and {len(left_out) - _SHOWN} more", err=True)
