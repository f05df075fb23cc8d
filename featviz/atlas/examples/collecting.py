"""Dataset examples: the images that excite each unit most, least, and in between.

    from featviz.atlas import collect_examples

    found = collect_examples(model, ["fire4", "fire5"], "photos/")
    found.of("fire4", 128).maximum.top[0]

One pass over the images for all sites. By maximum, each image counts once, at the place of its
maximum, and the receptive field of that place is what the unit saw; by mean, an image counts as a
whole. Sites that give vectors have the value itself and no mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featviz.atlas.canonical import ENGINE, content_key
from featviz.atlas.examples.boxes import field_box
from featviz.atlas.examples.records import Bin, Example, Ranking, UnitExamples
from featviz.atlas.passes.accumulators import Accumulator, Counts, Extremes, Histogram, Sample
from featviz.atlas.passes.picture_sources import ImageSource, Numbered, open_source
from featviz.atlas.passes.settings import PassReport, PassSettings, pass_about, unit_slices
from featviz.atlas.passes.state import StatePath, open_state
from featviz.atlas.passes.unit_pass import Progress, run_pass
from featviz.errors import ConfigError, SiteError, UnitError
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.sites import Site

_MOST = 1000
_BOUNDS = (
    ("top", 1, _MOST),
    ("bottom", 0, _MOST),
    ("bins", 0, _MOST),
    ("per_bin", 1, _MOST),
    ("sample", 1, 100_000),
)


@dataclass(frozen=True)
class ExampleSettings(PassSettings):
    """What to keep for each unit, besides how the pass runs.

    The bounds are those of a line of a log, which holds all examples of a unit.

    Attributes:
        top: Images with the largest values, by maximum and by mean; 1000 at most.
        bottom: Images with the smallest; 1000 at most.
        bins: Quantile bins of the maximum and of the mean, equally many images each.
        per_bin: Images of each bin, at random; of all bins 1000 at most.
        sample: Random images that the bins are made of: quantiles are exact up to as many images,
            and have a standard error of 0.5 / sqrt(sample) at most beyond; 100,000 at most.
    """

    top: int = 16
    bottom: int = 4
    bins: int = 6
    per_bin: int = 2
    sample: int = 512

    def __post_init__(self) -> None:
        """Check each part."""
        super().__post_init__()
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ConfigError(
                    f"{name} must be a whole number from {least} to {most}, got {value!r}"
                )
        if self.bins * self.per_bin > _MOST:
            raise ConfigError(
                f"bins times per_bin must be {_MOST} at most, got {self.bins} * {self.per_bin}"
            )


class Examples:
    """The examples of all units of some sites; made by `collect_examples`.

    Attributes:
        model: Name of the model.
        weights: SHA-256 of its weights.
        sites: By name.
        size: Height and width of the images as the network saw them, px.
        about: All that decides the numbers of the pass.
        key: Of the pass: the same key, the same numbers.
        settings: How the pass ran.
        report: How it went.
        source: Where the images are from.
    """

    def __init__(
        self,
        about: dict[str, Any],
        sites: Sequence[Site],
        source: ImageSource,
        settings: ExampleSettings,
    ) -> None:
        self.model: str = about["model"]
        self.weights: str = about["weights"]
        self.size = (int(about["size"][0]), int(about["size"][1]))
        self.channels: int = about["channels"]
        self.about, self.key = about, content_key(about)
        self.sites = {site.name: site for site in sites}
        self.source, self.settings = source, settings
        self.report = PassReport()
        self._slices = unit_slices(sites)
        units = sum(site.channels for site in sites)
        s = settings
        self._extremes = {
            (statistic, largest): Extremes(units, kept, statistic=statistic, largest=largest)
            for statistic in ("maximum", "mean")
            for largest, kept in ((True, s.top), (False, s.bottom))
        }
        self._counts = Counts(units)
        self._sample = Sample(units, min(s.sample, len(source)))
        self._histograms = {k: Histogram(units, statistic=k) for k in ("maximum", "mean")}

    def accumulators(self) -> dict[str, Accumulator]:
        """Return what takes in the pass."""
        ends = {f"{k}-{'top' if top else 'bottom'}": e for (k, top), e in self._extremes.items()}
        bars = {f"{k}-histogram": histogram for k, histogram in self._histograms.items()}
        return {**ends, **bars, "counts": self._counts, "sample": self._sample}

    def of(self, site: str, channel: int) -> UnitExamples:
        """Return the examples of one unit.

        Raises:
            SiteError: If the pass did not record the site.
            UnitError: If it has no such channel.
        """
        if site not in self.sites:
            raise SiteError(f"the pass did not record {site!r}; it has {', '.join(self.sites)}")
        if not 0 <= channel < self.sites[site].channels:
            raise UnitError(
                f"{site!r} has {self.sites[site].channels} channels, 0 to "
                f"{self.sites[site].channels - 1}; got {channel}"
            )
        place, unit = self.sites[site], self._slices[site].start + channel
        images = int(self._counts.images[unit])
        return UnitExamples(
            maximum=self._ranking(place, unit, "maximum"),
            mean=self._ranking(place, unit, "mean") if place.map_size else None,
            images=images,
            broken=int(self._counts.broken[unit]),
            firing_rate=int(self._counts.fired[unit]) / images if images else 0.0,
        )

    def _ranking(self, site: Site, unit: int, statistic: str) -> Ranking:
        last = max(int(self._counts.images[unit]) - 1, 1)
        found: dict[bool, tuple[Example, ...]] = {}
        for largest in (True, False):
            kept = self._extremes[statistic, largest].of(unit)
            found[largest] = tuple(
                self._example(site, each, abs(largest - rank / last), statistic)
                for rank, each in enumerate(kept)
            )
        start, width, counts = self._histograms[statistic].of(unit)
        bins = self._bins(site, unit, statistic)
        return Ranking(found[True], found[False], bins, (start, width, tuple(counts)))

    def _bins(self, site: Site, unit: int, statistic: str) -> tuple[Bin, ...]:
        """Divide the sample evenly, and take the first images of each part in the stream."""
        rows, ranks = self._sample.ranked(unit, statistic=statistic)
        values = self._sample.of(statistic)
        bins = min(self.settings.bins, len(rows))
        found = []
        for k in range(bins):
            inside = (ranks * bins) // len(rows) == k
            chosen = sorted(
                zip(rows[inside], ranks[inside], strict=True), key=lambda each: int(each[0])
            )[: self.settings.per_bin]
            chosen.sort(key=lambda each: -int(each[1]))
            examples = []
            for row, rank in chosen:
                value = float(values[row, unit]) + 0.0
                place = int(self._sample.places[row, unit])
                each = int(self._sample.ids[row]), value, place
                quantile = int(rank) / max(len(rows) - 1, 1)
                examples.append(self._example(site, each, quantile, statistic))
            found.append(Bin(k / bins, (k + 1) / bins, tuple(examples)))
        return tuple(found)

    def _example(
        self, site: Site, each: tuple[int, float, int], quantile: float, statistic: str
    ) -> Example:
        image, value, place = each
        position = None
        if statistic == "maximum" and site.map_size:
            position = divmod(place, site.map_size[1])
        return Example(
            image=image,
            name=self.source.name(image),
            value=value,
            quantile=quantile,
            position=position,
            box=field_box(site.field, position) if position else None,
        )


def collect_examples(
    model: Model,
    sites: Sequence[str],
    images: str | Path | Numbered | ImageSource,
    *,
    settings: ExampleSettings | None = None,
    state: StatePath | None = None,
    progress: Progress | None = None,
) -> Examples:
    """Return the images that excite each unit of some sites most, least, and in between.

    Memory is that of a few batches and of what is kept for each unit, however many images there
    are. The result depends neither on the order in which threads read nor, but for the rounding of
    kernels, on the batch.

    Args:
        model: The network; it stays as it is.
        sites: Names.
        images: A folder, with those below it; or a sequence of images or (image, label), such as a
            torchvision dataset without transforms.
        settings: What to keep; None for the defaults.
        state: File to save in every so often, and to go on from; or a function of the key of the
            pass that names it. None: an interrupted pass begins anew.
        progress: Called with the images done, and all of them.

    Raises:
        SiteError: If a site is unknown, or none is given.
        PictureError: If there are no images, or none can be read.
        RecordError: If the state is damaged or of another pass.
        OutputError: If the state cannot be written, or another process is at it.
        RenderError: If memory does not suffice.
    """
    settings = settings or ExampleSettings()
    table = model.site_table()
    resolved = resolve_sites(table.resolve, sites)
    source = open_source(images)
    about = {
        "what": "examples",
        "binned": ["maximum", "mean"],
        "engine": ENGINE,
        **pass_about(model, resolved, source, settings, digest(model.module)),
        "kept": {k: v for k, v in asdict(settings).items() if k not in {"every", "loaders"}},
    }
    found = Examples(about, resolved, source, settings)
    found.report = run_pass(
        model,
        resolved,
        source,
        found.accumulators(),
        settings=settings,
        state=open_state(state, found.key),
        progress=progress,
    )
    return found


def resolve_sites(resolve: Callable[[str], Site], names: Sequence[str]) -> list[Site]:
    """Return sites by their names, each once, in the network's order.

    Raises:
        SiteError: If one is unknown, or none is given.
    """
    if isinstance(names, str):
        raise SiteError(f"sites must be a list of names; write [{names!r}]")
    found = {name: resolve(name) for name in names}
    if not found:
        raise SiteError("no site is given; name one at least, such as 'fire4'")
    return sorted(found.values(), key=lambda site: (site.order, site.name))
