"""How commands print: tables for people, one JSON document for programs."""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""

json_option: Callable[..., Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)


def prints_to_stderr() -> contextlib.AbstractContextManager[object]:
    """Send what code of the user prints to stderr: stdout is for results."""
    return contextlib.redirect_stdout(sys.stderr)


def print_json(document: object) -> None:
    """Print one JSON document on stdout, in ASCII where something could not be written there."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    click.echo(text)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns, the last one ragged."""
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    for row in [heads, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
