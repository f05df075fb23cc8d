"""Compute what the lessons show and what takes too long to compute in class.

    python -m app.lessons.make_assets --photographs FOLDER -o assets/lessons

FOLDER holds chelsea.png, coffee.png, astronaut.png and rocket.jpg of scikit-image (its folder
`data`). Writes strips of square pictures as WebP, one file a strip, and numbers.json, which holds
every number that is told about them; these were measured on the pictures before they were stored.
Takes about four minutes on one core.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import featviz
from circuits import expand, parse_edit, shuffled, tuning_effects, with_random_weights
from featviz.images import to_picture, write_file
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
DRAWS = 40
PHOTOGRAPHS = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")
PHOTOGRAPH_PX = 192
_QUALITY = 82


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute everything and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--photographs", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    chosen = parser.parse_args(arguments)
    chosen.output.mkdir(parents=True, exist_ok=True)
    model = featviz.load(MODEL)
    numbers = {
        "noise": _noise(model, chosen.output),
        "objectives": _objectives(model, chosen.output),
        "mixed": _mixed(model, chosen.output),
        "sets": _sets(model, chosen.output),
        "silent": _silent(model, chosen.output),
        "compared": _compared(model, chosen.output),
        "inputs": _inputs(model, chosen.output),
        "chance": _chance(model),
        "photographs": _photographs(chosen.photographs, chosen.output),
    }
    text = json.dumps(_rounded(numbers), indent=1) + "\n"
    write_file(chosen.output / "numbers.json", text.encode())


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
        frames = torch.stack([result.frames[s][0] for s in SHOWN_STEPS[:-1]] + [result.images[0]])
        score = score_images(model, [objective] * len(frames), frames)
        kept = robustness(model, [objective], result.images)
        found[name] = {
            "param": param,
            "transforms": transforms,
            "score": score.tolist(),
            "high": high_frequency_share(frames).tolist(),
            "robust_ratio": float(kept.ratio[0]),
            "robust_mean": float(kept.mean[0]),
        }
        _write(folder / f"noise-{name}.webp", frames)
    return found


def _objectives(model: Model, folder: Path) -> dict[str, Any]:
    site, _, unit = MIXED
    labels = [f"{site}:{unit}@center", f"{site}:{unit}", f"-{site}:{unit}"]
    result = featviz.render(model, labels, steps=STEPS, size=SIDE, progress=False)
    _write(folder / "objectives.webp", result.images)
    maps = model.record(result.images, [site])[site][:, unit]
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
    _write(folder / "mixed.webp", result.images)
    means = model.record(result.images, [site])[site].mean((2, 3))
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
        _write(folder / f"set-{unit.replace(':', '-')}.webp", result.images)
        found[unit] = {"score": result.score.tolist(), "dead": result.dead.tolist()}
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
        found[name] = {"score": result.score.tolist(), "dead": result.dead.tolist()}
        _write(folder / f"silent-{name}.webp", result.images)
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
        _write(folder / f"compared-{name}.webp", result.images)
        found[name] = {
            "score": result.score.tolist(),
            "dead": result.dead.tolist(),
            "slope": spectrum_slope(result.images).tolist(),
        }
    return found


def _inputs(model: Model, folder: Path) -> dict[str, Any]:
    """Render a curve detector and the inputs that excite and inhibit it most."""
    source, target, unit = CURVE
    sums = expand(model, source, target, units=[unit]).strength("sum")[0]
    order = sums.argsort(descending=True).tolist()
    chosen = order[:INPUTS] + order[: -INPUTS - 1 : -1]
    names = [f"{target}:{unit}", *(f"{source}:{k}" for k in chosen)]
    result = featviz.render(model, names, steps=STEPS // 2, size=96, progress=False)
    _write(folder / "inputs.webp", result.images)
    return {"units": names, "dead": result.dead.tolist()}


def _chance(model: Model) -> dict[str, Any]:
    """Measure the echo of the curve detector without its negative weights, and random ones."""
    _, target, unit = CURVE
    edit = parse_edit(f"negative weights of {target}:{unit}")
    (effect,) = tuning_effects(model, [edit], target, [unit], draws=DRAWS)
    return {"draws": DRAWS, "random": [curve.echo for curve in effect.random]}


def _photographs(given: Path, folder: Path) -> dict[str, Any]:
    pictures = []
    for name in PHOTOGRAPHS:
        picture = open_photograph(given / name)
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        size = (PHOTOGRAPH_PX, PHOTOGRAPH_PX)
        pictures.append(square.resize(size, Image.Resampling.LANCZOS))
    _write_pictures(folder / "photographs.webp", pictures, quality=90)
    return {"names": [Path(name).stem for name in PHOTOGRAPHS]}


def _write(path: Path, images: Tensor) -> None:
    _write_pictures(path, [to_picture(image) for image in images])


def _write_pictures(
    path: Path, pictures: Sequence[Image.Image], *, quality: int = _QUALITY
) -> None:
    side = pictures[0].height
    strip = Image.new("RGB", (side * len(pictures), side))
    for k, picture in enumerate(pictures):
        strip.paste(picture, (k * side, 0))
    strip.save(path, quality=quality, method=6)


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
