"""Nearest units: by what excites them, and by what they are wired to; each beside chance."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from featviz.atlas.canonical import ENGINE, content_key
from featviz.atlas.entries import Evidence
from featviz.atlas.examples.collecting import resolve_sites
from featviz.atlas.neighbours.correlations import Correlations
from featviz.atlas.neighbours.kernels import incoming_kernels, kernel_cosines
from featviz.atlas.neighbours.records import Nearest
from featviz.atlas.passes.picture_sources import ImageSource, Numbered, open_source
from featviz.atlas.passes.settings import PassReport, PassSettings, pass_about, unit_slices
from featviz.atlas.passes.state import StatePath, forget_state, open_state, record_pass
from featviz.atlas.passes.unit_pass import Progress, run_pass
from featviz.atlas.reading import Atlas
from featviz.atlas.store import Store
from featviz.errors import ConfigError
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.sites import Site

STATISTICS = ("maximum", "mean")
_ALL = "all sites"


@dataclass(frozen=True)
class NeighbourSettings(PassSettings):
    """Which neighbours to look for, besides how the pass runs.

    Attributes:
        count: Neighbours of each unit.
        statistic: Whether maps count by their `maximum` or their `mean`.
        across: Whether units of other sites may be neighbours by activation; by weights they never
            are.
    """

    count: int = 10
    statistic: str = STATISTICS[0]
    across: bool = False

    def __post_init__(self) -> None:
        """Check each part."""
        super().__post_init__()
        if self.statistic not in STATISTICS:
            raise ConfigError(
                f"statistic must be one of {', '.join(STATISTICS)}, got {self.statistic!r}"
            )
        if isinstance(self.count, bool) or not 1 <= self.count <= 1000:
            raise ConfigError(f"count must be 1 to 1000, got {self.count!r}")


class Neighbours:
    """Likeness of units; made by `collect_neighbours`.

    Attributes:
        model: Name of the model.
        weights: SHA-256 of its weights.
        sites: By name.
        settings: What was looked for.
        source: The images; None without.
        report: How the pass over them went; None without.
        about: All that decides the numbers.
        key: Of that.
    """

    def __init__(
        self, about: dict[str, Any], sites: Sequence[Site], settings: NeighbourSettings
    ) -> None:
        self.model: str = about["model"]
        self.weights: str = about["weights"]
        self.about, self.key = about, content_key(about)
        self.sites = {site.name: site for site in sites}
        self.settings = settings
        self.source: ImageSource | None = None
        self.report: PassReport | None = None
        self._by_activation: dict[str, list[Nearest]] = {}
        self._by_weights: dict[str, list[Nearest]] = {}

    def by_activation(self, site: str, channel: int) -> Nearest | None:
        """Return the nearest units by correlation; None without images."""
        return self._by_activation[site][channel] if site in self._by_activation else None

    def by_weights(self, site: str, channel: int) -> Nearest | None:
        """Return the nearest units by kernels; None where the site's units have no kernels."""
        return self._by_weights[site][channel] if site in self._by_weights else None

    def compare_activations(self, found: Correlations) -> None:
        """Take in the correlations of a pass."""
        sites = list(self.sites.values())
        groups = [(_ALL, sites)] if self.settings.across else [(s.name, [s]) for s in sites]
        for name, members in groups:
            units = [(site.name, channel) for site in members for channel in range(site.channels)]
            kinds = [site for site, _ in units]
            nearest = nearest_units(*found.of(name), units, kinds, self.settings.count)
            for (site, _), each in zip(units, nearest, strict=True):
                self._by_activation.setdefault(site, []).append(each)

    def compare_weights(self, model: Model) -> None:
        """Take in the kernels of a network."""
        for name, site in self.sites.items():
            kernels = incoming_kernels(model, site)
            if kernels is not None:
                units = [(name, channel) for channel in range(site.channels)]
                cosines = kernel_cosines(kernels, seed=self.settings.seed)
                kinds = [(kernel.reads, kernel.weight.shape) for kernel in kernels]
                self._by_weights[name] = nearest_units(*cosines, units, kinds, self.settings.count)


def nearest_units(
    likeness: Float64[np.ndarray, "u u"],
    chance: Float64[np.ndarray, "u u"],
    units: Sequence[tuple[str, int]],
    kinds: Sequence[object],
    count: int,
) -> list[Nearest]:
    """Return the nearest of each unit, itself left out; ties go to the first.

    Args:
        likeness: Of each pair; not-a-number where there is none.
        chance: Of each unit (rows) with the others shuffled.
        units: Site and channel of each.
        kinds: Units with equal ones share what is expected by chance.
        count: Neighbours of each at most.
    """
    other = ~np.eye(len(units), dtype=bool)
    alike = np.where(other & np.isfinite(likeness), likeness, -np.inf)
    by_chance = np.where(other & np.isfinite(chance), chance, -np.inf).max(1, initial=-np.inf)
    known = np.isfinite(by_chance)
    by_kind: dict[object, list[float]] = {}
    for kind, value in zip(kinds, by_chance, strict=True):
        if np.isfinite(value):
            by_kind.setdefault(kind, []).append(float(value))
    found = []
    for k, row in enumerate(alike):
        order = np.argsort(-row, kind="stable")[:count]
        found.append(
            Nearest(
                tuple((*units[j], float(row[j])) for j in order if np.isfinite(row[j])),
                float(by_chance[k]) if known[k] else None,
                float(np.mean(by_kind[kinds[k]])) if known[k] else None,
            )
        )
    return found


def collect_neighbours(
    model: Model,
    sites: Sequence[str],
    images: str | Path | Numbered | ImageSource | None = None,
    *,
    settings: NeighbourSettings | None = None,
    state: StatePath | None = None,
    progress: Progress | None = None,
) -> Neighbours:
    """Return the nearest units of each unit by activation and by weights.

    By activation: correlation, over images, of each unit's maximum or mean. By weights: cosine of
    the kernels that make the unit's channel, within its site. Each has a baseline: the images, or
    the numbers of the kernels, permuted.

    Args:
        model: The network; it stays as it is.
        sites: Names.
        images: As for `collect_examples`; None: by weights alone.
        settings: What to look for; None for the defaults.
        state: As for `collect_examples`.
        progress: Likewise.

    Raises:
        SiteError: If a site is unknown, or none is given.
        ConfigError: If there are too many units to compare all.
        PictureError: If there are no images, or none can be read.
        RecordError: If the state is damaged or of another pass.
        OutputError: If the state cannot be written, or another process is at it.
        RenderError: If memory does not suffice.
    """
    settings = settings or NeighbourSettings()
    resolved = resolve_sites(model.site_table().resolve, sites)
    weights = digest(model.module)
    about: dict[str, Any] = {"model": model.name, "weights": weights}
    source = None if images is None else open_source(images)
    if source is not None:
        about |= pass_about(model, resolved, source, settings, weights)
    kept = {k: v for k, v in asdict(settings).items() if k not in {"every", "loaders"}}
    about |= {"what": "neighbours", "engine": ENGINE, "kept": kept}
    found = Neighbours(about, resolved, settings)
    if source is not None:
        units = sum(site.channels for site in resolved)
        groups = {_ALL: slice(0, units)} if settings.across else unit_slices(resolved)
        correlations = Correlations(groups, units, statistic=settings.statistic)
        found.source = source
        found.report = run_pass(
            model,
            resolved,
            source,
            {"correlations": correlations},
            settings=settings,
            state=open_state(state, found.key),
            progress=progress,
        )
        found.compare_activations(correlations)
    found.compare_weights(model)
    return found


def keep_neighbours(store: Store, neighbours: Neighbours) -> None:
    """Write the evidence `neighbours` of each unit, site by site.

    Without images, what the atlas has by activation stays.

    Raises:
        OutputError: If it cannot be written.
    """
    if neighbours.report is not None and neighbours.source is not None:
        record_pass(store.layout, neighbours.about, neighbours.report, neighbours.source)
    with Atlas(store.layout.root) as atlas:
        for name, site in neighbours.sites.items():
            lines = []
            for channel in range(site.channels):
                kernels = neighbours.by_weights(name, channel)
                value = {
                    "activation": _by_activation(neighbours, atlas, name, channel),
                    "weights": None if kernels is None else _line(kernels),
                }
                place = (neighbours.model, neighbours.weights, name, channel)
                lines.append(Evidence(*place, "neighbours", value))
            store.note(lines)
    forget_state(store.layout, neighbours.key)


def _by_activation(neighbours: Neighbours, atlas: Atlas, site: str, channel: int) -> Any:
    """Return what is to be written of a unit: what the pass found, else what the atlas has."""
    nearest, settings = neighbours.by_activation(site, channel), neighbours.settings
    if nearest is None or neighbours.report is None:
        place = (neighbours.model, site, channel)
        old = atlas.evidence(*place, weights=neighbours.weights).get("neighbours")
        return old.get("activation") if isinstance(old, dict) else None
    about = {"pass": neighbours.key, "images": neighbours.report.used}
    how = {"statistic": settings.statistic, "across": settings.across}
    return about | how | _line(nearest)


def _line(nearest: Nearest) -> dict[str, Any]:
    return {
        "nearest": [{"site": s, "channel": c, "value": value} for s, c, value in nearest.units],
        "chance": nearest.chance,
        "expected": nearest.expected,
    }
