"""The map as one web page that needs nothing but itself.

Sheets as data inside, the cells as JSON, a script (page.js) and styles (page.css); a content policy
keeps the page from asking for anything. Names of classes are text, whatever they hold.
"""

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
<p>$lead</p>
<div class="bar">
<label>Cells <select id="grid">$options</select></label>
<label><input type="checkbox" id="sized"> size by count</label>
$named
<span><button type="button" id="in" aria-label="zoom in">+</button>
<button type="button" id="out" aria-label="zoom out">&minus;</button>
<button type="button" id="whole">Whole map</button></span>
</div>
<div class="work">
<canvas id="map" tabindex="0" role="img" aria-label="the map; arrow keys choose a cell, + and -
 zoom, 0 shows the whole map"></canvas>
<aside id="panel" aria-live="polite"><p>Point at a cell to see how many activations it holds$what.
Click it to keep it. Drag to move; the wheel, or + and &minus;, zooms; arrow keys go from cell to
cell.</p></aside>
</div>
<h2>How to read it</h2>
<p>$reading</p>
<p>$likeness</p>
<h2>How it was made</h2>
<table class="table">$meta</table>
<script type="application/json" id="data">$json</script>
$sheets
<script>$script</script>
</body>
</html>
""")

_READING = (
    "Each cell stands for activations that lie near each other; its picture maximises their "
    "whitened mean. Neighbours should look alike; distances over the map as a whole mean little. "
    "Cells that are empty hold too few activations."
)
_CLASSES = (
    " Classes are those that the mean activation of a cell speaks for most, by activation times "
    "gradient: a linear estimate of what it adds to each logit, averaged over photographs."
)


def map_page(document: Mapping[str, Any], sheets: Mapping[str, bytes]) -> str:
    """Return the page.

    Args:
        document: What map.json says.
        sheets: Name of each sheet -> the WebP file.
    """
    model, site = document["model"]["name"], document["site"]
    grids = document["grids"]
    classes = any(cell["classes"] for grid in grids for cell in grid["cells"])
    title = f"Activation atlas of {site} in {model}"
    here = Path(__file__)
    return _PAGE.substitute(
        policy=_POLICY,
        title=html.escape(title),
        style=here.with_suffix(".css").read_text("utf-8"),
        lead=html.escape(
            f"{document['samples']:,} activations from {document['photographs']['read']:,} "
            f"photographs, laid out by {document['layout']['layout']}."
        ),
        options="".join(
            f'<option value="{k}">{grid["side"]} &times; {grid["side"]}</option>'
            for k, grid in enumerate(grids)
        ),
        named='<label><input type="checkbox" id="named" checked> names when near</label>'
        if classes
        else "",
        what=" and the classes that they speak for" if classes else "",
        reading=html.escape(_READING + (_CLASSES if classes else "")),
        likeness="<br>".join(html.escape(_likeness(grid)) for grid in grids),
        meta="".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in _facts(document)
        ),
        json=_script_json({"grids": grids}),
        sheets="".join(
            f'<img class="sheet" id="sheet-{k}" alt="" src="data:image/webp;base64,'
            f'{base64.b64encode(sheets[grid["sheet"]]).decode()}">'
            for k, grid in enumerate(grids)
        ),
        script=here.with_suffix(".js").read_text("utf-8"),
    )


def _likeness(grid: Mapping[str, Any]) -> str:
    found = grid["likeness_of_means"]
    cells, side = len(grid["cells"]), grid["side"]
    start = f"{side} x {side}: {cells} cells hold {grid['in_cells']:,} activations"
    if not found["pairs"]:
        return f"{start}; no two of them are neighbours."
    return (
        f"{start}; the mean activations of neighbours have a cosine of {found['neighbours']:.2f}, "
        f"of any two cells {found['random']:.2f}."
    )


def _facts(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    skipped = len(document["photographs"]["skipped"])
    layout = ", ".join(f"{name} {value}" for name, value in document["layout"].items())
    return [
        ("weights", document["model"]["weights_sha256"][:16]),
        *([("could not be read", f"{skipped} photographs")] if skipped else []),
        ("layout", layout),
        *(
            (name.replace("_", " "), ", ".join(map(str, v)) if isinstance(v, list) else v)
            for name, v in document["config"].items()
            if name not in {"layout", "batch"}
        ),
    ]


def _script_json(value: object) -> str:
    """Return JSON that may stand inside a script element: no `<`, `>` or `&` is left."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
