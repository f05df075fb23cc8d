"""One web page of tuning curves: polar plots beside their numbers, no scripts, no network."""

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import torch
from PIL import Image

from circuits.stimuli import Grid
from circuits.tuning.curve import TuningCurve
from circuits.tuning.report import Summary
from featviz.images import png_bytes, to_picture, write_file

MAX_PLOTS = 600
"""More plots than this make a page that browsers are slow to show."""

_RADIUS = 46
_TILE_PX = 56
_SHOWN_ANGLES = 8

POLAR_STYLE = """:root {
  --mean: #0072b2; --fill: #0072b230; --level: #7779; --rim: #8886; --true: #d55e00; }
@media (prefers-color-scheme: dark) {
  :root { --mean: #56b4e9; --fill: #56b4e938; --level: #aaa9; --true: #e69f00; } }
svg { width: 100%; display: block; }
.rim { fill: none; stroke: var(--rim); }
.level { fill: none; stroke: var(--level); stroke-width: .6; }
.mean { fill: var(--fill); stroke: var(--mean); stroke-width: 1.6; stroke-linejoin: round; }
.true { stroke: var(--true); stroke-width: 2.4; stroke-linecap: round; }
svg text { font-size: 8px; fill: currentColor; opacity: .65; text-anchor: middle;
  dominant-baseline: central; }"""
"""How `polar_svg` looks, for the style sheet of a page."""

PAGE_STYLE = (
    """:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h2 { margin: 2rem 0 .4rem; font-size: 1.2rem; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
figure { margin: 0; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
dl { display: grid; gap: 0 .6rem; grid-template-columns: max-content 1fr; margin: .2rem 0; }
dt { opacity: .7; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
"""
    + POLAR_STYLE
)
"""What pages of tuning curves have in common."""

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style
table { border-collapse: collapse; font-size: .9rem; }
td, th { padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid #8884; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide th { vertical-align: bottom; }
.wide td { white-space: nowrap; }
.plots { display: grid; gap: 1.4rem 1rem;
  grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
.silent svg { opacity: .4; }
.strip { max-width: 100%; border: 1px solid #8884; }
</style>
<h1>$title</h1>
<p>$lead</p>
<h2>All units</h2>
<div class="wide"><table>$summary</table></div>
<h2>Stimuli</h2>
<p>$stimuli</p>
<img class="strip" alt="$alt" src="data:image/png;base64,$strip">
<h2>Units</h2>
<p>$reading</p>
<div class="plots">
$plots
</div>
<h2>How it was measured</h2>
<table>$settings</table>
</html>
""")


@dataclass(frozen=True)
class TuningPage:
    """What a page shows.

    Attributes:
        title: Its heading.
        lead: A sentence below it.
        settings: Names and values of how it was measured.
        grid: The stimuli.
        curves: Of the units, in the order shown.
        summaries: Name and summary of each network measured: this one, the shuffled one.
    """

    title: str
    lead: str
    settings: Sequence[tuple[str, str]]
    grid: Grid
    curves: Sequence[TuningCurve]
    summaries: Sequence[tuple[str, Summary]]


def write_tuning_page(path: Path, page: TuningPage) -> None:
    """Write a page that needs nothing but itself.

    Args:
        path: The HTML file; it appears whole or not at all.
        page: What it shows.

    Raises:
        OutputError: If the file cannot be written.
    """
    settings = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in page.settings
    )
    text = _PAGE.substitute(
        style=PAGE_STYLE,
        title=html.escape(page.title),
        lead=html.escape(page.lead),
        settings=settings,
        stimuli=html.escape(f"{page.grid.family.summary}: rows are {_levels(page.grid)}; columns "
                            f"turn by {_turn(page.grid):g}°."),
        alt=html.escape(f"{page.grid.stimulus} stimuli", quote=True),
        strip=base64.b64encode(png_bytes(_strip(page.grid))).decode(),
        summary=_summary_table(page.summaries),
        reading=html.escape(_reading(page)),
        plots="\n".join(_figure(curve) for curve in _shown(page.curves)),
    )  # fmt: skip
    write_file(path, text.encode())


def _shown(curves: Sequence[TuningCurve]) -> list[TuningCurve]:
    """Return all curves, or the most selective of too many, in their order."""
    if len(curves) <= MAX_PLOTS:
        return list(curves)
    live = [k for k, curve in enumerate(curves) if not curve.silent]
    best = sorted(live, key=lambda k: -curves[k].selectivity)[:MAX_PLOTS]
    return [curves[k] for k in sorted(best)]


def plot_reading(curves: Sequence[TuningCurve]) -> str:
    """Return what polar plots of some curves show, in words.

    Args:
        curves: Those that are drawn.
    """
    periods = {curve.period_deg for curve in curves}
    said = []
    if 360 in periods:
        said.append(
            "A direction stands for the curve, or the side, that bulges towards the rim there "
            "(right is 0°, clockwise)."
        )
    if 180 in periods:
        said.append(
            "For lines and gratings, a direction stands for what runs along it (0° is horizontal, "
            "counter-clockwise), so each value is drawn twice."
        )
    said.append(
        "Blue: mean response over radius, width or what else the stimuli vary; thin grey lines: "
        "each value of that. The rim is the largest response of the unit, the dashed circle half "
        "of it."
    )
    if any(curve.expected_deg is not None for curve in curves):
        said.append("The orange mark at the rim is the true orientation.")
    return " ".join(said)


def step_reading(curves: Sequence[TuningCurve]) -> str:
    """Return what the orientations beside the plots are, and how exact.

    Args:
        curves: Those that are shown.
    """
    steps = sorted({curve.period_deg / len(curve.response) for curve in curves})
    apart = " or ".join(f"{step:g}°" for step in steps)
    text = (
        f"Preferred is the orientation of the largest response among those shown, {apart} apart, "
        "so it may be off by a step; mean is the circular mean of all, weighted by the response."
    )
    known = any(curve.expected_deg is not None for curve in curves)
    return text + " The mean error is that of the preferred orientation." * known


def _reading(page: TuningPage) -> str:
    cut = len(page.curves) - MAX_PLOTS
    left = f" Only the {MAX_PLOTS} most selective units are drawn, {cut} are not." * (cut > 0)
    return f"{plot_reading(page.curves)} {step_reading(page.curves)}{left}"


def _levels(grid: Grid) -> str:
    return f"{grid.family.level} " + ", ".join(f"{level:.3g}" for level in grid.levels.tolist())


def _turn(grid: Grid) -> float:
    return grid.family.period_deg / min(_SHOWN_ANGLES, len(grid.angles_deg))


def _strip(grid: Grid) -> Image.Image:
    """Return some orientations, one a column, of all values of the second quantity."""
    count, levels = min(_SHOWN_ANGLES, len(grid.angles_deg)), len(grid.levels)
    gap = 2
    side = _TILE_PX + gap
    sheet = Image.new("RGB", (count * side + gap, levels * side + gap), "#888888")
    for column in range(count):
        first = column * len(grid.angles_deg) // count * levels
        for row, image in enumerate(grid.images(slice(first, first + levels))):
            tile = to_picture(torch.as_tensor(image)).resize((_TILE_PX, _TILE_PX))
            sheet.paste(tile, (gap + column * side, gap + row * side))
    return sheet


def _summary_table(summaries: Sequence[tuple[str, Summary]]) -> str:
    heads = ("network", "units", "responding", "selectivity: quartiles", "FWHM: median",
             "echo: median", "peak: median", "mean error")  # fmt: skip
    rows = [
        (
            name,
            str(summary.units),
            str(summary.responding),
            " / ".join(f"{q:.2f}" for q in summary.selectivity) if summary.selectivity else "-",
            _readable(summary.fwhm_deg, "{:.0f}°"),
            _readable(summary.echo, "{:.2f}"),
            _readable(summary.peak, "{:.3g}"),
            _readable(summary.error_deg, "{:.1f}°"),
        )
        for name, summary in summaries
    ]
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<tr>{head}</tr>{body}"


def _readable(value: float | None, form: str) -> str:
    return form.format(value) if value is not None and math.isfinite(value) else "-"


def _figure(curve: TuningCurve) -> str:
    facts = [
        ("preferred", _readable(curve.preferred_deg, "{:.0f}°")),
        ("mean", _readable(curve.mean_deg, "{:.0f}°")),
        ("FWHM", _readable(curve.fwhm_deg, "{:.0f}°")),
        ("echo", _readable(curve.echo, "{:.2f}")),
        ("selectivity", _readable(curve.selectivity, "{:.2f}")),
        ("peak", f"{curve.peak:.3g}"),
    ]
    if curve.expected_deg is not None:
        facts.insert(0, ("true", f"{curve.expected_deg:.0f}°"))
    lines = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    said = " never responds" if curve.silent else ""
    label = f" ({html.escape(curve.label)})" if curve.label else ""
    return (
        f'<figure class="{"silent" if curve.silent else "live"}">{polar_svg(curve)}'
        f"<figcaption><b>{html.escape(curve.unit)}</b>{label}{said}<dl>{lines}</dl></figcaption>"
        "</figure>"
    )


def polar_svg(curve: TuningCurve) -> str:
    """Return a polar plot of a curve as an SVG element, which takes its colours from the page.

    Curves: 0 to the right and clockwise, so that each direction points where the bulge does.
    Lines: counter-clockwise, drawn twice, so that each direction lies along the line.

    Args:
        curve: To draw.
    """
    scale = float(curve.surface.amax()) or 1.0
    parts = [
        f'<circle class="rim" r="{_RADIUS}"/><circle class="rim" r="{_RADIUS / 2}" '
        'stroke-dasharray="2 3"/>',
        f'<path class="rim" d="M{-_RADIUS} 0H{_RADIUS}M0 {-_RADIUS}V{_RADIUS}"/>',
    ]
    if curve.surface.shape[1] > 1:
        parts += [
            f'<polygon class="level" points="{_points(curve, column.tolist(), scale)}">'
            f"<title>{html.escape(curve.level)} {level:.3g}</title></polygon>"
            for level, column in zip(curve.levels, curve.surface.T, strict=True)
        ]
    mean = _points(curve, curve.response.tolist(), scale)
    parts.append(f'<polygon class="mean" points="{mean}"/>')
    if curve.expected_deg is not None:
        parts.append(_true_mark(curve))
    step = 90 if curve.period_deg == 360 else -90
    parts += [
        f'<text x="{x}" y="{y}">{k * step % int(curve.period_deg)}°</text>'
        for k, (x, y) in enumerate(((54, 0), (0, 53), (-55, 0), (0, -53)))
    ]
    name = html.escape(f"tuning of {curve.unit}", quote=True)
    return f'<svg viewBox="-64 -60 128 120" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _points(curve: TuningCurve, values: Sequence[float], scale: float) -> str:
    turns = 2 if curve.period_deg == 180 else 1
    places = []
    for turn in range(turns):
        for angle, value in zip(curve.angles_deg.tolist(), values, strict=True):
            x, y = _direction(curve, angle + 180 * turn)
            radius = _RADIUS * value / scale
            places.append(f"{x * radius:.1f},{y * radius:.1f}")
    return " ".join(places)


def _true_mark(curve: TuningCurve) -> str:
    marks = []
    for turn in range(2 if curve.period_deg == 180 else 1):
        x, y = _direction(curve, (curve.expected_deg or 0.0) + 180 * turn)
        inner, outer = _RADIUS - 7, _RADIUS + 1
        marks.append(
            f'<line class="true" x1="{x * inner:.1f}" y1="{y * inner:.1f}" '
            f'x2="{x * outer:.1f}" y2="{y * outer:.1f}"/>'
        )
    return "".join(marks)


def _direction(curve: TuningCurve, angle_deg: float) -> tuple[float, float]:
    """Return where an orientation lies on the plot, y down."""
    clockwise = angle_deg if curve.period_deg == 360 else -angle_deg
    return math.cos(math.radians(clockwise)), math.sin(math.radians(clockwise))
