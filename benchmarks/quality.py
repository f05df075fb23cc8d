"""Is each unit the one that its own image excites most? featviz beside Lucent, in one run.

    python -m benchmarks.quality --images DIR [--model squeezenet1_1 --sites fire4 fire7 fire9]
                                 [--weights FILE] [--units 64] [--steps 256] [--size 128] [--json]

For each site, units are drawn by seed among those that fire on any photograph below DIR. Both
render the same units of the same network with their defaults: featviz in batches, Lucent one by
one. Lucent's images are made at the same size and, as its default has it, enlarged to 224 px
before the network sees them; all images are judged at the size that they were made at. top-1 is
the share of units that are first among all units of the site on their own image, each unit's mean
over the map counted in standard deviations over the photographs.
"""

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.lucent import patched_lucent
from featviz.config import RenderConfig
from featviz.metrics import PictureFolder, Reference, self_identification
from featviz.models import Model, load
from featviz.rendering import render
from featviz.sites import Site

MODEL, SITES = "squeezenet1_1", ("fire4", "fire7", "fire9")


def choose_units(reference: Reference, site: str, *, units: int, seed: int) -> list[int]:
    """Return channels that fire on any photograph, drawn by seed, in order."""
    alive = (reference.peaks(site) > 0).nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    drawn = alive[torch.randperm(len(alive), generator=generator)[:units]]
    found: list[int] = drawn.sort().values.tolist()
    return found


def ours(model: Model, site: str, channels: list[int], *, steps: int, size: int) -> Tensor:
    """Return featviz's images, with its defaults."""
    units = f"{site}:{','.join(map(str, channels))}"
    return render(model, units, steps=steps, size=size, progress=False).images


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
    model: Model, folder: PictureFolder, sites: list[str], *, units: int, seed: int,
    steps: int, size: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a row a site and program."""
    reference = Reference(model, folder)
    reference.gather(sites)
    rows = []
    for name in sites:
        channels = choose_units(reference, name, units=units, seed=seed)
        site = model.site_table((224, 224)).resolve(name)
        for program in ("featviz", "lucent"):
            start = time.perf_counter()
            images = (
                ours(model, name, channels, steps=steps, size=size)
                if program == "featviz"
                else lucent(model, site, channels, steps=steps, size=size)
            )
            seconds = time.perf_counter() - start
            found = self_identification(model, name, channels, images, reference.moments(name))
            ranks, z = found.rank.tolist(), found.z.tolist()
            rows.append(
                {
                    "site": name,
                    "program": program,
                    "units": len(channels),
                    "first": ranks.count(1),
                    "top1": ranks.count(1) / len(channels),
                    "median_z": statistics.median(z),
                    "seconds": seconds,
                    "channels": channels,
                    "ranks": ranks,
                }
            )
    return rows


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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module=r"lucent|kornia")
    model = load(options.model, weights=options.weights).to(options.device)
    folder = PictureFolder.open(options.images)
    rows = measure(
        model, folder, options.sites, units=options.units, seed=options.seed,
        steps=options.steps, size=options.size,
    )  # fmt: skip
    shared = {"model": options.model, "photographs": len(folder), "seed": options.seed,
              "steps": options.steps, "size_px": options.size}  # fmt: skip
    if options.json:
        print(json.dumps({**shared, "rows": rows}, indent=2))
        return
    print(" ".join(f"{key}={value}" for key, value in shared.items()))
    print("site              program  first   top-1  median z  seconds")
    for row in rows:
        print(
            f"{row['site']:<17} {row['program']:<8} {row['first']:>2}/{row['units']:<3} "
            f"{row['top1']:>6.1%} {row['median_z']:>9.1f} {row['seconds']:>8.0f}"
        )


if __name__ == "__main__":
    main()
