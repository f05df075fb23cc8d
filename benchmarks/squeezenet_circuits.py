"""Are the curves of squeezenet1_1 built from earlier oriented units? Figures beside controls.

    python -m benchmarks.squeezenet_circuits [--json] [--targets 24] [--draws 500]

Targets are curve-like units of the 3x3 halves of fire3, fire4 and fire5, sources the curve-like
and line-like units of the module before, all by dark strokes on white. For each way to say how
strongly a source is read, a row gives the correlation, over all pairs, of the summed weights with
the cosine of the difference of orientation (doubled for lines), and beside it mean and standard
deviation with the sources' angles shuffled.

Rows `at own arcs` take the true gradient, or gradient times activation, at each target's best
arcs; `at others' arcs` is their control: gradients of a target at the arcs of another one, whose
angle counts, so that what remains is what the stimulus alone brings along. `exact` rows are the two
steps of a module, whose weights no gate touches. Ablation sets sources to zero that prefer what
the target prefers, or as many others of the same kinds at random.

The same for a network of shuffled weights, for in any network a unit prefers what the units prefer
that it reads: what holds there as well is no finding. Photographs are four that scikit-image ships
(public domain and CC0).
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

import circuits
from benchmarks.orientation_reading import (
    NEAR_DEG,
    Row,
    Units,
    correlate,
    exact_steps,
    photographs,
    scores,
)
from circuits import TuningConfig, TuningCurve
from circuits.angles import angle_between
from circuits.tuning.measuring import grid_for, read_map, tuning_curves
from featviz.models import Model, load

MODULES = (("fire2", "fire3"), ("fire3", "fire4"), ("fire4", "fire5"))
RANDOM_SETS = 10


@dataclass(frozen=True)
class Ablated:
    """What is left of the targets' tuning, in medians over targets."""

    step: str
    removed: str
    targets: int
    units_removed: float
    peak_left: float
    echo_before: float
    echo_after: float
    lost_more_than_random: float | None


def same_orientation(sources: Units, curve: TuningCurve) -> list[int]:
    """Return the sources that prefer what a target prefers."""
    at = curve.mean_deg
    near = [
        c for c in sources.curves if angle_between(sources.curve[c].mean_deg, at, 360) <= NEAR_DEG
    ]
    axis = (90 - at) % 180
    return near + [
        c
        for c in sources.lines
        if angle_between(sources.line[c].mean_deg, axis, 180) <= NEAR_DEG / 2
    ]


def opposite_curves(sources: Units, curve: TuningCurve) -> list[int]:
    """Return the curves that prefer the opposite."""
    at = curve.mean_deg + 180
    return [
        c for c in sources.curves if angle_between(sources.curve[c].mean_deg, at, 360) <= NEAR_DEG
    ]


def ablations(
    model: Model, source: str, target: str, channels: list[int], sources: Units, step: str
) -> Iterator[Ablated]:
    """Yield what removing sources does to the tuning of the targets."""
    tail = Tail(model, source, target)
    before = tail.tuning(channels, [])
    generator = torch.Generator().manual_seed(0)
    pool = sorted({*sources.curves, *sources.lines})
    tables: dict[str, list[tuple[float, float, float, float]]] = {
        "same orientation": [], "random, same kinds": [], "opposite curves": [],
        "random, as many as opposite": [],
    }  # fmt: skip
    used: dict[str, list[float]] = {name: [] for name in tables}
    for curve in before:
        for name, chosen in (
            ("same orientation", same_orientation(sources, curve)),
            ("opposite curves", opposite_curves(sources, curve)),
        ):
            rest = [c for c in pool if c not in chosen]
            if not chosen or len(rest) < len(chosen):
                continue
            control = "random, same kinds" if name == "same orientation" else list(tables)[3]
            draws = [
                [rest[k] for k in torch.randperm(len(rest), generator=generator)[: len(chosen)]]
                for _ in range(RANDOM_SETS)
            ]
            results = [tail.left(curve, removed) for removed in (chosen, *draws)]
            means = [statistics.fmean(r[k] for r in results[1:]) for k in (0, 1)]
            below = statistics.fmean(results[0][0] < r[0] for r in results[1:])
            tables[name].append((*results[0], curve.echo, below))
            tables[control].append((means[0], means[1], curve.echo, 0.0))
            for kind in (name, control):
                used[kind].append(float(len(chosen)))
    for name, rows in tables.items():
        if not rows:
            continue
        left, after, echo, lower = (list(column) for column in zip(*rows, strict=True))
        yield Ablated(
            step=step,
            removed=name,
            targets=len(rows),
            units_removed=statistics.median(used[name]),
            peak_left=statistics.median(left),
            echo_before=statistics.median(echo),
            echo_after=statistics.median(after),
            lost_more_than_random=None if name.startswith("random") else statistics.fmean(lower),
        )


class Tail:
    """The module between two sites, fed with the source's maps at all stimuli."""

    def __init__(self, model: Model, source: str, target: str) -> None:
        config = TuningConfig(angles=24)
        self.grid = grid_for(model, target, stimulus="curve", config=config)
        self._maps = model.record(self.grid.images(), [source])[source]
        table = model.site_table(self.grid.size)
        first, last = (int(table.resolve(s).parts[0].path.split(".")[1]) for s in (source, target))
        children = list(model.module.get_submodule("features").children())
        self._layers = nn.Sequential(*children[first + 1 : last + 1])
        self._model, self._target = model, target

    @torch.no_grad()
    def tuning(self, channels: Sequence[int], removed: Sequence[int]) -> list[TuningCurve]:
        """Return the tuning of targets with some sources set to zero."""
        maps = self._maps.clone()
        maps[:, list(removed)] = 0
        answers = read_map(self._layers(maps), "center")
        shape = (len(self.grid.angles_deg), len(self.grid.levels), -1)
        return tuning_curves(
            self._model, self._target, self.grid, answers.view(shape), units=channels
        )

    def left(self, curve: TuningCurve, removed: Sequence[int]) -> tuple[float, float]:
        """Return the share of a target's peak that is left, and its echo."""
        (found,) = self.tuning([curve.channel], removed)
        return found.peak / curve.peak, 0.0 if found.silent else found.echo


def measure(*, targets: int, draws: int) -> dict[str, Any]:
    """Return all figures."""
    model = load("squeezenet1_1")
    found: dict[str, Any] = {"counts": [], "correlations": [], "ablations": []}
    for prefix, net, pictures in (
        ("", model, photographs(turns=4)),
        ("shuffled ", circuits.shuffled(model), None),
    ):
        _measure_network(found, prefix, net, pictures, targets=targets, draws=draws)
    return found


def _measure_network(
    found: dict[str, Any], prefix: str, model: Model, pictures: Tensor | None, *, targets: int,
    draws: int,
) -> None:  # fmt: skip
    """Add the figures of one network."""
    names = list(dict.fromkeys(site for pair in MODULES for site in pair))
    units = {name: Units(model, name) for name in names}
    for name, of in units.items():
        half = len(of.curve) // 2
        found["counts"].append(
            {
                "site": prefix + name,
                "units": len(of.curve),
                "curve_like": len(of.curves),
                "curve_like_3x3": sum(c >= half for c in of.curves),
                "line_like": len(of.lines),
            }
        )
    for source, target in MODULES:
        half = len(units[target].curve) // 2
        mine = units[target]
        kept = sorted(
            (c for c in mine.curves if c >= half), key=lambda c: -mine.curve[c].selectivity
        )[:targets]
        if len(kept) < 3:
            continue
        step = f"{prefix}{source}->{target}"
        rows: list[Row] = []
        for score, sums, angles in scores(model, source, target, kept, mine, pictures):
            rows += correlate(step, score, sums, angles, units[source], draws)
        rows += exact_steps(model, source, target, kept, mine, units[source], draws, prefix=prefix)
        found["correlations"] += rows
        found["ablations"] += ablations(model, source, target, kept, units[source], step)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--targets", type=int, default=24, help="most selective curves of a module")
    parser.add_argument("--draws", type=int, default=500, help="shuffles of a control")
    options = parser.parse_args()
    if options.targets < 3 or options.draws < 2:
        parser.error("--targets must be 3 or more, --draws 2 or more")
    start = time.perf_counter()
    found = measure(targets=options.targets, draws=options.draws)
    seconds = time.perf_counter() - start
    if options.json:
        document = {
            "counts": found["counts"],
            "correlations": [asdict(row) for row in found["correlations"]],
            "ablations": [asdict(row) for row in found["ablations"]],
            "seconds": round(seconds, 1),
        }
        print(json.dumps(document, indent=1))
        return
    for row in found["counts"]:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(f"\n{'':73} {'pair':20} {'n':>6} {'r':>6} {'shuffled':>14} {'p':>6}")
    for r in found["correlations"]:
        control = f"{r.shuffled_mean:+.2f} sd {r.shuffled_sd:.2f}"
        print(
            f"{r.step:34} {r.score:38} {r.pair:20} {r.pairs:5} {r.correlation:+6.2f} "
            f"{control:>14} {r.p_value:6.3f}"
        )
    print(f"\n{'':53} targets removed peak left  echo  -> after  below random")
    for a in found["ablations"]:
        lower = "" if a.lost_more_than_random is None else f"{a.lost_more_than_random:.2f}"
        print(
            f"{a.step:23} {a.removed:30} {a.targets:6} {a.units_removed:7.0f} {a.peak_left:9.2f} "
            f"{a.echo_before:5.2f} {a.echo_after:9.2f} {lower:>13}"
        )
    print(f"\n{seconds:.0f} s")


if __name__ == "__main__":
    main()
