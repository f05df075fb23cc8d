"""The settings of an activation atlas: the only place of its defaults, saved in map.json.

Nothing here imports torch, so that the command line can show defaults.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from featviz.config import LARGEST_SEED, Precision
from featviz.errors import ConfigError

LayoutName = Literal["umap", "tsne", "pca"]

# Of a WebP file, by its format.
LARGEST_SHEET_PX = 16383

TRANSFORMS = (
    "jitter:4,jitter:4,jitter:8,jitter:8,jitter:8,scale:"
    + "/".join(f"{0.998**n:.4g}" for n in range(20, 40))
    + ",rotate:"
    + "/".join(str(a) for r in (20, 10, 5) for a in range(-r, r))
    + "/0/0/0/0/0,jitter:2"
)
"""Those of Lucid's atlas, without the pad of 16 px, which the crops that are jitters there use up;
here a jitter keeps the size."""


@dataclass(frozen=True)
class MapConfig:
    """How to make an activation atlas.

    Attributes:
        grids: Cells along each side of the map; several give several levels of detail.
        min_points: Activations that a cell needs, else it stays empty.
        samples: Activations at most; of more photographs a random part is read.
        positions: Places of each photograph, at random, none twice; at a site without a map 1.
        layout: `umap`, `tsne` or `pca`, see projection.py; None: the first of them whose package is
            installed (umap-learn, scikit-learn, nothing).
        whitening: Ridge of the correlation matrix before it is inverted, in mean squares of its
            channels; small values bring out rare channels, and noise.
        classes: Whether to find the classes that each cell speaks for, where the model names
            them; takes three passes more for each photograph.
        seed: With names of photographs and cells, decides every random number.
        steps: Steps of the optimiser for each cell.
        size: Side of the picture of a cell in pixels.
        learning_rate: Of the optimiser, Adam.
        cosine_power: How much a cell's picture has to show nothing but its direction.
        boundary: Weight of the penalty on contrast at the picture's edge.
        tries: Pictures of each cell, from different noise; the one with the best score is kept.
        batch: Photographs, and pictures, at a time; None: 16 on a CPU, 64 on a GPU.
        precision: As for `render`.

    References:
        Carter et al. 2019, "Activation Atlas"; Lucid's notebook: 100,000 samples, 5 points a cell,
        128 steps, 80 or 96 px, cosine power 2, boundary 5, best of 3. Here one try is the default.
    """

    grids: tuple[int, ...] = (20,)
    min_points: int = 5
    samples: int = 100_000
    positions: int = 1
    layout: LayoutName | None = None
    whitening: float = 0.01
    classes: bool = True
    seed: int = 0
    steps: int = 128
    size: int = 96
    learning_rate: float = 0.05
    cosine_power: float = 2.0
    boundary: float = 5.0
    tries: int = 1
    batch: int | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if not self.grids or len(set(self.grids)) != len(self.grids):
            raise ConfigError(f"grids must be one number or several, none twice; got {self.grids}")
        for grid in self.grids:
            _at_least("grids", grid, 1)
        for name, least in (("min_points", 1), ("samples", 1), ("positions", 1), ("tries", 1)):
            _at_least(name, getattr(self, name), least)
        _at_least("steps", self.steps, 1)
        _at_least("size", self.size, 1)
        _at_least("seed", self.seed, 0)
        if self.seed > LARGEST_SEED:
            raise ConfigError(f"seed must be at most {LARGEST_SEED}, got {self.seed}")
        if self.batch is not None:
            _at_least("batch", self.batch, 1)
        for name in ("whitening", "learning_rate", "cosine_power", "boundary"):
            _check_number(name, getattr(self, name), above=name in {"whitening", "learning_rate"})
        if self.layout is not None and self.layout not in get_args(LayoutName):
            known = ", ".join(get_args(LayoutName))
            raise ConfigError(f"layout must be one of {known}, got {self.layout!r}")
        side = max(self.grids) * self.size
        if side > LARGEST_SHEET_PX:
            raise ConfigError(
                f"{max(self.grids)} cells of {self.size} px make a sheet of {side} px, and WebP "
                f"takes {LARGEST_SHEET_PX}; choose a smaller size or fewer cells"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {**asdict(self), "grids": list(self.grids)}


def _check_number(name: str, value: object, *, above: bool) -> None:
    wanted = f"{name} must be a number {'above 0' if above else 'of 0 or more'}, got {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(wanted)
    if not math.isfinite(value) or value < 0 or (above and value == 0):
        raise ConfigError(wanted)


def _at_least(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} must be a whole number, {least} or more, got {value!r}")
