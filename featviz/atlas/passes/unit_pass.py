"""One pass of many images through a network, past many sites: each image is read and run once.

Images come in a seeded random order, so that any beginning of the pass is a random sample, and
neighbours in the stream are random pairs. Reader threads are ahead of the network, and what is kept
of a batch is worked out while the network runs the next one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from featviz.atlas.passes.accumulators import Accumulator, UnitValues
from featviz.atlas.passes.picture_sources import ImageSource
from featviz.atlas.passes.reading_ahead import read_ahead
from featviz.atlas.passes.settings import PassReport, PassSettings, visiting_order
from featviz.atlas.passes.skips import Skips
from featviz.atlas.passes.state import PassState
from featviz.borrowing import own_settings
from featviz.errors import PictureError, RecordError, RenderError, is_out_of_memory
from featviz.inference import InferenceCopy
from featviz.interrupts import held_interrupts
from featviz.kept_memory import kept_memory
from featviz.models.model import Model
from featviz.sites import Site

Progress = Callable[[int, int], None]


def reduce_map(activation: Float[Tensor, "b c ..."]) -> Float[Tensor, "b c 3"]:
    """Return maximum, mean, and place of the maximum of each map.

    The place is `y * width + x`, the first in reading order; -1 for vectors.

    Args:
        activation: [b c h w] or [b c].
    """
    values = activation.float()
    if values.dim() == 2:
        return torch.stack([values, values, torch.full_like(values, -1)], -1)
    # Pooling rows, then columns, is several times as fast as `max` over the map: it knows how to
    # read channels that come last in memory, and gives the place in the same go.
    height, width = values.shape[-2:]
    by_row, places = F.max_pool2d(values, (1, width), return_indices=True)
    largest, row = F.max_pool2d(by_row, (height, 1), return_indices=True)
    place = places.flatten(2).gather(2, row.flatten(2))
    mean = values.permute(0, 2, 3, 1).flatten(1, 2).mean(1)
    return torch.stack([largest.flatten(1), mean, place.flatten(1).float()], -1)


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
        told = "; ".join(f"{name!r}: {reason}" for name, reason in report.skipped.first[:3])
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
                report.skipped.add(name, _reason(error))
            report.used = at - len(report.skipped)
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
        report.used, report.skipped = int(about["used"]), Skips(**about["skipped"])
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
        _running(model, sites) as network,
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


@contextmanager
def _running(model: Model, sites: Sequence[Site]) -> Iterator[InferenceCopy]:
    trace = model.trace(model.spec.size)
    with (
        own_settings(),
        kept_memory(),
        torch.no_grad(),
        InferenceCopy(model, sites, trace=trace, dtype=torch.float32, reduce=reduce_map) as network,
    ):
        yield network


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
        found = network(batch.permute(0, 3, 1, 2).float().div_(255))
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


def _reason(error: PictureError) -> str:
    """Return why an image could not be read, without its name, so that reasons can be counted."""
    _, _, reason = str(error).rpartition(" as a picture: ")
    return reason.rpartition("; give")[0] or reason
