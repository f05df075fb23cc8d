"""Seconds for all expanded weights between two sites, beside one gradient per channel, in one run.

    python -m benchmarks.circuits [--json] [--device cpu] [--rounds 3] [--peer-units 480]

All pairs conv2 -> inception_3b of googlenet (seeded random weights: speed does not depend on
them), from the pooled map, as the peers do, and from conv2 itself. `composed` is
`circuits.expand`, with the recording of the network; the median leaves the cold start out. The
peer's way is written out here as it works: activation functions passed unchanged, max pools
averaged, then one gradient per channel of the target at its central position, over the whole map,
cut out around it. The two take turns. Their kernels are compared too, so that both are known to
compute the same.
"""

import argparse
import json
import platform
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import circuits
from circuits import WeightMap
from featviz.models import Model, load

PAIRS = (("pool2", "inception_3b"), ("conv2", "inception_3b"))
TARGET_S = 2.0


class _AverageWhereMaxLeads(nn.Module):
    """The stand-in that a peer puts in the place of a max pool."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Return the average of each window, on a map of the size that the max pool gives."""
        p = self.pool
        return functional.avg_pool2d(x, p.kernel_size, p.stride, p.padding, ceil_mode=p.ceil_mode)


def linear_copy(model: Model) -> nn.Module:
    """Return the network with gates and pools replaced, as peers do before they take gradients."""
    network: nn.Module = load(model.name, weights="random").module.to(model.device)
    for path, module in list(network.named_modules()):
        parent, _, name = path.rpartition(".")
        if isinstance(module, nn.ReLU):
            setattr(network.get_submodule(parent), name, nn.Identity())
        elif isinstance(module, nn.MaxPool2d):
            setattr(network.get_submodule(parent), name, _AverageWhereMaxLeads(module))
        elif path == "norm2":
            # LRN at activation 0 with k = 1 passes everything.
            setattr(network, name, nn.Identity())
    return network.eval().requires_grad_(False)


class _StopError(Exception):
    pass


def one_gradient_per_channel(
    network: nn.Module, source: str, target: str, *, units: int, extent: tuple[int, int]
) -> tuple[Tensor, float]:
    """Return the kernels of the first units, cut around the centre, and seconds for all."""
    device = next(network.parameters()).device
    found: dict[str, Tensor] = {}

    def keep(_m: nn.Module, _i: object, output: Tensor) -> Tensor:
        found["source"] = output.detach().requires_grad_()
        return found["source"]

    def stop(_m: nn.Module, _i: object, output: Tensor) -> None:
        found["target"] = output
        raise _StopError

    handles = [
        network.get_submodule(source).register_forward_hook(keep),
        network.get_submodule(target).register_forward_hook(stop),
    ]
    start = _now(device)
    try:
        network(torch.zeros(1, 3, 224, 224, device=device))
    except _StopError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    target_map, x = found["target"], found["source"]
    y, x0 = (side // 2 for side in target_map.shape[2:])
    kernels = []
    for unit in range(units):
        (gradient,) = torch.autograd.grad(target_map[0, unit, y, x0], x, retain_graph=True)
        # The peers' crop is off by what strides and paddings shift; here it is put right.
        ratio = gradient.shape[2] // target_map.shape[2]
        top = y * ratio - (extent[0] // 2 if ratio == 1 else extent[0] // 2 - 1)
        left = x0 * ratio - (extent[1] // 2 if ratio == 1 else extent[1] // 2 - 1)
        kernels.append(gradient[0, :, top : top + extent[0], left : left + extent[1]])
    seconds = _now(device) - start
    return torch.stack(kernels).cpu(), seconds


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def composed(model: Model, source: str, target: str) -> tuple[WeightMap, float, float]:
    """Return all weights, the seconds they took, and those that processors worked on them."""
    start, used = _now(model.device), time.process_time()
    weights = circuits.expand(model, source, target)
    return weights, _now(model.device) - start, time.process_time() - used


def measure(device: torch.device, *, rounds: int, peer_units: int) -> list[dict[str, Any]]:
    """Return a row a pair of sites, each figure the median over the rounds."""
    model = load("googlenet_bvlc", weights="random").to(device)
    peer = linear_copy(model)
    rows = []
    for source, target in PAIRS:
        ours, worked, theirs = [], [], []
        for _ in range(rounds):
            weights, seconds, used = composed(model, source, target)
            ours.append(seconds)
            worked.append(used)
            extent = (weights.kernel.shape[2], weights.kernel.shape[3])
            units = min(peer_units, len(weights.targets))
            kernels, seconds = one_gradient_per_channel(
                peer, source, target, units=units, extent=extent
            )
            theirs.append(seconds * len(weights.targets) / units)
        scale = weights.kernel.abs().max()
        rows.append(
            {
                "source": source,
                "target": target,
                "kernels": list(weights.kernel.shape),
                "composed_s": statistics.median(ours),
                "composed_worst_s": max(ours),
                "composed_processor_s": statistics.median(worked),
                "one_gradient_a_channel_s": statistics.median(theirs),
                "peer_units_run": units,
                "ratio": statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
                "target_s": TARGET_S,
                "largest_difference": float((kernels - weights.kernel[:units]).abs().max() / scale),
            }
        )
    return rows


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--peer-units", type=int, default=480, help="channels the peer really runs; scaled to all"
    )
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = measure(device, rounds=options.rounds, peer_units=options.peer_units)
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if options.json:
        print(json.dumps({"machine": machine, "unit": "s", "rows": rows}, indent=2))
        return
    print(" ".join(f"{key}={value}" for key, value in machine.items()))
    print(
        "from   to            kernels            composed  processors  (target)  gradients   "
        "ratio  differ"
    )
    for row in rows:
        o, i, h, w = row["kernels"]
        print(
            f"{row['source']:<6} {row['target']:<13} {o}x{i} of {h}x{w:<5} "
            f"{row['composed_s']:>9.2f} {row['composed_processor_s']:>11.2f} "
            f"{row['target_s']:>8.0f} s "
            f"{row['one_gradient_a_channel_s']:>10.1f} {row['ratio']:>6.1f}x "
            f"{row['largest_difference']:>7.0e}"
        )


if __name__ == "__main__":
    main()
