"""`featviz circuit ablate`: what breaks when weights or units are dropped."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from circuits.cli.photographs import read_photographs
from circuits.cli.tuning import STIMULI
from circuits.cli.weights import pick_units
from featviz.cli.loading import Numbers, load_model, model_options
from featviz.cli.output import json_option, print_json, print_table, prints_to_stderr
from featviz.errors import CircuitError

if TYPE_CHECKING:
    from torch import Tensor

    from circuits.ablation.edits import Edit
    from circuits.ablation.random_edits import RandomEdits
    from circuits.tuning.measuring import TuningConfig
    from featviz.models import Model

_EPILOG = """\b
EDIT is one of
  negative weights [of SITE[:UNITS]]  or positive; by default of the layer of UNITS
  negative weights SITE:A->SITE:B     only those of the kernels between these
  units SITE:A                        these units give 0
  mean SITE:A                         or their mean over --images
  inputs SITE:A [of SITE[:UNITS]]     UNITS read nothing of these
  edge SITE:A->SITE:B [xFACTOR]       scales what A gives to B; 0 without a factor
Edits may lie anywhere before UNITS, and their order does not matter.

\b
featviz circuit ablate artificial_curves arcs:6 --drop "negative weights"
featviz circuit ablate artificial_curves arcs:6 --keep early_curves:0-11
featviz circuit ablate squeezenet1_1 fire4:141 --drop "units fire3:0-15" --images photos/
featviz circuit ablate squeezenet1_1 logits:207 --drop "units fire9:3" --images photos/
"""


@click.command(epilog=_EPILOG)
@click.argument("model")
@click.argument("units", metavar="SITE:UNITS")
@click.option("--drop", "drops", multiple=True, metavar="EDIT", help="What to change; repeatable.")
@click.option(
    "--keep", "keeps", multiple=True, metavar="SITE:UNITS",
    help="The only inputs that UNITS keep, a family of one site; once for the same units.",
)  # fmt: skip
@click.option(
    "--stimulus", type=click.Choice(STIMULI),
    help="What to measure tuning with.  [curve; for logits and other vectors, none]",
)  # fmt: skip
@click.option("--angles", type=int, help="Orientations over the period. [every 5 degrees]")
@click.option("--levels", type=Numbers(), help="Radii or the like, px. [fit the receptive field]")
@click.option(
    "--images", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Also compare the activation, or class, over photographs; 'mean' edits need it.",
)  # fmt: skip
@click.option(
    "--image-count", type=click.IntRange(1), default=64, show_default=True,
    help="Photographs to use at most.",
)  # fmt: skip
@click.option(
    "--draws", type=click.IntRange(0), default=39, show_default=True,
    help="Random edits of the same size to measure beside; the smallest p is 1 / (1 + draws).",
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
    stimulus: str | None,
    images: Path | None,
    image_count: int,
    draws: int,
    seed: int,
    as_json: bool,
    **options: Any,
) -> int:
    """Say in numbers what breaks in UNITS of MODEL when weights or units are dropped.

    UNITS is what is read, any units behind the edits; logits are read as classes. Beside the
    numbers before and after stand those of random edits of the same size: as many weights of the
    same units, or as many other units of the same site. "reached" is the share of them that change
    a number as far as the edit, p = (1 + their number) / (1 + draws). What random edits break too
    is no evidence.
    """
    from circuits.ablation.random_edits import RandomEdits
    from circuits.ablation.reach import check_reach

    edits = _edits(units, drops, keeps)
    config = _config(options)
    loaded = load_model(model, **options)
    site, channels = pick_units(loaded, units)
    check_reach(loaded, edits, site, channels)
    with prints_to_stderr():
        batch = None if images is None else read_photographs(loaded, images, image_count)[0]
        control = RandomEdits(loaded, edits, images=batch)
        asked = _Asked(loaded, edits, site, channels, batch, min(draws, control.distinct), seed)
        stimulus = _stimulus(asked, stimulus)
        rows = _rows(asked, stimulus, config)
    document = {
        "model": loaded.name,
        "weights": loaded.weights_origin,
        "edits": [_said(edit) for edit in edits],
        "stimulus": stimulus,
        "draws": asked.draws,
        "seed": seed,
        "control": {"distinct": control.distinct, "overlap": round(control.overlap, 6)},
        "images": None if images is None or batch is None else f"{len(batch)} of {images}",
        **rows,
    }
    if as_json:
        print_json(document)
    else:
        _print(document, _about(control, draws))
    return 0


class _Chance(TypedDict):
    draws: int
    seed: int


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is edited and where it is read."""

    model: "Model"
    edits: "list[Edit]"
    site: str
    units: list[int]
    images: "Tensor | None"
    draws: int
    seed: int


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
    kept = [str(edit).rpartition(" of ")[2] for edit in edits[len(drops) :]]
    if len(set(kept)) < len(kept):
        raise CircuitError(
            "each --keep drops what the other keeps; name all inputs that the units keep in one: "
            "--keep SITE:0-3,7"
        )
    return edits


def _said(edit: "Edit") -> str:
    from circuits.ablation.edits import SelectInputs

    kept = isinstance(edit, SelectInputs) and edit.keep
    return f"{'keep' if kept else 'drop'} {edit}"


def _stimulus(asked: _Asked, stimulus: str | None) -> str | None:
    """Return what tuning is measured with; of vectors only what was asked for."""
    if stimulus is not None or asked.model.site_table().resolve(asked.site).map_size:
        return stimulus or "curve"
    if asked.images is None:
        raise CircuitError(
            f"{asked.site!r} gives one number for a whole picture, which drawn curves say little "
            "about; give photographs by --images FOLDER, or drawings by --stimulus"
        )
    return None


def _rows(asked: _Asked, stimulus: str | None, config: "TuningConfig") -> dict[str, Any]:
    """Measure, and return one entry a unit and what all share."""
    from circuits.ablation import effects, report

    model, edits, site, images = asked.model, asked.edits, asked.site, asked.images
    named = model.spec.unit_labels().get(site) if model.spec.unit_labels else None
    kinds: dict[str, Any] = dict.fromkeys(("tuning", "activation", "class"))
    units: list[dict[str, Any]] = [
        {"unit": f"{site}:{k}", "label": named[k] if named else None, **kinds} for k in asked.units
    ]
    found: dict[str, Any] = {"units": units, "mean": None, "agreement": None}
    chance = _Chance(draws=asked.draws, seed=asked.seed)
    if stimulus is not None:
        tuned = effects.tuning_effects(
            model, edits, site, asked.units,
            stimulus=stimulus, config=config, images=images, **chance,
        )  # fmt: skip
        for row, effect in zip(units, tuned, strict=True):
            row["tuning"] = report.tuning_row(effect)
        if len(tuned) > 1:
            found["mean"] = {"tuning": report.mean_tuning_row(tuned)}
    if images is not None and _is_output(model, site):
        before, after, random = effects.class_effects(
            model, edits, asked.units, images, site=site, **chance
        )
        for place, row in enumerate(units):
            row["class"] = report.class_row(place, before, after, random)
        found["agreement"] = report.agreement_row(after, random)
    elif images is not None:
        compared = effects.unit_effects(model, edits, site, asked.units, images, **chance)
        for row, (one, others) in zip(units, compared, strict=True):
            row["activation"] = report.activation_row(one, others)
    return found


def _is_output(model: "Model", site: str) -> bool:
    """Tell whether a site is the vector that a network gives, its classes."""
    from featviz.sites import OUTPUT

    table = model.site_table()
    found = table.resolve(site)
    whole = OUTPUT in table.names(every=True) and found.parts == table.resolve(OUTPUT).parts
    return whole and not found.map_size


def _about(control: "RandomEdits", draws: int) -> list[str]:
    """Return what to know of the random edits."""
    if not draws:
        return []
    if not control.distinct:
        return [
            "no random edits: nothing else of this size can be chosen, so nothing says what any "
            "edit would break"
        ]
    lines = []
    if control.distinct < draws:
        lines.append(f"only {control.distinct} different random edits of this size: all were made")
    if control.overlap:
        lines.append(
            f"a random edit holds {control.overlap:.0%} of what the edit changes, on average"
        )
    return lines


def _print(document: dict[str, Any], about: list[str]) -> None:
    for said in document["edits"]:
        click.echo(said)
    units = document["units"]
    if document["mean"]:
        units = [*units, {"unit": f"mean of {len(units)}", **document["mean"]}]
    rows = [
        [unit["unit"], name, *_cells(found)]
        for unit in units
        for kind in ("tuning", "activation", "class")
        for name, found in (unit.get(kind) or {}).items()
        if isinstance(found, dict)
    ]
    if document["agreement"]:
        rows.append(["all classes", "agreement", *_cells(document["agreement"])])
    random = f"random edits ({document['draws']})"
    print_table(["unit", "measure", "before", "after", random, "range", "reached", "p"], rows)
    for line in about:
        click.echo(line)
    if document["images"]:
        click.echo(f"photographs: {document['images']}")


def _cells(found: dict[str, Any]) -> list[str]:
    random = found["random"]
    span = "-" if random["mean"] is None else f"{_cell(random['low'])} to {_cell(random['high'])}"
    numbers = (found["before"], found["after"], random["mean"])
    return [*map(_cell, numbers), span, _cell(random["reached"]), _cell(random["p_value"])]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
