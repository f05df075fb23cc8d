"""How builds of an atlas show how far they are: a bar for people, JSON lines for programs."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.output import print_json, prints_to_stderr
from featviz.cli.render import FAILED_UNITS

if TYPE_CHECKING:
    from featviz.atlas.building.moments import Built, Moment
    from featviz.atlas.entries import Failure

Report = Callable[["Moment"], None]
_SHOWN = 10


def run_options(command: Any) -> Any:
    """Add the options of commands that render into an atlas."""
    options = (
        click.option(
            "--executor",
            default="serial",
            show_default=True,
            metavar="serial|spawn|ray",
            help="In this process, in processes of this machine, or on a Ray cluster.",
        ),
        click.option("--workers", type=int, help="Processes or Ray actors. [1]"),
        click.option("--retry-failed", is_flag=True, help="Also what failed three times."),
        click.option(
            "--progress",
            "shown",
            type=click.Choice(["bar", "json", "none"]),
            default="bar",
            show_default=True,
            help="A bar on stderr if it is a terminal, or JSON lines on stdout.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@contextlib.contextmanager
def showing(shown: str, root: Path) -> Iterator[Report]:
    """Yield what a build calls after each batch; after Ctrl-C say what goes on.

    Args:
        shown: `bar`, `json` or `none`.
        root: Folder of the atlas.
    """
    try:
        with _showing(shown) as report:
            yield report
    except KeyboardInterrupt:
        if any((root / "requests").glob("*.json")):
            click.echo(f"'featviz atlas resume {root}' goes on", err=True)
        raise


@contextlib.contextmanager
def _showing(shown: str) -> Iterator[Report]:
    if shown == "json":
        out = sys.stdout
        with prints_to_stderr():
            yield lambda moment: click.echo(
                json.dumps({"event": "progress", **dataclasses.asdict(moment)}), file=out
            )
        return
    from tqdm import tqdm

    off = shown == "none" or not sys.stderr.isatty()
    form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} images [{elapsed}{postfix}]"
    with (
        prints_to_stderr(),
        tqdm(disable=off, file=sys.stderr, bar_format=form, desc="atlas") as bar,
    ):

        def report(moment: "Moment") -> None:
            bar.total, bar.n = moment.total, moment.done
            if moment.rate is not None and moment.seconds_left is not None:
                failed = f", {moment.failed} failed" if moment.failed else ""
                left = tqdm.format_interval(moment.seconds_left)
                bar.set_postfix_str(f"{moment.rate:.2f}/s, {left} left{failed}", refresh=False)
            bar.refresh()

        yield report


def tell(built: Sequence["Built"], *, shown: str, as_json: bool) -> int:
    """Print what became of a build, and return the exit code.

    Args:
        built: One a request.
        shown: As for `showing`.
        as_json: Whether to print one JSON document.
    """
    failures = [failure for each in built for failure in each.failures]
    document = {
        "made": sum(each.last.made for each in built),
        "images": sum(each.last.done for each in built),
        "total": sum(each.last.total for each in built),
        "dead": sum(each.last.dead for each in built),
        "failures": [
            {
                "unit": f"{f.site}:{f.channel}",
                "variant": f.variant,
                "error": f.error,
                "attempt": f.attempt,
                "given_up": f.given_up,
            }
            for f in failures
        ],
    }
    if shown == "json":
        click.echo(json.dumps({"event": "end", **document}))
    elif as_json:
        print_json(document)
    else:
        dead = f", {document['dead']} of these do not fire their unit" if document["dead"] else ""
        click.echo(
            f"{document['images']} of {document['total']} images are there, {document['made']} of "
            f"them new{dead}"
        )
    for failure in failures[:_SHOWN]:
        reason = failure.error.splitlines()[0]
        where = f"{failure.site}:{failure.channel} {failure.variant}"
        click.echo(f"failed: {where}: {reason}", err=True)
    if len(failures) > _SHOWN:
        click.echo(f"... and {len(failures) - _SHOWN} more; see 'featviz atlas status'", err=True)
    if failures:
        click.echo(_advice(failures), err=True)
    return FAILED_UNITS if failures else 0


def _advice(failures: "Sequence[Failure]") -> str:
    if all(failure.given_up for failure in failures):
        return "each of them failed three times; --retry-failed tries them again"
    return "'featviz atlas resume' tries them again, three times in all"
