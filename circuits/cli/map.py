"""`featviz circuit map`: the family of every unit of a network, in one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, print_table, prints_to_stderr
from featviz.errors import CircuitError, OutputError

if TYPE_CHECKING:
    from circuits.kinds.network_map import NetworkMap

_EXAMPLES = """\b
featviz circuit map squeezenet1_1 -p astronaut.png -p coffee.png -o families.json
featviz circuit map squeezenet1_1 fire3 fire4 -p photo.jpg --json
"""


@click.command("map", epilog=_EXAMPLES)
@click.argument("model")
@click.argument("sites", nargs=-1)
@click.option(
    "-p",
    "--photograph",
    "photographs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Photograph to check stimuli against; several: -p A -p B. A few colourful ones do.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.json")
@click.option(
    "--control/--no-control",
    default=True,
    show_default=True,
    help="Do the same with shuffled weights.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the shuffle.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@json_option
def map_command(
    model: str,
    sites: tuple[str, ...],
    photographs: tuple[Path, ...],
    output: Path | None,
    control: bool,
    seed: int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the family of every unit of SITES, or of all named sites of MODEL.

    Families: edges, lines, curves, corners, colour contrast, high-low frequency, circles, texture,
    other. By answers to stimuli, checked on photographs; the file states all thresholds. Beside
    each count stands that of the same network with shuffled weights: what is no larger, chance
    finds too.
    """
    _check_free(output, overwrite=overwrite)
    from circuits.kinds.network_map import map_network

    loaded = load_model(model, **options)
    table = loaded.site_table()
    for site in sites:
        table.resolve(site)
    if not photographs:
        raise CircuitError("photographs check what stimuli say; give some, -p FILE -p FILE")
    with prints_to_stderr():
        found = map_network(
            loaded,
            sites or None,
            photographs=photographs,
            control=control,
            seed=seed,
            told=(lambda _site: None) if quiet else lambda site: click.echo(site, err=True),
        )
    text = found.to_json()
    if output is not None:
        from featviz.images import make_folder, write_file

        make_folder(output.parent)
        write_file(output, text.encode())
    if as_json:
        click.echo(text, nl=False)
    else:
        _print(found, output)


def _check_free(output: Path | None, *, overwrite: bool) -> None:
    """Refuse an output that is there already, before anything is computed."""
    if output is None:
        return
    if output.is_dir():
        raise OutputError(f"{str(output)!r} is a folder; name a file in it")
    if output.exists() and not overwrite:
        raise OutputError(f"{str(output)!r} exists already; choose another or pass --overwrite")


def _print(found: "NetworkMap", output: Path | None) -> None:
    families = list(found.sites[0].counts)
    rows = []
    for site in found.sites:
        rows.append([site.site, "", *(str(site.counts[family]) for family in families)])
        if site.control is not None:
            rows.append(["", "shuffled", *(str(site.control[family]) for family in families)])
    print_table(["site", "", *families], rows)
    if output is not None:
        click.echo(f"map  {output}")
