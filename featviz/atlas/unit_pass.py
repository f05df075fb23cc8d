"""One pass of many images through a network, past many sites: each image is read and run once.

Images come in a seeded random order, so that any beginning of the pass is a random sample, and
neighbours in the stream are random pairs. Reader threads are ahead of the network, and what is kept
of a batch is worked out while the network runs the next one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from featviz.atlas.accumulators import Accumulator, UnitValues
from featviz.atlas.pass_state import PassState
from featviz.atlas.picture_sources import ImageSource
from featviz.atlas.reading_ahead import read_ahead
from featviz.borrowing import own_settings
from featviz.errors import ConfigError, PictureError, RecordError, RenderError, is_out_of_memory
from featviz.inference import InferenceCopy
from featviz.interrupts import held_interrupts
from featviz.models.model import Model
from featviz.sites import Site

_NAMED = 20
"""Skipped images that are named; all are counted."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PassSettings:
    """How a pass runs.

    Attributes:
        batch: Images at a time. Kernels may round differently for another one, so that values
            differ by some 1e-6 of themselves; nothing else depends on it.
        seed: Of the order of the images.
        every: Images between two saved states.
        loaders: Threads that read; None for what the source takes, one a core for a folder.
    """

    batch: int = 32
    seed: int = 0
    every: int = 2000
    loaders: int | None = None

    def __post_init__(self) -> None:
        """Check each part."""
        for name, least in (("batch", 1), ("seed", 0), ("every", 1), ("loaders", 1)):
            value = getattr(self, name)
            if name == "loaders" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
                raise ConfigError(f"{name} must be a whole number from {least}, got {value!r}")


@dataclass
class PassReport:
    """How a pass went.

    Attributes:
        used: Images that went through the network.
        skipped: Reason -> how many images were left out.
        examples: Names and reasons of the first of them.
    """

    used: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    examples: list[list[str]] = field(default_factory=list)

    def skip(self, name: str, error: PictureError) -> None:
        """Count an image that could not be read."""
        reason = _reason(str(error), name)
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.examples) < _NAMED:
            self.examples.append([name, reason])


def visiting_order(count: int, seed: int) -> Int64[np.ndarray, " n"]:
    """Return numbers 0 to count - 1 in a random order, the same for ever.

    References:
        Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 17:
        numbers are sorted by their SplitMix64.
    """
    with np.errstate(over="ignore"):
        start = np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
        x = (np.arange(1, count + 1, dtype=np.uint64) + start) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(x ^ (x >> np.uint64(31)), kind="stable")


def reduce_map(activation: Float[Tensor, "b c ..."]) -> Float[Tensor, "b c 3"]:
    """Return maximum, mean, and place of the maximum of each map.

    The place is `y * width + x`, the first in reading order; -1 for vectors.

    Args:
        activation: [b c h w] or [b c].
    """
    values = activation.float()
    if values.dim() == 2:
        return torch.stack([values, values, torch.full_like(values, -1)], -1)
    # Channels come last in memory; reading a map row by row so is several times faster.
    rows = values.permute(0, 2, 3, 1)
    width = rows.shape[2]
    largest, y = rows.amax(2).max(1)
    row = rows.gather(1, y[:, None, None, :].expand(-1, 1, width, -1))[:, 0]
    place = y * width + row.max(1).indices
    return torch.stack([largest, rows.flatten(1, 2).mean(1), place.float()], -1)


def run_pass(
    model: Model,
    sites: Sequence[Site],
    source: ImageSource,
    accumulators: Mapping[str, Accumulator],
    *,
    settings: PassSettings,
    state: PassState | None = None,
    progress: Progress | None = None,
) -> PassReport:
    """Run all images through a network and let accumulators see what units did.

    Args:
        model: The network; it stays as it is.
        sites: Resolved at its own size.
        source: The images.
        accumulators: By name; units are those of the sites, one site after the other.
        settings: How the pass runs.
        state: Where to save how it stands; what is there is gone on from.
        progress: Called with the images done, and all of them.

    Raises:
        PictureError: If not a single image can be read.
        RecordError: If the state is damaged or of another pass.
        RenderError: If memory does not suffice.
        OutputError: If the state cannot be written.
    """
    with state.held() if state is not None else nullcontext():
        report = _run(model, sites, source, accumulators, settings, state, progress)
    if not report.used:
        told = "; ".join(f"{name!r}: {reason}" for name, reason in report.examples[:3])
        raise PictureError(f"none of {len(source)} images can be read: {told}; give photographs")
    return report


def _run(
    model: Model,
    sites: Sequence[Site],
    source: ImageSource,
    accumulators: Mapping[str, Accumulator],
    settings: PassSettings,
    state: PassState | None,
    progress: Progress | None,
) -> PassReport:
    order = visiting_order(len(source), settings.seed)
    report = PassReport()
    done = saved = _restore(state, accumulators, report)
    with held_interrupts() as check_interrupt:
        for count, skips in _batches(model, sites, source, accumulators, order[done:], settings):
            at = done + count
            for name, error in skips:
                report.skip(name, error)
            report.used = at - sum(report.skipped.values())
            if progress is not None:
                progress(at, len(order))
            try:
                check_interrupt()
            except KeyboardInterrupt:
                _save(state, accumulators, report, at)
                raise
            if at - saved >= settings.every or at == len(order):
                _save(state, accumulators, report, at)
                saved = at
    return report


def _save(
    state: PassState | None,
    accumulators: Mapping[str, Accumulator],
    report: PassReport,
    done: int,
) -> None:
    if state is None:
        return
    arrays = {
        f"{name}/{part}": array
        for name, each in accumulators.items()
        for part, array in each.state().items()
    }
    state.save({"done": done, **asdict(report)}, arrays)


def _restore(
    state: PassState | None, accumulators: Mapping[str, Accumulator], report: PassReport
) -> int:
    """Take over what an earlier process saved; return how many images that was."""
    found = state.load() if state is not None else None
    if state is None or found is None:
        return 0
    about, arrays = found
    try:
        for name, each in accumulators.items():
            parts = {k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{name}/")}
            each.restore(parts)
        report.used, report.skipped = int(about["used"]), dict(about["skipped"])
        report.examples = list(about["examples"])
        return int(about["done"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(
            f"cannot go on from {str(state.path)!r}: {error}; delete it to begin anew"
        ) from error


_Skips = list[tuple[str, PictureError]]


def _batches(
    model: Model,
    sites: Sequence[Site],
    source: ImageSource,
    accumulators: Mapping[str, Accumulator],
    order: Int64[np.ndarray, " n"],
    settings: PassSettings,
) -> Iterator[tuple[int, _Skips]]:
    """Yield how many images are done and what was skipped, when all of that is taken in."""
    size = model.spec.size

    def read(number: int) -> UInt8[np.ndarray, "h w c"] | PictureError:
        try:
            return source.read(number, size, model.spec.channels)
        except PictureError as error:
            return error

    def take_in(ids: list[int], values: Tensor) -> None:
        found = _as_values(ids, values)
        for accumulator in accumulators.values():
            accumulator.add(found)

    loaders = settings.loaders or source.loaders
    ahead = 2 * settings.batch + 2 * loaders
    before: tuple[Future[None], int, _Skips] | None = None
    with (
        closing(read_ahead(read, map(int, order), threads=loaders, ahead=ahead)) as readers,
        own_settings(),
        torch.no_grad(),
        InferenceCopy(
            model, sites, trace=model.trace(size), dtype=torch.float32, reduce=reduce_map
        ) as network,
        ThreadPoolExecutor(1, thread_name_prefix="featviz-accumulator") as keeper,
    ):
        for first in range(0, len(order), settings.batch):
            numbers = [int(k) for k in order[first : first + settings.batch]]
            read_now = [(number, next(readers)) for number in numbers]
            images = [(k, image) for k, image in read_now if not isinstance(image, PictureError)]
            skips = [(source.name(k), e) for k, e in read_now if isinstance(e, PictureError)]
            values = _forward(network, model, sites, [image for _, image in images])
            if before is not None:
                before[0].result()
                yield before[1:]
            ids = [k for k, _ in images]
            future = keeper.submit(take_in, ids, values) if values is not None else Future[None]()
            if values is None:
                future.set_result(None)
            before = future, first + len(numbers), skips
        if before is not None:
            before[0].result()
            yield before[1:]


def _forward(
    network: InferenceCopy,
    model: Model,
    sites: Sequence[Site],
    images: list[UInt8[np.ndarray, "h w c"]],
) -> Float[Tensor, "b u 3"] | None:
    if not images:
        return None
    batch = torch.from_numpy(np.stack(images)).to(model.device, non_blocking=True)
    try:
        found = network(batch.permute(0, 3, 1, 2).float() / 255)
    # A network may raise anything.
    except Exception as error:
        if is_out_of_memory(error):
            raise RenderError(
                f"memory does not suffice for {len(images)} images at a time in {model.name!r}; "
                "give a smaller batch (--batch, batch=)"
            ) from error
        raise
    return torch.cat([found[site.name] for site in sites], 1).cpu()


def _as_values(ids: list[int], values: Float[Tensor, "b u 3"]) -> UnitValues:
    array = values.numpy()
    return UnitValues(
        ids=np.array(ids, np.int64),
        maxima=np.ascontiguousarray(array[..., 0]),
        means=np.ascontiguousarray(array[..., 1]),
        places=array[..., 2].astype(np.int32),
    )


def _reason(text: str, name: str) -> str:
    """Return why an image could not be read, without its name, so that reasons can be counted."""
    del name
    head, _, rest = text.partition(" as a picture: ")
    return (rest or head).rpartition("; give")[0] or rest or head


def unit_slices(sites: Sequence[Site]) -> dict[str, slice]:
    """Return where the units of each site lie among all of them."""
    begins = np.cumsum([0, *(site.channels for site in sites)])
    return {
        site.name: slice(int(begin), int(begin) + site.channels)
        for site, begin in zip(sites, begins, strict=False)
    }


def pass_about(
    model: Model, sites: Sequence[Site], source: ImageSource, settings: PassSettings, weights: str
) -> dict[str, Any]:
    """Return all that decides the numbers of a pass, as JSON.

    Args:
        model: The network.
        sites: In their order.
        source: The images.
        settings: How it runs.
        weights: SHA-256 of its weights.
    """
    pre = model.spec.preprocess
    return {
        "model": model.name,
        "weights": weights,
        "preprocess": [list(pre.mean), list(pre.std), pre.scale, pre.channel_order],
        "size": list(model.spec.size),
        "channels": model.spec.channels,
        "sites": [[site.name, list(site.span)] for site in sites],
        "images": [len(source), source.fingerprint()],
        "batch": settings.batch,
        "seed": settings.seed,
        "device": model.device.type,
    }
