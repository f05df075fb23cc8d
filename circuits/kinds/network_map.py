"""The families of all units of a network in one document, beside those of a shuffled network.

    found = map_network(model, ["fire3", "fire4"], photographs=["astronaut.png", "coffee.png"])
    found.sites[0].counts, found.sites[0].control

probes.py and photographed.py measure, rules.py decides; cli/map.py writes the file.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from circuits.controls import shuffled
from circuits.kinds.photographed import PhotographEvidence, photograph_evidence
from circuits.kinds.probes import ANGLES, PROBES, ROUND, probe_site
from circuits.kinds.rules import FAMILIES, KindRules, UnitKind, unit_kinds
from featviz.errors import CircuitError
from featviz.models.model import Model
from featviz.photographs import open_photograph
from featviz.sites import Site

FORMAT = "featviz network map 1"
COLUMNS = {
    "channel": "channel of the site",
    "family": "one of `families`",
    "tuned_to": "stimulus that the orientation, selectivity, fwhm, echo and peak are of",
    "light": "1: that is light on dark",
    "level": "its second quantity (radius, width, hue ...) where the response is largest",
    "orientation_deg": "orientation of the largest response, in the convention of the stimulus; "
    "null where no orientation gives less than half of it",
    "selectivity": "0 all orientations alike, 1 one only; lines and gratings doubled",
    "fwhm_deg": "width of tuning at half the peak",
    "echo": "largest response near the opposite orientation, over the peak",
    "peak": "largest mean response over sizes",
    "wins": "stimulus with the largest response",
    "top": "that response",
    "margin": "its family's stimulus over the best rival's; of `other`, the best over the next",
    "photo_peak": "largest response in photographs",
    "photo_axis_deg": "angle of contours that excite it there, counter-clockwise from horizontal",
    "photo_strength": "how well those agree, 0 to 1",
    "axis_error_deg": "angle between those and the contours of its best stimulus",
    "photo_chroma": "colour of what excites it there, over the mean",
    "weak": "1: it hardly answers, so it is `other`",
}
"""What a row holds, column by column; null where there is no number."""


@dataclass(frozen=True, eq=False)
class SiteMap:
    """The units of one site.

    Attributes:
        site: Name of the site.
        scale_px: Side of the receptive field, which lengths of stimuli are multiples of.
        rows: One a unit, see `COLUMNS`.
        counts: Family -> number of units.
        control: The same in the shuffled network; None without one.
    """

    site: str
    scale_px: float
    rows: tuple[tuple[Any, ...], ...]
    counts: dict[str, int]
    control: dict[str, int] | None


@dataclass(frozen=True, eq=False)
class NetworkMap:
    """The units of a network.

    Attributes:
        model: Name of the network.
        weights: Where its weights are from.
        sites: In the order given.
        photographs: Names of the files.
        rules: Thresholds.
        control: What the control is; None without one.
    """

    model: str
    weights: str
    sites: tuple[SiteMap, ...]
    photographs: tuple[str, ...]
    rules: KindRules
    control: str | None

    def to_json(self) -> str:
        """Return the document, one line a unit."""
        head = {
            "format": FORMAT,
            "model": self.model,
            "weights": self.weights,
            "method": _method(),
            "photographs": list(self.photographs),
            "control": self.control,
            "thresholds": asdict(self.rules),
            "families": list(FAMILIES),
            "columns": COLUMNS,
        }
        body = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
        sites = ",\n".join(map(_site_text, self.sites))
        return f'{body},\n "sites": [\n{sites}\n ]\n}}\n'


def map_network(
    model: Model,
    sites: Sequence[str] | None = None,
    *,
    photographs: Sequence[str | Path],
    rules: KindRules | None = None,
    control: bool = True,
    seed: int = 0,
    angles: int = ANGLES,
    turns: int = 12,
    told: Callable[[str], None] = lambda _site: None,
) -> NetworkMap:
    """Find the family of every unit of a network, by stimuli and photographs.

    Args:
        model: The network.
        sites: Names of sites; None: all the model names whose positions see a part of the image.
        photographs: Files.
        rules: Thresholds; None: the defaults.
        control: Whether to do the same with a network of shuffled weights.
        seed: Of that.
        angles: Orientations of each stimulus.
        turns: Turned copies of each photograph.
        told: Called with the name of each site when it begins.

    Raises:
        CircuitError: If the model takes no RGB, names no sites, one has no map, there is no
            photograph, or the network has no convolution to shuffle.
        PictureError: If a photograph cannot be read.
        SiteError: If a site is unknown.
    """
    rules = rules or KindRules()
    chosen = list(sites) if sites is not None else _named_sites(model)
    if not chosen or len(set(chosen)) < len(chosen):
        raise CircuitError(f"give sites of {model.name!r}, each once; got {chosen}")
    for file in photographs:
        open_photograph(file)  # minutes of work must not end at a file that is not there
    networks = [model, shuffled(model, seed=seed)] if control else [model]
    evidence = [photograph_evidence(net, chosen, photographs, turns=turns) for net in networks]
    found = []
    for site in chosen:
        told(site)
        probed = [probe_site(net, site, angles=angles) for net in networks]
        kinds = [
            unit_kinds(of, seen[site], rules=rules)
            for of, seen in zip(probed, evidence, strict=True)
        ]
        counts = [_counts(of) for of in kinds]
        found.append(
            SiteMap(
                site=site,
                scale_px=probed[0].scale_px,
                rows=tuple(_row(kind, evidence[0][site]) for kind in kinds[0]),
                counts=counts[0],
                control=counts[1] if control else None,
            )
        )
    return NetworkMap(
        model=model.name,
        weights=model.weights_origin,
        sites=tuple(found),
        photographs=tuple(Path(file).name for file in photographs),
        rules=rules,
        control=f"all weights of each unit in another order, seed {seed}" if control else None,
    )


def _named_sites(model: Model) -> list[str]:
    """Return the sites that the model's listing shows, as far as stimuli can be scaled to them."""
    table = model.site_table(model.spec.size)
    named = [alias.name for alias in model.spec.sites if alias.browsable]
    return [name for name in named if _seen_in_part(table.resolve(name), model.spec.size)]


def _seen_in_part(site: Site, size: tuple[int, int]) -> bool:
    if site.field.y is None or site.field.x is None or len(site.map_size) != 2:
        return False
    return min(site.map_size) > 3 and max(site.field.y.size_px, site.field.x.size_px) <= max(size)


def _counts(kinds: Sequence[UnitKind]) -> dict[str, int]:
    found = Counter(kind.family for kind in kinds)
    return {family: found[family] for family in FAMILIES}


def _row(kind: UnitKind, seen: PhotographEvidence) -> tuple[Any, ...]:
    curve, channel = kind.curve, kind.channel
    tuned = float(curve.response.amin()) < curve.peak / 2
    level = curve.levels[int(curve.surface.amax(0).argmax())]
    return (
        channel,
        kind.family,
        curve.stimulus,
        int(kind.light),
        _short(level),
        _fixed(curve.preferred_deg, 1) if tuned else None,
        _fixed(curve.selectivity, 3),
        _fixed(curve.fwhm_deg, 1),
        _fixed(curve.echo, 3),
        _short(curve.peak),
        kind.stimulus,
        _short(kind.top),
        _short(kind.margin),
        _short(float(seen.peak[channel])),
        _fixed(float(seen.axis_deg[channel]), 1),
        _fixed(float(seen.axis_strength[channel]), 3),
        _fixed(kind.axis_error_deg, 1) if tuned else None,
        _short(float(seen.chroma[channel])),
        int(kind.weak),
    )


# Few digits: more would be noise, and differ between machines.
def _short(value: float) -> float | int | None:
    return _plain(float(f"{value:.3g}")) if math.isfinite(value) else None


def _fixed(value: float, digits: int) -> float | int | None:
    return _plain(round(value, digits)) if math.isfinite(value) else None


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _method() -> str:
    strokes = ", ".join(name for name, inks in PROBES.items() if len(inks) > 1)
    return (
        f"Largest of the middle 3x3 positions, after ReLU. Stimuli: {', '.join(PROBES)} over "
        f"orientation and a second quantity, and {ROUND} (rings and discs); {strokes} and {ROUND} "
        "dark on light and light on dark, the stronger counts. Photographs turned evenly over 360 "
        "degrees; structure tensor and chroma over half the receptive field, weighted by response."
    )


def _site_text(site: SiteMap) -> str:
    head = {
        "site": site.site,
        "scale_px": site.scale_px,
        "counts": site.counts,
        "control": site.control,
    }
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in site.rows)
    return f'{json.dumps(head)[:-1]}, "units": [\n{rows}\n]}}'
