"""What is worth knowing about an atlas: how many units are dead, which images are worst at what.

Metrics are read, not measured. Memory holds the entries of one site, and the worst of all.
"""

import heapq
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from featviz.atlas.entries import Failure, ImageEntry
from featviz.atlas.exporting.outgoing import chosen_sites
from featviz.atlas.reading import Atlas


@dataclass(frozen=True)
class Noted:
    """An image with all that was measured of it."""

    entry: ImageEntry
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class SiteFindings:
    """One site.

    Attributes:
        model: Name of the model.
        site: The site.
        images: How many images.
        units: How many channels have one.
        dead: How many images do not fire their unit.
        bytes: Of the pictures.
        seconds: All images together took.
        first: Share of the measured images that their unit comes first on; None: not measured.
        slopes: Exponents of the amplitude spectra, sorted.
        high: Median share of the spectrum's power above 0.25 cycles a pixel; None: not measured.
    """

    model: str
    site: str
    images: int
    units: int
    dead: int
    bytes: int
    seconds: float
    first: float | None
    slopes: tuple[float, ...]
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON, with the median of the slopes."""
        kept = {name: value for name, value in asdict(self).items() if name != "slopes"}
        return {**kept, "slope": median(self.slopes)}


@dataclass(frozen=True)
class Findings:
    """An atlas.

    Attributes:
        sites: Each site.
        dead: Dead images, as many as are shown.
        unknown: Images that excite other units of the site most, the worst first.
        slowest: Images by their share of the time, the slowest first.
        flattest: Images with the largest slope of the spectrum: the noisiest.
        failures: Work that failed and was not done since.
        problems: Lines of logs that were not believed.
        measured: How many images have a self-identification.
        photographs: How many photographs that was counted by; empty: none.
    """

    sites: tuple[SiteFindings, ...]
    dead: tuple[Noted, ...]
    unknown: tuple[Noted, ...]
    slowest: tuple[Noted, ...]
    flattest: tuple[Noted, ...]
    failures: tuple[Failure, ...]
    problems: tuple[tuple[str, int, str], ...]
    measured: int
    photographs: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON."""
        lists = {
            name: [
                {"key": noted.entry.key, "unit": noted.entry.unit, "variant": noted.entry.variant}
                | {"seconds": noted.entry.seconds, "metrics": dict(noted.metrics)}
                for noted in getattr(self, name)
            ]
            for name in ("dead", "unknown", "slowest", "flattest")
        }
        return {
            "sites": [site.to_json() for site in self.sites],
            **lists,
            "failures": [asdict(failure) for failure in self.failures],
            "problems": [
                {"log": log, "place": place, "reason": reason}
                for log, place, reason in self.problems
            ],
            "self_measured": self.measured,
            "self_photographs": list(self.photographs),
        }


@dataclass
class _Worst:
    """Keeps the images with the largest values."""

    most: int
    value: Callable[[Noted], tuple[float, ...] | None]
    kept: list[tuple[tuple[float, ...], str, int, Noted]] = field(default_factory=list)
    seen: int = 0

    def look_at(self, noted: Noted) -> None:
        value = self.value(noted)
        if value is None:
            return
        self.seen += 1
        # Two images never compare as far as their last part.
        item = (value, noted.entry.key, self.seen, noted)
        if len(self.kept) < self.most:
            heapq.heappush(self.kept, item)
        else:
            heapq.heappushpop(self.kept, item)

    def sorted(self) -> tuple[Noted, ...]:
        return tuple(item[-1] for item in sorted(self.kept, reverse=True))


def find(root: str | Path, *, most: int = 24) -> Findings:
    """Read an atlas.

    Args:
        root: The folder.
        most: Images in each list.

    Raises:
        RecordError: If there is no atlas, or nothing in it.
    """
    lists = {
        "dead": _Worst(most, lambda n: (-float(n.entry.channel or 0),) if n.entry.dead else None),
        "unknown": _Worst(most, _unknown),
        "slowest": _Worst(most, lambda n: (n.entry.seconds,)),
        "flattest": _Worst(most, lambda n: _metric(n, "slope")),
    }
    measured, photographs, sites = 0, set(), []
    with Atlas(root) as atlas:
        for model, site in chosen_sites(atlas):
            all_noted = [Noted(e, atlas.measured(e.key)) for e in atlas.images(model, site)]
            for noted in all_noted:
                for each in lists.values():
                    each.look_at(noted)
                measured += "self_rank" in noted.metrics
                if "self_photographs" in noted.metrics:
                    photographs.add(int(noted.metrics["self_photographs"]))
            sites.append(_site(model, site, all_noted))
        return Findings(
            tuple(sites),
            **{name: each.sorted() for name, each in lists.items()},
            failures=tuple(atlas.failures()),
            problems=tuple(atlas.problems()),
            measured=measured,
            photographs=tuple(sorted(photographs)),
        )


def _unknown(noted: Noted) -> tuple[float, ...] | None:
    """Order images whose unit is not first: by rank, then by how little they excite it."""
    rank = noted.metrics.get("self_rank", 1.0)
    return (rank, -noted.metrics.get("self_z", 0.0)) if rank > 1 else None


def _metric(noted: Noted, name: str) -> tuple[float, ...] | None:
    value = noted.metrics.get(name)
    return None if value is None else (value,)


def _site(model: str, site: str, noted: list[Noted]) -> SiteFindings:
    entries = [each.entry for each in noted]
    ranks = [each.metrics["self_rank"] for each in noted if "self_rank" in each.metrics]
    slopes = sorted(each.metrics["slope"] for each in noted if "slope" in each.metrics)
    return SiteFindings(
        model=model,
        site=site,
        images=len(entries),
        units=len({entry.channel for entry in entries} - {None}),
        dead=sum(entry.dead for entry in entries),
        bytes=sum(entry.bytes for entry in entries),
        seconds=sum(entry.seconds for entry in entries),
        first=sum(rank == 1 for rank in ranks) / len(ranks) if ranks else None,
        slopes=tuple(slopes),
        high=median(each.metrics["high"] for each in noted if "high" in each.metrics),
    )


def median(values: Iterable[float]) -> float | None:
    """Return the median; None of nothing."""
    kept = list(values)
    return statistics.median(kept) if kept else None
