"""How strongly units read earlier units of the same orientation, by several scores.

What `benchmarks.squeezenet_circuits` measures: which units are curve-like and line-like, and the
correlation of what targets read with the cosine of the difference of orientation.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import skimage.data
import torch
from jaxtyping import Float
from torch import Tensor

import circuits
from circuits import TuningConfig, TuningCurve
from circuits.expansion.live import run_live
from circuits.kinds.photographed import turned_photographs
from circuits.stimuli import Grid
from circuits.tracing.opgraph import OpGraph, record_between
from circuits.tuning.measuring import grid_for
from featviz.models import Model

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
ECHO, SELECTIVE, LINE_FWHM, FLOOR, NEAR_DEG = 0.5, 0.3, 70.0, 0.25, 30.0


@dataclass(frozen=True)
class Row:
    """One correlation beside its control."""

    step: str
    score: str
    pair: str
    pairs: int
    correlation: float
    shuffled_mean: float
    shuffled_sd: float
    p_value: float


def photographs(turns: int) -> Tensor:
    """Return four photographs, each turned."""
    folder = Path(skimage.data.__file__).parent
    return torch.cat([turned_photographs(folder / f, (224, 224), turns=turns) for f in PHOTOGRAPHS])


class Units:
    """The curve-like and line-like units of one site."""

    def __init__(self, model: Model, site: str) -> None:
        config = TuningConfig(angles=36)
        self.curve = circuits.measure_tuning(model, site, stimulus="curve", config=config)
        self.line = circuits.measure_tuning(model, site, stimulus="line", config=config)
        tops = torch.tensor(
            [[float(c.surface.amax()) for c in of] for of in (self.curve, self.line)]
        )
        floor = FLOOR * float(tops.amax(0).median())
        self.curves = [
            c.channel
            for c in self.curve
            if tops[0, c.channel] >= max(floor, float(tops[1, c.channel]))
            and c.echo <= ECHO
            and c.selectivity >= SELECTIVE
        ]
        self.lines = [
            c.channel
            for c in self.line
            if tops[:, c.channel].amax() >= floor
            and c.fwhm_deg <= LINE_FWHM
            and c.echo <= ECHO
            and c.channel not in self.curves
        ]

    def degrees(self, channels: Sequence[int], kind: str) -> list[float]:
        """Return angles of units: of curves, or of lines, from horizontal."""
        return [(self.curve if kind == "curve" else self.line)[c].mean_deg for c in channels]


def correlate(
    step: str, score: str, sums: Tensor, targets: Sequence[float], sources: Units, draws: int
) -> Iterator[Row]:
    """Yield the rows of one score: curve to curve, its axis alone, and line to curve."""
    tangents = [(90 - angle) % 180 for angle in targets]
    kinds = (
        ("curve->curve", 1, targets, sources.curves, "curve"),
        ("curve->curve, axis", 2, targets, sources.curves, "curve"),
        ("line->curve", 2, tangents, sources.lines, "line"),
    )
    for pair, harmonic, angles, channels, kind in kinds:
        if len(channels) < 3:
            continue
        table = sums[:, channels].double()
        if float(table.max() - table.min()) < 1e-12:
            continue
        found = circuits.harmonic_test(
            table, angles, sources.degrees(channels, kind), harmonic=harmonic, draws=draws
        )
        yield Row(
            step=step,
            score=score,
            pair=pair,
            pairs=table.numel(),
            correlation=found.correlation,
            shuffled_mean=statistics.fmean(found.shuffled),
            shuffled_sd=statistics.stdev(found.shuffled),
            p_value=found.p_value,
        )


def arcs_of(grid: Grid, curve: TuningCurve) -> Float[Tensor, "n 3 h w"]:
    """Return the arcs of all radii at a unit's preferred orientation."""
    first = int(curve.response.argmax()) * len(grid.levels)
    return grid.images(slice(first, first + len(grid.levels)))


def read_by(
    model: Model, graph: OpGraph, channels: Sequence[int], images: Tensor, *, middle: bool
) -> tuple[Float[Tensor, "o i"], Float[Tensor, "o i"]]:
    """Return gradients, and gradients times activation, summed over the source's map.

    At the place where each target answers most: of the middle 3x3, or away from the edges.
    """
    live = run_live(model, images, graph, surrogate=None)
    side = live.target.shape[2]
    inside = slice(side // 2 - 1, side // 2 + 2) if middle else slice(3, side - 3)
    rows = []
    for channel in channels:
        best = live.target[:, channel, inside, inside].flatten(1).amax(1)
        gradient = live.gradient(best.sum())
        rows.append(torch.stack([gradient.sum((0, 2, 3)), (gradient * live.source).sum((0, 2, 3))]))
    gradients, products = (torch.stack(rows) / len(images)).unbind(1)
    return gradients, products


def at_arcs(
    model: Model, source: str, target: str, channels: Sequence[int], shown: Sequence[TuningCurve]
) -> tuple[Tensor, Tensor]:
    """Return what each target reads at the best arcs of some unit, its own or another."""
    grid = grid_for(model, target, stimulus="curve", config=TuningConfig(angles=36))
    graph = record_between(model, source, target, size=grid.size)
    found = [
        read_by(model, graph, [c], arcs_of(grid, of), middle=True)
        for c, of in zip(channels, shown, strict=True)
    ]
    gradients, products = (torch.cat(of) for of in zip(*found, strict=True))
    return gradients, products


def scores(
    model: Model,
    source: str,
    target: str,
    channels: list[int],
    units: Units,
    pictures: Tensor | None,
) -> Iterator[tuple[str, Tensor, list[float]]]:
    """Yield each way to say how strongly sources are read, with the angles of the targets.

    Those that need photographs only if there are some.
    """
    own = [units.curve[c] for c in channels]
    angles = [curve.mean_deg for curve in own]
    for gates in ("identity", "positive_top", "positive_paths", "data_mean"):
        if gates == "data_mean" and pictures is None:
            continue
        images = pictures if gates == "data_mean" else None
        weights = circuits.expand(model, source, target, units=channels, gates=gates, images=images)
        yield gates, weights.strength("sum"), angles
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(0)).tolist()
    # Everyone gets the arcs of the next in a random ring, so none its own.
    partner = {order[k]: order[(k + 1) % len(order)] for k in range(len(order))}
    others = [own[partner[k]] for k in range(len(own))]
    for name, shown in (("own", own), ("others'", others)):
        gradients, products = at_arcs(model, source, target, channels, shown)
        at = [curve.mean_deg for curve in shown]
        yield f"gradient at {name} arcs", gradients, at
        yield f"gradient x activation at {name} arcs", products, at
    if pictures is None:
        return
    graph = record_between(model, source, target)
    gradients, products = read_by(model, graph, channels, pictures, middle=False)
    yield "gradient at photographs", gradients, angles
    yield "gradient x activation at photographs", products, angles


def exact_steps(
    model: Model, source: str, target: str, channels: list[int], units: Units, sources: Units,
    draws: int, *, prefix: str,
) -> Iterator[Row]:  # fmt: skip
    """Yield the two steps of a module, each linear: into the squeeze layer, and out of it."""
    squeeze = f"{target}/squeeze1x1"
    between = Units(model, squeeze)
    angles = [units.curve[c].mean_deg for c in channels]
    out = circuits.raw_weights(model, squeeze, target, units=channels)
    yield from correlate(
        f"{prefix}{squeeze}->{target}", "exact", out.strength("sum"), angles, between, draws
    )
    into = circuits.expand(model, source, squeeze).strength("sum").double()
    for kind, harmonic in (("curve", 1), ("line", 2)):
        some, earlier = (getattr(of, f"{kind}s") for of in (between, sources))
        if len(some) < 3 or len(earlier) < 3:
            continue
        found = circuits.harmonic_test(
            into[some][:, earlier], between.degrees(some, kind), sources.degrees(earlier, kind),
            harmonic=harmonic, draws=draws,
        )  # fmt: skip
        yield Row(
            f"{prefix}{source}->{squeeze}", "exact", f"{kind}->{kind}", len(some) * len(earlier),
            found.correlation, statistics.fmean(found.shuffled), statistics.stdev(found.shuffled),
            found.p_value,
        )  # fmt: skip
