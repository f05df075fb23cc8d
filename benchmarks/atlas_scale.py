"""What an atlas of a hundred networks would take: bytes, hours, and what breaks first.

    python -m benchmarks.atlas_scale [--folder DIR] [--json]

Measured here: how large pictures, small pictures and lines of logs are; how fast one writer keeps
them, and how fast they are checked, indexed and handed on, on the disk of DIR; how many units the
networks have and how many multiply-adds a pass up to each takes. Assumed, and marked so: what a
GPU does.
"""

import argparse
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from featviz.atlas import Atlas, NewImage, Store
from featviz.atlas.canonical import content_key
from featviz.atlas.checking.verify import verify
from featviz.atlas.exporting.export import export_atlas
from featviz.atlas.pictures import thumb_bytes, webp_bytes
from featviz.models import Model, load
from featviz.rendering import render

NETWORKS = (
    "squeezenet1_1", "efficientnet_lite0",
    *(f"torchvision:{name}" for name in (
        "alexnet", "vgg16_bn", "googlenet", "inception_v3", "resnet18", "resnet50", "resnet152",
        "resnext50_32x4d", "wide_resnet50_2", "densenet121", "mobilenet_v2", "mobilenet_v3_large",
        "shufflenet_v2_x1_0", "mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s",
        "regnet_y_3_2gf", "convnext_tiny",
    )),
)  # fmt: skip
COUNT = 100
GPUS = 64
STEPS, SIDE = 256, 128
BATCH = 64
# Not measured: a step of 64 images takes as long as its kernels take to start, or as its
# multiply-adds at a tenth of what such a GPU does with matrices alone.
STEP_S = 0.010
GPU_MACS = 40e12 / 2
PASSES = 2.0
"""Of the network a step: forward, and backward to the image alone."""


def units_and_macs(model: Model) -> tuple[int, float, float]:
    """Return how many units the sites of a network have, and what passes up to them take.

    Returns:
        Units; multiply-adds of one pass for each of them, summed; seconds of GPU time, assumed.
    """
    modules = dict(model.module.named_modules())
    total, upto = 0.0, []
    for call in model.trace((SIDE, SIDE)).calls:
        module = modules.get(call.path)
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            places = call.shape[1:-1] if isinstance(module, torch.nn.Linear) else call.shape[2:]
            total += module.weight.numel() * math.prod(places)
        upto.append(total)
    units, macs, seconds = 0, 0.0, 0.0
    for site in model.sites():
        need = upto[min(site.order, len(upto) - 1)]
        units += site.channels
        macs += need * site.channels
        step = max(STEP_S, PASSES * need * BATCH / GPU_MACS)
        seconds += STEPS * step * site.channels / BATCH
    return units, macs, seconds


def sample_images(model: Model, unit: str) -> tuple[list[NewImage], float]:
    """Render some units, and return them as an atlas keeps them, and image-steps a second."""
    start = time.perf_counter()
    result = render(model, unit, steps=STEPS, size=SIDE, progress=False)
    rate = len(result) * STEPS / (time.perf_counter() - start)
    shared = {name: value for name, value in result.record.items() if name != "images"}
    shared["request"] = {"arguments": shared["request"]["arguments"]}
    kept = []
    for own, picture in zip(result.record["images"], result.pictures(), strict=True):
        parts = {
            "key": content_key(own), "job": content_key([own]), "model": model.name,
            "weights": result.record["model"]["weights_sha256"], "site": unit.partition(":")[0],
            "channel": int(own["unit"].rpartition(":")[2]), "variant": "positive", "image": 0,
            "label": own["unit"], "score": own["score"], "dead": own["dead"], "failed": False,
            "metrics": {k: v for k, v in own["metrics"].items() if v is not None},
            "kind": "webp", "height": SIDE, "width": SIDE, "seconds": 1.0, "record": own,
        }  # fmt: skip
        data = webp_bytes(picture, quality=90)
        kept.append(NewImage(parts, data, thumb_bytes(picture, 96), shared))
    return kept, rate


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds some work took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_disk(images: Sequence[NewImage], folder: Path, count: int) -> dict[str, float]:
    """Return images a second of the writer, the check, the index and the export, and bytes."""
    root = folder / "atlas"

    def write() -> None:
        with Store(root) as store:
            for first in range(0, count, BATCH):
                batch = []
                for k in range(first, min(first + BATCH, count)):
                    image = images[k % len(images)]
                    own = {"key": content_key(k), "job": content_key([k]), "channel": k}
                    batch.append(replace(image, parts={**image.parts, **own}))
                store.add(batch)

    found = {"write": count / timed(write)}
    found["index"] = count / timed(lambda: Atlas(root).close())
    found["verify"] = count / timed(lambda: verify(root))
    shards = folder / "shards"
    found["export"] = count / timed(lambda: export_atlas(root, shards, form="webdataset"))
    pictures = sum(len(image.picture) for image in images) / len(images)
    thumbs = sum(len(image.thumb) for image in images) / len(images)
    lines = sum(path.stat().st_size for path in (root / "records").iterdir()) / count
    index = (root / "index.sqlite").stat().st_size / count
    return found | {"picture": pictures, "thumb": thumbs, "line": lines, "row": index}


def measure(folder: Path, count: int) -> dict[str, Any]:
    """Return everything that is measured, and the estimate."""
    rows: list[dict[str, Any]] = []
    for name in NETWORKS:
        model = load(name, weights=None if ":" not in name else "random")
        units, macs, seconds = units_and_macs(model)
        rows.append({"model": name, "units": units, "gmacs": macs / units / 1e9, "gpu_s": seconds})
    images: list[NewImage] = []
    rates = []
    model = load("squeezenet1_1")
    for unit in ("fire3:0-7", "fire8:0-7"):
        some, rate = sample_images(model, unit)
        images += some
        rates.append(rate)
    disk = measure_disk(images, folder, count)
    total = sum(row["units"] for row in rows) / len(rows) * COUNT
    gpu_s = sum(row["gpu_s"] for row in rows) / len(rows) * COUNT
    each = disk["picture"] + disk["thumb"] + disk["line"]
    return {
        "networks": rows,
        "cpu_threads": torch.get_num_threads(),
        "cpu_image_steps_per_s": rates,
        "images": count,
        "disk": disk,
        "estimate": {
            "images": total,
            "files": 2 * total,
            "bytes": total * each,
            "index_bytes": total * disk["row"],
            "gpu_hours_assumed": gpu_s / 3600,
            "hours_assumed": gpu_s / 3600 / GPUS,
            "images_per_s_assumed": total / (gpu_s / GPUS),
            "one_writer_hours": total / disk["write"] / 3600,
            "index_hours": total / disk["index"] / 3600,
            "verify_hours": total / disk["verify"] / 3600,
        },
    }


def main() -> None:
    """Print the measurements and the estimate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to write; default: the temporary folder")
    parser.add_argument("--images", type=int, default=2000, help="how many are written")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        found = measure(folder, options.images)
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for row in found["networks"]:
        print(f"{row['model']:32} {row['units']:8,} units  {row['gmacs']:6.2f} GMAC a pass, mean")
    disk, guess = found["disk"], found["estimate"]
    print(f"CPU, squeezenet1_1 fire3 and fire8: {found['cpu_image_steps_per_s']} image-steps/s")
    print("bytes an image: " + ", ".join(f"{n} {disk[n]:,.0f}" for n in _BYTES))
    print("images a second: " + ", ".join(f"{n} {disk[n]:,.0f}" for n in _RATES))
    print(f"{COUNT} networks on {GPUS} GPUs, {STEPS} steps, {SIDE} px:")
    for name, value in guess.items():
        print(f"  {name:22} {value:,.1f}")


_BYTES = ("picture", "thumb", "line", "row")
_RATES = ("write", "index", "verify", "export")

if __name__ == "__main__":
    main()
