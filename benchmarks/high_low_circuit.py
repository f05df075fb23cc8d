"""How detectors of high beside low frequency are built in a trained GoogLeNet.

Run by curve_circuit.py.

Detectors of inception_3a are those that pass thresholds on the stimuli `high_low`, whose stripes
run along the boundary; answer more to them than to any grating of the same wavelengths; and prefer
the same direction where the stripes run across. The last step tells them from detectors of edges
and lines, which the boundary resembles.

What they read is the pooled map of conv2. Whether a unit of it likes high or low frequency is
measured with gratings; the weights on the high and on the low side of each detector are summed; and
inputs are set to zero, beside random ones.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import featviz
from circuits import (
    Family,
    TuningConfig,
    TuningCurve,
    expand,
    measure_responses,
    shuffled,
    stimuli,
)
from circuits.ablation.input_ablation import ablate_inputs, largest_response, summarise_rows
from circuits.ablation.replay import Replay, middle_maps
from circuits.angles import angle_between
from circuits.expansion.kernel_sides import side_sums
from circuits.families.selection import Thresholds, tuned_curves
from circuits.tuning.measuring import grid_for, tuning_curves
from circuits.tuning.report import tuning_row
from featviz.models import Model

SOURCE, TARGET = "pool2", "inception_3a"
DETECTORS = Thresholds(peak_frac=0.2, selectivity=0.6, echo=0.2)
OVER_GRATINGS, AGREE_DEG = 1.5, 45.0
QUARTER, TAKEN = 0.25, 12


def grids(model: Model) -> tuple[stimuli.Grid, stimuli.Grid, stimuli.Grid]:
    """Return high beside low with stripes along and across the boundary, and the gratings alone."""
    along = grid_for(model, TARGET, stimulus="high_low", config=TuningConfig())
    high_px = max(2.5, 0.09 * along.scale_px)

    def draw(
        angle: Tensor, level: Tensor, size: tuple[int, int], _scale: float, ink: stimuli.Ink
    ) -> Tensor:
        contrast = abs(ink.paper - ink.value)
        return stimuli.high_low(
            angle, size=size, high_px=high_px, ratio=level, stripes_deg=90.0, contrast=contrast
        )

    across = replace(along, family=replace(along.family, draw=draw))
    levels = tuple(high_px * ratio for ratio in (1.0, *along.levels.tolist()))
    alone = grid_for(model, TARGET, stimulus="grating", config=TuningConfig(levels=levels))
    return along, across, alone


def detectors(model: Model) -> list[TuningCurve]:
    """Return the tuning of the units that pass, in the order of their orientation."""
    along, across, alone = grids(model)
    found = measure_responses(model, [TARGET], along)[TARGET]
    other = tuning_curves(model, TARGET, across, measure_responses(model, [TARGET], across)[TARGET])
    best = measure_responses(model, [TARGET], alone)[TARGET].amax((0, 1))
    return [
        curve
        for curve in tuned_curves(tuning_curves(model, TARGET, along, found), thresholds=DETECTORS)
        if float(curve.surface.amax()) >= OVER_GRATINGS * float(best[curve.channel])
        and angle_between(curve.mean_deg, other[curve.channel].mean_deg, 360) <= AGREE_DEG
    ]


def liking(model: Model) -> Tensor:
    """Return for each input how much more it answers to the high frequency than to low ones, -1..1.

    Responses are means over orientations; inputs that answer to no grating get the median of the
    others, so that they belong to neither end.
    """
    alone = grids(model)[2]
    found = measure_responses(model, [SOURCE], alone)[SOURCE].mean(0)
    high, low = found[0], found[1:].mean(0)
    answers = high + low > 0
    likes = (high - low) / (high + low).clamp(min=1e-9)
    return likes.where(answers, likes[answers].median())


def groups(likes: Tensor) -> dict[str, Tensor]:
    """Return masks of the quarter of inputs that like high frequency most, and of the other end.

    Quarters, not a threshold: few inputs prefer the high frequency as such.
    """
    count = round(QUARTER * len(likes))
    order = likes.argsort(descending=True)
    found = {}
    for name, chosen in (("high", order[:count]), ("low", order[-count:])):
        found[name] = torch.zeros(len(likes), dtype=torch.bool)
        found[name][chosen] = True
    return found


def sides(model: Model, family: Family, likes: Tensor) -> dict[str, Any]:
    """Return mean weights by what inputs like and by side, and how they go together.

    Weights are sums over one side of a kernel, over the largest weight of the detector. The
    correlation is that of the difference between the sides with the rank of the liking, over all
    inputs.
    """
    weights = expand(model, SOURCE, TARGET, units=family.channels(TARGET))
    parts = [
        part / weights.display_scale()[:, None].double()
        for part in side_sums(weights.kernel, family.angles_deg or ())
    ]
    # Ranks: most inputs like low frequencies, to some degree.
    likes, kinds = likes.argsort().argsort().double(), groups(likes)
    means = {
        f"{name} frequency, {side} side": float(part[:, group].mean())
        for name, group in kinds.items()
        for side, part in zip(("high", "low"), parts, strict=True)
    }
    difference = parts[0] - parts[1]

    def correlation(values: Tensor) -> list[float]:
        pairs = [torch.corrcoef(torch.stack([row, values]))[0, 1] for row in difference]
        return [float(value) for value in pairs]

    found = correlation(likes)
    generator = torch.Generator().manual_seed(0)
    drawn = [
        statistics.fmean(correlation(likes[torch.randperm(len(likes), generator=generator)]))
        for _ in range(200)
    ]
    return {
        **means,
        "correlation": statistics.fmean(found),
        "positive": sum(value > 0 for value in found),
        "units": len(found),
        "shuffled_max": max(drawn),
        "inputs": {name: int(group.sum()) for name, group in kinds.items()},
    }


def input_sets(model: Model, family: Family, likes: Tensor) -> list[dict[str, tuple[int, ...]]]:
    """Return for each detector the inputs that should excite it on each side, and that inhibit it.

    Of those that like a frequency, the strongest on the side where that frequency belongs
    (`high`, `low`), and the most negative on the other (`inhibitors`, half of either kind).
    """
    weights = expand(model, SOURCE, TARGET, units=family.channels(TARGET))
    first, second = side_sums(weights.kernel, family.angles_deg or ())
    rows = []
    for one, two in zip(first, second, strict=True):
        high, low = groups(likes).values()
        rows.append(
            {
                "high": _largest(one, high, TAKEN),
                "low": _largest(two, low, TAKEN),
                "inhibitors": (
                    *_largest(-two, high, TAKEN // 2),
                    *_largest(-one, low, TAKEN // 2),
                ),
            }
        )
    return rows


def _largest(values: Tensor, allowed: Tensor, count: int) -> tuple[int, ...]:
    """Return the inputs with the largest positive values among some."""
    order = values.masked_fill(~allowed, -torch.inf).argsort(descending=True)[:count].tolist()
    return tuple(k for k in order if bool(allowed[k]) and float(values[k]) > 0)


def ablations(
    model: Model, curves: Sequence[TuningCurve], family: Family, likes: Tensor, *, draws: int
) -> list[dict[str, Any]]:
    """Return what each detector loses without its inputs, and gains without its inhibitors.

    Losses are read on the stimulus it prefers; the gain on that with the sides exchanged.
    """
    along = grids(model)[0]
    maps = middle_maps(model, SOURCE, along)
    run = Replay(model, SOURCE, TARGET)
    rows = []
    for curve, sets in zip(curves, input_sets(model, family, likes), strict=True):
        best = int(curve.response.argmax())
        turned = (best + len(curve.angles_deg) // 2) % len(curve.angles_deg)
        row: dict[str, Any] = {"unit": curve.unit, "deg": curve.mean_deg, "peak": curve.peak}
        for name, inputs in sets.items():
            if inputs:
                found = ablate_inputs(
                    run,
                    maps[turned if name == "inhibitors" else best],
                    channel=curve.channel,
                    inputs=inputs,
                    read=largest_response(maps.shape[1]),
                    draws=draws,
                    seed=curve.channel,
                )
                row[name] = found.row(per=curve.peak)
        rows.append(row)
    return rows


def study(model: Model, *, draws: int, networks: int) -> dict[str, Any]:
    """Return all figures."""
    curves = detectors(model)
    channels, angles = [c.channel for c in curves], [c.mean_deg for c in curves]
    family = Family.of("high-low", TARGET, channels, angles_deg=angles)
    likes = liking(model)
    twins = {
        f"{by} shuffled, seed {seed}": shuffled(model, by=by, seed=seed)
        for by in ("weights", "inputs")
        for seed in range(networks)
    }
    rows = ablations(model, curves, family, likes, draws=draws)
    controls = {
        "random weights": featviz.load(model.name, weights="random"),
        "weights shuffled": shuffled(model, seed=0),
    }
    return {
        "counts": {
            "trained": len(curves),
            **{name: len(detectors(twin)) for name, twin in twins.items()},
        },
        "thresholds": {**vars(DETECTORS), "over_gratings": OVER_GRATINGS, "agree_deg": AGREE_DEG},
        "tuning": [tuning_row(curve) for curve in curves],
        "sides": {
            "trained": sides(model, family, likes),
            **{name: sides(twin, family, likes) for name, twin in controls.items()},
        },
        "units": rows,
        "ablation": {
            name: summarise_rows([row[name] for row in rows if name in row], side=side)
            for name, side in (("high", "above"), ("low", "above"), ("inhibitors", "below"))
        },
    }


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    print(f"\nhigh-low frequency detectors of {TARGET}")
    for name, count in found["counts"].items():
        print(f"{name:<26} {count:>3}")
    for name, part in found["sides"].items():
        print(name, {key: _short(value) for key, value in part.items()})
    print(
        "unit              deg   n: intact without random match; high, low, inhibitors (exchanged)"
    )
    for row in found["units"]:
        parts = [row.get(name) for name in ("high", "low", "inhibitors")]
        print(
            f"{row['unit']:<17} {row['deg']:>3.0f}   "
            + "   ".join("-" if part is None else numbers_text(part) for part in parts)
        )
    for name, part in found["ablation"].items():
        print(name, {key: _short(value) for key, value in part.items()})


def _short(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def numbers_text(part: dict[str, Any]) -> str:
    """Return the number of inputs and the responses of a row of ablation."""
    shown = " ".join(f"{part[name]:.2f}" for name in ("intact", "without", "random", "matched"))
    return f"{len(part['inputs']):>2}: {shown}"
