"""`featviz circuit expand`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from circuits.cli.photographs import read_photographs
from circuits.cli.weights import pick_units, print_inputs, sheet_options, write_weights
from featviz.cli.loading import load_model
from featviz.cli.output import print_json, print_table, prints_to_stderr

if TYPE_CHECKING:
    from circuits.expansion.agreement import GateReport
    from featviz.models import Model

_SOME = 64


class _Norm(click.ParamType[float | str]):
    """A number, or `mean`."""

    name = "NUMBER|mean"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Read the text."""
        if value == "mean":
            return "mean"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'mean'", param, ctx)


_POLICIES = """\b
identity         everything passes, as in a linear network
positive_top     negative weights of the last layer before UNITS count as 0
positive_paths   negative weights of every layer on the way count as 0
data_mean        each channel passes its share of open gates over the images
attribution      gradient x activation where the unit is most active in the images

\b
featviz circuit expand squeezenet1_1 fire2 fire4:141 --gates identity,positive_top,attribution
"""


@click.command(epilog=_POLICIES)
@click.argument("model")
@click.argument("source")
@click.argument("units")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write files here.")
@click.option(
    "--gates",
    default="identity,positive_top",
    show_default=True,
    help="Policies with commas: identity, positive_top, positive_paths, data_mean, attribution.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photographs for data_mean, attribution and --lrn-at mean. [two feature images a unit]",
)
@click.option(
    "--image-count", type=click.IntRange(1), default=_SOME, show_default=True,
    help="Photographs to use at most.",
)  # fmt: skip
@click.option(
    "--lrn-at",
    type=_Norm(),
    help="Activation at which local response norms are linearised, or their mean. [0]",
)
@click.option(
    "--pool",
    type=click.Choice(["average", "keep_l2", "keep_max"]),
    default="average",
    show_default=True,
    help="Weight of the n cells of a max pool: 1/n, 1/sqrt(n), 1.",
)
@sheet_options
def expand(
    model: str,
    source: str,
    units: str,
    output: Path | None,
    gates: str,
    images: Path | None,
    image_count: int,
    lrn_at: Any,
    pool: Any,
    top: int,
    by: Any,
    no_images: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Expand weights from SOURCE to UNITS of MODEL over all layers between them.

    What activation functions let through is a choice, and no choice is the truth: the command
    always shows how far the policies of --gates agree, beside what chance would give.
    """
    from circuits.expansion.agreement import compare_gates
    from circuits.expansion.gates import NEEDS_IMAGES, check_gates

    policies = [check_gates(name.strip()) for name in gates.split(",")]
    loaded = load_model(model, **options)
    target, channels = pick_units(loaded, units)
    needed = images is not None or lrn_at == "mean" or NEEDS_IMAGES & set(policies)
    stimuli, told = (
        _stimuli(loaded, target, channels, images, image_count, quiet=quiet)
        if needed
        else (None, "")
    )
    report = compare_gates(
        loaded,
        source,
        target,
        units=channels,
        gates=policies,
        images=stimuli,
        lrn_at=lrn_at,
        pool=pool,
        top=top,
    )
    options = {"top": top, "by": by, "images": not no_images, "overwrite": overwrite}
    maps = list(report.maps)
    files = write_weights(loaded, maps, output, quiet=quiet, **options) if output else []
    _print(report, told, files, top=top, by=by, as_json=as_json)
    return 0


def _stimuli(
    model: "Model",
    target: str,
    channels: list[int],
    folder: Path | None,
    count: int,
    *,
    quiet: bool,
) -> tuple[Any, str]:
    """Return images and what they are: photographs, or else feature images of each unit."""
    from circuits.pictures.feature_images import own_stimuli

    if folder is None:
        with prints_to_stderr():
            found = own_stimuli(model, target, channels, size=model.spec.size, progress=not quiet)
        return found, "two feature images of each unit (no --images given)"
    return read_photographs(model, folder, count)


def _print(
    report: "GateReport", told: str, files: list[str], *, top: int, by: Any, as_json: bool
) -> None:
    from circuits.pictures.weight_files import weight_document

    if as_json:
        maps = [weight_document(weights, count=top, by=by) for weights in report.maps]
        document = {"files": files, "images": told or None, "agreement": report.rows()}
        print_json({**document, "weights": maps})
        return
    for weights in report.maps:
        print_inputs(weights, top=top, by=by)
        click.echo()
    if told:
        click.echo(f"images: {told}")
    rows = [
        [row["unit"], " / ".join(row["gates"])]
        + [
            "-" if row[key] is None else f"{row[key]:.2f}"
            for key in ("correlation", "chance_correlation", "overlap", "chance_overlap")
        ]
        for row in report.rows()
    ]
    if rows:
        click.echo("How far the gates agree:")
        heads = ["unit", "gates", "correlation", "by chance", f"same top {report.top}", "by chance"]
        print_table(heads, rows)
    else:
        click.echo("One policy alone: name several in --gates to see how far they agree.")
    if files:
        click.echo("\n".join(files))
