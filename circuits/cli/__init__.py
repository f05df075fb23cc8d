"""The command group `featviz circuit`, which featviz finds by the entry point `featviz.commands`.

Thin: commands call public functions only, and import torch when they must. One file a command;
a new one needs a line in `COMMANDS`.
"""

from importlib import import_module

import click

__all__ = ["COMMANDS", "circuit"]

COMMANDS: dict[str, str] = {
    "ablate": "ablate:ablate",
    "expand": "expand:expand",
    "families": "families:families",
    "graph": "graph:graph",
    "map": "map:map_command",
    "tuning": "tuning:tuning",
    "weights": "weights:weights",
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
        command: click.Command = getattr(import_module(f"circuits.cli.{module}"), function)
        return command


@click.group(cls=_LazyCommands)
def circuit() -> None:
    """See how features are built from features, and whether that is true."""
