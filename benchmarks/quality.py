"""Is each unit the one that its own image excites most? featviz beside Lucent, in one run.

    python -m benchmarks.quality --images DIR [--model squeezenet1_1 --sites fire4 fire7 fire9]
                                 [--weights FILE] [--units 64] [--steps 256] [--size 128]
                                 [--ways featviz contrast lucent] [--json]

For each site, units are drawn by seed among those that fire on any photograph below DIR. All ways
render the same units of the same network: `featviz` with its defaults, `contrast` with
`RenderConfig.contrast` besides, both in batches, `lucent` with Lucent's defaults, one by one.
Lucent's images are made at the same size and, as its default has it, enlarged to 224 px before the
network sees them; all images are judged at the size that they were made at. top-1 is the share of
units that are first among all units of the site on their own image, each unit's mean over the map
counted in standard deviations over photographs.

The photographs are split, every other one: `contrast` sees the first half alone, and all ways are
judged by the second half alone. A unit that is silent on all of the second half has no scale there
and counts as not identified. `own` is the median, over the units, of the unit's own score beside
that of `featviz`: what the picture lost in strength.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.lucent import patched_lucent
from featviz.config import RenderConfig
from featviz.metrics import PictureFolder, Reference, score_images, self_identification
from featviz.models import Model, load
from featviz.objectives import channel
from featviz.rendering import render
from featviz.sites import Site

MODEL, SITES = "squeezenet1_1", ("fire4", "fire7", "fire9")
WAYS = ("featviz", "contrast", "lucent")


def choose_units(halves: list[Reference], site: str, *, units: int, seed: int) -> list[int]:
    """Return channels that fire on any photograph, drawn by seed, in order."""
    fires = torch.stack([half.peaks(site) > 0 for half in halves]).any(0)
    alive = fires.nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    drawn = alive[torch.randperm(len(alive), generator=generator)[:units]]
    found: list[int] = drawn.sort().values.tolist()
    return found


def ours(
    model: Model, site: str, channels: list[int], *, steps: int, size: int,
    photographs: PictureFolder | None = None,
) -> Tensor:  # fmt: skip
    """Return featviz's images, with its defaults, and contrasted where there are photographs."""
    units = f"{site}:{','.join(map(str, channels))}"
    with tempfile.TemporaryDirectory() as folder:
        for k, file in enumerate(photographs.files if photographs else ()):
            (Path(folder) / f"{k:06}{file.suffix}").symlink_to(file.resolve())
        rivals = folder if photographs else None
        config = RenderConfig(steps=steps, size=size, contrast=rivals)
        return render(model, units, config=config, progress=False).images


def lucent(model: Model, site: Site, channels: list[int], *, steps: int, size: int) -> Tensor:
    """Return Lucent's images, with its defaults.

    The network is featviz's `Model` around the same module, which normalises by itself what
    Lucent would normalise by ImageNet's mean and spread, whatever the network expects.
    """
    (part,) = site.parts
    if part.pre or part.index:
        raise SystemExit(f"Lucent has no name for {site.name!r}; choose the output of a module")
    layer = f"module_{part.path.replace('.', '_')}"
    render_module, objectives, param = patched_lucent(model.device)
    images = []
    for k in channels:
        torch.manual_seed(k)
        try:
            (found,) = render_module.render_vis(
                model,
                objectives.channel(layer, site.span[0] + k),
                param_f=lambda: param.image(size),
                thresholds=(steps,),
                preprocess=False,
                progress=False,
                show_image=False,
            )
        finally:
            for module in model.modules():  # Lucent leaves its hooks
                module._forward_hooks.clear()
        images.append(torch.from_numpy(found).permute(0, 3, 1, 2))
    return torch.cat(images).float()


def measure(
    model: Model, folder: PictureFolder, sites: list[str], *, ways: list[str], units: int,
    seed: int, steps: int, size: int,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Give a row a site and way, each as soon as it is known."""
    seen, unseen = (PictureFolder(folder.path, folder.files[k::2]) for k in (0, 1))
    halves = [Reference(model, half) for half in (seen, unseen)]
    for half in halves:
        half.gather(sites)
    for name in sites:
        channels = choose_units(halves, name, units=units, seed=seed)
        site = model.site_table((224, 224)).resolve(name)
        strength: dict[str, Tensor] = {}
        for way in ways:
            start = time.perf_counter()
            if way == "lucent":
                images = lucent(model, site, channels, steps=steps, size=size)
            else:
                photographs = seen if way == "contrast" else None
                images = ours(
                    model, name, channels, steps=steps, size=size, photographs=photographs
                )
            seconds = time.perf_counter() - start
            with torch.no_grad():
                shown = images.to(model.device)
                own = score_images(model, [channel(name, k) for k in channels], shown).cpu()
            strength[way] = own
            row = judge(model, name, channels, images, halves[1])
            share = (own / strength["featviz"]).median().item() if "featviz" in strength else None
            yield {"site": name, "way": way, **row, "own": share, "seconds": seconds}


def judge(
    model: Model, site: str, channels: list[int], images: Tensor, reference: Reference
) -> dict[str, Any]:
    """Return how many units are first on their own image."""
    found = self_identification(model, site, channels, images, reference.moments(site))
    ranks = found.rank.tolist()
    return {
        "units": len(channels),
        "first": ranks.count(1),
        "top1": ranks.count(1) / len(channels),
        "median_z": statistics.median(found.z.nan_to_num().tolist()),
        "channels": channels,
        "ranks": ranks,
    }


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--sites", nargs="+", default=list(SITES))
    parser.add_argument("--weights")
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--steps", type=int, default=RenderConfig().steps)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of units")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module=r"lucent|kornia")
    model = load(options.model, weights=options.weights).to(options.device)
    folder = PictureFolder.open(options.images)
    rows = measure(
        model, folder, options.sites, ways=options.ways, units=options.units, seed=options.seed,
        steps=options.steps, size=options.size,
    )  # fmt: skip
    shared = {"model": options.model, "photographs": len(folder), "seed": options.seed,
              "steps": options.steps, "size_px": options.size}  # fmt: skip
    if options.json:
        print(json.dumps({**shared, "rows": list(rows)}, indent=2))
        return
    print(" ".join(f"{key}={value}" for key, value in shared.items()))
    print("site              way      first   top-1  median z    own  seconds", flush=True)
    for row in rows:
        own = "" if row["own"] is None else f"{row['own']:.2f}"
        print(
            f"{row['site']:<17} {row['way']:<8} {row['first']:>2}/{row['units']:<3} "
            f"{row['top1']:>6.1%} {row['median_z']:>9.1f} {own:>6} {row['seconds']:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
