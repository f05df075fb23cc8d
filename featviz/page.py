"""A web page of rendered images with their records; opens offline, from any folder."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from featviz.images import write_file
from featviz.record import command
from featviz.result import RenderResult

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h2 { margin: 2.2rem 0 .2rem; }
p { margin: .2rem 0 1rem; max-width: 46rem; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
figure { margin: 0; }
img { width: 100%; display: block; border-radius: 4px; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
.dead img { opacity: .35; }
.score { opacity: .6; float: right; }
.flag { color: #b00; font-weight: 600; }
@media (prefers-color-scheme: dark) { .score { opacity: .6; float: right; }
.flag { color: #ff8a80; } }
pre { font-size: .75rem; overflow: auto; max-height: 24rem; }
summary { cursor: pointer; }
</style>
<h1>$title</h1>
<p>$lead</p>
$sections
</html>
""")


@dataclass(frozen=True)
class Section:
    """One heading of a page.

    Attributes:
        heading: Its text.
        text: A sentence below it.
        result: Images that were saved into the folder of the page.
        paths: Where they were saved.
    """

    heading: str
    text: str
    result: RenderResult
    paths: Sequence[Path]


def write_page(path: Path, sections: Sequence[Section], *, title: str, lead: str) -> None:
    """Write a page that shows images, each with its score, record and command.

    Args:
        path: The HTML file, in the folder where the images are.
        sections: What to show.
        title: Title of the page.
        lead: A sentence below it.

    Raises:
        OutputError: If the file cannot be written.
    """
    body = "\n".join(_section(section) for section in sections)
    text = _PAGE.substitute(title=html.escape(title), lead=html.escape(lead), sections=body)
    write_file(path, text.encode())


def _section(section: Section) -> str:
    result = section.result
    kept = [k for k in range(len(result)) if not result.failed[k]]
    pictures = zip(kept, section.paths, strict=False)  # other files come after
    figures = "\n".join(_figure(result, k, path) for k, path in pictures)
    line = command(result.record)
    return (
        f"<h2>{html.escape(section.heading)}</h2>\n<p>{html.escape(section.text)}</p>\n"
        f'<div class="grid">\n{figures}\n</div>\n'
        + (f"<pre>{html.escape(line)}</pre>" if line else "")
    )


def _figure(result: RenderResult, index: int, path: Path) -> str:
    record = json.dumps(result.record_of(index), indent=1, ensure_ascii=False)
    label = html.escape(result.labels[index])
    dead = bool(result.dead[index])
    return (
        f'<figure class="{"dead" if dead else "live"}">'
        f'<img src="{html.escape(path.name, quote=True)}" alt="what {label} looks for" '
        'loading="lazy">'
        f'<figcaption>{label} <span class="score" title="score of the finished image">'
        f"{_readable(result.score[index].item())}</span>"
        + ('<br><span class="flag">dead: never fires</span>' if dead else "")
        + f"<details><summary>record</summary><pre>{html.escape(record)}</pre></details>"
        "</figcaption></figure>"
    )


def _readable(score: float) -> str:
    """Return a score with about three digits and no exponent where it is not needed."""
    return f"{score:,.0f}" if abs(score) >= 100 else f"{score:.3g}"
