"""How commands on images tell how far they are: a bar on a terminal, or JSON lines on stdout."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator

import click
from tqdm import tqdm

progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "json", "none"]),
    default="auto",
    show_default=True,
    help="A bar on a terminal, JSON lines on stdout, or nothing.",
)
_EVERY_S = 0.5


@contextlib.contextmanager
def told_progress(kind: str, what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes how much is done, and how much there is.

    Args:
        kind: `auto`, `json` or `none`.
        what: What is counted, such as `images`.
    """
    if kind == "json":
        yield _json_lines(what)
        return
    off = kind == "none" or not sys.stderr.isatty()
    with tqdm(unit=f" {what}", disable=off, dynamic_ncols=True, smoothing=0.05) as bar:

        def tell(done: int, total: int) -> None:
            if bar.total != total:
                bar.reset(total)
                bar.initial = done
            bar.update(done - bar.n)

        yield tell


def _json_lines(what: str) -> Callable[[int, int], None]:
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
        line = {"progress": what, "done": done, "total": total, "rate": rate, "seconds_left": left}
        click.echo(json.dumps(line))

    return tell
