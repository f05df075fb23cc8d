"""`featviz circuit tuning`: how units respond to stimuli of every orientation."""

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import Numbers, Size, load_model, model_options
from featviz.cli.output import json_option, print_json, print_table, prints_to_stderr
from featviz.errors import CircuitError, OutputError, SiteError

if TYPE_CHECKING:
    from circuits.stimuli import Grid
    from circuits.tuning.curve import TuningCurve
    from circuits.tuning.measuring import TuningConfig
    from featviz.models import Model

STIMULI = (
    "curve", "circle", "line", "angle", "corner", "edge", "grating", "high_low", "color_pair"
)  # fmt: skip
_PAGE_SUFFIXES = {".html", ".htm"}
_PAGE_NAME = "tuning.html"
_COLUMNS = (
    ("unit", "unit", "{}"),
    ("label", "label", "{}"),
    ("expected", "expected_deg", "{:.0f}°"),
    ("preferred", "preferred_deg", "{:.0f}°"),
    ("mean", "mean_deg", "{:.0f}°"),
    ("FWHM", "fwhm_deg", "{:.0f}°"),
    ("echo", "echo", "{:.2f}"),
    ("selectivity", "selectivity", "{:.2f}"),
    ("peak", "peak", "{:.3g}"),
)
_ORDERS = {"channel": "channel", "preferred": "preferred_deg", "selectivity": "selectivity"}


_EXAMPLES = """\b
featviz circuit tuning artificial_curves arcs -o tuning.html
featviz circuit tuning squeezenet1_1 fire4:128-255 --stimulus line --sort selectivity
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model")
@click.argument("units", metavar="SITE[:UNITS]")
@click.option("--stimulus", type=click.Choice(STIMULI), default="curve", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.html|DIR",
    help="Write a page of polar plots; into a folder also tuning.json.",
)
@click.option("--angles", type=int, help="Orientations over the period. [every 5 degrees]")
@click.option(
    "--levels",
    type=Numbers(),
    help="Of the second quantity: radii, widths, wavelengths in px, ... [fit the receptive field]",
)
@click.option("--size", type=Size(), help="Pixels of the stimuli. [as the units see]")
@click.option(
    "--region",
    type=click.Choice(["center", "map", "mean"]),
    default="center",
    show_default=True,
    help="Largest of the middle 3x3 positions, or of all, or the mean of all.",
)
@click.option("--paper", type=float, default=1.0, show_default=True, help="Background, 0..1.")
@click.option("--ink", type=float, default=0.24, show_default=True, help="Strokes, 0..1.")
@click.option("--width", type=float, default=1.5, show_default=True, help="Of strokes, px.")
@click.option(
    "--control/--no-control",
    default=True,
    show_default=True,
    help="Measure a shuffled network beside.",
)
@click.option("--sort", type=click.Choice(list(_ORDERS)), default="channel", show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@json_option
def tuning(
    model: str,
    units: str,
    stimulus: str,
    output: Path | None,
    sort: str,
    control: bool,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure how units respond to stimuli of every orientation.

    MODEL is shown pictures of one feature, such as arcs, turned through all orientations and
    sized to what the units of the site see. Per unit: the preferred orientation, the width of the
    tuning at half its peak, the echo (response to the opposite orientation over the peak), and the
    selectivity, 0 to 1. Beside stands the same for the network with shuffled weights.
    """
    page = None if output is None else _page_path(output, overwrite=overwrite)
    from circuits.controls import shuffled
    from circuits.tuning.measuring import measure_tuning
    from circuits.tuning.report import summarise, tuning_row

    config = _config(options)
    loaded = load_model(model, **options)
    site, channels = _site_and_channels(loaded, units)
    with prints_to_stderr():
        curves = measure_tuning(loaded, site, channels, stimulus=stimulus, config=config)
        summaries = [("as it is", summarise(curves))]
        if control:
            twin = shuffled(loaded)
            beside = measure_tuning(twin, site, channels, stimulus=stimulus, config=config)
            summaries.append(("weights shuffled", summarise(beside)))
    curves = _sorted(curves, sort)
    document = {
        **_settings(loaded, site, stimulus, config),
        "units": [tuning_row(curve) for curve in curves],
        "summary": {name: summary.to_json() for name, summary in summaries},
        "page": None if page is None else str(page),
    }
    if page is not None:
        _write(page, output, loaded, site, stimulus, config, curves, summaries, document)
    if as_json:
        print_json(document)
    else:
        _print(document)


def _config(options: dict[str, Any]) -> "TuningConfig":
    """Take the settings of the measurement out of the options."""
    from circuits.stimuli import Ink
    from circuits.tuning.measuring import TuningConfig

    size = options.pop("size")
    return TuningConfig(
        angles=options.pop("angles"),
        levels=options.pop("levels"),
        size=(size, size) if isinstance(size, int) else size,
        region=options.pop("region"),
        ink=Ink(
            paper=options.pop("paper"), value=options.pop("ink"), width_px=options.pop("width")
        ),
        progress=not options.pop("quiet"),
    )


def _page_path(output: Path, *, overwrite: bool) -> Path:
    """Return where the page goes, before anything is computed.

    Raises:
        OutputError: If a file is there and may not be replaced, the folder is none, or the name is
            that of another kind of file.
    """
    page = output if output.suffix.lower() in _PAGE_SUFFIXES else output / _PAGE_NAME
    if page != output and output.suffix and not output.is_dir():
        raise OutputError(
            f"{str(output)!r} is neither a page nor a folder that exists; write FILE.html, or a "
            "folder's name without a dot, which gets tuning.html and tuning.json"
        )
    files = [page] if page == output else [page, page.with_suffix(".json")]
    for file in files:
        if file.exists() and not overwrite:
            raise OutputError(
                f"{str(file)!r} exists already; choose another name or pass --overwrite"
            )
    if page.parent.exists() and not page.parent.is_dir():
        raise OutputError(f"{str(page.parent)!r} is no folder; choose another name")
    return page


def _site_and_channels(model: "Model", text: str) -> tuple[str, list[int] | None]:
    """Read `SITE` or `SITE:UNITS`; a slice of a site, `fire4/0:8`, is a site.

    Raises:
        SiteError: If there is no such site.
        UnitError: If the units are malformed or out of range.
        CircuitError: If the units name a position.
    """
    from featviz.units import parse_units

    table = model.site_table()
    try:
        return table.resolve(text).name, None
    except SiteError:
        if ":" not in text:
            raise
    wanted = parse_units(text)
    if wanted.position is not None:
        raise CircuitError(
            f"{text!r} names a position, and tuning is read where --region says; leave out "
            f"'@{text.rpartition('@')[2]}'"
        )
    site = table.resolve(wanted.site)
    return site.name, [unit.channel for unit in wanted.expand(site.channels)]


def _sorted(curves: "list[TuningCurve]", order: str) -> "list[TuningCurve]":
    """Return curves in order, the most selective first, those without a number last."""
    sign = -1 if order == "selectivity" else 1

    def key(curve: "TuningCurve") -> tuple[bool, float]:
        value = float(getattr(curve, _ORDERS[order]))
        return math.isnan(value), 0.0 if math.isnan(value) else sign * value

    return sorted(curves, key=key) if order != "channel" else curves


def _settings(model: "Model", site: str, stimulus: str, config: "TuningConfig") -> dict[str, Any]:
    from featviz.models.weights import digest

    grid = _grid(model, site, stimulus, config)
    return {
        "model": model.name,
        "weights": model.weights_origin,
        "weights_sha256": digest(model.module),
        "site": site,
        "stimulus": stimulus,
        "angles": len(grid.angles_deg),
        grid.family.level: [round(level, 4) for level in grid.levels.tolist()],
        "size": list(grid.size),
        "scale_px": grid.scale_px,
        "region": config.region,
        "ink": dataclasses.asdict(config.ink),
    }


def _grid(model: "Model", site: str, stimulus: str, config: "TuningConfig") -> "Grid":
    from circuits.tuning.measuring import grid_for

    return grid_for(model, site, stimulus=stimulus, config=config)


def _write(
    page: Path,
    output: Path | None,
    model: "Model",
    site: str,
    stimulus: str,
    config: "TuningConfig",
    curves: "list[TuningCurve]",
    summaries: list[Any],
    document: dict[str, Any],
) -> None:
    from circuits.tuning.page import TuningPage, write_tuning_page
    from featviz.images import make_folder, write_file

    make_folder(page.parent)
    skipped = {"units", "summary", "page"}
    settings = [(key, _text(value)) for key, value in document.items() if key not in skipped]
    write_tuning_page(
        page,
        TuningPage(
            title=f"Tuning of {site} in {model.name}",
            lead=f"How {len(curves)} units respond to {stimulus} stimuli of every orientation.",
            settings=settings,
            grid=_grid(model, site, stimulus, config),
            curves=curves,
            summaries=summaries,
        ),
    )
    if page != output:
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        write_file(page.with_suffix(".json"), text.encode())


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item:g}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(f"{item:g}" for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print(document: dict[str, Any]) -> None:
    rows = document["units"]
    columns = [column for column in _COLUMNS if any(row[column[1]] is not None for row in rows)]
    cells = [
        ["-" if row[key] is None else form.format(row[key]) for _, key, form in columns]
        for row in rows
    ]
    print_table([head for head, _, _ in columns], cells)
    click.echo()
    for name, summary in document["summary"].items():
        click.echo(f"{name}: {_sentence(summary)}")
    if document["page"]:
        click.echo(f"page  {document['page']}")


def _sentence(summary: dict[str, Any]) -> str:
    said = f"{summary['responding']} of {summary['units']} units respond"
    if summary["selectivity"]:
        low, middle, high = summary["selectivity"]
        said += f", selectivity {middle:.2f} (quartiles {low:.2f} to {high:.2f})"
    for name, key, form in (
        ("FWHM", "fwhm_deg", "{:.0f}°"),
        ("echo", "echo", "{:.2f}"),
        ("peak", "peak", "{:.3g}"),
        ("mean error", "error_deg", "{:.1f}°"),
    ):
        said += f", {name} {form.format(summary[key])}" if summary[key] is not None else ""
    return said
