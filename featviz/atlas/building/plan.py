"""What is to be rendered for a request: jobs with keys, in batches, cheapest first.

A job is one unit in one variant, with all of its images. Its key is made of everything that
decides their pixels, so that the same work has the same key in every build. Batches are cut by
channel number, whatever is done already: what goes on after an interrupt renders the same ones.
"""

import dataclasses
import fnmatch
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featviz.atlas.building.request import ALL, Request
from featviz.atlas.canonical import ENGINE, content_key, is_key
from featviz.atlas.layout import Layout
from featviz.config import RenderConfig
from featviz.contrasting import with_contrast
from featviz.errors import ConfigError, RecordError, SiteError, did_you_mean
from featviz.evidence import Progress, describe
from featviz.images import write_file
from featviz.models.model import Model
from featviz.plan import make_plan
from featviz.resuming import pixel_settings
from featviz.rivals import is_rivals_file
from featviz.sites import Site
from featviz.units import parse_units


@dataclass(frozen=True)
class Job:
    """One unit in one variant.

    Attributes:
        key: Content key of everything that decides its pixels.
        site: Name of the site.
        channel: Index there.
        variant: `positive`, `negative` or `diverse:N`.
        images: How many it has.
    """

    key: str
    site: str
    channel: int
    variant: str
    images: int

    @property
    def text(self) -> str:
        """What `featviz render` takes for it."""
        return f"{'-' if self.variant == 'negative' else ''}{self.site}:{self.channel}"

    def image_key(self, image: int) -> str:
        """Return the key of one of its images.

        Args:
            image: Number from 0.
        """
        return content_key([self.key, image])


@dataclass(frozen=True)
class Batch:
    """Jobs of one site and variant that are rendered together.

    Attributes:
        jobs: One or more.
        config: How.
        cost: Multiply-adds of a step of all of its images, roughly.
    """

    jobs: tuple[Job, ...]
    config: RenderConfig
    cost: float

    def singly(self) -> "list[Batch]":
        """Return a batch for each job."""
        cost = self.cost / len(self.jobs)
        return [dataclasses.replace(self, jobs=(job,), cost=cost) for job in self.jobs]


@dataclass(frozen=True)
class Part:
    """The units of one site in one variant.

    Attributes:
        site: Name of the site.
        variant: Such as `positive`.
        channels: Indices of the units.
        images: Of each unit.
        identity: Content key of what decides the pixels, but for the unit.
        cost: Multiply-adds of a step of one image, roughly.
    """

    site: str
    variant: str
    channels: tuple[int, ...]
    images: int
    identity: str
    cost: float

    def jobs(self) -> Iterator[Job]:
        """Return the jobs, by channel."""
        for channel in self.channels:
            job = Job("", self.site, channel, self.variant, self.images)
            yield dataclasses.replace(job, key=content_key([self.identity, job.text]))


@dataclass(frozen=True)
class AtlasPlan:
    """What a request comes to for the model as it is.

    Attributes:
        request: What was asked for.
        model: Name of the model.
        weights: SHA-256 of its weights.
        precision: What the network computes in.
        batch: Images rendered together.
        parts: Cheapest first.
    """

    request: Request
    model: str
    weights: str
    precision: str
    batch: int
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """Name of its file: content key of the request."""
        return content_key(self.request.to_json())

    def jobs(self) -> Iterator[Job]:
        """Return every job, cheapest first."""
        for part in self.parts:
            yield from part.jobs()

    def batches(self, skipped: frozenset[str] | set[str] = frozenset()) -> Iterator[Batch]:
        """Return the batches, cheapest first.

        Args:
            skipped: Keys of jobs to leave out.
        """
        for part in self.parts:
            size = max(1, self.batch // part.images)
            config = dataclasses.replace(
                self.request.config_of(part.variant),
                precision=self.precision,  # type: ignore[arg-type]
                batch=self.batch,
            )
            groups: dict[int, list[Job]] = {}
            for job in part.jobs():
                groups.setdefault(job.channel // size, []).append(job)
            for group in groups.values():
                jobs = tuple(job for job in group if job.key not in skipped)
                if jobs:
                    yield Batch(jobs, config, part.cost * part.images * len(jobs))

    def save(self, layout: Layout) -> None:
        """Write the plan beside the atlas.

        Raises:
            OutputError: If it cannot be written.
        """
        document = {
            "request": self.request.to_json(),
            "plan": {
                "model": self.model,
                "weights": self.weights,
                "precision": self.precision,
                "batch": self.batch,
                "parts": [
                    {**dataclasses.asdict(part), "channels": _to_spans(part.channels)}
                    for part in self.parts
                ],
            },
        }
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        write_file(layout.requests / f"{self.key}.json", text.encode())


def read_plans(layout: Layout) -> list[AtlasPlan]:
    """Return what an atlas was asked for, one plan a request.

    Raises:
        RecordError: If a file cannot be read, or is no request.
        ConfigError: If a setting in one is out of its range.
    """
    return [read_plan(path) for path in sorted(layout.requests.glob("*.json"))]


def read_plan(path: Path) -> AtlasPlan:
    """Return what one file of an atlas asks for; raises as `read_plans` does."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        given = document["plan"]
        parts = tuple(_read_part(part) for part in given.pop("parts"))
        plan = AtlasPlan(Request.from_json(document["request"]), parts=parts, **given)
        if not is_key(plan.weights) or plan.batch < 1:
            raise ValueError("weights or batch")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordError(
            f"{str(path)!r} is no request of an atlas: {error}; delete it and build again"
        ) from error
    return plan


def _read_part(values: dict[str, Any]) -> Part:
    spans = [(int(first), int(last)) for first, last in values["channels"]]
    if any(not 0 <= first <= last < 10_000_000 for first, last in spans):
        raise ValueError(f"channels {spans}")
    channels = tuple(c for first, last in spans for c in range(first, last + 1))
    if not is_key(values["identity"]) or not 1 <= int(values["images"]) < 10_000:
        raise ValueError("identity or images")
    return Part(**{**values, "channels": channels})


def _to_spans(channels: Sequence[int]) -> list[list[int]]:
    spans: list[list[int]] = []
    for channel in channels:
        if spans and channel == spans[-1][1] + 1:
            spans[-1][1] = channel
        else:
            spans.append([channel, channel])
    return spans


def make_atlas_plan(request: Request, model: Model, *, precision: str | None = None) -> AtlasPlan:
    """Check a request against its model, and return what is to be rendered.

    Args:
        request: What was asked for.
        model: As `request.model` loads it, where the work runs or on a machine like it: the
            precision that it has there counts for all workers.
        precision: What an earlier plan of the request computes in; None: as it asks.

    Raises:
        InputError: If a site, a unit or a setting is wrong; see errors.py.
    """
    config = request.config
    if config.contrast is not None and not is_rivals_file(config.contrast):
        raise ConfigError(
            f"contrast names {config.contrast!r}, which would be measured anew for each batch; "
            "give the .npz that 'featviz contrast' makes of it"
        )
    sites = find_sites(model, request.sites)
    # What the settings say of one site they say of all, but for the rivals: weights are read once.
    identities: dict[str, dict[str, Any]] = {}
    parts, weights, computed = [], "", ""
    for site in sites:
        channels = [unit.channel for unit in parse_units(_units(request, site)).expand(
            site.channels
        )]  # fmt: skip
        for variant in request.variants:
            own = request.config_of(variant)
            if precision is not None:
                own = dataclasses.replace(own, precision=precision)  # type: ignore[arg-type]
            sign = "-" if variant == "negative" else ""
            plan = with_contrast(make_plan(model, f"{sign}{site.name}:{channels[0]}", own))
            if variant not in identities:
                record = describe(plan, Progress(batch=1), [])
                weights, computed = record["model"]["weights_sha256"], record["ran"]["precision"]
                identities[variant] = {
                    "engine": ENGINE,
                    "model": model.name,
                    "settings": {**pixel_settings(record), "files": plan.files},
                    "steps": plan.config.steps,
                    "variant": variant,
                }
            identity = content_key({**identities[variant], "contrast": plan.contrast})
            cost = _cost(model, site, plan.network_size)
            found = tuple(sorted(channels))
            parts.append(Part(site.name, variant, found, own.images, identity, cost))
    parts.sort(key=lambda part: (part.cost * part.images, part.site, part.variant))
    batch = config.batch_on(model.device)
    return AtlasPlan(request, model.name, weights, computed, batch, tuple(parts))


def _units(request: Request, site: Site) -> str:
    return f"{site.name}:{'*' if request.units == ALL else request.units}"


def find_sites(model: Model, patterns: Sequence[str]) -> list[Site]:
    """Return the sites that names and patterns stand for, in network order, each once.

    Args:
        model: The network.
        patterns: Names as users type them, `all`, or with `*` and `?` in them those of the
            browsable sites that fit.

    Raises:
        SiteError: If one stands for nothing.
    """
    table = model.site_table()
    known = table.names()
    found: dict[str, Site] = {}
    for pattern in patterns:
        if pattern == ALL:
            names = known
        elif set(pattern) & set("*?"):
            names = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
            if not names:
                raise SiteError(
                    f"no site of {model.name!r} fits {pattern!r}"
                    f"{did_you_mean(pattern.strip('*?'), known)} featviz sites {model.name} "
                    "lists all"
                )
        else:
            names = [pattern]
        found |= {name: table.resolve(name) for name in names}
    return sorted(found.values(), key=lambda site: (site.order, site.name))


def _cost(model: Model, site: Site, size: tuple[int, int]) -> float:
    """Return roughly how many multiply-adds a pass up to a site takes: it stops there."""
    modules = dict(model.module.named_modules())
    total = 1.0
    for call in model.trace(size).calls[: site.order + 1]:
        module = modules.get(call.path)
        if module is not None and len(call.shape) in {2, 4}:
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            total += own * (call.shape[-1] * call.shape[-2] if len(call.shape) == 4 else 1)
    return total
