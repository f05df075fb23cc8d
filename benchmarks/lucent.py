"""Seconds per image-step, beside Lucent's default, in turn and in one run.

    python -m benchmarks.lucent [--json] [--device cpu] [--rounds 3]

Both render channels of torchvision's googlenet (seeded random weights: speed does not depend on
them). featviz renders 16 units in one batch with its defaults; Lucent one unit with its defaults
at 128 px, where it enlarges the image to 224 by itself, and at 224 px, and 16 units in one call
as batch objectives. Times are medians over the steps after a warm-up, so neither side's set-up
counts. "bare" is the truncated forward and backward pass of the same inference copy, and nothing
else. The two take turns, each in a process of its own, so that neither runs on what the other
left behind: featviz tells the C library to keep memory. Lucent's hooks, which it never removes,
are cleared between its runs, and the two kornia names that have moved since kornia 0.4 are put
back: without that it does not run at all.
"""

import argparse
import itertools
import json
import multiprocessing
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torchvision.models import googlenet

from featviz.ascent import ascend
from featviz.config import RenderConfig
from featviz.inference import InferenceCopy
from featviz.kept_memory import kept_memory
from featviz.models import load
from featviz.objectives import bind, channel

BATCH = 16
SITES = ("inception3b", "inception5b")
SIZES = (128, 224)
TARGETS = {
    ("inception3b", 128): 20.0,
    ("inception5b", 128): 12.0,
    ("inception3b", 224): 7.0,
    ("inception5b", 224): 5.0,
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Clock:
    """Times between calls, in seconds, the first ones left out."""

    def __init__(self, device: torch.device, *, warm_up: int) -> None:
        self._device, self._warm_up = device, warm_up
        self._stamps: list[float] = []

    def tick(self, *_: object) -> None:
        """Note the time."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._stamps.append(time.perf_counter())

    def median(self) -> float:
        """Return the median time between two ticks."""
        kept = self._stamps[self._warm_up :]
        return statistics.median(b - a for a, b in itertools.pairwise(kept))


def network(device: torch.device) -> nn.Module:
    """Return the network that both render."""
    torch.manual_seed(0)
    built: nn.Module = googlenet(
        weights=None, init_weights=False, aux_logits=False, transform_input=False
    )
    return built.eval().to(device)


def ours(device: torch.device, site: str, size: int, *, steps: int) -> tuple[float, float]:
    """Return seconds per step of a batch, with and without everything around the network."""
    model = load(network(device), mean=MEAN, std=STD, size=224)
    config = RenderConfig(steps=steps, size=size, redirect_steps=0)
    table = model.site_table((size, size))
    objectives = [channel(site, k) for k in range(BATCH)]
    clock = Clock(device, warm_up=4)
    copy = InferenceCopy(
        model,
        [table.resolve(site)],
        trace=model.trace((size, size)),
        dtype=config.dtype_on(device),
    )
    with copy as running:
        ascend(
            running,
            objectives,
            labels=[objective.label for objective in objectives],
            config=config,
            channels=3,
            size=(size, size),
            device=device,
            on_step=clock.tick,
        )
        return clock.median(), bare(running, objectives, size=size, device=device, steps=steps)


@kept_memory()
def bare(
    copy: InferenceCopy, objectives: list[Any], *, size: int, device: torch.device, steps: int
) -> float:
    """Return seconds of one truncated forward and backward pass on prepared input."""
    low = copy.dtype != torch.float32
    x = torch.rand(BATCH, 3, size, size, device=device).to(
        dtype=copy.dtype, memory_format=torch.channels_last
    )
    x.requires_grad_()
    score = bind(objectives, device=device)
    clock = Clock(device, warm_up=4)
    for _ in range(steps):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
            found = copy.recorder(x)
        torch.autograd.grad(score(found).sum(), x)
        clock.tick()
    return clock.median()


def lucent(device: torch.device, site: str, size: int, *, batch: int, steps: int) -> float:
    """Return Lucent's seconds per step."""
    render, objectives, param = patched_lucent(device)
    built = network(device)
    clock = Clock(device, warm_up=4)
    wanted = [objectives.channel(site, k, batch=k if batch > 1 else None) for k in range(batch)]

    def timed(hook: Any) -> Any:
        clock.tick()
        return sum(objective(hook) for objective in wanted)

    try:
        render.render_vis(
            built,
            timed,
            param_f=lambda: param.image(size, batch=batch),
            thresholds=(steps,),
            progress=False,
            show_image=False,
        )
    finally:
        for module in built.modules():
            module._forward_hooks.clear()
    return clock.median()


def patched_lucent(device: torch.device) -> tuple[Any, Any, Any]:
    """Return Lucent's modules render, objectives and param, in a state in which they run."""
    kornia: Any = import_module("kornia")
    geometry: Any = import_module("kornia.geometry.transform")
    kornia.get_rotation_matrix2d = geometry.get_rotation_matrix2d
    kornia.warp_affine = geometry.warp_affine
    param: Any = import_module("lucent.optvis.param")
    for name in ("spatial", "color", "lowres"):
        part: Any = import_module(f"lucent.optvis.param.{name}")
        part.device = device
    import_module("lucent.optvis.transform").__dict__["device"] = device
    render, objectives = (import_module(f"lucent.optvis.{m}") for m in ("render", "objectives"))
    return render, objectives, param


def measure(device: torch.device, *, rounds: int, steps: int) -> list[dict[str, Any]]:
    """Return a row a site and size, each figure the median over the rounds."""
    rows = []
    fresh = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=fresh) as peer_process,
        ProcessPoolExecutor(1, mp_context=fresh) as own_process,
    ):
        for site in SITES:
            for size in SIZES:
                found = []
                for _ in range(rounds):
                    turn = peer_process.submit(
                        lucent, device, site, size, batch=1, steps=max(16, steps // 2)
                    )
                    peer = turn.result()
                    step, core = own_process.submit(ours, device, site, size, steps=steps).result()
                    found.append((peer, step / BATCH, peer / (step / BATCH), core / step))
                turn = peer_process.submit(lucent, device, site, size, batch=BATCH, steps=9)
                rows.append(_row(site, size, found, turn.result() / BATCH))
    return rows


def _row(
    site: str, size: int, found: list[tuple[float, float, float, float]], batched: float
) -> dict[str, Any]:
    peer, own, ratio, share = (statistics.median(column) for column in zip(*found, strict=True))
    return {
        "site": site,
        "size_px": size,
        "lucent_ms": peer * 1e3,
        "lucent_batch16_ms": batched * 1e3,
        "featviz_ms": own * 1e3,
        "ratio": ratio,
        "ratio_to_batch16": batched / own,
        "target": TARGETS[site, size],
        "bare_share": share,
    }


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=48)
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = measure(device, rounds=options.rounds, steps=options.steps)
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": str(RenderConfig().dtype_on(device)).removeprefix("torch."),
    }
    if options.json:
        print(json.dumps({"machine": machine, "unit": "ms per image-step", "rows": rows}, indent=2))
        return
    print(" ".join(f"{key}={value}" for key, value in machine.items()))
    print("site          px  lucent  lucent x16  featviz   ratio  (target)  bare share")
    for row in rows:
        print(
            f"{row['site']:<12} {row['size_px']:>3} {row['lucent_ms']:>7.1f} "
            f"{row['lucent_batch16_ms']:>11.1f} {row['featviz_ms']:>8.2f} {row['ratio']:>6.1f}x "
            f"{row['target']:>8.0f}x {row['bare_share']:>10.0%}"
        )


if __name__ == "__main__":
    main()
