"""How fast an atlas is built, and read: workers beside each other, the driver, a large index.

    python -m benchmarks.atlas [--json] [--units 64] [--records 100000] [--executors serial spawn:2]

The same units are rendered by each executor in one run; a rate counts from the moment when all
workers have answered once, so that their start is told apart. The driver is what is not rendering:
keys, what comes through the pipe, files on disk, logs. The index is made of synthetic records.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from featviz.atlas.building.build import build_atlas, look_before
from featviz.atlas.building.moments import Moment
from featviz.atlas.building.plan import make_atlas_plan
from featviz.atlas.building.request import ModelSource, Request
from featviz.atlas.building.worker import Outcome, Setup, Worker
from featviz.atlas.canonical import content_key
from featviz.atlas.entries import ImageEntry, Settings
from featviz.atlas.layout import create_layout
from featviz.atlas.log import LogWriter
from featviz.atlas.reading import Atlas
from featviz.atlas.store import Store
from featviz.config import RenderConfig

EXECUTORS = ("serial:1", "spawn:1", "spawn:2", "ray:1", "ray:2")
CHANNELS = 1000
PAGE = 60
BATCH = 4


def make_request(units: int, *, steps: int = 16, size: int = 64) -> Request:
    """Return a request for units of squeezenet1_1 fire3."""
    config = RenderConfig(steps=steps, size=size, precision="float32", batch=BATCH)
    source = ModelSource("squeezenet1_1", device="cpu")
    return Request(source, sites=("fire3",), units=f"0-{units - 1}", config=config)


def measure_rate(request: Request, executor: str, root: Path) -> dict[str, Any]:
    """Return images a second of an executor, such as `spawn:2`, and seconds until it works."""
    kind, _, workers = executor.partition(":")
    moments: list[Moment] = []
    build_atlas(root, request, executor=kind, workers=int(workers), progress=moments.append)
    warm = moments[min(2 * int(workers), len(moments) - 2)]
    last = moments[-1]
    return {
        "executor": executor,
        "images": last.made,
        "per_second": (last.made - warm.made) / (last.seconds - warm.seconds),
        "start_s": moments[1].seconds - last.seconds / len(moments),
        "whole_s": last.seconds,
    }


def measure_driver(request: Request, root: Path, *, rounds: int = 8) -> dict[str, float]:
    """Return milliseconds a unit of what the driver does beside rendering."""
    model = request.model.load()
    plan = make_atlas_plan(request, model)
    worker = Worker(Setup(request.model, plan.weights, "webp", 96), model)
    outcomes = [worker.render(batch) for batch in itertools.islice(plan.batches(), 4)]
    units = rounds * sum(len(outcome.batch.jobs) for outcome in outcomes)
    seconds = {"pipe": 0.0, "store": 0.0}
    with Store(root) as store:
        for number in range(rounds):
            for outcome in outcomes:
                start = time.perf_counter()
                data = pickle.dumps(_renamed(outcome, number))
                received = pickle.loads(data)
                middle = time.perf_counter()
                store.add(received.images)
                seconds["pipe"] += middle - start
                seconds["store"] += time.perf_counter() - middle
    start = time.perf_counter()
    jobs = list(plan.jobs())
    with Atlas(root) as atlas:
        look_before(atlas, jobs)
    found = {f"{name}_ms": 1000 * spent / units for name, spent in seconds.items()}
    found["plan_ms"] = 1000 * (time.perf_counter() - start) / len(jobs)
    return found | {"all_ms": sum(found.values())}


def _renamed(outcome: Outcome, number: int) -> Outcome:
    """Return an outcome with other keys, so that its files are new."""
    images = tuple(
        dataclasses.replace(
            image, parts={**image.parts, "key": content_key([image.parts["key"], number])}
        )
        for image in outcome.images
    )
    return dataclasses.replace(outcome, images=images)


def write_records(root: Path, count: int) -> None:
    """Fill the log of an atlas with records of images that are not there."""
    weights, settings = content_key("weights"), content_key("settings")
    with LogWriter(create_layout(root).records) as log:
        log.append([Settings(settings, {"schema": 1}).to_line()])
        for first in range(0, count, CHANNELS):
            log.append(
                _entry(number, weights, settings).to_line()
                for number in range(first, min(first + CHANNELS, count))
            )


def _entry(number: int, weights: str, settings: str) -> ImageEntry:
    site, channel = divmod(number, CHANNELS)
    key, score = content_key(number), (number * 7919 % 10007) / 100
    names = ("sharpness", "high", "slope", "saturation", "self_identification", "whitened")
    return ImageEntry(
        key=key, job=content_key([number]), model="net", weights=weights, site=f"site{site}",
        channel=channel, variant="positive", image=0, label=f"site{site}:{channel}", score=score,
        dead=False, failed=False, metrics={name: score / (k + 1) for k, name in enumerate(names)},
        settings=settings, kind="webp", height=128, width=128, bytes=10_000, sha256=key,
        thumb_sha256=key, seconds=1.0, record={"unit": f"site{site}:{channel}", "steps_done": 256},
    )  # fmt: skip


def measure_index(root: Path, records: int) -> dict[str, float]:
    """Return seconds to make the index, and milliseconds of what an app asks for."""
    write_records(root, records)
    start = time.perf_counter()
    with Atlas(root) as atlas:
        rebuild_s = time.perf_counter() - start
        sites = atlas.sites("net")
        picked = [sites[k * 37 % len(sites)] for k in range(20)]

        def unit(site: str) -> object:
            return atlas.images("net", site, channel=7)

        def page(site: str) -> object:
            return atlas.images("net", site, sort="sharpness", descending=True, limit=PAGE)

        return {
            "records": records,
            "rebuild_s": rebuild_s,
            "unit_ms": _slowest_ms(unit, picked),
            "sorted_page_ms": _slowest_ms(page, picked),
        }


def _slowest_ms(ask: Callable[[str], object], sites: list[str]) -> float:
    spent = []
    for site in sites:
        start = time.perf_counter()
        ask(site)
        spent.append(1000 * (time.perf_counter() - start))
    return max(spent)


def measure(executors: list[str], *, units: int, records: int) -> dict[str, Any]:
    """Return all figures."""
    request = make_request(units)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        load = os.getloadavg()[0]
        rates = [measure_rate(request, each, root / each.replace(":", "")) for each in executors]
        return {
            "cores": os.cpu_count(),
            "load_before": load,
            "rates": rates,
            "driver": measure_driver(request, root / "driver"),
            "index": measure_index(root / "index", records),
            "load_after": os.getloadavg()[0],
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--executors", nargs="*", default=list(EXECUTORS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.executors, units=options.units, records=options.records)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['cores']} cores, load {found['load_before']:.1f} to {found['load_after']:.1f}")
    for rate in found["rates"]:
        print(
            f"{rate['executor']:10} {rate['per_second']:6.2f} images/s, works after "
            f"{rate['start_s']:.1f} s, {rate['images']} images in {rate['whole_s']:.1f} s"
        )
    for part in ("driver", "index"):
        print(part + ": " + ", ".join(f"{name} {n:.2f}" for name, n in found[part].items()))


if __name__ == "__main__":
    main()
