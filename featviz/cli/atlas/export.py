"""`featviz atlas export`."""

from pathlib import Path

import click

from featviz.cli.output import json_option, print_json


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", required=True,
    type=click.Choice(["parquet", "webdataset", "html", "preview"]),
    help="parquet: one file; webdataset: a folder of tar files; html: one page if PATH ends in "
    ".html, else a folder; preview: a smaller atlas of the units that fire, to ship.",
)  # fmt: skip
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="PATH",
    help="File or folder to write.",
)  # fmt: skip
@click.option("--model", metavar="MODEL", help="Images of this model alone.")
@click.option("--site", metavar="SITE", help="Images of this site alone.")
@click.option("--overwrite", is_flag=True, help="Replace a file, or an earlier export.")
@json_option
def export(
    folder: Path,
    form: str,
    output: Path,
    model: str | None,
    site: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write the images of the atlas in FOLDER, with records and evidence, for other programs.

    Every file is compared with its hash; what is written appears whole or not at all.
    """
    from featviz.atlas.exporting.export import export_atlas

    done = export_atlas(folder, output, form=form, model=model, site=site, overwrite=overwrite)
    if as_json:
        print_json(
            {"path": str(done.path), "format": form, "images": done.images, "bytes": done.bytes}
        )
    else:
        click.echo(f"{done.images} images, {done.bytes / 1e6:.1f} MB: {done.path}")
    return 0
