"""`featviz atlas build`."""

from pathlib import Path
from typing import Any

import click

from featviz.cli.atlas.progress import run_options, showing, tell
from featviz.cli.loading import model_options
from featviz.cli.output import json_option
from featviz.cli.render import config_options, read_config


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@click.command()
@click.argument("model")
@click.option(
    "-o", "--output", "root", type=click.Path(path_type=Path), default=Path("atlas"),
    show_default=True, help="Folder of the atlas; one that is there gets what it lacks.",
)  # fmt: skip
@click.option("--sites", default="all", show_default=True, help="Names or patterns, with commas.")
@click.option("--units", default="all", show_default=True, help="Channels, such as 0-15,40.")
@click.option(
    "--variants", default="positive", show_default=True,
    help="positive, negative, diverse:N (N images that differ), with commas.",
)  # fmt: skip
@click.option(
    "--format", "kind", default="webp", show_default=True, metavar="webp|png",
    help="webp: quality 90, to browse; png: lossless, with the record inside.",
)  # fmt: skip
@click.option("--thumb", default=96, show_default=True, help="Side of the small pictures, px.")
@run_options
@config_options
@click.option(
    "--config", "file", type=click.Path(path_type=Path), metavar="FILE.toml",
    help="Settings in a table [render], for those with neither a flag nor a variable.",
)  # fmt: skip
@click.option("--ignore-environment", is_flag=True, help="Read no FEATVIZ_RENDER_* variables.")
@model_options
@json_option
def build(
    model: str,
    root: Path,
    sites: str,
    units: str,
    variants: str,
    kind: str,
    thumb: int,
    executor: str,
    workers: int | None,
    retry_failed: bool,
    shown: str,
    file: Path | None,
    ignore_environment: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Render the units of MODEL into an atlas, but for those that it has already.

    What a build was asked for is kept in the folder: after Ctrl-C, or anything worse, 'featviz
    atlas resume' goes on. 'featviz sites MODEL' lists the sites. --diversity says how much the
    images of diverse:N are pushed apart [0.5].
    """
    from featviz.atlas.building.build import build_atlas
    from featviz.atlas.building.request import DIVERSITY, Request

    diversity = options["diversity"]
    options["diversity"] = None
    config = read_config(options, file, ignore_environment=ignore_environment)
    request = Request(
        model=_source(model, options),
        sites=_words(sites),
        units=units,
        variants=_words(variants),
        config=config,
        diversity=DIVERSITY if diversity is None else diversity,
        kind=kind,
        thumb_px=thumb,
    )
    with showing("none" if as_json and shown == "bar" else shown, root) as report:
        built = build_atlas(
            root, request, executor=executor, workers=workers, retry_failed=retry_failed,
            progress=report,
        )  # fmt: skip
    return tell([built], shown=shown, as_json=as_json)


def _source(name: str, options: dict[str, Any]) -> Any:
    from featviz.atlas.building.request import ModelSource

    size = options["input_size"]
    return ModelSource(
        name,
        weights=options["weights"],
        mean=options["mean"],
        std=options["std"],
        size=(size, size) if isinstance(size, int) else size,
        channels=options["channels"],
        device=options["device"],
    )
