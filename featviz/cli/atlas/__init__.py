"""The command group `featviz atlas`: build, watch, check, look into and hand on an atlas.

Thin: commands call public functions only, and import torch when they must. One file a command; a
new one needs a line in `COMMANDS`.
"""

from importlib import import_module

import click

COMMANDS: dict[str, str] = {
    "build": "build:build",
    "examples": "examples:examples",
    "export": "export:export",
    "map": "map:map_command",
    "neighbours": "neighbours:neighbours",
    "report": "report:report",
    "resume": "resume:resume",
    "status": "status:status",
    "verify": "verify:verify",
}
"""Name of a command -> `module:function` below this package."""


class _LazyCommands(click.Group):
    """Commands whose modules are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"featviz.cli.atlas.{module}"), function)
        return command


@click.group(cls=_LazyCommands)
def atlas() -> None:
    """Every unit of a network, rendered with evidence: resumable, checked, served."""
