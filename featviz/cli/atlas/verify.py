"""`featviz atlas verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.output import json_option, print_json

if TYPE_CHECKING:
    from featviz.atlas.checking.repair import Repaired
    from featviz.atlas.checking.verify import Checked

_SHOWN = 5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--repair", "repairs", is_flag=True,
    help="Take back records whose picture is gone or wrong, for 'resume' to render again, make "
    "small pictures anew, move pictures without a record into 'lost', remove unfinished files.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Compare sizes, and read no picture.")
@json_option
def verify(folder: Path, repairs: bool, quick: bool, as_json: bool) -> int:
    """Check every record, picture and line of the atlas in FOLDER.

    Exit code 0: all is well. 1: there are problems; what to do about them is said. Leftovers of a
    crash are told, and are no problem.
    """
    from featviz.atlas.checking.repair import repair
    from featviz.atlas.checking.verify import verify as check

    if repairs and quick:
        raise click.UsageError("--repair reads every picture, so it cannot be --quick")
    done = repair(folder) if repairs else None
    found = done.after if done else check(folder, quick=quick)
    if as_json:
        print_json(_document(folder, done.before if done else found, done))
    else:
        _print(folder, done.before if done else found, done)
    return 0 if found.clean else 1


def _document(folder: Path, found: "Checked", done: "Repaired | None") -> dict[str, Any]:
    document: dict[str, Any] = {
        "folder": str(folder),
        "images": found.images,
        "bytes": found.bytes,
        "clean": found.clean,
        "counts": found.counts,
        "problems": [
            {"kind": p.kind, "path": p.path, "said": p.said, "harmless": p.harmless}
            | ({"log": p.log, "place": p.place} if p.log else {})
            for p in found.problems
        ],
    }
    if done is not None:
        document["repaired"] = {
            "clean": done.after.clean,
            "counts": done.after.counts,
            "forgotten": done.forgotten,
            "thumbs": done.thumbs,
            "lost": list(done.lost),
            "removed": list(done.removed),
            "restored": done.restored,
        }
    return document


def _print(folder: Path, found: "Checked", done: "Repaired | None") -> None:
    from featviz.atlas.checking.repair import LOST
    from featviz.atlas.checking.verify import LEFTOVERS, OF_PASSES, PROBLEMS

    click.echo(f"{found.images} images, {found.bytes / 1e6:.1f} MB read")
    for kind, count in found.counts.items():
        click.echo(f"{kind}: {count} ({ {**PROBLEMS, **LEFTOVERS}[kind] })")
        those = [problem for problem in found.problems if problem.kind == kind]
        for problem in those[:_SHOWN]:
            click.echo(f"  {problem.path}{'  ' * bool(problem.said)}{problem.said}")
        if len(those) > _SHOWN:
            click.echo(f"  and {len(those) - _SHOWN} more; --json lists all")
    if done is not None:
        if done.restored:
            click.echo("atlas.json was gone or torn, and is written again")
        click.echo(
            f"repaired: {done.forgotten} images taken back, {done.thumbs} small pictures made, "
            f"{len(done.lost)} pictures without a record moved, {len(done.removed)} unfinished "
            "files removed"
        )
        if done.lost:
            click.echo(f"look into {folder / LOST}, and delete it if nothing there is missed")
        # A line that is not believed may have been that of an image.
        if done.forgotten or "line" in found.counts:
            click.echo(f"next: featviz atlas resume {folder}")
        if not done.after.clean:
            left = ", ".join(f"{kind} {count}" for kind, count in done.after.counts.items())
            click.echo(f"left, for you to look at: {left}")
    elif not found.clean:
        wrong = {problem.kind for problem in found.problems if not problem.harmless}
        if wrong - {*OF_PASSES, "request"}:
            click.echo(f"next: featviz atlas verify {folder} --repair")
        if wrong & set(OF_PASSES):
            click.echo(f"next: featviz atlas examples {folder} --images ..., or neighbours, again")
    elif found.counts.get("link"):
        click.echo("all is well, but for the links: look at those yourself")
    else:
        click.echo("all is well")
