"""Options that say which model to use, shared by the commands that load one."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.output import prints_to_stderr
from featviz.errors import ConfigError, RecordError
from featviz.models.spec import FAMILIES

if TYPE_CHECKING:
    from featviz.models import Model


class Size(click.ParamType[int | tuple[int, int]]):
    """`128`, or `HEIGHTxWIDTH` such as `96x128`."""

    name = "PX|HxW"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | tuple[int, int]:
        """Read the text."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        sides = value.lower().replace(",", "x").split("x")
        if not all(side.strip().lstrip("-").isdigit() for side in sides) or len(sides) > 2:
            self.fail(
                f"{value!r} is no size; write pixels, or HEIGHTxWIDTH such as 96x128", param, ctx
            )
        numbers = [int(side) for side in sides]
        return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them."""

    name = "A,B,C"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Read the text."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return tuple(float(item) for item in value.split(","))
        except ValueError:
            self.fail(
                f"{value!r} is no list of numbers; write them with commas: 0.5,0.5", param, ctx
            )


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `load_model` takes."""
    options = (
        click.option(
            "--weights", metavar="FILE|random", help="Weights: safetensors or a state dict."
        ),
        click.option("--mean", type=Numbers(), help="Mean of the images, 0..1 (factories)."),
        click.option("--std", type=Numbers(), help="Standard deviation, 0..1 (factories)."),
        click.option("--input-size", type=Size(), help="Size the network expects (factories)."),
        click.option("--channels", type=int, help="Channels of the images (factories)."),
        click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def load_model(
    name: str,
    *,
    weights: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    input_size: int | tuple[int, int] | None,
    channels: int | None,
    device: str,
) -> "Model":
    """Load a model as the options say and move it to the device.

    Raises:
        ConfigError: If there is no such device.
    """
    import torch

    from featviz.models import load

    # Factories are looked up from where the user is, as `python -m` would.
    family, colon, _ = name.partition(":")
    if colon and family not in FAMILIES and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with prints_to_stderr():
        model = load(name, weights=weights, mean=mean, std=std, size=input_size, channels=channels)
    if device.startswith("meta"):
        raise ConfigError("cannot use device 'meta', which computes nothing; try --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif model.arguments:
        model.arguments = (*model.arguments, "--device", device)
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"cannot use device {device!r}: {reason}; try --device cpu") from error


_LOADING = {"--weights", "--mean", "--std", "--input-size", "--channels", "--device"}


def check_trust(arguments: Sequence[str], *, allow_factory: bool) -> None:
    """Refuse records that would run code, or options that have no place in them.

    Args:
        arguments: What a record says loads its model, name first.
        allow_factory: Whether the user trusts factories that records name.

    Raises:
        RecordError: If the arguments are refused.
    """
    name, *options = arguments
    if name.startswith("-") or set(options[::2]) - _LOADING:
        raise RecordError(f"the record asks for {name!r} with {options}, which no featviz wrote")
    family, colon, _ = name.partition(":")
    if colon and family not in FAMILIES and not allow_factory:
        raise RecordError(
            f"the record names the factory {name!r}, whose code would run; if you trust it, add "
            "--allow-factory"
        )


@click.command()
@click.argument("name")
@model_options
def _recorded(name: str, **options: Any) -> "Model":
    return load_model(name, **options)


def load_recorded(
    arguments: Sequence[str], *, allow_factory: bool, device: str | None = None
) -> "Model":
    """Load the model that a record names.

    Args:
        arguments: What the record says loads it, name first.
        allow_factory: Whether the user trusts factories that records name.
        device: Where to; None: where the record says, or the default.

    Raises:
        InputError: If the arguments are refused, or the model cannot be loaded.
    """
    check_trust(arguments, allow_factory=allow_factory)
    elsewhere = ["--device", device] if device else []  # the last one counts
    model: Model = _recorded.main([*arguments, *elsewhere], standalone_mode=False)
    return model
