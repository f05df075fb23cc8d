"""`featviz photo`: what people do with a photograph."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import Size, load_model, model_options
from featviz.cli.output import json_option, prints_to_stderr
from featviz.cli.render import print_result, report
from featviz.config import RenderConfig

if TYPE_CHECKING:
    from featviz.models import Model
    from featviz.result import RenderResult


@click.group()
def photo() -> None:
    """Invert, dream, accentuate, caricature or restyle a photograph."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all of these take."""
    options = (
        click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out")),
        click.option("--overwrite", is_flag=True, help="Replace files that exist."),
        click.option("--size", type=Size(), help="Size of the image. [the network's own]"),
        click.option("--steps", type=int, help="Steps of the optimiser."),
        click.option("--seed", type=int, help="Decides every random number. [0]"),
        model_options,
        click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@photo.command()
@click.argument("model")
@click.argument("site")
@click.argument("picture", type=click.Path(path_type=Path))
@_options
def invert(site: str, picture: Path, **options: Any) -> int:
    """Find an image that SITE of MODEL cannot tell from PICTURE."""
    from featviz.recipes import invert as recipe

    return _run(options, [picture], lambda model, seen, kw: recipe(model, site, seen[0], **kw))


@photo.command()
@click.argument("model")
@click.argument("site")
@click.argument("picture", type=click.Path(path_type=Path))
@_options
def caricature(site: str, picture: Path, **options: Any) -> int:
    """Draw from noise what SITE of MODEL sees in PICTURE, exaggerated."""
    from featviz.recipes import exaggerate

    return _run(options, [picture], lambda model, seen, kw: exaggerate(model, site, seen[0], **kw))


@photo.command()
@click.argument("model")
@click.argument("site")
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--octaves", type=int, default=3, show_default=True, help="Sizes, coarse to fine.")
@click.option("--keep", type=float, default=1.0, show_default=True, help="Stay near each start.")
@_options
def dream(site: str, picture: Path, octaves: int, keep: float, **options: Any) -> int:
    """Let MODEL see in PICTURE more of what SITE sees there (DeepDream)."""
    from featviz.recipes import dream as recipe

    return _run(
        options,
        [picture],
        lambda model, seen, kw: recipe(model, site, seen[0], octaves=octaves, keep=keep, **kw),
    )


@photo.command()
@click.argument("model")
@click.argument("unit")
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--keep", type=float, default=2.0, show_default=True, help="Stay near PICTURE.")
@_options
def accentuate(unit: str, picture: Path, keep: float, **options: Any) -> int:
    """Bring out in PICTURE what UNIT of MODEL sees in it."""
    from featviz.recipes import accentuate as recipe

    return _run(
        options,
        [picture],
        lambda model, seen, kw: recipe(model, unit, seen[0], keep=keep, **kw),
        request=[unit],
    )


@photo.command()
@click.argument("model")
@click.argument("content", type=click.Path(path_type=Path))
@click.argument("look", type=click.Path(path_type=Path))
@click.option("--content-site", required=True, help="Where the content must stay the same.")
@click.option("--style-sites", required=True, metavar="A,B,C", help="Where textures must match.")
@click.option("--style-weight", type=float, default=1.0, show_default=True)
@_options
def restyle(
    content: Path,
    look: Path,
    content_site: str,
    style_sites: str,
    style_weight: float,
    **options: Any,
) -> int:
    """Paint CONTENT in the texture of LOOK (style transfer)."""
    from featviz.recipes import transfer_style

    return _run(
        options,
        [content, look],
        lambda model, seen, kw: transfer_style(
            model,
            seen[0],
            seen[1],
            content_site=content_site,
            style_sites=[site.strip() for site in style_sites.split(",") if site.strip()],
            style_weight=style_weight,
            **kw,
        ),
    )


def _run(
    options: dict[str, Any],
    pictures: list[Path],
    recipe: "Callable[[Model, list[Any], dict[str, Any]], RenderResult]",
    *,
    request: Sequence[str] = (),
) -> int:
    """Load the model and the pictures, run a recipe, save what comes."""
    from featviz.images import check_folder, read_photo
    from featviz.photographs import open_photograph
    from featviz.result import check_free, output_paths

    output, overwrite = options.pop("output"), options.pop("overwrite")
    size, as_json = options.pop("size"), options.pop("as_json")
    given = {"steps": options.pop("steps"), "seed": options.pop("seed")}
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    RenderConfig(size=size, **settings)  # refuses what is out of range
    check_folder(output)
    for file in pictures:  # loading a model may take a download
        open_photograph(file)
    settings["progress"] = not options.pop("quiet")
    model = load_model(options.pop("model"), **options)
    size = (size, size) if isinstance(size, int) else size or model.spec.size
    seen = [read_photo(file, size, channels=model.spec.channels) for file in pictures]

    def before(labels: Sequence[str]) -> None:
        check_free(output_paths(output, model.name, labels, request), overwrite=overwrite)

    settings["before"] = before
    with prints_to_stderr():
        result = recipe(model, seen, settings)
    paths = result.save(output, overwrite=overwrite)
    print_result(result, paths, as_json=as_json)
    return report(result)
