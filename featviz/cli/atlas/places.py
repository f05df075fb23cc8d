"""Which network and which sites a command on an atlas is about."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import check_trust, load_model
from featviz.errors import ConfigError, SiteError, WeightsError, did_you_mean

if TYPE_CHECKING:
    from featviz.models import Model


def open_place(
    folder: Path,
    *,
    name: str | None,
    patterns: str | None,
    allow_factory: bool,
    **loading: Any,
) -> "tuple[Model, list[str]]":
    """Return a network and names of sites: those asked for, or those that the atlas has.

    Args:
        folder: Of the atlas; it may be new where both are asked for.
        name: Of the model; None for the only one in the atlas.
        patterns: Names of sites with commas between them, `*` for any text; `all` for those that
            'featviz sites' lists; None for those of the model in the atlas.
        allow_factory: Whether to import a factory that the atlas names.
        loading: See `load_model`.

    Raises:
        InputError: If there is no such model or site, the atlas does not say which, or it has the
            model with other weights.
    """
    from featviz.models.weights import digest

    known, sites, weights = _in_atlas(folder, name)
    if name is None:
        check_trust((known,), allow_factory=allow_factory)
    model = load_model(known, **loading)
    if weights and digest(model.module) not in weights:
        hashes = ", ".join(f"{each[:12]}..." for each in weights)
        raise WeightsError(
            f"{str(folder)!r} has {known!r} with other weights (sha256 {hashes}); give "
            "those with --weights, or another folder"
        )
    if patterns is None and not sites:
        raise SiteError(f"{str(folder)!r} has no sites of {known!r}; give --sites, such as 'fire*'")
    return model, sites if patterns is None else match_sites(model, patterns)


def _in_atlas(folder: Path, name: str | None) -> tuple[str, list[str], list[str]]:
    """Return the model, its sites in the atlas, and the hashes of its weights there."""
    from featviz.atlas.layout import open_layout

    if folder.exists() and not folder.is_dir():
        open_layout(folder)  # says that it cannot be one
    if not (folder / "atlas.json").exists():
        if name is None:
            raise ConfigError(f"there is no atlas in {str(folder)!r}; to begin one give --model")
        return name, [], []
    from featviz.atlas import Atlas

    with Atlas(folder) as atlas:
        models = atlas.models()
        if name is None and len(models) != 1:
            told = f"holds {', '.join(models)}" if models else "holds no model yet"
            raise ConfigError(f"{str(folder)!r} {told}; choose one with --model")
        chosen = name if name is not None else models[0]
        if chosen not in models:
            return chosen, [], []
        return chosen, atlas.sites(chosen), atlas.weights(chosen)


def match_sites(model: "Model", patterns: str) -> list[str]:
    """Return the sites that patterns name, in the order typed, each once.

    Args:
        model: The network.
        patterns: With commas between them; `all` for those that 'featviz sites' lists.

    Raises:
        SiteError: If a pattern fits none.
    """
    names = [site.name for site in model.sites()]
    found: list[str] = []
    for pattern in (part.strip() for part in patterns.split(",")):
        if pattern == "all":
            found += names
        elif "*" in pattern or "?" in pattern:
            fitting = [name for name in names if fnmatchcase(name, pattern)]
            if not fitting:
                raise SiteError(
                    f"no site of {model.name!r} fits {pattern!r}{did_you_mean(pattern, names)} "
                    f"'featviz sites {model.name}' lists all"
                )
            found += fitting
        elif pattern:
            found.append(model.site_table().resolve(pattern).name)
    return list(dict.fromkeys(found))


def place_options(command: Any) -> Any:
    """Add the options that `open_place` takes, but for those of loading."""
    options = (
        click.option("--model", "name", help="Network. [the only one in the atlas]"),
        click.option(
            "--sites", "patterns", metavar="A,B*", help="Sites, or all. [those in the atlas]"
        ),
        click.option(
            "--allow-factory",
            is_flag=True,
            help="Import the module.path:factory that the atlas names: it runs its code.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
