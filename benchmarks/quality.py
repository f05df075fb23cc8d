"""Is each unit the one that its own image excites most? featviz beside Lucent, in one run.

    python -m benchmarks.quality --images DIR [--model squeezenet1_1 --sites fire4 fire7 fire9]
                                 [--weights FILE] [--units 64] [--steps 256] [--size 128]
                                 [--ways featviz contrast lucent] [--lucent-units 16]
                                 [--lucent-steps 512] [--results FILE.jsonl] [--json]

For each site, units are drawn by seed among those that fire on any photograph below DIR. All ways
render the same units of the same network: `featviz` with its defaults, `contrast` with
`RenderConfig.contrast` besides, both in batches, `lucent` with Lucent's defaults, one by one, which
takes half a minute a unit: `--lucent-units` keeps the first so many of the units drawn. Lucent's
images are made at the same size and, as its default has it, enlarged to 224 px before the network
sees them.

top-1 is the share of units that are first among all units of the site on their own image, each
unit's mean over the map counted in standard deviations over photographs. Images are judged at the
size that they were made at, and, `at own`, enlarged to the network's own size, which is what
Lucent's images were made for.

The photographs are split, every other one: `contrast` sees the first half alone, and all ways are
judged by the second half alone. A unit that is silent on all of the second half has no scale there
and counts as not identified. `own` is the median, over the units, of the unit's own score beside
that of `featviz`: what the picture lost in strength.

With `--results` each unit's verdict is a line of that file as soon as it is known, and units that
stand there are not rendered again: a run may be stopped and taken up.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.lucent import patched_lucent
from featviz.config import RenderConfig
from featviz.metrics import (
    Moments,
    PictureFolder,
    Reference,
    score_images,
    self_identification,
)
from featviz.models import Model, load
from featviz.models.weights import digest
from featviz.objectives import channel
from featviz.rendering import render
from featviz.rivals import rivals_of, save_rivals
from featviz.sites import Site

MODEL, SITES = "squeezenet1_1", ("fire4", "fire7", "fire9")
WAYS = ("featviz", "contrast", "lucent")
LUCENT_STEPS = 512  # the default of its render_vis

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What all units have in common.

    Attributes:
        model: The network.
        seen: File of what the network does on the photographs that `contrast` may use.
        judge: The others, and what the network makes of them.
        size: Side of the images, px.
        steps: Way -> steps of its optimiser.
        keys: What the results depend on besides site, way and unit.
    """

    model: Model
    seen: Path
    judge: Reference
    size: int
    steps: dict[str, int]
    keys: Row


def choose_units(halves: list[Reference], site: str, *, units: int, seed: int) -> list[int]:
    """Return channels that fire on any photograph, drawn by seed, in the order of the draw."""
    fires = torch.stack([half.peaks(site) > 0 for half in halves]).any(0)
    alive = fires.nonzero().flatten()
    generator = torch.Generator().manual_seed(seed)
    drawn: list[int] = alive[torch.randperm(len(alive), generator=generator)[:units]].tolist()
    return drawn


def ours(
    model: Model, site: str, channels: list[int], *, steps: int, size: int,
    rivals: Path | None = None,
) -> Tensor:  # fmt: skip
    """Return featviz's images, with its defaults, and contrasted where there are statistics."""
    units = f"{site}:{','.join(map(str, channels))}"
    config = RenderConfig(steps=steps, size=size, contrast=str(rivals) if rivals else None)
    return render(model, units, config=config, progress=False).images


def lucent(model: Model, site: Site, channel_index: int, *, steps: int, size: int) -> Tensor:
    """Return Lucent's image of a channel, with its defaults.

    The network is featviz's `Model` around the same module, which normalises by itself what
    Lucent would normalise by ImageNet's mean and spread, whatever the network expects.
    """
    (part,) = site.parts
    if part.pre or part.index:
        raise SystemExit(f"Lucent has no name for {site.name!r}; choose the output of a module")
    layer = f"module_{part.path.replace('.', '_')}"
    render_module, objectives, param = patched_lucent(model.device)
    torch.manual_seed(channel_index)
    try:
        (found,) = render_module.render_vis(
            model,
            objectives.channel(layer, site.span[0] + channel_index),
            param_f=lambda: param.image(size),
            thresholds=(steps,),
            preprocess=False,
            progress=False,
            show_image=False,
        )
    finally:
        for module in model.modules():  # Lucent leaves its hooks
            module._forward_hooks.clear()
    return torch.from_numpy(found).permute(0, 3, 1, 2).float()


def images_of(bench: Bench, site: str, way: str, channels: list[int]) -> Tensor:
    """Return one image a channel, made in one of the ways."""
    steps, size = bench.steps[way], bench.size
    if way != "lucent":
        rivals = bench.seen if way == "contrast" else None
        return ours(bench.model, site, channels, steps=steps, size=size, rivals=rivals)
    found = bench.model.site_table(bench.model.spec.size).resolve(site)
    made = [lucent(bench.model, found, k, steps=steps, size=size) for k in channels]
    return torch.cat(made)


def judge(bench: Bench, site: str, channels: list[int], images: Tensor) -> list[Row]:
    """Return of each unit its place on its own image, at both sizes, and its own score."""
    moments: Moments = bench.judge.moments(site)
    enlarged = torch.nn.functional.interpolate(images, bench.model.spec.size, mode="bilinear")
    made, own = (
        self_identification(bench.model, site, channels, shown, moments)
        for shown in (images, enlarged)
    )
    with torch.no_grad():
        objectives = [channel(site, k) for k in channels]
        score = score_images(bench.model, objectives, images.to(bench.model.device)).cpu()
    return [
        {
            "unit": channels[k],
            "rank": int(made.rank[k]),
            "first": int(made.first[k]),
            "z": float(made.z[k].nan_to_num()),
            "rank_at_own_size": int(own.rank[k]),
            "score": float(score[k]),
        }
        for k in range(len(channels))
    ]


def measure(bench: Bench, site: str, way: str, channels: list[int], file: Path | None) -> list[Row]:
    """Return a row a unit: those that stand in the file, and the others rendered and judged."""
    common = {**bench.keys, "site": site, "way": way, "steps": bench.steps[way]}
    if file is not None:
        end_line(file)
    known = {row["unit"]: row for row in read_rows(file) if common.items() <= row.items()}
    waiting = [k for k in channels if k not in known]
    # Many at a time where that is quicker; few enough that little is lost.
    at_a_time = 1 if way == "lucent" else RenderConfig().batch_on(bench.model.device)
    for first in range(0, len(waiting), at_a_time):
        chunk = waiting[first : first + at_a_time]
        start = time.perf_counter()
        images = images_of(bench, site, way, chunk)
        seconds = (time.perf_counter() - start) / len(chunk)
        rows = [{**common, **row, "seconds": seconds} for row in judge(bench, site, chunk, images)]
        known |= {row["unit"]: row for row in rows}
        if file is not None:
            with file.open("a") as out:
                out.writelines(json.dumps(row) + "\n" for row in rows)
    return [known[k] for k in channels]


def end_line(file: Path) -> None:
    """Drop a last line that was cut off, which would swallow the next one."""
    if file.exists() and not (text := file.read_text()).endswith("\n"):
        file.write_text(text[: text.rfind("\n") + 1])


def read_rows(file: Path | None) -> list[Row]:
    """Return the lines of a file of results; a last line that was cut off is left out."""
    if file is None or not file.exists():
        return []
    lines = file.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def summary(rows: Sequence[Row], plain: Sequence[Row]) -> Row:
    """Return what the units of one site and way come to.

    Args:
        rows: One a unit.
        plain: Those of featviz's defaults, for units among these; may be empty.
    """
    beside = {row["unit"]: row["score"] for row in plain}
    shares = [row["score"] / beside[row["unit"]] for row in rows if beside.get(row["unit"])]
    first = sum(row["rank"] == 1 for row in rows)
    return {
        "units": len(rows),
        "first": first,
        "top1": first / len(rows),
        "top1_at_own_size": sum(row["rank_at_own_size"] == 1 for row in rows) / len(rows),
        "median_z": statistics.median(row["z"] for row in rows),
        "own": statistics.median(shares) if shares else None,
        "seconds": sum(row["seconds"] for row in rows),
        "channels": [row["unit"] for row in rows],
        "ranks": [row["rank"] for row in rows],
    }


def compare(
    bench: Bench, halves: list[Reference], sites: list[str], options: argparse.Namespace
) -> Iterator[Row]:
    """Give a row a site and way, each as soon as it is known.

    Where Lucent has fewer units, the others' figures on just these follow, marked by a star.
    """
    for site in sites:
        channels = choose_units(halves, site, units=options.units, seed=options.seed)
        few = channels[: options.lucent_units]
        made: dict[str, list[Row]] = {}
        for way in options.ways:
            units = few if way == "lucent" else channels
            made[way] = measure(bench, site, way, units, options.results)
            plain = made.get("featviz", [])
            yield {"site": site, "way": way, **summary(made[way], plain)}
        if "lucent" in made and len(few) < len(channels):
            for way in made.keys() - {"lucent"}:
                same = [row for row in made[way] if row["unit"] in set(few)]
                yield {"site": site, "way": f"{way}*", **summary(same, made.get("featviz", []))}


def make_bench(options: argparse.Namespace, work: Path) -> tuple[Bench, list[Reference]]:
    """Return what all units have in common, and both halves of the photographs.

    Args:
        options: Of the command line.
        work: Folder for the file of statistics.
    """
    model = load(options.model, weights=options.weights).to(options.device)
    folder = PictureFolder.open(options.images)
    seen, unseen = (PictureFolder(folder.path, folder.files[k::2]) for k in (0, 1))
    halves = [Reference(model, half) for half in (seen, unseen)]
    for half in halves:
        half.gather(options.sites)
    names = "\n".join(file.name for file in folder.files)
    keys = {
        "model": options.model,
        "weights_sha256": digest(model.module),
        "photographs": hashlib.sha256(names.encode()).hexdigest(),
        "size_px": options.size,
    }
    steps = dict.fromkeys(WAYS, options.steps) | {"lucent": options.lucent_steps}
    rivals = work / "rivals.npz"
    save_rivals(rivals_of(halves[0], options.sites), rivals)
    return Bench(model, rivals, halves[1], options.size, steps, keys), halves


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--sites", nargs="+", default=list(SITES))
    parser.add_argument("--weights")
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--steps", type=int, default=RenderConfig().steps, help="featviz's")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of units")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--lucent-units", type=int, help="first so many of the units [all]")
    parser.add_argument("--lucent-steps", type=int, default=LUCENT_STEPS)
    parser.add_argument("--results", type=Path, help="JSON lines, one a unit; taken up if there")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module=r"lucent|kornia")
    with tempfile.TemporaryDirectory() as work:
        bench, halves = make_bench(options, Path(work))
        report(bench, compare(bench, halves, options.sites, options), options)


def report(bench: Bench, rows: Iterator[Row], options: argparse.Namespace) -> None:
    """Print a table, line by line as the rows come, or one JSON document."""
    shared = {**bench.keys, "seed": options.seed, "steps": bench.steps}
    if options.json:
        print(json.dumps({**shared, "rows": list(rows)}, indent=2))
        return
    print(" ".join(f"{key}={value}" for key, value in shared.items()))
    print(
        "site              way        first   top-1  at own  median z    own  seconds", flush=True
    )
    for row in rows:
        own = "" if row["own"] is None else f"{row['own']:.2f}"
        print(
            f"{row['site']:<17} {row['way']:<10} {row['first']:>2}/{row['units']:<3} "
            f"{row['top1']:>6.1%} {row['top1_at_own_size']:>7.1%} {row['median_z']:>9.1f} "
            f"{own:>6} {row['seconds']:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
