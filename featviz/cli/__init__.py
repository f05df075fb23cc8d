"""The command `featviz`: thin, calls only public functions, imports torch when it must.

Exit codes: 0 done, 1 failed, 2 bad input, 3 finished with failed units, 130 interrupted. Results
go to stdout, one JSON document with `--json`; progress and messages go to stderr.
"""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn

import click

from featviz.cli.atlas import atlas
from featviz.cli.contrast import contrast
from featviz.cli.demo import demo
from featviz.cli.facet import facet
from featviz.cli.gallery import gallery
from featviz.cli.metrics import metrics
from featviz.cli.models import models, sites
from featviz.cli.output import INTERRUPTED, print_json
from featviz.cli.photo import photo
from featviz.cli.render import render
from featviz.cli.show import show
from featviz.cli.spectrum import spectrum
from featviz.errors import FeatvizError


class _Commands(click.Group):
    """Own commands, and those that other packages register as `featviz.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        others = entry_points(group="featviz.commands").names
        return sorted({*super().list_commands(ctx), *others})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in entry_points(group="featviz.commands", name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="featviz", message="featviz %(version)s")
def app() -> None:
    """See what any unit of a vision CNN looks for."""


_OWN = (
    atlas,
    contrast,
    demo,
    facet,
    gallery,
    metrics,
    models,
    photo,
    render,
    show,
    sites,
    spectrum,
)
for _command in _OWN:
    app.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Words after the program's name.
    """
    as_json = "--json" in arguments
    try:
        code = app.main(list(arguments), prog_name="featviz", standalone_mode=False)
    except click.ClickException as error:
        if as_json:
            print_json({"error": error.format_message(), "exit_code": error.exit_code})
        error.show()
        return error.exit_code
    except FeatvizError as error:
        if as_json:
            print_json({"error": str(error), "exit_code": error.exit_code})
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        if as_json:
            print_json({"error": "interrupted", "exit_code": INTERRUPTED})
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outer edge: a network may raise anything
        text = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        if as_json:
            print_json({"error": text, "exit_code": 1})
        if os.environ.get("FEATVIZ_DEBUG"):
            traceback.print_exc()
        click.echo(f"Error: {text}\n(FEATVIZ_DEBUG=1 shows where it comes from)", err=True)
        return 1
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """Run the command line and exit."""
    # A stream that was closed is None, which few libraries expect.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 - until the end
    # Names of files may hold bytes that are no text; they go out as they came in.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    sys.exit(run(sys.argv[1:]))
