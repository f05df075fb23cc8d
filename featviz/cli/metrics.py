"""`featviz metrics`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import load_recorded
from featviz.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from featviz.metrics import Report
    from featviz.models import Model

# Head of the column, key of the row, how it is written.
_COLUMNS = (
    ("unit", "unit", "{}"),
    ("score", "score", "{:.4g}"),
    ("percentile", "percentile", "{:.1f}"),
    ("gain", "gain", "{:.2f}"),
    ("robust", "robust_ratio", "{:.2f}"),
    ("sd", "robust_sd", "{:.3g}"),
    ("self", "self_rank", "{}"),
    ("z", "self_z", "{:.1f}"),
    ("slope", "slope", "{:.2f}"),
    ("high", "high", "{:.3f}"),
    ("clipped", "clipped", "{:.3f}"),
    ("saturation", "saturation", "{:.2f}"),
    ("opacity", "opacity", "{:.2f}"),
    ("nearest", "nearest", "{:.2f}"),
    ("nearest photograph", "nearest_file", "{}"),
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photographs to compare with; hundreds are enough, a hundred thousand are possible.",
)
@click.option(
    "--independent",
    metavar="MODEL",
    help="Network that finds the nearest photograph. [efficientnet_lite0, or squeezenet1_1]",
)
@click.option("--device", help="Where to compute. [as the record says, else cuda if there is one]")
@click.option(
    "--allow-factory",
    is_flag=True,
    help="Import the module.path:factory that a record names: it runs its code.",
)
@json_option
def metrics(
    folder: Path,
    images: Path | None,
    independent: str | None,
    device: str | None,
    allow_factory: bool,
    as_json: bool,
) -> int:
    """Measure the images that 'featviz render -o FOLDER' saved.

    Without --images: spectrum, clipping, colour, robustness to moves and blur. With --images
    also the score's percentile among photographs and gain over the best of them, whether the unit
    is the one that its image excites most (self: its rank; z: in standard deviations), and the
    nearest photograph in another network.
    """
    from featviz.metrics import PictureFolder, measure_renders, read_renders

    renders = read_renders(folder)
    photographs = None if images is None else PictureFolder.open(images)

    def load_one(arguments: Sequence[str]) -> "Model":
        return load_recorded(arguments, allow_factory=allow_factory, device=device)

    report = measure_renders(
        renders, images=photographs, load_recorded=load_one, independent=independent
    )
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "photographs": None if photographs is None else len(photographs),
                "images": report.rows,
                "diversity": report.diversity,
                "missing": report.missing,
            }
        )
    else:
        _print(report)
    return 0


def _print(report: "Report") -> None:
    columns = [column for column in _COLUMNS if any(column[1] in row for row in report.rows)]
    rows = [[_cell(row, key, form) for _, key, form in columns] for row in report.rows]
    print_table([head for head, _, _ in columns], rows)
    for row in report.diversity:
        click.echo(f"diversity of {row['images']} images of {row['unit']}: {row['diversity']:.3f}")
    for measure, reason in report.missing.items():
        click.echo(f"no {measure}: {reason}", err=True)


def _cell(row: dict[str, Any], key: str, form: str) -> str:
    value = row.get(key)
    if key == "unit":
        return f"{value} (dead)" if row["dead"] else str(value)
    return "-" if value is None else form.format(value)
