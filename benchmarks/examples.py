"""How much of the bare forward pass a pass for dataset examples keeps.

    python -m benchmarks.examples squeezenet1_1 --sites 'fire*' [--images DIR]

Paired in one run, all ways in turn in each round; medians of rates, and of shares within a round:

    forward     the network alone, as it is, in eval mode without gradients, over images in memory
    kept        the same, with freed memory kept in the process, as passes do
    copy        the same images through the copy that passes run, up to the last site
    examples    `collect_examples` over the same images in memory: all sites, all that is kept
    files       with --images: `collect_examples` over a folder of photographs
    read+run    with --images: files decoded by the same threads, then the network alone

`examples / kept` is what the pass itself costs; `files / read+run` the same where photographs
have to be decoded, which on a processor takes the cores that the network wants. Both by the clock
and by processor time, which other programs on the machine disturb less.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from featviz.atlas.examples.collecting import ExampleSettings, collect_examples
from featviz.atlas.passes.picture_sources import FolderSource
from featviz.atlas.passes.reading_ahead import read_ahead
from featviz.atlas.passes.unit_pass import reduce_map
from featviz.borrowing import borrowed, own_settings
from featviz.cli.atlas.places import match_sites
from featviz.inference import InferenceCopy
from featviz.kept_memory import kept_memory
from featviz.models import Model, load

Batch = list[np.ndarray]


def to_tensor(images: Batch, model: Model) -> torch.Tensor:
    """Return a batch 0..1."""
    return torch.from_numpy(np.stack(images)).to(model.device).permute(0, 3, 1, 2).float() / 255


def wait(model: Model) -> None:
    """Wait until the device is done."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


class Ways:
    """The same images, several ways.

    Args:
        model: The network.
        sites: Names.
        images: In memory, [n h w c], 8-bit.
        folder: Of photographs, or None.
        settings: Of the pass.
    """

    def __init__(
        self,
        model: Model,
        sites: list[str],
        images: np.ndarray,
        folder: FolderSource | None,
        settings: ExampleSettings,
    ) -> None:
        self.model, self.sites, self.images = model, sites, images
        self.folder, self.settings = folder, settings

    def all(self) -> dict[str, Callable[[], int]]:
        """Return functions that run some images and return how many."""
        ways = {
            "forward": self.forward,
            "kept": kept_memory()(self.forward),
            "copy": kept_memory()(self.copy),
            "examples": self.examples,
        }
        if self.folder is not None:
            ways |= {"read+run": kept_memory()(self.read_and_run), "files": self.files}
        return ways

    def forward(self) -> int:
        """Run the network alone."""
        model, batch = self.model, self.settings.batch
        with own_settings(), borrowed(model.module), torch.no_grad():
            model.module.eval()
            for first in range(0, len(self.images), batch):
                images = to_tensor(list(self.images[first : first + batch]), model)
                model.module(model.network_input(images))
        wait(model)
        return len(self.images)

    def copy(self) -> int:
        """Run the copy that passes use, and reduce each map."""
        model, batch = self.model, self.settings.batch
        resolved = [model.site_table().resolve(name) for name in self.sites]
        trace = model.trace(model.spec.size)
        with (
            own_settings(),
            torch.no_grad(),
            InferenceCopy(
                model, resolved, trace=trace, dtype=torch.float32, reduce=reduce_map
            ) as network,
        ):
            for first in range(0, len(self.images), batch):
                network(to_tensor(list(self.images[first : first + batch]), model))
        wait(model)
        return len(self.images)

    def examples(self) -> int:
        """Collect examples of images in memory."""
        found = collect_examples(self.model, self.sites, self.images, settings=self.settings)
        return found.report.used

    def files(self) -> int:
        """Collect examples of photographs."""
        assert self.folder is not None
        found = collect_examples(self.model, self.sites, self.folder, settings=self.settings)
        return found.report.used

    def read_and_run(self) -> int:
        """Decode photographs ahead, and run the network alone."""
        folder, model = self.folder, self.model
        assert folder is not None
        size, channels, batch = model.spec.size, model.spec.channels, self.settings.batch
        threads = self.settings.loaders or folder.loaders
        pictures = read_ahead(
            lambda number: folder.read(number, size, channels),
            range(len(folder)),
            threads=threads,
            ahead=2 * batch + 2 * threads,
        )
        with own_settings(), borrowed(model.module), torch.no_grad():
            model.module.eval()
            for first in range(0, len(folder), batch):
                images = [next(pictures) for _ in range(min(batch, len(folder) - first))]
                model.module(model.network_input(to_tensor(images, model)))
        wait(model)
        return len(folder)


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
Rates = dict[str, dict[str, list[float]]]


def measure(ways: dict[str, Callable[[], int]], rounds: int) -> Rates:
    """Return the images a second of each way, by clock and round; a first round warms up."""
    rates: Rates = {clock: {name: [] for name in ways} for clock in CLOCKS}
    for number in range(rounds + 1):
        for name, run in ways.items():
            begins = {clock: now() for clock, now in CLOCKS.items()}
            count = run()
            for clock, now in CLOCKS.items():
                if number:
                    rates[clock][name].append(count / (now() - begins[clock]))
    return rates


def median_share(rates: dict[str, list[float]], ours: str, bare: str) -> float:
    """Return the median over rounds of one rate by another."""
    return median(a / b for a, b in zip(rates[ours], rates[bare], strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", nargs="?", default="squeezenet1_1")
    parser.add_argument("--sites", default="all")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=512, help="images in memory")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, help="of the network; [all cores]")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load(options.model, weights=options.weights).to(options.device)
    sites = match_sites(model, options.sites)
    shape = (options.count, *model.spec.size, model.spec.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    folder = FolderSource(options.images) if options.images else None
    settings = replace(ExampleSettings(), batch=options.batch)
    rates = measure(Ways(model, sites, images, folder, settings).all(), options.rounds)
    pairs = [("examples", "forward"), ("examples", "kept")]
    if folder is not None:
        pairs.append(("files", "read+run"))
    shares = {
        f"{ours} / {bare}": {clock: median_share(rates[clock], ours, bare) for clock in CLOCKS}
        for ours, bare in pairs
    }
    units = sum(model.site_table().resolve(name).channels for name in sites)
    about = {"model": options.model, "sites": len(sites), "units": units, "batch": options.batch}
    if options.json:
        print(json.dumps({**about, "images_per_second": rates, "shares": shares}))
        return
    print(f"{options.model}: {units} units of {len(sites)} sites, batch {options.batch}")
    for name, rounds in rates["wall"].items():
        print(f"{name:<12} {median(rounds):>8.1f} images/s")
    for name, share in shares.items():
        print(f"{name:<20} {share['wall']:.0%} by the clock, {share['cpu']:.0%} by processor time")


if __name__ == "__main__":
    main()
