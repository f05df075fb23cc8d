"""`featviz render`."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from featviz.cli.loading import Numbers, Size, load_model, model_options
from featviz.cli.output import INTERRUPTED, json_option, print_json, prints_to_stderr
from featviz.config import (
    DEFAULT_BATCH,
    DEFAULT_SIZE_PX,
    Optimiser,
    Precision,
    RenderConfig,
)

if TYPE_CHECKING:
    from featviz.config import RenderConfig
    from featviz.result import RenderResult

FAILED_UNITS = 3
_FRAMES = 24


def _setting(name: str, help_text: str, **options: Any) -> Any:
    """Make the flag of a field of RenderConfig; None keeps the default that stands there."""
    default = getattr(RenderConfig, name)
    shown = "" if default in (None, ()) or default is False else f" [{default}]"
    return click.option(f"--{name.replace('_', '-')}", help=help_text + shown, **options)


_CONFIG_OPTIONS = (
    _setting("steps", "Steps of the optimiser.", type=int),
    _setting("size", f"Size of the images. [{DEFAULT_SIZE_PX}, or the network's own]", type=Size()),
    _setting("seed", "Decides every random number.", type=int),
    _setting(
        "param",
        "fourier, pixels, pyramid, cppn, maco or shared.",
        metavar="NAME[:KEY=VALUE,...]",
    ),
    _setting(
        "transforms",
        "lucid, smooth, maco, none, or a list such as jitter:8,rotate:-10..10.",
        metavar="PRESET|LIST",
    ),
    _setting(
        "learning_rate",
        "Of the optimiser; maco with --start 0.05. [0.05; cppn 0.002, maco 1, lbfgs 1]",
        type=float,
    ),
    _setting(
        "optimiser",
        "lbfgs: one image at a time. [adam; maco nadam]",
        type=click.Choice(get_args(Optimiser)),
    ),
    _setting("redirect_steps", "Steps during which blocked ReLUs let through.", type=int),
    _setting(
        "batch",
        f"Images at a time. [{DEFAULT_BATCH['cpu']} on a CPU, {DEFAULT_BATCH['cuda']} on a GPU]",
        type=int,
    ),
    _setting("precision", "Of the network.", type=click.Choice(get_args(Precision))),
    _setting("thresholds", "Steps after which to keep images too.", type=Numbers()),
    _setting("images", "Images of each unit, from different noise.", type=int),
    _setting("diversity", "Share of the score for being unlike each other.", type=float),
    _setting("start", "Picture to start from, instead of noise.", metavar="FILE"),
    _setting("keep", "Share of the score for staying near the start.", type=float),
    _setting("mask", "Picture: white where the image is optimised.", metavar="FILE"),
    _setting(
        "contrast",
        "Set channels apart from others of their site: photographs, or of featviz contrast.",
        metavar="FOLDER|FILE.npz",
    ),
    _setting("patience", "Stop an image after so many steps without a rise. [never]", type=int),
    _setting("min_delta", "What counts as a rise, relative to the best.", type=float),
    _setting("terms", "Keep the history of each term of an objective.", is_flag=True, default=None),
    _setting("alpha", "Transparent images: share of the score for it, usually 1.", type=float),
)


def config_options(command: Any) -> Any:
    """Add one option for each setting of a render."""
    for option in reversed(_CONFIG_OPTIONS):
        command = option(command)
    return command


def _unless_printing(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Let --print-config do without what is to be rendered."""
    if not value and not ctx.params.get("print_config"):
        raise click.MissingParameter(ctx=ctx, param=param)
    return value


class _Units(click.Command):
    """Tells what to do with a unit that looks like an option, `-fire4:1`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        units = [word for word in args if re.match(r"-[^-].*:[\d*]", word)]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if not units:
                raise
            hint = f"a unit with a minus comes after --: -- {units[0]}"
            raise click.UsageError(f"{error.format_message()} ({hint})", ctx) from error


@click.command(cls=_Units)
@click.argument("model", default="", metavar="MODEL", callback=_unless_printing)
@click.argument("units", nargs=-1, metavar="UNITS...", callback=_unless_printing)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"))
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--objective",
    type=click.Choice(["channel", "neuron"]),
    default="channel",
    show_default=True,
    help="Whole channels, or the unit at the centre (or at @Y,X).",
)
@click.option("--negative", is_flag=True, help="Minimise instead.")
@config_options
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Settings in a table [render], for those with neither a flag nor a variable.",
)
@click.option("--ignore-environment", is_flag=True, help="Read no FEATVIZ_RENDER_* variables.")
@click.option(
    "--print-config", is_flag=True, is_eager=True, help="Print the settings as TOML, and end."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE.png",
    help="Take what is finished there, go on where there is a state.",
)
@click.option("--save-state", is_flag=True, help="Also save what --resume needs to go on.")
@click.option(
    "--animate",
    type=click.Choice(["gif", "mp4"]),
    help="Also write how each image came about; at --thresholds, or at 24 steps.",
)
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@json_option
def render(
    model: str,
    units: tuple[str, ...],
    output: Path,
    overwrite: bool,
    objective: str,
    negative: bool,
    file: Path | None,
    ignore_environment: bool,
    print_config: bool,
    resume: Path | None,
    save_state: bool,
    animate: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Render UNITS of MODEL: one PNG a unit, a contact sheet, records.

    A unit is SITE:CHANNEL, such as fire4:128; fire4:0-15,40 and fire4:* are sets, fire4:17@7,9 is
    one position. 'featviz sites MODEL' lists the sites. Units combine in an expression, such as
    'fire4:5 - 0.5*fire4:9' or '(fire4:5 + fire4:6) / 2', and with functions, such as
    'direction(fire4, v.npy)' or 'caricature(fire7, cat.png)'; the README lists all.

    Each setting may also stand in an environment variable, FEATVIZ_RENDER_STEPS for --steps and so
    on, or in the file of --config; flags go before variables, variables before the file.
    """
    from featviz.animation import check_animations
    from featviz.images import make_folder
    from featviz.rendering import list_labels
    from featviz.rendering import render as render_images
    from featviz.result import check_free, output_paths

    config = read_config(options, file, ignore_environment=ignore_environment)
    if print_config:
        return _print_config(config, as_json=as_json)
    config, own_thresholds = _with_frames(config, animate, resume=resume)
    loaded = load_model(model, **options)
    texts = [_target(text, objective=objective, negative=negative) for text in units]
    with prints_to_stderr():
        labels = list_labels(loaded, texts, config=config)
    paths = output_paths(output, loaded.name, labels, texts)
    overwrite = overwrite or _goes_on_in(output, resume)
    check_free(paths, overwrite=overwrite, thresholds=own_thresholds)
    movies = [path.with_suffix(f".{animate}") for path in paths[: len(labels)] if animate]
    check_animations(movies, overwrite=overwrite)
    make_folder(output)
    with prints_to_stderr():
        result = render_images(
            loaded,
            texts,
            config=config,
            resume=resume,
            save_state=save_state,
            progress=not quiet,
        )
    shown = result if own_thresholds else replace(result, frames={})
    paths = shown.save(output, overwrite=overwrite)
    print_result(result, paths + _save_movies(result, movies), as_json=as_json)
    return report(result)


def _save_movies(result: "RenderResult", movies: list[Path]) -> list[Path]:
    """Write the animations of images that did not fail, and return where they are."""
    from featviz.animation import save_animation

    made = [(k, movie) for k, movie in enumerate(movies[: len(result)]) if not result.failed[k]]
    for k, movie in made:
        save_animation(result.moving(k), movie)
    return [movie for _, movie in made]


def print_result(result: "RenderResult", paths: list[Path], *, as_json: bool) -> None:
    """Print the files that were written, with the record if a program asks."""
    if as_json:
        print_json({"files": [str(path) for path in paths], **result.record})
    else:
        click.echo("\n".join(str(path) for path in paths))


def _goes_on_in(folder: Path, resume: Path | None) -> bool:
    """Tell whether pictures take the places of those they go on from; others there are errors."""
    if resume is None:
        return False
    return (resume if resume.is_dir() else resume.parent).resolve() == folder.resolve()


def _with_frames(
    config: "RenderConfig", animate: str | None, *, resume: Path | None
) -> tuple["RenderConfig", tuple[int, ...]]:
    """Return settings that keep frames for an animation, and the thresholds the user asked for."""
    if resume and animate:
        raise click.UsageError("--animate shows a climb from its start; leave out --resume")
    if animate is None or config.thresholds:
        return config, config.thresholds
    count = min(_FRAMES, config.steps)
    # Closer at the start, where most happens.
    steps = {max(1, round(config.steps * (k / count) ** 2)) for k in range(1, count + 1)}
    return replace(config, thresholds=tuple(sorted(steps))), ()


def read_config(
    options: dict[str, Any], file: Path | None, *, ignore_environment: bool
) -> "RenderConfig":
    """Take the settings out of the options and return what they, variables and file say.

    Args:
        options: Of the command; the settings among them are removed.
        file: A TOML file; None for none.
        ignore_environment: Whether FEATVIZ_RENDER_* variables do not count.

    Raises:
        ConfigError: If a setting is wrong.
    """
    from featviz.config import RenderConfig
    from featviz.settings import read_settings

    flags = {key: options.pop(key) for key in RenderConfig.__dataclass_fields__}
    if flags["thresholds"] is not None:
        flags["thresholds"] = tuple(
            int(step) if step.is_integer() else step for step in flags["thresholds"]
        )
    environment = {} if ignore_environment else os.environ
    return read_settings(flags, environment=environment, file=file)


def _print_config(config: "RenderConfig", *, as_json: bool) -> int:
    from featviz.settings import TABLE, settings_to_toml

    if as_json:
        print_json({TABLE: config.to_json()})
    else:
        click.echo(settings_to_toml(config), nl=False)
    return 0


def _target(text: str, *, objective: str, negative: bool) -> str:
    from featviz.objectives import is_unit_text

    if not is_unit_text(text):
        if objective == "neuron":
            raise click.UsageError(
                f"--objective neuron is for units; in {text!r} write @center or @Y,X after each"
            )
        return f"-({text})" if negative else text
    if objective == "neuron" and "@" not in text:
        text += "@center"
    return f"-{text}" if negative and not text.startswith("-") else text


def report(result: "RenderResult") -> int:
    """Tell on stderr what is wrong with the images, and return the exit code."""
    less = " or less --diversity" if result.config.diversity else ""
    silent = f"dead: their image does not fire them and shows nothing; try another --seed{less}"
    for flags, words in (
        (result.dead, silent),
        (result.failed, "failed: not a finite number, so not saved"),
    ):
        units = [label for label, flag in zip(result.labels, flags.tolist(), strict=True) if flag]
        if units:
            click.echo(f"{len(units)} of {len(result)} {words}: {', '.join(units)}", err=True)
    if result.files:
        click.echo(
            f"{len(result.files)} of {len(result)} were finished before: not rendered again.",
            err=True,
        )
    if result.interrupted:
        done = max(entry["steps_done"] for entry in result.record["images"])
        click.echo(
            f"Interrupted: saved {len(result)} images after at most {done} of "
            f"{result.config.steps} steps.",
            err=True,
        )
        return INTERRUPTED
    return FAILED_UNITS if result.failed.any() else 0
