"""Compute what the lessons show and what takes too long to compute in class.

    python -m app.lessons.make_assets --photographs FOLDER -o assets/lessons

FOLDER holds chelsea.png, coffee.png, astronaut.png and rocket.jpg of scikit-image (its folder
`data`). Writes strips of square pictures as lossless WebP, one file a strip, and numbers.json,
which holds every number that is told about them; these are measured on the pictures as stored, with
256 levels: a lossy file would show other pictures than those that were measured. Takes some ten
minutes on one core; `--only noise` and so on makes some figures anew and keeps the others.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import featviz
from app.lessons.curves import HOME, RADII_PX, answer_curves
from app.lessons.learned_curve import (
    count_inputs,
    list_detectors,
    list_echoes,
    list_inputs,
    measure_echoes,
    shuffle_inputs,
)
from app.lessons.symmetry import measure_symmetry
from circuits import expand, shuffled, with_random_weights
from featviz.images import to_image, to_picture, write_file
from featviz.metrics import high_frequency_share, robustness, score_images, spectrum_slope
from featviz.models import Model
from featviz.objectives import channel, direction
from featviz.photographs import open_photograph

MODEL = "squeezenet1_1"
SIDE = 128
STEPS = 256
SHOWN_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
UNIT = ("fire7", 9)
WAYS = {
    "pixels-still": ("pixels:decorrelate=false", "none"),
    "pixels-moved": ("pixels:decorrelate=false", "lucid"),
    "fourier-still": ("fourier", "none"),
    "fourier-moved": ("fourier", "lucid"),
}
MIXED = ("fire8", 16, 22)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SETS = ("fire9:468", "fire9:441")
SILENT = ("fire8:16", "fire5:9")
COMPARED = ("fire7:9", "fire5:38", "fire7:30")
CURVE = ("fire4", "fire5", 38)
INPUTS = 4
COUNTS = range(10, 121, 10)
DRAWS = 40
SHUFFLES = 20
RADII_UNITS = ("fire5:38", "arcs:6")
PHOTOGRAPHS = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")
PHOTOGRAPH_PX = 192
_QUALITY = 90


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute everything and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photographs", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="FIGURE", default=[])
    chosen = parser.parse_args(arguments)
    chosen.output.mkdir(parents=True, exist_ok=True)
    model = featviz.load(MODEL)
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "noise": lambda: _noise(model, chosen.output),
        "objectives": lambda: _objectives(model, chosen.output),
        "mixed": lambda: _mixed(model, chosen.output),
        "sets": lambda: _sets(model, chosen.output),
        "silent": lambda: _silent(model, chosen.output),
        "compared": lambda: _compared(model, chosen.output),
        "inputs": lambda: _inputs(model, chosen.output),
        "early": lambda: list_echoes(featviz.load(HOME["arcs:6"]), "early_curves"),
        "learned": lambda: _learned(model),
        "chance": lambda: _chance(model),
        "radii": _radii,
        "symmetry": lambda: measure_symmetry(model),
        "photographs": lambda: _photographs(chosen.photographs, chosen.output),
    }
    file = chosen.output / "numbers.json"
    numbers = json.loads(file.read_text(encoding="utf-8")) if chosen.only else {}
    for name in chosen.only or makers:
        numbers[name] = makers[name]()
    write_file(file, (json.dumps(_rounded(numbers), indent=1) + "\n").encode())


def _noise(model: Model, folder: Path) -> dict[str, Any]:
    """Render one unit in four ways, with the pictures on the way."""
    site, unit = UNIT
    objective = channel(site, unit)
    found: dict[str, Any] = {"unit": f"{site}:{unit}", "steps": SHOWN_STEPS, "side_px": SIDE}
    for name, (param, transforms) in WAYS.items():
        result = featviz.render(
            model,
            f"{site}:{unit}",
            steps=STEPS,
            size=SIDE,
            param=param,
            transforms=transforms,
            thresholds=SHOWN_STEPS[:-1],
            progress=False,
        )
        climbed = [result.frames[s][0] for s in SHOWN_STEPS[:-1]] + [result.images[0]]
        frames = _write(folder / f"noise-{name}.webp", torch.stack(climbed))
        score = score_images(model, [objective] * len(frames), frames)
        kept = robustness(model, [objective], frames[-1:])
        found[name] = {
            "param": param,
            "transforms": transforms,
            "score": score.tolist(),
            "high": high_frequency_share(frames).tolist(),
            "robust_ratio": float(kept.ratio[0]),
            "robust_mean": float(kept.mean[0]),
        }
    return found


def _objectives(model: Model, folder: Path) -> dict[str, Any]:
    site, _, unit = MIXED
    labels = [f"{site}:{unit}@center", f"{site}:{unit}", f"-{site}:{unit}"]
    result = featviz.render(model, labels, steps=STEPS, size=SIDE, progress=False)
    images = _write(folder / "objectives.webp", result.images)
    maps = model.record(images, [site])[site][:, unit]
    return {
        "labels": labels,
        "mean": maps.mean((1, 2)).tolist(),
        "largest": maps.amax((1, 2)).tolist(),
    }


def _mixed(model: Model, folder: Path) -> dict[str, Any]:
    """Render directions between two units, and tell how strongly each picture excites both."""
    site, first, second = MIXED
    channels = model.site_table().resolve(site).channels
    wanted = []
    for share in SHARES:
        vector = torch.zeros(channels)
        vector[first], vector[second] = 1 - share, share
        wanted.append(direction(site, vector))
    result = featviz.render(model, wanted, steps=STEPS, size=SIDE, progress=False)
    images = _write(folder / "mixed.webp", result.images)
    means = model.record(images, [site])[site].mean((2, 3))
    return {
        "units": [f"{site}:{first}", f"{site}:{second}"],
        "shares": SHARES,
        "responses": means[:, [first, second]].tolist(),
    }


def _sets(model: Model, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for unit in SETS:
        result = featviz.render(
            model, unit, steps=STEPS, size=SIDE, images=4, diversity=0.5, progress=False
        )
        images = _write(folder / f"set-{unit.replace(':', '-')}.webp", result.images)
        found[unit] = _scored(model, [unit] * len(images), images)
    return found


def _silent(model: Model, folder: Path) -> dict[str, Any]:
    """Render units that a grey start does not excite, without and with redirected gradients."""
    found: dict[str, Any] = {"units": SILENT}
    for name, redirect_steps in (("plain", 0), ("redirected", 16)):
        result = featviz.render(
            model,
            list(SILENT),
            steps=STEPS,
            size=SIDE,
            redirect_steps=redirect_steps,
            progress=False,
        )
        images = _write(folder / f"silent-{name}.webp", result.images)
        found[name] = _scored(model, SILENT, images)
    return found


def _compared(model: Model, folder: Path) -> dict[str, Any]:
    networks = {
        "trained": model,
        "shuffled": shuffled(model, seed=0),
        "random": with_random_weights(model, seed=0),
    }
    found: dict[str, Any] = {"units": COMPARED}
    for name, network in networks.items():
        result = featviz.render(network, list(COMPARED), steps=STEPS, size=SIDE, progress=False)
        images = _write(folder / f"compared-{name}.webp", result.images)
        slope = {"slope": spectrum_slope(images).tolist()}
        found[name] = _scored(network, COMPARED, images) | slope
    return found


def _inputs(model: Model, folder: Path) -> dict[str, Any]:
    """Render a curve detector and the inputs that excite and inhibit it most."""
    source, target, unit = CURVE
    sums = expand(model, source, target, units=[unit]).strength("sum")[0]
    order = sums.argsort(descending=True).tolist()
    chosen = order[:INPUTS] + order[: -INPUTS - 1 : -1]
    names = [f"{target}:{unit}", *(f"{source}:{k}" for k in chosen)]
    result = featviz.render(model, names, steps=STEPS // 2, size=96, progress=False)
    dead = _scored(model, names, _write(folder / "inputs.webp", result.images))["dead"]
    return {"units": names, "dead": dead}


def _learned(model: Model) -> dict[str, Any]:
    """List the inputs of a curve detector, and count them beside those of shuffled networks."""
    source, target, unit = CURVE
    inputs = list_inputs(model, f"{target}:{unit}", source)
    drawn = shuffle_inputs(model, f"{target}:{unit}", source, inputs, draws=SHUFFLES)
    follow = {
        str(count): [count_inputs(each[:count])["follow"] for each in drawn] for count in COUNTS
    }
    return {"inputs": inputs, "shuffled_follow": follow}


def _chance(model: Model) -> dict[str, Any]:
    """Measure the echo of one curve detector, and of all, without weights drawn at random."""
    _, target, unit = CURVE
    return {
        "one": measure_echoes(model, target, [unit], draws=DRAWS),
        "all": measure_echoes(model, target, list_detectors(model, target), draws=SHUFFLES),
    }


def _radii() -> dict[str, Any]:
    """Measure where the hills of two units lie for curves of several radii."""
    found: dict[str, Any] = {}
    for unit in RADII_UNITS:
        answers = [answer_curves(featviz.load(HOME[unit]), unit, radius) for radius in RADII_PX]
        found[unit] = {
            "radii_px": list(RADII_PX),
            "highest_deg": [each.highest_deg for each in answers],
            "middle_deg": [each.middle_deg for each in answers],
        }
    return found


def _photographs(given: Path, folder: Path) -> dict[str, Any]:
    pictures = []
    for name in PHOTOGRAPHS:
        picture = open_photograph(given / name)
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        pictures.append(square.resize((PHOTOGRAPH_PX,) * 2, Image.Resampling.LANCZOS))
    _write_pictures(folder / "photographs.webp", pictures, lossless=False)
    return {"names": [Path(name).stem for name in PHOTOGRAPHS]}


def _scored(model: Model, units: Sequence[str], images: Tensor) -> dict[str, Any]:
    """Return the mean activation of a unit in each image, and whether it never fires there."""
    found = []
    for unit, image in zip(units, images, strict=True):
        site, _, index = unit.rpartition(":")
        found.append(model.record(image[None], [site])[site][0, int(index)])
    return {
        "score": [float(each.mean()) for each in found],
        "dead": [not bool(each.any()) for each in found],
    }


def _write(path: Path, images: Tensor) -> Tensor:
    """Store images without loss but for the rounding, and return them as stored."""
    pictures = [to_picture(image) for image in images]
    _write_pictures(path, pictures, lossless=True)
    return torch.stack([to_image(each, (each.height,) * 2) for each in pictures])


def _write_pictures(path: Path, pictures: Sequence[Image.Image], *, lossless: bool) -> None:
    side = pictures[0].height
    strip = Image.new("RGB", (side * len(pictures), side))
    for k, picture in enumerate(pictures):
        strip.paste(picture, (k * side, 0))
    strip.save(path, quality=100 if lossless else _QUALITY, lossless=lossless, method=6)


def _rounded(value: Any) -> Any:
    """Return nested numbers with five digits; not-a-number as None."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


if __name__ == "__main__":
    main()
