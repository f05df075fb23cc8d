"""`featviz circuit weights`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, print_json, print_table, prints_to_stderr

if TYPE_CHECKING:
    from circuits.expansion.weight_map import WeightMap
    from featviz.models import Model

RANKINGS = ("l2", "max", "sum", "positive", "negative")


def sheet_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that write weights."""
    options = (
        click.option("--top", type=click.IntRange(1), default=12, show_default=True,
                     help="Strongest inputs of each unit to show."),
        click.option("--by", type=click.Choice(RANKINGS), default="l2", show_default=True,
                     help="What ranks inputs, over the cells of their kernel."),
        click.option("--no-images", is_flag=True, help="Render no feature images."),
        click.option("--overwrite", is_flag=True, help="Replace files that exist."),
        model_options,
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
        json_option,
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def pick_units(model: "Model", text: str) -> tuple[str, list[int]]:
    """Return the site and the channels of `SITE:CHANNELS`.

    Raises:
        UnitError: If the text names no units, or none that there are.
        SiteError: If the site is unknown.
    """
    from featviz.errors import UnitError
    from featviz.units import parse_units

    units = parse_units(text)
    if units.position is not None:
        raise UnitError(f"{text!r} names a position; weights are the same at all: leave it out")
    channels = model.site_table().resolve(units.site).channels
    return units.site, [unit.channel for unit in units.expand(channels)]


def write_weights(
    model: "Model",
    maps: "list[WeightMap]",
    folder: Path,
    *,
    top: int,
    by: Any,
    images: bool,
    overwrite: bool,
    quiet: bool,
) -> list[str]:
    """Write weight maps, with rendered pictures of inputs and targets, and return the files."""
    from circuits.pictures.feature_images import feature_images, to_pictures
    from circuits.pictures.weight_files import check_weight_files, save_weights

    check_weight_files(maps, folder, model_name=model.name, overwrite=overwrite)
    sources = [
        source
        for weights in maps
        for channel in weights.targets
        for source, _ in weights.top(channel, count=top, by=by)
    ]
    ends = ((maps[0].source, sources), (maps[0].target, maps[0].targets)) if images else ()
    with prints_to_stderr():
        drawn = [
            to_pictures(feature_images(model, site, units, progress=not quiet))
            for site, units in ends
        ]
    features, own = drawn if images else ({}, {})
    paths = save_weights(
        maps,
        folder,
        model_name=model.name,
        count=top,
        by=by,
        features=features,
        target_features=own,
        overwrite=overwrite,
    )
    return [str(path) for path in paths]


@click.command()
@click.argument("model")
@click.argument("source")
@click.argument("units")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"))
@sheet_options
def weights(
    model: str,
    source: str,
    units: str,
    output: Path,
    top: int,
    by: Any,
    no_images: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Show the kernels through which UNITS of MODEL read the units of SOURCE.

    UNITS is SITE:CHANNELS, such as fire4:141 or fire4:0-3. Writes for each unit a sheet of its
    strongest inputs, each beside its feature image; blue inhibits, red excites, and the strongest
    colour is the largest weight of the unit. All kernels go into an NPZ file, in the order
    [upstream][downstream][y][x].

    Between adjacent sites the kernels are the network's own, batch norms folded in. If something
    that is not linear lies between, they are expanded with identity gates, and the output says so;
    'featviz circuit expand' compares other gates.
    """
    from circuits.expansion.expand import expand
    from circuits.expansion.raw_weights import is_adjacent, raw_weights
    from circuits.pictures.weight_files import weight_document

    loaded = load_model(model, **options)
    target, channels = pick_units(loaded, units)
    adjacent = is_adjacent(loaded, source, target)
    found = (raw_weights if adjacent else expand)(loaded, source, target, units=channels)
    files = write_weights(
        loaded,
        [found],
        output,
        top=top,
        by=by,
        images=not no_images,
        overwrite=overwrite,
        quiet=quiet,
    )
    if not adjacent:
        click.echo(
            f"{source} and {target} are not adjacent: weights expanded with identity gates; "
            "compare with 'featviz circuit expand'",
            err=True,
        )
    if as_json:
        print_json({"files": files, **weight_document(found, count=top, by=by)})
        return 0
    print_inputs(found, top=top, by=by)
    click.echo("\n".join(files))
    return 0


def print_inputs(found: "WeightMap", *, top: int, by: Any) -> None:
    """Print the strongest inputs of each unit, and what was approximated."""
    click.echo(repr(found))
    for note in found.notes:
        click.echo(f"  {note}")
    rows = []
    total = found.strength("sum")
    for row, channel in enumerate(found.targets):
        for source, strength in found.top(channel, count=top, by=by):
            signed = float(total[row, found.sources.index(source)])
            names = (f"{found.target}:{channel}", f"{found.source}:{source}")
            rows.append([*names, f"{strength:.4g}", f"{signed:+.4g}"])
    print_table(["unit", "input", by, "signed sum"], rows)
