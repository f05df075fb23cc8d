"""One web page about an atlas, without scripts or network: what is dead, worst, slowest, noisy."""

import html
from collections.abc import Callable, Sequence
from pathlib import Path

from featviz.atlas.exporting.arrival import arriving, check_arrival
from featviz.atlas.exporting.html_export import PAGE, data_uri, figure, grid
from featviz.atlas.exporting.outgoing import read_checked
from featviz.atlas.layout import open_layout
from featviz.atlas.reading import Atlas
from featviz.atlas.reporting.findings import Findings, Noted, SiteFindings, find, median
from featviz.errors import ConfigError, RecordError

NATURAL = (-1.7, -1.1)
"""Slopes of 90 % of 200 photographs from ImageNet at 224 px."""

_LEAST, _LARGEST = -4.0, 1.0
_LONGEST = 200
_LABEL_PX, _PLOT_PX, _ROW_PX = 240, 420, 18


def write_report(
    root: str | Path, path: str | Path, *, most: int = 24, overwrite: bool = False
) -> Findings:
    """Write a page about an atlas: dead units, images that know their unit worst, slowest, spectra.

    Args:
        root: Folder of the atlas.
        path: The HTML file.
        most: Images in each list.
        overwrite: Whether to replace a file.

    Raises:
        ConfigError: If `most` is not 1 to 1000.
        OutputError: If the file exists or cannot be written.
        RecordError: If there is no atlas, or nothing in it.
    """
    if not 1 <= most <= 1000:
        raise ConfigError(f"a report shows 1 to 1000 images in each list, got {most}")
    target = Path(path)
    check_arrival(target, folder=False, outside=open_layout(root).root, overwrite=overwrite)
    found = find(root, most=most)
    with Atlas(root) as atlas:
        body = _body(found, atlas)
    title = f"Atlas of {', '.join(dict.fromkeys(site.model for site in found.sites))}"
    page = PAGE.substitute(title=html.escape(title), body=body)
    with arriving(target, folder=False) as made:
        made.write_text(page, encoding="utf-8")
    return found


def _body(found: Findings, atlas: Atlas) -> str:
    dead = sum(site.dead for site in found.sites)

    def shown(noted: Sequence[Noted], fact: Callable[[Noted], str] | None = None) -> str:
        return "".join(grid(_figure(atlas, each, fact(each) if fact else "") for each in noted))

    parts = [
        f"<p>{html.escape(_lead(found))}</p>",
        _table(found.sites),
        f"<h2>Dead units</h2><p>{_dead_text(dead, len(found.dead))}</p>",
        shown(found.dead),
        f"<h2>Worst self-identification</h2><p>{html.escape(_self_text(found))}</p>",
        shown(found.unknown, _rank),
        "<h2>Slowest</h2><p>Share of an image in the time that its batch took.</p>",
        shown(found.slowest, lambda noted: f"{noted.entry.seconds:.3g} s"),
        "<h2>Spectra</h2>",
        _spectra(found.sites),
        shown(found.flattest, lambda noted: f"slope {noted.metrics['slope']:.2f}"),
        _failures(found),
        _problems(found),
    ]
    return "\n".join(parts)


def _lead(found: Findings) -> str:
    sites = found.sites
    images, seconds = sum(s.images for s in sites), sum(s.seconds for s in sites)
    return (
        f"{images:,} images of {sum(s.units for s in sites):,} units at {len(sites)} sites: "
        f"{sum(s.dead for s in sites):,} dead, {len(found.failures):,} failures, "
        f"{sum(s.bytes for s in sites) / 1e6:,.1f} MB of pictures, {seconds / 3600:,.2f} hours of "
        f"rendering ({seconds / images:.3g} s an image)."
    )


def _table(sites: Sequence[SiteFindings]) -> str:
    heads = (
        "model", "site", "images", "units", "dead", "first", "s an image", "slope", "high", "MB",
    )  # fmt: skip
    rows = [
        (
            site.model, site.site, f"{site.images:,}", f"{site.units:,}", f"{site.dead:,}",
            _number(site.first, "{:.0%}"), f"{site.seconds / site.images:.3g}",
            _number(median(site.slopes), "{:.2f}"), _number(site.high, "{:.3f}"),
            f"{site.bytes / 1e6:,.1f}",
        )
        for site in sites
    ]  # fmt: skip
    return (
        _rows(heads, rows) + "<p>first: share of the images that excite their own unit most, of "
        "all of its site; slope and high: medians, see Spectra.</p>"
    )


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{html.escape(head)}</th>" for head in heads)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table>\n{body}\n</table></div>'


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _dead_text(dead: int, shown: int) -> str:
    if not dead:
        return "None: each image fires its unit."
    if dead == 1:
        return "One image does not fire its unit, so it shows nothing of it."
    cut = f" {shown} of them are shown." if shown < dead else ""
    return f"{dead:,} images do not fire their unit, so they show nothing of it.{cut}"


def _self_text(found: Findings) -> str:
    if not found.measured:
        return (
            "Not measured yet: 'featviz atlas report FOLDER --images PHOTOGRAPHS' does it and "
            "keeps it in the atlas."
        )
    counts = " or ".join(str(count) for count in found.photographs)
    said = (
        f"Measured on {found.measured:,} images, each unit counted in its standard deviations over "
        f"{counts} photographs (negative images are left out)."
    )
    if not found.unknown:
        return f"{said} Each image excites its own unit most."
    return f"{said} These images excite other units of the site more than their own."


def _rank(noted: Noted) -> str:
    return f"rank {noted.metrics['self_rank']:.0f}, z {noted.metrics.get('self_z', 0.0):.1f}"


def _figure(atlas: Atlas, noted: Noted, fact: str) -> str:
    entry = noted.entry
    try:
        source = data_uri(read_checked(atlas.thumb_path(entry), entry.thumb_sha256, entry), "webp")
        facts = [fact]
    except RecordError:
        source, facts = "data:,", [fact, "the small picture is missing or damaged"]
    more = "\n".join(f"{name} {value:.4g}" for name, value in noted.metrics.items())
    label = f"{entry.label} {entry.variant}"
    return figure(source, label, facts, dead=entry.dead, more=more)


def _spectra(sites: Sequence[SiteFindings]) -> str:
    """Draw the slopes of each site: 5 to 95 % as a bar, the median as a mark."""
    drawn = [site for site in sites if site.slopes][:_LONGEST]
    if not drawn:
        return "<p>No slopes were stored.</p>"
    low, high = _x(NATURAL[0]), _x(NATURAL[1])
    height = _ROW_PX * len(drawn) + 24
    lines = [
        f'<rect x="{low:.1f}" y="0" width="{high - low:.1f}" height="{height - 24}" fill="#0a84" />'
    ]
    for k, site in enumerate(drawn):
        y = _ROW_PX * (k + 0.5)
        n = len(site.slopes)
        first, middle, last = (site.slopes[round(q * (n - 1))] for q in (0.05, 0.5, 0.95))
        name = html.escape(f"{site.model} {site.site}"[-36:])
        lines.append(
            f'<text x="{_LABEL_PX - 8}" y="{y + 4:.1f}" text-anchor="end">{name}</text>'
            f'<line x1="{_x(first):.1f}" x2="{_x(last):.1f}" y1="{y}" y2="{y}" '
            'stroke="currentColor" stroke-opacity=".5" stroke-width="6" />'
            f'<circle cx="{_x(middle):.1f}" cy="{y}" r="4.5" fill="currentColor" />'
        )
    lines += [
        f'<text x="{_x(tick):.1f}" y="{height - 6}" text-anchor="middle">{tick}</text>'
        for tick in range(int(_LEAST), int(_LARGEST) + 1)
    ]
    cut = f" {len(sites) - len(drawn)} sites are not drawn." * (len(drawn) < len(sites))
    width = _LABEL_PX + _PLOT_PX + 20
    return (
        "<p>Exponent of the amplitude spectrum, 0.02 to 0.35 cycles a pixel: white noise has 0, "
        f"most photographs {NATURAL[0]} to {NATURAL[1]} (green). Bars: 5 to 95 % of the images of "
        f"a site; points: the median.{cut} Below: the noisiest images.</p>"
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="slopes of the spectra by site">{"".join(lines)}</svg>'
    )


def _x(slope: float) -> float:
    share = (min(max(slope, _LEAST), _LARGEST) - _LEAST) / (_LARGEST - _LEAST)
    return _LABEL_PX + _PLOT_PX * share


def _failures(found: Findings) -> str:
    if not found.failures:
        return "<h2>Failures</h2><p>None.</p>"
    rows = [
        (f.model, f.site if f.channel is None else f"{f.site}:{f.channel}", f.variant, f.error)
        for f in found.failures[:_LONGEST]
    ]
    cut = len(found.failures) - len(rows)
    more = f"<p>{cut} more are not shown.</p>" if cut else ""
    return f"<h2>Failures</h2>{_rows(('model', 'unit', 'variant', 'error'), rows)}{more}"


def _problems(found: Findings) -> str:
    if not found.problems:
        return ""
    rows = [(log, str(place), reason) for log, place, reason in found.problems[:_LONGEST]]
    return "<h2>Lines that are not believed</h2><p>'featviz atlas verify' tells more.</p>" + _rows(
        ("log", "byte", "reason"), rows
    )
