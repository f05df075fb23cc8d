"""A picture of each cell: its direction rendered, and kept so that it is never rendered again.

Pictures lie in an atlas of their own, by content key: the direction and all settings that decide
the pixels. Another grid or layout makes other directions and so other keys.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featviz.atlas.activation_map.settings import TRANSFORMS, MapConfig
from featviz.atlas.canonical import ENGINE, content_key
from featviz.atlas.entries import Failure, ImageEntry
from featviz.atlas.lock_files import held_alone
from featviz.atlas.pictures import thumb_bytes
from featviz.atlas.reading import Atlas
from featviz.atlas.store import NewImage, Store, finite_numbers
from featviz.config import RenderConfig
from featviz.images import png_bytes
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.objectives import Objective, boundary, direction
from featviz.rendering import render
from featviz.result import RenderResult
from featviz.sites import Site

VARIANT = "map"
_THUMB_PX = 48
_EDGE_PX = 20  # Lucid's


@dataclass(frozen=True, eq=False)
class Cell:
    """What is rendered of a cell, and what came of it.

    Attributes:
        key: Of its picture.
        job: Of its work.
        objective: What is maximised.
        entry: Of its picture; None if it is missing or has failed.
    """

    key: str
    job: str
    objective: Objective
    entry: ImageEntry | None = None


def render_config(config: MapConfig, model: Model) -> RenderConfig:
    """Return the settings of the engine: those of Lucid's atlas.

    Args:
        config: Of the map.
        model: Whose device names the batch.
    """
    made = RenderConfig(
        steps=config.steps,
        size=config.size,
        seed=config.seed,
        transforms=TRANSFORMS,
        learning_rate=config.learning_rate,
        images=config.tries,
        batch=config.batch,
        precision=config.precision,
    )
    return replace(made, batch=made.batch_on(model.device))


def cell_objective(site: Site, vector: Float[Tensor, " c"], config: MapConfig) -> Objective:
    """Return what a cell's picture maximises: its direction in the middle, and a quiet edge.

    Args:
        site: A map, or a vector, which has no middle.
        vector: The direction.
        config: Of the map.

    References:
        Lucid's atlas: `direction_neuron_cossim_S` with power 2 less 5 times the boundary penalty.
        Here the penalty is against grey alone, and the direction is scaled so that the mean of the
        cell scores 1 where the angle is right.
    """
    aim = direction(
        site.name,
        vector,
        cosine_power=config.cosine_power,
        position="center" if site.map_size else None,
    )
    width = min(_EDGE_PX, (config.size - 1) // 4)
    if config.boundary == 0 or width < 1:
        return aim
    return aim + config.boundary * boundary(width)


def plan_cells(
    model: Model, site: Site, vectors: Float[np.ndarray, "m c"], config: MapConfig
) -> list[Cell]:
    """Return what is to be rendered, with keys; nothing is rendered yet.

    Args:
        model: The network.
        site: Of it.
        vectors: Directions, one a cell, none of zeros.
        config: Of the map.
    """
    engine = render_config(config, model)
    settings = engine.to_json()
    del settings["batch"]
    settings["precision"] = str(engine.dtype_on(model.device))
    shared = {
        "engine": ENGINE,
        "model": identity(model),
        "site": site.name,
        "cosine_power": config.cosine_power,
        "boundary": config.boundary,
        "settings": settings,
    }
    cells = []
    for vector in vectors:
        values = np.ascontiguousarray(vector, dtype=np.float32)
        job = content_key({**shared, "vector": hashlib.sha256(values.tobytes()).hexdigest()})
        objective = cell_objective(site, torch.from_numpy(values), config)
        cells.append(Cell(content_key([job, 0]), job, objective))
    return cells


def identity(model: Model) -> dict[str, Any]:
    """Return what activations of a model depend on, as JSON."""
    pre = model.spec.preprocess
    return {
        "name": model.name,
        "weights_sha256": digest(model.module),
        "preprocess": [list(pre.mean), list(pre.std), pre.scale, pre.channel_order],
        "size": list(model.spec.size),
    }


def render_cells(
    model: Model,
    site: Site,
    cells: Sequence[Cell],
    *,
    config: MapConfig,
    root: Path,
    told: Callable[[int, int], None],
) -> list[Cell]:
    """Render the cells that were not rendered before, and return all with their entries.

    Args:
        model: The network.
        site: Of it.
        cells: From `plan_cells`.
        config: Of the map.
        root: Folder of the pictures, an atlas.
        told: Called with how many cells are done and how many there are.

    Raises:
        KeyboardInterrupt: If the user stopped it; what was finished is kept.
        OutputError: If a picture cannot be written, or somebody else is at work on them.
        RenderError: If no picture of a batch is finite, or memory does not suffice.
    """
    # A repair would take pictures for lost before their lines are there.
    busy = f"somebody else is at work on {str(root)!r}, such as a repair; wait until that has ended"
    with Store(root) as store, held_alone(store.layout.build_lock, busy=busy, wait_s=1.0):
        with Atlas(root) as before:
            done = before.keys()
        waiting = list({cell.key: cell for cell in cells if cell.key not in done}.values())
        finished = len(cells) - len(waiting)
        told(finished, len(cells))
        engine = render_config(config, model)
        # Whole cells at a time, so that what is finished is kept soon.
        chunk = max(1, (engine.batch or 1) // config.tries)
        for first in range(0, len(waiting), chunk):
            some = waiting[first : first + chunk]
            result = render(model, [c.objective for c in some], config=engine, progress=False)
            if result.interrupted:
                raise KeyboardInterrupt
            _keep(store, model, site, some, result, tries=config.tries)
            finished += len(some)
            told(finished, len(cells))
    with Atlas(root) as atlas:
        there = atlas.keys()
        return [
            replace(cell, entry=atlas.image(cell.key) if cell.key in there else None)
            for cell in cells
        ]


def _keep(
    store: Store,
    model: Model,
    site: Site,
    cells: Sequence[Cell],
    result: RenderResult,
    *,
    tries: int,
) -> None:
    """Keep the best try of each cell."""
    pictures = result.pictures()
    shared = {
        **{name: value for name, value in result.record.items() if name != "images"},
        "request": {"arguments": None},  # the objective is that of each picture
    }
    weights = result.record["model"]["weights_sha256"]
    new, failures = [], []
    for k, cell in enumerate(cells):
        rows = range(k * tries, (k + 1) * tries)
        good = [row for row in rows if not result.failed[row]]
        if not good:
            error = "its pictures are not finite"
            failures.append(Failure(cell.job, model.name, weights, site.name, None, VARIANT, error))
            continue
        row = max(good, key=lambda row: float(result.score[row]))
        about, picture = result.record["images"][row], pictures[row]
        parts = {
            "key": cell.key,
            "job": cell.job,
            "model": model.name,
            "weights": weights,
            "site": site.name,
            "channel": None,
            "variant": VARIANT,
            "image": 0,
            "label": result.labels[row],
            "score": float(result.score[row]),
            "dead": bool(result.dead[row]),
            "failed": False,
            "metrics": finite_numbers(about["metrics"]),
            "kind": "png",
            "height": picture.height,
            "width": picture.width,
            "seconds": 0.0,
            "record": about,
        }
        new.append(NewImage(parts, png_bytes(picture), thumb_bytes(picture, _THUMB_PX), shared))
    if new:
        store.add(new)
    if failures:
        store.note(failures)
