"""How passes over images tell how far they are and what they left out: to people, or as JSON."""

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from featviz.cli.output import print_json, prints_to_stderr

if TYPE_CHECKING:
    from featviz.atlas.passes.settings import PassReport
    from featviz.atlas.passes.skips import Skips

progress_option = click.option(
    "--progress",
    "shown",
    type=click.Choice(["bar", "json", "none"]),
    default="bar",
    show_default=True,
    help="A bar on stderr if it is a terminal, or JSON lines on stdout.",
)
_EVERY_S = 0.5
Say = Callable[[str], None]


def to_stdout() -> Say:
    """Return what prints lines to that which is stdout now."""
    return functools.partial(click.echo, file=sys.stdout)


@contextlib.contextmanager
def told_progress(
    shown: str, what: str, *, say: Say | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes how much is done, and how much there is.

    Args:
        shown: `bar`, `json` or `none`.
        what: What is counted, such as `images`.
        say: Takes JSON lines; None: they go to stdout.
    """
    if shown == "json":
        tell_line = _json_lines(what, say or to_stdout())
        with prints_to_stderr():
            yield tell_line
        return
    off = shown == "none" or not sys.stderr.isatty()
    with (
        prints_to_stderr(),
        tqdm(unit=f" {what}", disable=off, dynamic_ncols=True, smoothing=0.05) as bar,
    ):

        def tell(done: int, total: int) -> None:
            if bar.total != total:
                bar.reset(total)
                bar.initial = done
            bar.update(done - bar.n)

        yield tell


def _json_lines(what: str, say: Say) -> Callable[[int, int], None]:
    started, first, last = time.monotonic(), 0, 0.0

    def tell(done: int, total: int) -> None:
        nonlocal first, last
        first = first or done
        now = time.monotonic()
        if now - last < _EVERY_S and done < total:
            return
        last = now
        rate = (done - first) / (now - started) if done > first else None
        left = (total - done) / rate if rate else None
        line = {
            "event": "progress",
            "what": what,
            "done": done,
            "total": total,
            "rate": rate,
            "seconds_left": left,
        }
        say(json.dumps(line))

    return tell


def report_lines(report: "PassReport", passed_over: "Skips") -> dict[str, Any]:
    """Return what became of the images, as JSON."""
    return {
        "images": report.used,
        "skipped": report.skipped.counts,
        "skipped_files": report.skipped.first,
        "passed_over": passed_over.counts,
        "passed_over_files": passed_over.first,
    }


def tell_end(about: dict[str, Any], summary: Sequence[str], *, shown: str, as_json: bool) -> None:
    """Print what came of a pass, and on stderr what was left out, and why.

    Args:
        about: As JSON, with `report_lines` in it if there was a pass.
        summary: For people.
        shown: As for `told_progress`.
        as_json: Whether to print one JSON document.
    """
    if shown == "json":
        click.echo(json.dumps({"event": "end", **about}))
        return
    if as_json:
        print_json(about)
        return
    for line in summary:
        click.echo(line)
    _tell_skipped(about)


def _tell_skipped(about: dict[str, Any]) -> None:
    for what in ("skipped", "passed_over"):
        for reason, count in about.get(what, {}).items():
            names = [repr(name) for name, why in about[f"{what}_files"] if why == reason][:3]
            dots = ", ..." if count > len(names) else ""
            told = what.replace("_", " ")
            click.echo(f"{told} {count}: {reason} ({', '.join(names)}{dots})", err=True)
    if about.get("gone"):
        click.echo(f"{about['gone']} photographs were gone when their pictures were due", err=True)
