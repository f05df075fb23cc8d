"""`featviz circuit ablate`: what breaks when weights or units are dropped."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from circuits.cli.tuning import STIMULI
from circuits.cli.weights import pick_units
from featviz.cli.loading import Numbers, load_model, model_options
from featviz.cli.output import json_option, print_json, print_table, prints_to_stderr
from featviz.errors import CircuitError

if TYPE_CHECKING:
    from torch import Tensor

    from circuits.ablation.edits import Edit
    from circuits.ablation.effects import TuningEffect, UnitEffect
    from circuits.tuning.measuring import TuningConfig
    from featviz.models import Model

_TUNING = ("preferred_deg", "fwhm_deg", "echo", "selectivity", "peak")
_ACTIVATION = ("correlation", "mean_change")

_EPILOG = """\b
EDIT is one of
  negative weights [of SITE[:UNITS]]  or positive; by default of the layer of UNITS
  negative weights SITE:A->SITE:B     only those of the kernels between these
  units SITE:A                        these units give 0
  mean SITE:A                         or their mean over --images
  inputs SITE:A [of SITE[:UNITS]]     UNITS read nothing of these
  edge SITE:A->SITE:B [xFACTOR]       scales what A gives to B; 0 without a factor

\b
featviz circuit ablate artificial_curves arcs:6 --drop "negative weights"
featviz circuit ablate artificial_curves arcs:6 --keep early_curves:0-11
featviz circuit ablate squeezenet1_1 fire4:141 --drop "units fire3:0-15" --images photos/
"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@click.argument("units", metavar="SITE:UNITS")
@click.option("--drop", "drops", multiple=True, metavar="EDIT", help="What to change; repeatable.")
@click.option(
    "--keep", "keeps", multiple=True, metavar="SITE:UNITS",
    help="The only inputs that UNITS keep, a family of one site; repeatable.",
)  # fmt: skip
@click.option("--stimulus", type=click.Choice(STIMULI), default="curve", show_default=True)
@click.option("--angles", type=int, help="Orientations over the period. [every 5 degrees]")
@click.option("--levels", type=Numbers(), help="Radii or the like, px. [fit the receptive field]")
@click.option(
    "--images", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Also compare the activation over photographs; 'mean' edits need it.",
)  # fmt: skip
@click.option(
    "--image-count", type=click.IntRange(1), default=64, show_default=True,
    help="Photographs to use at most.",
)  # fmt: skip
@click.option(
    "--draws", type=click.IntRange(1), default=5, show_default=True,
    help="Random edits of the same size to measure beside.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random edits.")
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@json_option
def ablate(
    model: str,
    units: str,
    drops: tuple[str, ...],
    keeps: tuple[str, ...],
    stimulus: str,
    images: Path | None,
    image_count: int,
    as_json: bool,
    **options: Any,
) -> int:
    """Say in numbers what breaks in UNITS of MODEL when weights or units are dropped.

    Beside the numbers before and after stand those of random edits of the same size: as many
    weights of the same units, or as many units of the same site. What random edits break too is
    no evidence.
    """
    from circuits.ablation.effects import tuning_effects, unit_effects

    edits = _edits(units, drops, keeps)
    config = _config(options)
    chance = {name: options.pop(name) for name in ("draws", "seed")}
    loaded = load_model(model, **options)
    site, channels = pick_units(loaded, units)
    with prints_to_stderr():
        batch = None if images is None else _photographs(loaded, images, image_count)
        shown: dict[str, Any] = {"stimulus": stimulus, "config": config, "images": batch}
        tuned = tuning_effects(loaded, edits, site, channels, **shown, **chance)
        compared = None
        if batch is not None:
            compared = unit_effects(loaded, edits, site, channels, batch, **chance)
    document = {
        "model": loaded.name,
        "weights": loaded.weights_origin,
        "edits": [_said(edit) for edit in edits],
        "stimulus": stimulus,
        **chance,
        "images": None if images is None or batch is None else f"{len(batch)} of {images}",
        "units": [
            _row(effect, compared[k] if compared else None) for k, effect in enumerate(tuned)
        ],
    }
    if as_json:
        print_json(document)
    else:
        _print(document)
    return 0


def _config(options: dict[str, Any]) -> "TuningConfig":
    """Take the settings of the measurement out of the options."""
    from circuits.tuning.measuring import TuningConfig

    angles, levels, quiet = (options.pop(name) for name in ("angles", "levels", "quiet"))
    return TuningConfig(angles=angles, levels=levels, progress=not quiet)


def _edits(units: str, drops: tuple[str, ...], keeps: tuple[str, ...]) -> "list[Edit]":
    """Read the edits; what they leave out is that of the units."""
    from circuits.ablation.edits import parse_edit

    if not drops and not keeps:
        raise CircuitError('nothing to change; give --drop "negative weights" or --keep SITE:UNITS')
    site = units.rpartition(":")[0]
    edits = [parse_edit(text, of=site if "weights" in text else units) for text in drops]
    for text in keeps:
        family = text if text.startswith("inputs ") else f"inputs {text}"
        edits.append(parse_edit(family, of=units, keep=True))
    return edits


def _photographs(model: "Model", folder: Path, count: int) -> "Tensor":
    import torch

    from featviz.metrics import PictureFolder

    pictures = PictureFolder.open(folder)
    some = PictureFolder(pictures.path, pictures.files[:count])
    return torch.cat(list(some.batches(model.spec.size, channels=model.spec.channels)))


def _said(edit: "Edit") -> str:
    from circuits.ablation.edits import SelectInputs

    kept = isinstance(edit, SelectInputs) and edit.keep
    return f"{'keep' if kept else 'drop'} {edit}"


def _row(
    effect: "TuningEffect", compared: "tuple[UnitEffect, tuple[UnitEffect, ...]] | None"
) -> dict[str, Any]:
    return {
        "unit": effect.before.unit,
        "label": effect.before.label,
        "tuning": _tuning(effect),
        "activation": None if compared is None else _activation(*compared),
    }


def _tuning(effect: "TuningEffect") -> dict[str, Any]:
    return {
        name: {
            "before": _number(getattr(effect.before, name)),
            "after": _number(getattr(effect.after, name)),
            "random": _spread([getattr(curve, name) for curve in effect.random]),
        }
        for name in _TUNING
    }


def _activation(effect: "UnitEffect", random: "tuple[UnitEffect, ...]") -> dict[str, Any]:
    found: dict[str, Any] = {
        "mean_before": _number(effect.mean_before),
        "mean_after": _number(effect.mean_after),
    }
    for name in _ACTIVATION:
        found[name] = {
            "after": _number(getattr(effect, name)),
            "random": _spread([getattr(one, name) for one in random]),
        }
    return found


def _spread(values: list[float]) -> dict[str, Any]:
    """Return mean and range; draws that left a unit silent have no number and are counted."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return {"mean": None, "low": None, "high": None, "draws": 0}
    mean = sum(known) / len(known)
    numbers = {"mean": mean, "low": min(known), "high": max(known)}
    return {**{name: _number(value) for name, value in numbers.items()}, "draws": len(known)}


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _print(document: dict[str, Any]) -> None:
    for said in document["edits"]:
        click.echo(said)
    rows = []
    for unit in document["units"]:
        for name, found in unit["tuning"].items():
            rows.append([unit["unit"], name, _cell(found["before"]), *_beside(found)])
        for name in _ACTIVATION if unit["activation"] else ():
            rows.append([unit["unit"], name, "-", *_beside(unit["activation"][name])])
    heads = ["unit", "measure", "before", "after", f"random edits ({document['draws']})", "range"]
    print_table(heads, rows)
    if document["images"]:
        click.echo(f"activation over photographs: {document['images']}")


def _beside(found: dict[str, Any]) -> list[str]:
    random = found["random"]
    span = "-" if random["mean"] is None else f"{_cell(random['low'])} to {_cell(random['high'])}"
    return [_cell(found["after"]), _cell(random["mean"]), span]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
