"""What the form of the Render page asks for -> an objective text, settings, a task; all checked.

Nothing that is typed there names a file: the page may be shown to people who must not read this
machine's.
"""

import re
import shlex
from dataclasses import dataclass

from app.render_task import Task
from featviz.config import RenderConfig
from featviz.errors import ConfigError, UnitError
from featviz.models.model import Model
from featviz.objectives import text_to_objectives
from featviz.objectives.spelling import argument, numbers, shortest
from featviz.objectives.values import without_files
from featviz.params.base import FILE_SETTINGS
from featviz.record import Record, command, python_lines
from featviz.rendering import list_labels
from featviz.sites import SiteTable
from featviz.units import Unit, parse_units

KINDS = ("unit", "sum", "direction", "path")
"""What can be maximised; `path`: from one unit to another, image by image."""
GOALS = ("channel", "neuron", "negative")
"""What can be asked of a unit: all of its map, one position of it, or its least."""
MOST_STEPS = 4096
SIDES_PX = (32, 512)
MOST_IMAGES = 16
MOST_PIXELS = 2**20
"""Of all images of a render."""
_WEIGHT = re.compile(r"\s*(\d{1,7})\s*(?::\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*)?")


@dataclass(frozen=True)
class Wish:
    """What to maximise, as the form has it.

    Attributes:
        kind: One of `KINDS`; it says which of the others count.
        unit: `SITE:CHANNEL`, perhaps with `@Y,X`, or a set of channels.
        goal: One of `GOALS`.
        text: An expression.
        site: Of a direction.
        weights: Such as `5:1, 9:-0.5`; the other channels have 0.
        power: Of the cosine of a direction.
        first: The unit that the images begin at.
        last: The unit that they end at.
    """

    kind: str = "unit"
    unit: str = ""
    goal: str = "channel"
    text: str = ""
    site: str = ""
    weights: str = ""
    power: float = 0.0
    first: str = ""
    last: str = ""


def wish_to_text(wish: Wish, table: SiteTable) -> str:
    """Return the objective text of a wish.

    Args:
        wish: As the form has it.
        table: The sites of the network.

    Raises:
        InputError: If a part of it cannot be understood, or is not in the model.
    """
    if wish.kind == "sum":
        if not wish.text.strip():
            raise UnitError("write what to maximise, such as fire4:5 - 0.5*fire4:9")
        return wish.text.strip()
    if wish.kind == "direction":
        return _direction(wish, table)
    if wish.kind == "path":
        first, last = _one_unit(wish.first, table), _one_unit(wish.last, table)
        if first.site != last.site:
            raise UnitError(
                f"both units must be of one site to go from one to the other; got {first.site!r} "
                f"and {last.site!r}"
            )
        return f"interpolation({argument(first.site)}, {first.channel}, {last.channel})"
    unit = wish.unit.strip()
    parse_units(unit)
    if wish.goal == "neuron" and "@" not in unit:
        unit += "@center"
    return f"-{unit}" if wish.goal == "negative" else unit


def _one_unit(text: str, table: SiteTable) -> Unit:
    units = parse_units(text)
    found = units.expand(table.resolve(units.site).channels)
    if len(found) != 1:
        raise UnitError(f"{text!r} stands for {len(found)} units; name one")
    return found[0]


def _direction(wish: Wish, table: SiteTable) -> str:
    count = table.resolve(wish.site).channels
    row = [0.0] * count
    for item in filter(None, (part.strip() for part in wish.weights.split(","))):
        match = _WEIGHT.fullmatch(item)
        if match is None:
            raise UnitError(f"{item!r} is no weight; write CHANNEL:WEIGHT, such as 5:1, 9:-0.5")
        if int(match[1]) >= count:
            raise UnitError(
                f"channel {match[1]} is out of range: {wish.site!r} has {count} channels, 0 to "
                f"{count - 1}"
            )
        row[int(match[1])] = float(match[2] or 1)
    if not any(row):
        raise UnitError("the direction has no weights; write CHANNEL:WEIGHT, such as 5:1, 9:-0.5")
    power = f", cosine_power={shortest(wish.power)}" if wish.power else ""
    return f"direction({argument(wish.site)}, {numbers(row)}{power})"


def check_parts(param: str, transforms: str) -> None:
    """Check that a parameterisation and transforms, as typed, name no file.

    Raises:
        ConfigError: If one does.
    """
    for part in (param, transforms):
        for option in part.partition(":")[2].split(","):
            name = option.partition("=")[0].strip()
            if name in FILE_SETTINGS:
                raise ConfigError(
                    f"{name} names a file, and files cannot be named here; use the command line"
                )


def make_task(
    model: Model,
    text: str,
    config: RenderConfig,
    *,
    photo: bytes | None = None,
    keep: float = 0.0,
) -> Task:
    """Return the task of an objective text and settings, checked as a render would.

    Args:
        model: The network; it is traced, so hold its lock.
        text: Unit or expression.
        config: Settings.
        photo: Picture of the size of the render, PNG, that is accentuated; None: from noise.
        keep: How much the image stays near the photograph.

    Raises:
        InputError: If something is wrong with them, or they ask for more than a page may.
    """
    for name in ("start", "mask", "contrast"):
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} names a file, and files cannot be named here")
    height, width = config.size_px(model.spec.size)
    with without_files():
        labels = list_labels(model, text, config=config)
        objectives = text_to_objectives(text, model.site_table())
    if len(labels) > MOST_IMAGES or len(labels) * height * width > MOST_PIXELS:
        raise ConfigError(
            f"{len(labels)} images of {height}x{width} px are too many for this page: at most "
            f"{MOST_IMAGES}, and {MOST_PIXELS:,} pixels together; use the command line"
        )
    site = objectives[0].sites[0].removesuffix(".pre")
    return Task(model.name, text, config.to_json() | {"keep": keep}, site, photo)


def command_text(model: Model, text: str, config: RenderConfig) -> str | None:
    """Return the shell command of a render; None for a network that a shell cannot name."""
    return command(_record(model, text, config))


def python_text(model: Model, text: str, config: RenderConfig) -> str:
    """Return Python that renders the same."""
    return python_lines(_record(model, text, config))


def _record(model: Model, text: str, config: RenderConfig) -> Record:
    arguments = None if model.arguments is None else list(model.arguments)
    return {
        "request": {"arguments": arguments, "objectives": [text]},
        "config": config.to_json(),
        "ran": {},
    }


def accentuate_text(model: Model, text: str, config: RenderConfig, keep: float) -> str | None:
    """Return the shell command that accentuates a unit in `photo.png`."""
    if model.arguments is None:
        return None
    name, *options = model.arguments
    words = ["featviz", "photo", "accentuate", *options]
    words += ["--steps", str(config.steps), "--seed", str(config.seed)]
    return shlex.join([*words, "--keep", shortest(keep), name, text, "photo.png"])
