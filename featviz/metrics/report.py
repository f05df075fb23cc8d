"""Measure saved renders: every measure of this package, a row an image."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from featviz.borrowing import own_settings
from featviz.config import RenderConfig
from featviz.errors import WeightsError
from featviz.metrics import measures
from featviz.metrics.pictures import PictureFolder
from featviz.metrics.pixels import finite, pixel_metrics
from featviz.metrics.reference import Reference
from featviz.metrics.renders import Render
from featviz.metrics.statistics import gain, percentile
from featviz.models.load import load
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.named_files import check_files
from featviz.objectives import Channel, Neuron, Objective
from featviz.plan import make_plan
from featviz.record import Record

Loader: TypeAlias = Callable[[Sequence[str]], Model]
"""Loads a model from the words that load it on the command line, name first."""

_BATCH = 16


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        rows: One dictionary an image: file, model, unit and the measures; None where undefined.
        diversity: One dictionary a unit of which there are several images: model, unit, images,
            diversity.
        missing: Measure -> why no image has it.
    """

    rows: list[dict[str, Any]]
    diversity: list[dict[str, Any]]
    missing: dict[str, str] = field(default_factory=dict)


@own_settings()
@torch.no_grad()
def measure_renders(
    renders: Sequence[Render],
    *,
    images: PictureFolder | None = None,
    load_recorded: Loader,
    independent: str | None = None,
) -> Report:
    """Measure saved images, those of one network, size and kind together.

    Args:
        renders: From `read_renders`.
        images: Photographs to compare with; None: only what needs none is measured.
        load_recorded: Loads the network that a record names.
        independent: Network for the nearest photograph; None: `independent_name`.

    Raises:
        InputError: If a network cannot be loaded, is not the one that made the image, or a
            picture cannot be read.
    """
    rows = [_row(render) for render in renders]
    report = Report(rows, [])
    if images is None:
        why = "needs photographs: add --images FOLDER"
        report.missing.update(dict.fromkeys(("percentile", "gain", "self", "nearest"), why))
    unnamed = [render for render in renders if render.record["request"]["arguments"] is None]
    if unnamed:
        some = "all" if len(unnamed) == len(renders) else f"{len(unnamed)} of {len(renders)}"
        report.missing["robustness"] = (
            f"{some} images were made by featviz photo, or from Python objects without a name, so "
            "no record loads their network again"
        )
    for members in _groups(renders):
        model = _same_model(renders[members[0]].record, load_recorded)
        _measure_group(
            model,
            [renders[k] for k in members],
            [rows[k] for k in members],
            report,
            images,
            independent,
        )
    return report


def _row(render: Render) -> dict[str, Any]:
    entry = render.record["image"]
    alpha = None if render.alpha is None else render.alpha[None]
    return {
        "file": render.file.name,
        "model": render.record["model"]["name"],
        "unit": render.label,
        "score": entry["score"],
        "dead": entry["dead"],
        **pixel_metrics(render.image[None], alpha=alpha)[0],
    }


def _groups(renders: Sequence[Render]) -> list[list[int]]:
    """Return indices of renders of one network, size and kind, those without a name left out."""

    def key(k: int) -> tuple[str, ...]:
        record = renders[k].record
        return (
            *record["request"]["arguments"],
            record["model"]["weights_sha256"],
            *map(str, renders[k].image.shape),
            str(renders[k].alpha is None),
        )

    named = [k for k, r in enumerate(renders) if r.record["request"]["arguments"] is not None]
    return [list(group) for _, group in itertools.groupby(sorted(named, key=key), key)]


def _same_model(record: Record, load_recorded: Loader) -> Model:
    model = load_recorded(record["request"]["arguments"])
    found, wanted = digest(model.module), record["model"]["weights_sha256"]
    if found != wanted:
        raise WeightsError(
            f"{model.name!r} has other weights (sha256 {found[:12]}...) than those that made "
            f"{record['image']['unit']!r} ({wanted[:12]}...); put the file of then back in place"
        )
    return model


def _measure_group(
    model: Model,
    renders: list[Render],
    rows: list[dict[str, Any]],
    report: Report,
    folder: PictureFolder | None,
    independent: str | None,
) -> None:
    """Fill in the measures that ask networks."""
    for render in renders:
        check_files(render.record["ran"].get("files", {}))
    saved = RenderConfig.from_json(renders[0].record["config"])
    # A picture is measured as it is: what it started from and was compared with does not count.
    config = replace(saved, images=2, diversity=0.0, start=None, keep=0.0, mask=None, contrast=None)
    config = replace(config, optimiser="adam", batch=None)
    plan = make_plan(model, [r.objective for r in renders], config)
    objectives = list(plan.objectives[::2])
    shown = torch.stack([render.image for render in renders])
    alphas = [render.alpha for render in renders if render.alpha is not None]
    alpha = torch.stack(alphas) if alphas else None
    size = (shown.shape[-2], shown.shape[-1])
    reference = None if folder is None else Reference(model, folder)
    if reference is not None:
        units = [unit for unit in map(_unit, objectives) if unit is not None]
        scored = [o for o in objectives if _is_comparable(o, size, reference.size)]
        reference.gather([site for site, _ in units], scored)
    for chunk in torch.arange(len(renders)).split(_BATCH):
        part, of = [objectives[k] for k in chunk], [rows[k] for k in chunk]
        _add_robustness(model, part, shown[chunk], None if alpha is None else alpha[chunk], of)
        if reference is not None:
            _add_percentile(reference, part, of, size)
            _add_self(model, part, shown[chunk], of, reference)
    if folder is not None and model.spec.channels == 3:
        judge = load(independent or measures.independent_name(model.name)).to(model.device)
        nearest = measures.nearest_pictures(judge, shown, folder)
        for row, distance, k in zip(
            rows, nearest.distance.tolist(), nearest.index.tolist(), strict=True
        ):
            file = folder.files[k].relative_to(folder.path).as_posix()
            row |= {"nearest": distance, "nearest_file": file, "nearest_by": judge.name}
    report.diversity.extend(_diversity(model, objectives, shown))


def _unit(objective: Objective) -> tuple[str, int] | None:
    """Return site and channel of a single unit."""
    if isinstance(objective, Channel | Neuron):
        return objective.site, objective.index
    return None


def _add_robustness(
    model: Model,
    objectives: list[Objective],
    images: Tensor,
    alpha: Tensor | None,
    rows: list[dict[str, Any]],
) -> None:
    found = measures.robustness(model, objectives, images, alpha=alpha)
    columns = found.mean.tolist(), found.sd.tolist(), found.ratio.tolist()
    for row, *values in zip(rows, *columns, strict=True):
        names = "robust_mean", "robust_sd", "robust_ratio"
        row |= dict(zip(names, map(finite, values), strict=True))


def _add_percentile(
    reference: Reference,
    objectives: list[Objective],
    rows: list[dict[str, Any]],
    size: tuple[int, int],
) -> None:
    """Compare scores with those of the photographs."""
    for row in rows:
        row |= {"percentile": None, "gain": None}
    known = [
        (objective, row)
        for objective, row in zip(objectives, rows, strict=True)
        if row["score"] is not None and _is_comparable(objective, size, reference.size)
    ]
    if not known:
        return
    natural = reference.scores([objective for objective, _ in known])
    scores = torch.tensor([row["score"] for _, row in known])
    columns = percentile(scores, natural).tolist(), gain(scores, natural).tolist()
    for (_, row), below, times in zip(known, *columns, strict=True):
        row |= {"percentile": finite(below), "gain": finite(times)}


def _is_comparable(objective: Objective, size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether a score means the same on images of two sizes: a fixed place does not."""
    return size == other or not objective.placed


def _add_self(
    model: Model,
    objectives: list[Objective],
    images: Tensor,
    rows: list[dict[str, Any]],
    reference: Reference,
) -> None:
    for objective, image, row in zip(objectives, images, rows, strict=True):
        unit = _unit(objective)
        if unit is None:  # a sum or a direction is not one of the units of its site
            row |= {"self_rank": None, "self_z": None, "self_first": None}
            continue
        found = measures.self_identification(
            model, unit[0], [unit[1]], image[None], reference.moments(unit[0])
        )
        row |= {
            "self_rank": int(found.rank) or None,
            "self_z": finite(found.z.item()),
            "self_first": int(found.first),
        }


def _diversity(model: Model, objectives: list[Objective], images: Tensor) -> list[dict[str, Any]]:
    """Measure units of which there are several images, at their own site."""
    places: dict[str, list[int]] = {}
    for k, objective in enumerate(objectives):
        unit = _unit(objective)
        if unit and model.site_table().resolve(unit[0]).map_size:
            places.setdefault(objective.label, []).append(k)
    return [
        {
            "model": model.name,
            "unit": label,
            "images": len(ks),
            "diversity": finite(measures.diversity(model, objectives[ks[0]].sites[0], images[ks])),
        }
        for label, ks in places.items()
        if len(ks) > 1
    ]
