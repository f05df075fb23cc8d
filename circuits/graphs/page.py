"""A circuit graph as one interactive web page that needs nothing but itself.

The SVG of draw.py, a script (page.js) and styles (page.css) inside, the graph as JSON
beside them; a content policy keeps the page from asking for anything. Labels are text, whatever
they hold.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from string import Template

from circuits.graphs import check_report as report
from circuits.graphs.check import CircuitCheck
from circuits.graphs.draw import graph_to_svg, scale_lines
from circuits.graphs.gate_agreement import GateAgreement
from circuits.graphs.gate_report import TITLE, gate_heads, gate_rows, gate_text
from circuits.graphs.graph import CircuitGraph
from circuits.graphs.graph_json import graph_document
from circuits.graphs.layout import LEGEND_PX, MARGIN_PX, WIDTHS_SHOWN, wire_width
from circuits.pictures.kernels import ANCHORS
from featviz.images import write_file

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
<label>Least edge <input type="range" id="least" min="0" max="1" step="0.01" value="0"
 aria-describedby="counter"></label>
<span id="counter" class="num" aria-live="polite"></span>
<span><button type="button" id="in" aria-label="zoom in">+</button>
<button type="button" id="out" aria-label="zoom out">&minus;</button>
<button type="button" id="whole">Whole graph</button></span>
</div>
<div class="work">
<div class="stage" tabindex="0" role="group" aria-label="the graph; arrow keys move it, + and -
 zoom" data-legend="$legend">$svg</div>
<aside id="panel" aria-label="details"><p>Point at an edge to see its kernel in numbers. Click a
unit or family, or press Enter on it, to see what it reads and what reads it; Escape shows all
again. Drag to move; Ctrl and the wheel, or + and &minus;, zoom.</p></aside>
</div>
<h2>Key</h2>
<div class="key"><span>&minus;1 <span class="ramp" style="background: linear-gradient(to right,
 $ramp)"></span> +1</span><span><span class="line"></span>excites</span>
<span><span class="line neg"></span>inhibits</span><span id="widths">edge by share of the strongest
 input: $widths</span></div>
<p class="soft">$scale</p>
<p class="soft">$reading</p>
$check
$agreement
<h2>How it was made</h2>
<div class="wide"><table class="table">$meta</table></div>
$command
<script type="application/json" id="graph">$json</script>
<script>$script</script>
</body>
</html>
""")

_READING = (
    "Round plots are tuning to arcs or lines, measured with stimuli: for arcs a direction stands "
    "for the curve that bulges there, for lines it lies along the line (180 is 0 again). Numbers "
    "around them are degrees, the one in the corner the peak response. Units without one answer no "
    "orientation much more than others."
)


def graph_page(
    graph: CircuitGraph,
    *,
    check: CircuitCheck | None = None,
    agreement: GateAgreement | None = None,
    command: str | None = None,
) -> str:
    """Return the page.

    Args:
        graph: Any circuit graph.
        check: Of this graph, to stand beside it.
        agreement: Of gate policies on its kernels, likewise.
        command: What makes the page again.
    """
    target = graph.meta.get("target", graph.nodes[-1].id)
    model = graph.meta.get("model")
    title = f"Circuit of {target}" + (f" in {model}" if model else "")
    lead = f"{_counted(graph)}, {len(graph.edges)} edges, through {', '.join(graph.sites)}."
    here = Path(__file__)
    stops = ", ".join(f"rgb({r}, {g}, {b})" for _, (r, g, b) in ANCHORS)
    return _PAGE.substitute(
        policy=_POLICY,
        title=html.escape(title),
        style=here.with_suffix(".css").read_text("utf-8"),
        lead=html.escape(lead),
        legend=LEGEND_PX + MARGIN_PX,
        svg=graph_to_svg(graph),
        ramp=stops,
        scale="<br>".join(map(html.escape, scale_lines(graph))),
        reading=html.escape(_READING),
        widths=" ".join(
            f'<span><span class="line" style="border-top-width: {wire_width(share):.2f}px">'
            f"</span>{share:g}</span>"
            for share in WIDTHS_SHOWN
        ),
        check="" if check is None else _check_html(check),
        agreement="" if agreement is None else _agreement_html(agreement),
        meta="".join(_meta_row(name, text) for name, text in graph.meta.items() if text),
        command="" if command is None else f"<p><code>{html.escape(command)}</code></p>",
        json=script_json(graph),
        script=here.with_suffix(".js").read_text("utf-8"),
    )


def _counted(graph: CircuitGraph) -> str:
    units = sum(len(node.units) for node in graph.nodes)
    families = sum(node.is_family for node in graph.nodes)
    if not families:
        return f"{units} units"
    joined = "1 family" if families == 1 else f"{families} families"
    return f"{units} units in {len(graph.nodes)} nodes, among them {joined}"


def write_graph_page(
    path: Path,
    graph: CircuitGraph,
    *,
    check: CircuitCheck | None = None,
    agreement: GateAgreement | None = None,
    command: str | None = None,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: The HTML file.
        graph: See `graph_page`.
        check: See `graph_page`.
        agreement: See `graph_page`.
        command: See `graph_page`.

    Raises:
        OutputError: If the file cannot be written.
    """
    page = graph_page(graph, check=check, agreement=agreement, command=command)
    write_file(path, page.encode())


def script_json(graph: CircuitGraph) -> str:
    """Return a graph as JSON that may stand inside a script element; images are left out.

    No `<`, `>` or `&` is left, so nothing in a label can end the element or begin another.
    """
    bare = replace(graph, nodes=tuple(replace(node, image=None) for node in graph.nodes))
    text = json.dumps(graph_document(bare), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _meta_row(name: str, text: str) -> str:
    lines = "<br>".join(html.escape(line) for line in text.splitlines())
    return f"<tr><th>{html.escape(name)}</th><td>{lines}</td></tr>"


def _check_html(check: CircuitCheck) -> str:
    scores = report.score_rows(check)
    verdicts = "".join(f"<li>{html.escape(line)}</li>" for line in report.check_verdicts(check))
    terms = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>"
        for name, text in report.check_terms(check)
    )
    return (
        f'<div id="check"><h2>{html.escape(report.TITLE)}</h2>'
        f'<p class="verdict">{html.escape(report.check_headline(check))}</p>'
        + _table(report.HEADS, report.check_rows(check))
        + (_table(report.SCORE_HEADS, scores) if scores else "")
        + (f"<ul>{verdicts}</ul>" if verdicts else "")
        + f"<p>{html.escape(report.check_text(check))}</p><dl>{terms}</dl></div>"
    )


def _agreement_html(agreement: GateAgreement) -> str:
    table = _table(gate_heads(agreement), gate_rows(agreement)) if agreement.rows else ""
    notes = "".join(f'<p class="soft">{html.escape(note)}</p>' for note in agreement.notes)
    text = html.escape(gate_text(agreement))
    return f'<div id="gates"><h2>{html.escape(TITLE)}</h2>{table}<p>{text}</p>{notes}</div>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f'<td class="num">{html.escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table class="table"><tr>{head}</tr>{body}</table></div>'
