"""Photographs in, a map out: leads through sampling, layout, grids, whitening, cells and the page.

What takes long stays in the folder: a second run does only what other settings change.

    map.json              settings, cells with counts, scores and classes
    grid-20.webp          all cells of a grid, each at its place
    index.html            the map to look at, by itself
    samples/KEY/          activations and attributions
    cells/                an atlas of the pictures
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from featviz.atlas.activation_map.attribution import top_classes
from featviz.atlas.activation_map.cells import (
    Cell,
    identity,
    plan_cells,
    render_cells,
    render_config,
)
from featviz.atlas.activation_map.grid import Grid, make_grid, neighbour_likeness
from featviz.atlas.activation_map.page import map_page
from featviz.atlas.activation_map.projection import choose_layout, project, to_square
from featviz.atlas.activation_map.sampling import (
    Samples,
    Sampling,
    check_positions,
    choose_files,
    take_samples,
)
from featviz.atlas.activation_map.settings import LayoutName, MapConfig
from featviz.atlas.activation_map.sheet import QUALITY, make_sheet
from featviz.atlas.activation_map.whitening import correlation, directions, whitening
from featviz.atlas.canonical import content_key
from featviz.atlas.layout import Layout
from featviz.atlas.lock_files import held_alone
from featviz.atlas.pictures import webp_bytes
from featviz.config import DEFAULT_BATCH
from featviz.errors import ConfigError
from featviz.images import make_folder, write_file
from featviz.metrics import PictureFolder
from featviz.models import load
from featviz.models.model import Model
from featviz.rendering import list_labels
from featviz.sites import Site

FORMAT = 1
CLASSES_SHOWN = 5

Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ActivationMap:
    """What `make_map` made.

    Attributes:
        folder: Where it lies.
        document: What map.json says.
        failed: Cells without a picture.
    """

    folder: Path
    document: dict[str, Any]
    failed: int

    @property
    def page(self) -> Path:
        """The page to open."""
        return self.folder / "index.html"


def make_map(
    model: Model | str,
    site: str,
    *,
    images: str | Path,
    folder: str | Path,
    config: MapConfig | None = None,
    told: Told = lambda _what, _done, _total: None,
) -> ActivationMap:
    """Make the activation atlas of a site: a page, sheets and JSON.

    Args:
        model: The network, or its name.
        site: A site of it, with a map or without.
        images: Folder of photographs; thousands, for a map with some order.
        folder: Where everything goes; made if it is not there. What an earlier run with the same
            settings left is used.
        config: Settings; None: the defaults.
        told: Called with what is being done (`photographs`, `layout`, `cells`), how much of it is
            done, and how much there is.

    Returns:
        The map; cells whose pictures are not finite are left empty and counted.

    Raises:
        InputError: If the site, a setting or the folder of photographs is wrong, no cell holds
            enough samples, or an activation is not finite; see errors.py.
        RenderError: If no picture is finite, or memory does not suffice.
    """
    model = load(model) if isinstance(model, str) else model
    config, folder = config or MapConfig(), Path(folder)
    layout = choose_layout(config.layout)
    found = model.site_table().resolve(site)
    sampling = _plan_sampling(model, found, PictureFolder.open(images), config)
    _check_enough(sampling, config)
    make_folder(folder)
    busy = f"another run is making a map in {str(folder)!r}; wait for it, or choose another folder"
    with held_alone(folder / "map.lock", busy=busy):
        samples = take_samples(
            sampling, folder / "samples", told=lambda done, total: told("photographs", done, total)
        )
        points, used = _points(sampling, samples, layout, config, folder, told)
        grids = [make_grid(points, side=s, min_points=config.min_points) for s in config.grids]
        means = [grid.mean(samples.activations) for grid in grids]
        white = whitening(correlation(samples.activations), ridge=config.whitening)
        cells = _render(model, found, [directions(m, white) for m in means], config, folder, told)
        document = {
            "format": FORMAT,
            "model": identity(model),
            "site": site,
            "channels": found.channels,
            "photographs": {"read": samples.pictures, "skipped": samples.skipped},
            "samples": len(samples.activations),
            "layout": used,
            "config": config.to_json(),
            "grids": [
                _describe(grid, each, of, samples, model, config, folder)
                for grid, each, of in zip(grids, cells, means, strict=True)
            ],
        }
        return _write(document, folder)


def _plan_sampling(
    model: Model, site: Site, photographs: PictureFolder, config: MapConfig
) -> Sampling:
    files = choose_files(
        photographs, count=-(-config.samples // config.positions), seed=config.seed
    )
    classes = config.classes and model.spec.labels is not None
    names = [file.relative_to(photographs.path).as_posix() for file in files]
    return Sampling(
        model=model,
        site=site,
        folder=photographs,
        files=files,
        positions=config.positions,
        classes=classes,
        seed=config.seed,
        batch=config.batch or DEFAULT_BATCH.get(model.device.type, DEFAULT_BATCH["cuda"]),
        identity={
            "model": identity(model),
            "site": site.name,
            "files": [[name, *_version(file)] for name, file in zip(names, files, strict=True)],
            "positions": config.positions,
            "classes": classes,
            "seed": config.seed,
        },
    )


def _version(file: Path) -> tuple[int, int]:
    """Return what changes when a photograph is replaced: its size, and when it was written."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _check_enough(sampling: Sampling, config: MapConfig) -> None:
    """Refuse what cannot work before anything is read or rendered."""
    check_positions(sampling.site, config.positions, model=sampling.model.name)
    count = len(sampling.files) * config.positions
    if count < max(4, config.min_points):
        raise ConfigError(
            f"{len(sampling.files)} photographs with {config.positions} positions each make "
            f"{count} samples, fewer than one cell needs ({max(4, config.min_points)}); give more "
            "photographs, better thousands, or more positions"
        )
    # What an engine refuses, such as a size below the network's least, is refused now.
    probe = np.ones((1, sampling.site.channels), dtype=np.float32)
    (cell,) = plan_cells(sampling.model, sampling.site, probe, config)
    list_labels(sampling.model, [cell.objective], config=render_config(config, sampling.model))


def _points(
    sampling: Sampling,
    samples: Samples,
    layout: LayoutName,
    config: MapConfig,
    folder: Path,
    told: Told,
) -> tuple[Float[np.ndarray, "n 2"], dict[str, Any]]:
    """Return the layout in 0..1, from the folder if it is there, and how it was made."""
    told("layout", 0, 1)
    key = content_key({"samples": sampling.identity, "layout": layout, "seed": config.seed})
    path = folder / "samples" / f"layout-{key[:16]}.npz"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            points, used = kept["points"], json.loads(str(kept["used"]))
        fits = points.shape == (len(samples.activations), 2)
    except (OSError, ValueError, KeyError):
        fits = False
    if not fits:
        points, used = project(samples.activations, layout=layout, seed=config.seed)
        buffer = io.BytesIO()
        np.savez(buffer, points=points, used=np.array(json.dumps(used)))
        write_file(path, buffer.getvalue())
    told("layout", 1, 1)
    return to_square(points), used


def _render(
    model: Model,
    site: Site,
    vectors: list[Float[np.ndarray, "_ c"]],
    config: MapConfig,
    folder: Path,
    told: Told,
) -> list[list[Cell | None]]:
    """Return the cells of each grid; None where the site is silent, so that nothing can be shown.

    The coarsest grid comes first whatever was asked for: after an interrupt there is a whole one.
    """
    planned: list[list[Cell | None]] = []
    for each in vectors:
        some = np.asarray(each.any(1)).tolist()
        cells = iter(plan_cells(model, site, each[some], config))
        planned.append([next(cells) if shown else None for shown in some])
    order = sorted(planned, key=len)
    wanted = {cell.key: cell for cells in order for cell in cells if cell is not None}
    done = render_cells(
        model,
        site,
        list(wanted.values()),
        config=config,
        root=folder / "cells",
        told=lambda done, total: told("cells", done, total),
    )
    by_key = {cell.key: cell for cell in done}
    return [[None if c is None else by_key[c.key] for c in cells] for cells in planned]


def _describe(
    grid: Grid,
    cells: list[Cell | None],
    means: Float[np.ndarray, "m c"],
    samples: Samples,
    model: Model,
    config: MapConfig,
    folder: Path,
) -> dict[str, Any]:
    """Write the sheet of a grid and return what map.json says of it."""
    layout = Layout(folder / "cells")
    files = [
        layout.image(cell.key, cell.entry.kind) if cell and cell.entry else None for cell in cells
    ]
    places = list(zip(grid.rows.tolist(), grid.columns.tolist(), strict=True))
    name = f"grid-{grid.side}.webp"
    sheet = make_sheet(grid.side, places, files, cell_px=config.size)
    write_file(folder / name, webp_bytes(sheet, quality=QUALITY))
    classes = _classes(grid, samples, model)
    return {
        "side": grid.side,
        "sheet": name,
        "cell_px": config.size,
        "in_cells": int(grid.counts.sum()),
        "likeness_of_means": neighbour_likeness(grid, means, seed=config.seed % 2**32),
        "cells": [
            {
                "row": row,
                "column": column,
                "count": int(grid.counts[k]),
                "key": cell.key if (cell := cells[k]) else None,
                "score": cell.entry.score if cell and cell.entry else None,
                "dead": bool(cell and cell.entry and cell.entry.dead),
                "shown": files[k] is not None,
                "classes": classes[k],
            }
            for k, (row, column) in enumerate(places)
        ],
    }


def _classes(grid: Grid, samples: Samples, model: Model) -> list[list[dict[str, object]] | None]:
    if samples.attributions is None or model.spec.labels is None:
        return [None] * len(grid)
    labels = model.spec.labels()
    means = grid.mean(samples.attributions)
    if means.shape[1] != len(labels):
        return [None] * len(grid)
    return [top_classes(mean, labels, count=CLASSES_SHOWN) for mean in means]


def _write(document: dict[str, Any], folder: Path) -> ActivationMap:
    text = json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False)
    write_file(folder / "map.json", text.encode() + b"\n")
    sheets = {grid["sheet"]: (folder / grid["sheet"]).read_bytes() for grid in document["grids"]}
    write_file(folder / "index.html", map_page(document, sheets).encode())
    failed = sum(not cell["shown"] for grid in document["grids"] for cell in grid["cells"])
    return ActivationMap(folder, document, failed)
