"""How many units end as grey squares, with and without redirected gradients.

    python -m benchmarks.dead_units googlenet_bvlc inception_3b --images DIR [--weights FILE]

Of all units of a site that fire on any photograph below DIR (short side 256, centre 224), how
many end grey: standard deviation of the image below 0.02, or silent everywhere on the finished
image. Three ways: redirected gradients (the default), none, and maximising the pre-activation.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from featviz.models import Model, load
from featviz.rendering import render

GREY = 0.02
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "redirected": ("", {}),
    "plain": ("", {"redirect_steps": 0}),
    "pre-activation": (".pre", {"redirect_steps": 0}),
}


def photographs(folder: Path) -> Iterator[Tensor]:
    """Give the photographs below a folder in batches of 25."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    prepare = v2.Compose(
        [v2.Resize(256, antialias=True), v2.CenterCrop(224), v2.ToImage(),
         v2.ToDtype(torch.float32, scale=True)]
    )  # fmt: skip
    for first in range(0, len(files), 25):
        batch = []
        for file in files[first : first + 25]:
            with Image.open(file) as picture:
                batch.append(prepare(picture.convert("RGB")))
        yield torch.stack(batch)


@torch.no_grad()
def living(model: Model, site: str, folder: Path) -> list[int]:
    """Return the channels that fire on any photograph."""
    peaks = [model.record(images, [site])[site].amax((0, 2, 3)) for images in photographs(folder)]
    alive: list[int] = (torch.stack(peaks).amax(0) > 0).nonzero().flatten().tolist()
    return alive


@torch.no_grad()
def count_grey(model: Model, site: str, channels: list[int], way: str, steps: int) -> int:
    """Return how many of the units end grey."""
    suffix, settings = WAYS[way]
    unit = f"{site}{suffix}:{','.join(map(str, channels))}"
    images = render(model, unit, steps=steps, **settings).images
    peaks = torch.cat([model.record(b, [site])[site].amax((2, 3)) for b in images.split(16)])
    silent = peaks[torch.arange(len(channels)), channels] <= 0
    return int((silent | (images.flatten(1).std(1) < GREY)).sum())


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("sites", nargs="+")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--every", type=int, default=1, help="only every n-th living unit")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = load(options.model, weights=options.weights)
    rows = []
    for site in options.sites:
        channels = living(model, site, options.images)[:: options.every]
        for way in options.ways:
            grey = count_grey(model, site, channels, way, options.steps)
            rows.append({"site": site, "way": way, "units": len(channels), "grey": grey})
            if not options.json:
                print(f"{site:<14} {way:<15} {grey:>4} of {len(channels)} grey")
    if options.json:
        print(json.dumps({"steps": options.steps, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
