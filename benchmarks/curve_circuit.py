"""How curves are built in a trained GoogLeNet: found, ordered, drawn, and checked by ablation.

    python -m benchmarks.curve_circuit --weights googlenet_bvlc.safetensors [--json] [-o OUT]

1. Curve detectors of inception_3b are those whose tuning to arcs passes three thresholds; the same
   count is made on networks with shuffled weights and shuffled inputs.
2. Kernels from the early curves and the lines of inception_3a, composed with identity gates: two
   ReLUs and a max pool lie between, which the picture says. Their sums by difference of
   orientation, with shuffled orientations, and in networks with random and shuffled weights.
3. Inputs of the same orientation are set to zero and the response to the preferred arc is read,
   beside as many random inputs that fire there, and as many that fire as hard. Likewise inputs of
   the opposite orientation, and the response to the opposite arc.

4. The same tuning is measured without the negative weights of the target's last layers.

high_low_circuit.py does the same for detectors of high beside low frequency in inception_3a; its
figures come with these. With `-o OUT.png` the family matrix is drawn, and that of the lines beside
it in OUT_lines.png. Takes about ten minutes on one core, mostly for the pictures.
"""

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import featviz
from benchmarks import high_low_circuit
from benchmarks.high_low_circuit import numbers_text
from circuits import (
    Family,
    TuningConfig,
    TuningCurve,
    WeightMap,
    angle_profile,
    expand,
    family_matrix,
    harmonic_test,
    measure_tuning,
    shuffled,
)
from circuits.ablation.input_ablation import ablate_inputs, largest_response, summarise_rows
from circuits.ablation.replay import Replay, middle_maps
from circuits.angles import angle_between
from circuits.families.selection import Thresholds, tuned_curves, tuned_family
from circuits.pictures.feature_images import feature_images
from circuits.tuning.measuring import grid_for
from circuits.tuning.report import Summary, summarise
from featviz.images import png_bytes, to_picture, write_file
from featviz.models import Model
from featviz.units import Unit

SOURCE, TARGET = "inception_3a", "inception_3b"
CURVES = Thresholds(peak_frac=0.25, selectivity=0.8, echo=0.1)
EARLY = Thresholds(peak_frac=0.25, selectivity=0.5, echo=0.4)
LINES = Thresholds(peak_frac=0.25, selectivity=0.6, echo=0.4)
SAME_DEG, OPPOSITE_DEG = 45.0, 135.0
ECHO_DEG = 20.0


def families_of(model: Model) -> tuple[Family, Family, Family, list[TuningCurve]]:
    """Return curves of the target, early curves and lines of the source, and the first's tuning."""
    late = measure_tuning(model, TARGET)
    curves = tuned_family(late, name="curves", thresholds=CURVES)
    early = tuned_family(measure_tuning(model, SOURCE), name="early curves", thresholds=EARLY)
    lines = tuned_family(
        measure_tuning(model, SOURCE, stimulus="line"), name="lines", thresholds=LINES
    )
    both = set(early.units)
    kept = [k for k, unit in enumerate(lines.units) if unit not in both]
    angles = lines.angles_deg or ()
    channels = [lines.units[k].channel for k in kept]
    lines = Family.of("lines", SOURCE, channels, angles_deg=[angles[k] for k in kept])
    return curves, early, lines, [late[unit.channel] for unit in curves.units]


def counts(model: Model, draws: int) -> list[dict[str, Any]]:
    """Return how many units pass the thresholds in the network and in its shuffled twins."""
    networks = {"trained": model}
    for by in ("weights", "inputs"):
        for seed in range(draws):
            networks[f"{by} shuffled, seed {seed}"] = shuffled(model, by=by, seed=seed)
    rows = []
    for name, network in networks.items():
        late, early = measure_tuning(network, TARGET), measure_tuning(network, SOURCE)
        rows.append(
            {
                "network": name,
                "curves": len(tuned_curves(late, thresholds=CURVES)),
                "early_curves": len(tuned_curves(early, thresholds=EARLY)),
                "largest_peak": max(curve.peak for curve in late),
            }
        )
    return rows


def pair_sums(weights: WeightMap, sources: Family) -> Tensor:
    """Return the sum of each kernel from a family, over the largest weight of its target."""
    chosen = [weights.sources.index(channel) for channel in sources.channels(weights.source)]
    return weights.strength("sum")[:, chosen] / weights.display_scale()[:, None]


def by_difference(
    model: Model, curves: Family, sources: Family, *, gates: str = "identity"
) -> dict[str, Any]:
    """Return sums of kernels by difference of orientation, and their correlation with its cosine.

    Lines are compared with the tangent of a curve in its middle, at 90 degrees less its
    orientation.
    """
    lines = sources.name == "lines"
    weights = expand(model, SOURCE, TARGET, units=curves.channels(TARGET), gates=gates)
    sums = pair_sums(weights, sources)
    targets, angles = list(curves.angles_deg or ()), list(sources.angles_deg or ())
    wanted = [(90 - angle) % 180 for angle in targets] if lines else targets
    edges = (0, 15, 30, 60, 75, 90) if lines else (0, 30, 60, 120, 150, 180)
    profile = angle_profile(sums, wanted, angles, edges_deg=edges, period_deg=180 if lines else 360)
    wave = harmonic_test(sums, wanted, angles, harmonic=2 if lines else 1)
    return {
        "rows": profile.rows(),
        "cosine": wave.correlation,
        "cosine_shuffled_max": max(wave.shuffled),
        "p": wave.p_value,
    }


def profiles(model: Model, curves: Family, early: Family, lines: Family) -> dict[str, Any]:
    """Return weights by difference of orientation, under two policies and in control networks."""
    network = {
        "random weights": featviz.load(model.name, weights="random"),
        "weights shuffled": shuffled(model, seed=0),
        "inputs shuffled": shuffled(model, by="inputs", seed=0),
    }
    found = {
        "early curves": by_difference(model, curves, early),
        "early curves, positive_top": by_difference(model, curves, early, gates="positive_top"),
        "lines": by_difference(model, curves, lines),
    }
    for name, control in network.items():
        found[f"early curves, {name}"] = by_difference(control, curves, early)
    return found


def ablations(
    model: Model, curves: Family, early: Family, tuning: Sequence[TuningCurve], *, draws: int
) -> list[dict[str, Any]]:
    """Return for each curve what it loses without inputs of the same orientation, and so on."""
    grid = grid_for(model, TARGET, stimulus="curve", config=TuningConfig())
    maps = middle_maps(model, SOURCE, grid)
    replay = Replay(model, SOURCE, TARGET)
    rows = []
    for unit, angle, curve in zip(curves.units, curves.angles_deg or (), tuning, strict=True):
        off = [angle_between(angle, other, 360) for other in early.angles_deg or ()]
        row: dict[str, Any] = {"unit": str(unit), "mean_deg": angle, "peak": curve.peak}
        row |= {"fwhm_deg": curve.fwhm_deg, "echo": curve.echo, "selectivity": curve.selectivity}
        near = [early.units[k].channel for k, d in enumerate(off) if d <= SAME_DEG]
        far = [early.units[k].channel for k, d in enumerate(off) if d >= OPPOSITE_DEG]
        for name, inputs, turn in (("same", near, 0.0), ("opposite", far, 180.0)):
            away = [
                angle_between(float(a), curve.preferred_deg + turn, 360) <= turn / 180 * ECHO_DEG
                for a in grid.angles_deg
            ]
            pictures = maps[torch.tensor(away)]
            if inputs:
                found = ablate_inputs(
                    replay,
                    pictures.flatten(0, 1),
                    channel=unit.channel,
                    inputs=inputs,
                    read=largest_response(maps.shape[1]),
                    draws=draws,
                    seed=unit.channel,
                )
                row[name] = found.row(per=curve.peak)
        rows.append(row)
    return rows


def uninhibited(model: Model, curves: Family) -> dict[str, Summary]:
    """Return the tuning of the curves, and that without negative weights in their last layers."""
    module = copy.deepcopy(model.module)
    with torch.no_grad():
        for branch in ("1x1", "3x3", "5x5", "pool_proj"):
            layer = module.get_submodule(f"{TARGET}_{branch}_pre_relu_conv")
            for weight in (p for p in layer.parameters() if p.dim() == 4):
                weight.clamp_(min=0)
    twin = Model(module, model.spec, weights_origin=f"{model.weights_origin}; clamped")
    networks = {"intact": model, "without negative weights": twin}
    channels = curves.channels(TARGET)
    return {
        name: summarise(measure_tuning(network, TARGET, channels))
        for name, network in networks.items()
    }


def draw(
    model: Model, targets: Family, sources: Sequence[Family], file: Path, *, steps: int
) -> list[Path]:
    """Write the kernels from families of one site to one of another, with feature images.

    The first family goes into the file itself, the others beside it, under their names.
    """
    site = targets.units[0].site
    weights = expand(model, sources[0].units[0].site, site, units=targets.channels(site))
    pictures: dict[Unit, Image.Image] = {}
    files: list[Path] = []
    for family in (targets, *sources):
        own = family.units[0].site
        images = feature_images(model, own, family.channels(own), size=96, steps=steps)
        pictures |= {Unit(own, channel): to_picture(image) for channel, image in images.items()}
        if family is not targets:
            beside = file.with_stem(f"{file.stem}_{family.name.replace(' ', '_')}")
            files.append(beside if files else file)
            write_file(
                files[-1], png_bytes(family_matrix(weights, family, targets, pictures=pictures))
            )
    return files


def study(model: Model, *, draws: int, networks: int) -> tuple[dict[str, Any], tuple[Family, ...]]:
    """Return all figures, and the families they are about."""
    curves, early, lines, tuning = families_of(model)
    rows = ablations(model, curves, early, tuning, draws=draws)
    result = {
        "counts": counts(model, networks),
        "thresholds": {"curves": vars(CURVES), "early_curves": vars(EARLY), "lines": vars(LINES)},
        "families": {
            family.name: dict(zip(map(str, family.units), family.angles_deg or (), strict=True))
            for family in (curves, early, lines)
        },
        "weights": profiles(model, curves, early, lines),
        "inhibition": {n: part.to_json() for n, part in uninhibited(model, curves).items()},
        "units": rows,
        "ablation": {
            name: summarise_rows([row[name] for row in rows if name in row], side=side)
            for name, side in (("same", "above"), ("opposite", "below"))
        },
    }
    return result, (curves, early, lines)


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    for row in found["counts"]:
        print(
            f"{row['network']:<26} {row['curves']:>3} curves of {TARGET}, "
            f"{row['early_curves']:>3} early curves of {SOURCE}; "
            f"largest peak {row['largest_peak']:.0f}"
        )
    for name, family in found["families"].items():
        print(f"{len(family)} {name}: " + ", ".join(f"{u} {a:.0f}°" for u, a in family.items()))
    for name, part in found["weights"].items():
        print(
            f"\n{name}: correlation with the cosine of the difference {part['cosine']:.2f}, "
            f"largest of the shuffles {part['cosine_shuffled_max']:.2f}, p {part['p']:.3f}"
        )
        for row in filter(lambda row: row["pairs"], part["rows"]):
            print(
                f"  {row['from_deg']:>3.0f} to {row['to_deg']:>3.0f}°  {row['pairs']:>4} pairs  "
                f"mean sum {row['mean']:>6.2f}  positive {row['positive']:>4.0%}  "
                f"by chance {row['chance_low']:>5.2f} to {row['chance_high']:.2f}"
            )
    for name, part in found["inhibition"].items():
        print(
            f"\ntuning, {name}: medians of FWHM {part['fwhm_deg']:.0f}°, echo {part['echo']:.2f}, "
            f"selectivity {part['selectivity'][1]:.2f}, peak {part['peak']:.0f}"
        )
    print("\nresponses over the intact peak; n: intact without random matched")
    print("unit                deg  FWHM  echo  same orientation                opposite")
    for row in found["units"]:
        parts = [row.get(name) for name in ("same", "opposite")]
        print(
            f"{row['unit']:<18} {row['mean_deg']:>4.0f} {row['fwhm_deg']:>5.0f}  "
            f"{row['echo']:.2f}  "
            + "   ".join("-" if part is None else numbers_text(part) for part in parts)
        )
    for name, part in found["ablation"].items():
        print(name, {key: round(value, 3) for key, value in part.items()})


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", required=True, help="file of the weights of googlenet_bvlc")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-o", "--output", type=Path, help="PNG of the family matrix")
    parser.add_argument("--draws", type=int, default=20, help="random ablations of each kind")
    parser.add_argument("--networks", type=int, default=3, help="shuffled networks of each kind")
    parser.add_argument("--steps", type=int, default=96, help="of each feature image")
    options = parser.parse_args()
    model = featviz.load("googlenet_bvlc", weights=options.weights)
    found, (curves, early, lines) = study(model, draws=options.draws, networks=options.networks)
    high_low = high_low_circuit.study(model, draws=options.draws, networks=options.networks)
    if options.json:
        print(json.dumps({"curves": found, "high_low": high_low}, indent=1))
    else:
        show(found)
        high_low_circuit.show(high_low)
    sys.stdout.flush()
    if options.output is not None:
        draw(model, curves, (early, lines), options.output, steps=options.steps)


if __name__ == "__main__":
    main()
