"""An atlas as web pages that run and load nothing: one file, or a folder with all files in it.

One page has the pictures inside, and after each one what is known of it, as JSON that is not shown.
A folder has:

index.html                  models and sites
site-0001.html ...          the images of one site, small ones that lead to the pictures
images/KEY.webp, thumbs/KEY.webp
images.jsonl                what is known of each image, a line each
export.json                 how many there are

What is known of an image includes the evidence of its unit; photographs that it names stay behind.
"""

import base64
import html
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from string import Template

from featviz.atlas.exporting.arrival import MARK
from featviz.atlas.exporting.export import PAGE_SUFFIXES, Sites
from featviz.atlas.exporting.outgoing import Outgoing
from featviz.errors import ConfigError

MOST_BYTES = 2**27
"""Of the pictures and records inside one page; browsers are slow to show more."""

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { margin: 2.2rem 0 .4rem; font-size: 1.2rem; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
a { color: inherit; }
table { border-collapse: collapse; font-size: .9rem; }
td, th { padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid #8884;
  overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); }
figure { margin: 0; content-visibility: auto; contain-intrinsic-size: auto 9rem; }
img { width: 100%; display: block; border-radius: 4px; }
figcaption { font-size: .8rem; overflow-wrap: anywhere; }
.dead img { opacity: .35; }
.flag { color: #b00; font-weight: 600; }
svg { max-width: 100%; display: block; }
svg text { font-size: 11px; fill: currentColor; }
@media (prefers-color-scheme: dark) { .flag { color: #ff8a80; } }
</style>
<h1>$title</h1>
$body
</html>
""")
"""A page: a title and a body, both HTML."""


def write_html(path: Path, sites: Sites) -> None:
    """Write one page, or a folder of pages.

    Args:
        path: An empty folder; or where a file is to be.
        sites: What is to be shown.

    Raises:
        ConfigError: If there is too much for one page.
    """
    if path.is_dir():
        _write_folder(path, sites)
    else:
        _write_page(path, sites)


def _write_page(path: Path, sites: Sites) -> None:
    total = 0

    def shown(image: Outgoing) -> str:
        nonlocal total
        # Within JSON the sign stands in texts alone, and there nothing ends the element early.
        text = image.text(image.document).replace("<", "\\u003c")
        total += len(image.picture) + len(text)
        if total > MOST_BYTES:
            raise ConfigError(
                f"pictures and records have more than {MOST_BYTES // 2**20} MiB, too much for one "
                f"page; give a folder (a name without {PAGE_SUFFIXES[0]}), or one --site"
            )
        source = data_uri(image.picture, image.entry.kind)
        return f'{_figure(image, source)}<script type="application/json">{text}</script>'

    with path.open("w", encoding="utf-8") as file:
        head, _, tail = PAGE.substitute(title="Atlas", body="\0").partition("\0")
        file.write(head)
        for model, site, images in sites:
            file.write(f"<h2>{html.escape(f'{model} {site}')}</h2>\n")
            file.writelines(grid(shown(image) for image in images))
        file.write(tail)


def _write_folder(folder: Path, sites: Sites) -> None:
    for name in ("images", "thumbs"):
        (folder / name).mkdir()
    rows = []
    with (folder / "images.jsonl").open("w", encoding="ascii") as lines:

        def kept(image: Outgoing) -> str:
            lines.write(image.text(image.document) + "\n")
            name, small = _names(image)
            (folder / name).write_bytes(image.picture)
            (folder / small).write_bytes(image.thumb)
            return _figure(image, small, link=name)

        for number, (model, site, images) in enumerate(sites, 1):
            name = f"site-{number:04d}.html"
            count = _write_site(folder / name, f"{model} {site}", images, kept)
            rows.append((model, f'<a href="{name}">{html.escape(site)}</a>', count))
    cells = "\n".join(
        f"<tr><td>{html.escape(model)}</td><td>{link}</td><td>{count}</td></tr>"
        for model, link, count in rows
    )
    body = f"<table><tr><th>model</th><th>site</th><th>images</th></tr>\n{cells}</table>"
    index = PAGE.substitute(title="Atlas", body=body)
    (folder / "index.html").write_text(index, encoding="utf-8")
    document = {"format": "html", "images": sum(count for _, _, count in rows)}
    (folder / MARK).write_text(json.dumps(document) + "\n", encoding="ascii")


def _write_site(
    path: Path, title: str, images: Iterable[Outgoing], kept: Callable[[Outgoing], str]
) -> int:
    count = 0
    head, _, tail = PAGE.substitute(title=html.escape(title), body="\0").partition("\0")
    with path.open("w", encoding="utf-8") as file:
        file.write(head + '<p><a href="index.html">all sites</a></p>\n<div class="grid">\n')
        for image in images:
            file.write(kept(image) + "\n")
            count += 1
        file.write("</div>\n" + tail)
    return count


def _names(image: Outgoing) -> tuple[str, str]:
    key = image.entry.key
    return f"images/{key}.{image.entry.kind}", f"thumbs/{key}.webp"


def _figure(image: Outgoing, source: str, *, link: str = "") -> str:
    entry = image.entry
    metrics = "\n".join(f"{name} {value:.4g}" for name, value in sorted(image.metrics.items()))
    score = "" if entry.score is None else f"score {entry.score:.4g}"
    return figure(
        source, f"{entry.label} {entry.variant}", [score], dead=entry.dead, more=metrics, link=link
    )


def figure(
    source: str,
    label: str,
    facts: Iterable[str] = (),
    *,
    dead: bool = False,
    more: str = "",
    link: str = "",
) -> str:
    """Return the HTML of a picture with words below it.

    Args:
        source: Where the picture is; a name made of a key, or data.
        label: What it shows, text.
        facts: More text, a line each.
        dead: Whether it does not fire its unit.
        more: What is said when one points at it.
        link: Where it leads; empty: nowhere.
    """
    said = html.escape(label, quote=True)
    shown = f'<img src="{source}" alt="what {said} looks for" loading="lazy">'
    shown = f'<a href="{link}">{shown}</a>' if link else shown
    flag = ['<span class="flag">dead: it does not fire its unit</span>'] if dead else []
    words = "<br>".join([said, *(html.escape(fact) for fact in facts if fact), *flag])
    return (
        f'<figure class="{"dead" if dead else "live"}" title="{html.escape(more, quote=True)}">'
        f"{shown}<figcaption>{words}</figcaption></figure>"
    )


def grid(figures: Iterable[str]) -> Iterable[str]:
    """Give the HTML of figures side by side, piece by piece."""
    yield '<div class="grid">\n'
    for each in figures:
        yield each + "\n"
    yield "</div>\n"


def data_uri(data: bytes, kind: str) -> str:
    """Return a picture as text that stands in a page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
