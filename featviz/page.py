"""A web page of rendered images with their records; opens offline, from any folder."""

import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import quote

from featviz.images import write_file
from featviz.record import Record, command
from featviz.result import DEAD, RenderResult

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h2 { margin: 2.2rem 0 .2rem; }
h3 { margin: 1.4rem 0 .4rem; font-size: 1rem; }
p { margin: .2rem 0 1rem; max-width: 46rem; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
.wide { grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1.4rem 1rem; }
figure { margin: 0; }
img { width: 100%; display: block; border-radius: 4px; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
.word { display: inline-block; }
.clear img { background: repeating-conic-gradient(#c8c8c8 0 25%, #ebebeb 0 50%) 0 0 / 16px 16px; }
.dead img { opacity: .35; }
.score { opacity: .6; float: right; }
dl { display: grid; gap: 0 .6rem; grid-template-columns: max-content 1fr; margin: .2rem 0; }
dt { opacity: .6; }
dd { margin: 0; }
table { border-collapse: collapse; font-size: .9rem; }
td { padding: .2rem 1.2rem .2rem 0; vertical-align: top; border-top: 1px solid #8884; }
td:first-child { white-space: nowrap; }
@media (max-width: 44rem) { td { display: block; } td + td { border: 0; } }
.flag { color: #b00; font-weight: 600; }
@media (prefers-color-scheme: dark) { .flag { color: #ff8a80; } }
pre { font-size: .75rem; overflow: auto; max-height: 24rem; }
figcaption pre { white-space: pre-wrap; }
summary { cursor: pointer; }
</style>
<h1>$title</h1>
<p>$lead</p>
$sections
</html>
""")


@dataclass(frozen=True)
class Figure:
    """One picture of a page.

    Attributes:
        path: The picture, in the folder of the page or below it.
        unit: What it shows.
        label: What is said first below it.
        score: Score of the finished image.
        record: How it was made.
        dead: Whether the image does not fire the unit.
        facts: Name and value of what else is known, in order.
        command: What makes the picture again; empty: nothing is said about that.
    """

    path: Path
    unit: str
    label: str
    score: float
    record: Record
    dead: bool = False
    facts: Sequence[tuple[str, str]] = ()
    command: str = ""


@dataclass(frozen=True)
class Section:
    """One heading of a page.

    Attributes:
        heading: Its text.
        text: A sentence below it.
        figures: Pictures side by side.
        command: What makes all of them again; empty: nothing is said about that.
        rows: Of a table instead of pictures: a term, and what it means.
        level: Of the heading, 2 or 3.
    """

    heading: str
    text: str = ""
    figures: Sequence[Figure] = ()
    command: str = ""
    rows: Sequence[tuple[str, str]] = ()
    level: int = 2


def result_section(heading: str, text: str, result: RenderResult, paths: Sequence[Path]) -> Section:
    """Return a section of all images of a result, with the command that makes them.

    Args:
        heading: Text of the heading.
        text: A sentence below it.
        result: Images that were saved into the folder of the page.
        paths: Where `RenderResult.save` wrote them.
    """
    return Section(
        heading, text, result_figures(result, paths), command=command(result.record) or ""
    )


def result_figures(result: RenderResult, paths: Sequence[Path]) -> list[Figure]:
    """Return the images of a result that are finite, each with its label, score and record.

    Args:
        result: Images that were saved.
        paths: Where `RenderResult.save` wrote them.
    """
    kept = [k for k in range(len(result)) if not result.failed[k]]
    return [
        Figure(
            path,
            result.labels[k],
            result.labels[k],
            result.score[k].item(),
            result.record_of(k),
            dead=bool(result.dead[k]),
        )
        for k, path in zip(kept, paths, strict=False)  # other files come after
    ]


def write_page(path: Path, sections: Sequence[Section], *, title: str, lead: str) -> None:
    """Write a page that shows images, each with its score, record and command.

    Args:
        path: The HTML file, in the folder where the images are or above it.
        sections: What to show.
        title: Title of the page.
        lead: A sentence below it.

    Raises:
        OutputError: If the file cannot be written.
    """
    body = "\n".join(_section(section, path.parent) for section in sections)
    text = _PAGE.substitute(title=html.escape(title), lead=html.escape(lead), sections=body)
    write_file(path, text.encode())


def _section(section: Section, folder: Path) -> str:
    tag = f"h{section.level}"
    parts = [f"<{tag}>{html.escape(section.heading)}</{tag}>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.rows:
        cells = (
            f"<tr><td><code>{html.escape(term)}</code></td><td>{html.escape(meaning)}</td></tr>"
            for term, meaning in section.rows
        )
        parts.append("<table>\n" + "\n".join(cells) + "\n</table>")
    if section.figures:
        figures = "\n".join(_figure(figure, folder) for figure in section.figures)
        wide = any(figure.facts for figure in section.figures)
        parts.append(f'<div class="grid{" wide" * wide}">\n{figures}\n</div>')
    if section.command:
        parts.append(f"<pre>{html.escape(section.command)}</pre>")
    return "\n".join(parts)


def _figure(figure: Figure, folder: Path) -> str:
    record = json.dumps(figure.record, indent=1, ensure_ascii=False)
    # Options hold hyphens, after which a browser would break the line.
    words = (f'<span class="word">{html.escape(word)}</span>' for word in figure.label.split(" "))
    source = quote(Path(os.path.relpath(figure.path, folder)).as_posix(), safe="/@=+")
    parts = [
        f'<figure class="{"dead" if figure.dead else "live"}{" clear" * _is_clear(figure)}">'
        f'<img src="{html.escape(source, quote=True)}" '
        f'alt="what {html.escape(figure.unit, quote=True)} looks for" loading="lazy">'
        f"<figcaption>{' '.join(words)} ",
        _numbers(figure),
        f'<br><span class="flag">{DEAD}</span>' if figure.dead else "",
        _folded("command", figure.command) if figure.command else "",
        _folded("record", record),
        "</figcaption></figure>",
    ]
    return "".join(parts)


def _is_clear(figure: Figure) -> bool:
    return figure.record.get("config", {}).get("alpha") is not None


def _numbers(figure: Figure) -> str:
    """Return the score, beside the label if it is the only number."""
    score, title = _readable(figure.score), "score of the finished image"
    if not figure.facts:
        return f'<span class="score" title="{title}">{score}</span>'
    facts = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>"
        for name, value in [("score", score), *figure.facts]
    )
    return f"<dl>{facts}</dl>"


def _folded(heading: str, text: str) -> str:
    return f"<details><summary>{heading}</summary><pre>{html.escape(text)}</pre></details>"


def _readable(score: float) -> str:
    """Return a score with about three digits and no exponent where it is not needed."""
    return f"{score:,.0f}" if abs(score) >= 100 else f"{score:.3g}"
