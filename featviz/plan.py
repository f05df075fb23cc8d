"""What is to be rendered, checked: sizes, units, sites, and which images belong together."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from featviz.config import RenderConfig
from featviz.errors import ConfigError, ModelError, RenderError, UnitError
from featviz.images import read_photo
from featviz.models.load import load
from featviz.models.model import Model
from featviz.named_files import hash_files
from featviz.objectives import (
    ALPHA,
    IMAGE,
    OUTSIDE,
    Diverse,
    Near,
    Objective,
    Transparent,
    image_site,
    text_to_objectives,
)
from featviz.params import parse_parameterisation
from featviz.sites import Site, SiteTable
from featviz.starting import NOISE, Origin
from featviz.transforms import parse_transforms

Target: TypeAlias = str | Objective


@dataclass(frozen=True)
class Plan:
    """A render that has been checked and can start.

    Attributes:
        model: The model.
        config: The settings.
        size: Height and width of the images in pixels.
        objectives: One an image; the images of one objective stand next to each other.
        climbed: What is maximised: the objectives, with a share of diversity if there is one, and
            set apart from their rivals where contrasting.py did so.
        labels: One an image: the objective's, with `~2` and so on for more images of it.
        sites: Sites that they read, by name.
        origin: What the images start from.
        texts: The units and expressions as they were typed; None if one of the objectives is a
            Python object.
        files: SHA-256 of each file that the settings or the objectives name.
        contrast: What the rivals' statistics are, for the record; None if there are none.
    """

    model: Model
    config: RenderConfig
    size: tuple[int, int]
    objectives: tuple[Objective, ...]
    climbed: tuple[Objective, ...]
    labels: tuple[str, ...]
    sites: dict[str, Site]
    origin: Origin
    texts: tuple[str, ...] | None
    files: dict[str, str]
    contrast: dict[str, int | str] | None = None

    @property
    def network_size(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return parse_transforms(self.config.transforms).output_size(self.size)

    @property
    def together(self) -> int:
        """How many images may not be parted: those of one objective where they share something."""
        shared = parse_parameterisation(self.config.param).joint
        return self.config.images if shared or any(o.joint for o in self.climbed) else 1

    def whole(self, batch: int) -> int:
        """Return the nearest batch size that parts no images that belong together."""
        return max(batch - batch % self.together, self.together)

    def only(self, indices: Sequence[int]) -> "Plan":
        """Return the plan of some of its images."""
        parts = {
            name: tuple(getattr(self, name)[k] for k in indices)
            for name in ("objectives", "climbed", "labels")
        }
        return replace(self, **parts)  # type: ignore[arg-type]

    def groups(self) -> list[tuple[list[Site], list[int]]]:
        """Return sites and the indices of the objectives that read just these, shallow first."""
        found: dict[tuple[str, ...], list[int]] = {}
        for k, objective in enumerate(self.objectives):
            found.setdefault(tuple(sorted(set(objective.sites) - OUTSIDE)), []).append(k)
        groups = [([self.sites[name] for name in names], ks) for names, ks in found.items()]
        return sorted(groups, key=lambda group: max(site.order for site in group[0]))


def make_plan(
    model: Model | nn.Module | str,
    targets: Target | Sequence[Target],
    config: RenderConfig,
    *,
    origin: Origin = NOISE,
) -> Plan:
    """Check everything that can be wrong before the first step.

    Args:
        model: A model, a module (which gets images in 0..1 without normalisation), or a name.
        targets: Units, objectives, or a list of these.
        config: The settings.
        origin: What the images start from, where that is no file.

    Raises:
        InputError: If the model, an objective or a setting is wrong; see errors.py.
    """
    model = _as_model(model, config)
    if config.alpha is not None and model.spec.channels not in {1, 3}:
        raise ConfigError(
            "alpha goes with RGB or grey images, which pictures can hold; "
            f"{model.name!r} takes {model.spec.channels} channels"
        )
    size = config.size_px(model.spec.size)
    network_size = parse_transforms(config.transforms).output_size(size)
    table = _table(model, network_size)
    bare = _table(model, size)  # the finished image is measured without its margin
    if isinstance(targets, str | Objective) or not isinstance(targets, Iterable):
        targets = [targets]
    listed = list(targets)
    objectives = [o for target in listed for o in _to_objectives(target, table)]
    if not objectives:
        raise UnitError("there is nothing to render: the list of units is empty")
    names = dict.fromkeys(name for o in objectives for name in o.sites if name not in OUTSIDE)
    sites = {name: table.resolve(name) for name in names}
    outside = _image_sites(model, size, config)
    for objective in objectives:
        _check(objective, config)
        objective.check(sites | outside)
        objective.check({name: bare.resolve(name) for name in sites} | outside)
    objectives = [o.prepared(model, size=size) for o in objectives]
    _check_memory(len(objectives) * config.images, model.spec.channels, size)
    origin = _origin(origin, config, channels=model.spec.channels, size=size)
    config = _careful(config, origin)
    climbed = [_shaped(o, config, origin) for o in objectives]
    texts = tuple(t for t in listed if isinstance(t, str))
    plan = Plan(
        model=model,
        config=config,
        size=size,
        objectives=tuple(o for o in objectives for _ in range(config.images)),
        climbed=tuple(o for o in climbed for _ in range(config.images)),
        labels=tuple(_numbered(o.label, k) for o in objectives for k in range(config.images)),
        sites=sites,
        origin=origin,
        texts=texts if len(texts) == len(listed) else None,
        files={**hash_files(config), **{f: sha for o in objectives for f, sha in o.files.items()}},
    )
    _check_optimiser(plan)
    return plan


def _check_optimiser(plan: Plan) -> None:
    if plan.together > 1 and plan.config.optimiser_used == "lbfgs":
        raise ConfigError(
            "lbfgs takes one image at a time, and these share something; choose adam, or images=1"
        )


def _check(objective: Objective, config: RenderConfig) -> None:
    if not set(objective.sites) - OUTSIDE:
        raise UnitError(
            f"{objective.label!r} reads no site of the network, so there is no feature to show"
        )
    if objective.joint and config.images == 1:
        raise ConfigError(
            f"{objective.label!r} compares images of one objective; ask for 2 images or more"
        )


def _check_memory(images: int, channels: int, size: tuple[int, int]) -> None:
    """Raise ConfigError if the finished images alone, in float32, exceed the machine's memory."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = images * channels * size[0] * size[1] * 4
    if images > 1 and needed > there:
        raise ConfigError(
            f"{images} images of {size[0]}x{size[1]} px take {needed / 1e9:,.0f} GB together, and "
            f"this machine has {there / 1e9:,.0f} GB of memory; render fewer at a time"
        )


def _origin(given: Origin, config: RenderConfig, *, channels: int, size: tuple[int, int]) -> Origin:
    """Return what images start from, files read, everything of the right shape."""
    photo, mask = _plain(given.photo), _plain(given.mask)
    if photo is None and config.start is not None:
        photo = read_photo(config.start, size, channels=channels, alpha=config.alpha is not None)
    if mask is None and config.mask is not None:
        mask = read_photo(config.mask, size, channels=1, ground=0.0)
    if photo is not None and config.alpha is not None and len(photo) == channels:
        photo = torch.cat([photo, torch.ones_like(photo[:1])])
    for name, tensor, wanted in (
        ("start", photo, (channels + (config.alpha is not None), *size)),
        ("mask", mask, (1, *size)),
    ):
        if tensor is not None and tuple(tensor.shape) != wanted:
            raise ConfigError(
                f"{name} has shape {tuple(tensor.shape)}, the images have {wanted}; resize it, or "
                "choose another size"
            )
        if tensor is not None and not ((tensor >= 0) & (tensor <= 1)).all():
            raise ConfigError(f"{name} must hold values from 0 to 1")
    if config.keep and photo is None:
        raise ConfigError("keep compares with the picture that images start from; name one: start")
    if config.images > 1 and photo is not None and config.transforms == "none":
        raise ConfigError(
            "several images that start from one picture and are not moved stay the same; take "
            "transforms, or leave out start"
        )
    return Origin(photo, mask)


def _careful(config: RenderConfig, origin: Origin) -> RenderConfig:
    """Return settings whose learning rate, if the user names none, leaves something of a start."""
    rate = parse_parameterisation(config.param).start_learning_rate
    if origin.photo is None or config.learning_rate is not None or config.optimiser_used == "lbfgs":
        return config
    return config if rate is None else replace(config, learning_rate=rate)


def _plain(image: Tensor | None) -> Tensor | None:
    return None if image is None else image.detach().float().cpu()


def _shaped(objective: Objective, config: RenderConfig, origin: Origin) -> Objective:
    """Return what is climbed for an objective: with diversity and so on, as asked for."""
    if config.diversity:
        objective = Diverse(objective, config.diversity)
    if config.keep and origin.photo is not None:
        objective = Near(objective, origin.photo, config.keep)
    if config.alpha:
        objective = Transparent(objective, config.alpha)
    return objective


def _to_objectives(target: Target, table: SiteTable) -> list[Objective]:
    if isinstance(target, Objective):
        return [target]
    if isinstance(target, str):
        return text_to_objectives(target, table)
    raise UnitError(
        f"cannot render {target!r}; give a unit such as 'fire4:128', an objective, or a list of "
        "these"
    )


def _image_sites(model: Model, size: tuple[int, int], config: RenderConfig) -> dict[str, Site]:
    """Return what there is to read of images: themselves, and their alpha."""
    channels = {IMAGE: model.spec.channels} | ({} if config.alpha is None else {ALPHA: 1})
    return {name: image_site(count, size, name=name) for name, count in channels.items()}


def _numbered(label: str, index: int) -> str:
    return f"{label} ~{index + 1}" if index else label


def _as_model(model: Model | nn.Module | str, config: RenderConfig) -> Model:
    if isinstance(model, Model):
        return model
    if isinstance(model, nn.Module):
        return load(model, size=config.size)
    return load(model)


def _table(model: Model, size: tuple[int, int]) -> SiteTable:
    """Return the sites at an image size, or say which size would do."""
    try:
        return model.site_table(size)
    except ModelError as error:
        if not _runs(model, model.spec.size):
            raise
        works = max(model.spec.size)
        low = 0
        while works - low > 1:
            middle = (works + low) // 2
            low, works = (low, middle) if _runs(model, (middle, middle)) else (middle, works)
        raise ConfigError(
            f"{error.args[0].removesuffix('; give another size')}; the smallest square that "
            f"{model.name!r} takes is {works} px, so choose {_range(model, works)}"
        ) from error


def _range(model: Model, works: int) -> str:
    if _runs(model, (works + 1, works + 1)):
        return "a size from there on"
    return "that or the network's own size: it does not take just any"


def _runs(model: Model, size: tuple[int, int]) -> bool:
    try:
        model.trace(size)
    except (ModelError, RenderError):
        return False
    return True
