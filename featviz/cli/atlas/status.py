"""`featviz atlas status`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featviz.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from featviz.atlas.building.status import AtlasStatus, RequestStatus

_SHOWN = 10
_HEADS = (
    "model",
    "sites",
    "variants",
    "done",
    "dead",
    "failed",
    "given up",
    "to do",
    "rate",
    "left",
)


@click.command()
@click.argument("root", type=click.Path(path_type=Path), metavar="ATLAS")
@json_option
def status(root: Path, as_json: bool) -> None:
    """Show how far ATLAS is, also while a build is at work there.

    Counts are of images. Dead ones do not fire their unit; those that failed are tried again by
    'featviz atlas resume', three times in all, and then given up. Rate and time left are those of
    as many workers as the last build had.
    """
    from featviz.atlas.building.status import read_status

    found = read_status(root)
    if as_json:
        print_json(_document(found))
        return
    if found.requests:
        print_table(_HEADS, [_row(request) for request in found.requests])
    else:
        click.echo(f"nothing is asked of {root} (there is nothing in {root / 'requests'})")
        click.echo(
            f"'featviz atlas build MODEL -o {root}' asks, and renders only what is not there"
        )
    errors = [item for request in found.requests for item in request.errors.items()]
    for unit, error in errors[:_SHOWN]:
        click.echo(f"failed: {unit}: {error.splitlines()[0]}")
    if len(errors) > _SHOWN:
        click.echo(f"... and {len(errors) - _SHOWN} more; --json has all")
    if found.builder and found.running:
        click.echo(
            f"at work: process {found.builder.pid}, executor {found.builder.executor}, workers "
            f"{found.builder.workers}"
        )
    elif found.lost:
        click.echo(found.lost)
    elif any(request.to_do for request in found.requests):
        click.echo(f"nobody is at work; 'featviz atlas resume {root}' goes on")


def _document(found: "AtlasStatus") -> dict[str, object]:
    return {
        "running": found.running,
        "lost": found.lost,
        "builder": dataclasses.asdict(found.builder) if found.builder else None,
        "requests": [
            {**dataclasses.asdict(request), "to_do": request.to_do} for request in found.requests
        ],
    }


def _row(request: "RequestStatus") -> tuple[str, ...]:
    from tqdm import tqdm

    return (
        request.model,
        str(request.sites),
        ",".join(request.variants),
        f"{request.done}/{request.total}",
        str(request.dead),
        str(request.failed),
        str(request.given_up),
        str(request.to_do),
        "-" if request.rate is None else f"{request.rate:.2f}/s",
        "-" if request.seconds_left is None else tqdm.format_interval(request.seconds_left),
    )
