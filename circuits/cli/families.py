"""`featviz circuit families`: the units of a site in groups, in the order of their orientation."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, print_json, print_table, prints_to_stderr
from featviz.errors import CircuitError, OutputError

if TYPE_CHECKING:
    from PIL import Image

    from circuits.expansion.weight_map import WeightMap
    from circuits.families.family_map import FamilyMap
    from featviz.models import Model


class Words(click.ParamType[tuple[str, ...]]):
    """Words with commas between them."""

    name = "A,B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Read the text."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        if not words or len(set(words)) < len(words):
            self.fail(f"{value!r} is empty or names one twice; write a,b", param, ctx)
        return words


_EXAMPLES = """\b
featviz circuit families squeezenet1_1 fire3 -o families.html
featviz circuit families artificial_curves arcs --json
featviz circuit families squeezenet1_1 fire4 --by weights --source fire3 --count 12
featviz circuit families squeezenet1_1 fire4 --branches "1x1=fire4:0-127; 3x3=fire4:128-255"
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model")
@click.argument("site")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.html")
@click.option(
    "--by",
    type=click.Choice(["tuning", "weights"]),
    help="What makes units alike. [tuning; with --file, nothing]",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Take the families from here; see --save for the form.",
)
@click.option("--source", metavar="SITE", help="With --by weights: where the weights come from.")
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="With --by weights: families of the source; units are alike that read the same ones.",
)
@click.option(
    "--stimuli", type=Words(), default="curve,line", show_default=True, help="For the tuning."
)
@click.option(
    "--branches",
    metavar="NAME=UNITS;...",
    help="Parts of the layer, to see where families gather. [as the site is put together]",
)
@click.option("--count", type=int, help="Number of groups. [as the threshold says]")
@click.option("--threshold", type=float, help="Least correlation of groups joined. [0.7]")
@click.option(
    "--images",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Feature images a family, spread over the orientations.",
)
@click.option("--steps", type=int, default=64, show_default=True, help="Of each feature image.")
@click.option("--px", type=int, default=64, show_default=True, help="Side of a feature image.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of images and shuffles.")
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Write the families, for --file and for editing.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@model_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@json_option
def families(
    model: str,
    site: str,
    output: Path | None,
    by: str | None,
    file: Path | None,
    source: str | None,
    inputs: Path | None,
    stimuli: tuple[str, ...],
    branches: str | None,
    count: int | None,
    threshold: float | None,
    images: int,
    steps: int,
    px: int,
    seed: int,
    save: Path | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Group the units of SITE, order them by orientation, and show them on one page.

    Units are grouped by the shape of their tuning curves at whatever orientation, or by the
    weights they read, or as a file says. Per unit: preferred orientation, width at half the peak,
    echo, selectivity, family; per family, in which branch of the layer it gathers, against chance.
    Beside stands how large groups of random curves are that are as smooth, or of shuffled weights:
    units of groups no larger are `other`.
    """
    _check_ways(by, file, source, inputs)
    _check_free(output, save, overwrite=overwrite)
    from circuits.families.family import parse_families, read_families, write_families
    from circuits.families.family_map import map_families
    from circuits.tuning.measuring import TuningConfig

    given, read = (None if path is None else read_families(path) for path in (file, inputs))
    loaded = load_model(model, **options)
    with prints_to_stderr():
        found = map_families(
            loaded,
            site,
            families=given,
            weights=_weights(loaded, source, site) if by == "weights" else None,
            inputs=read,
            stimuli=stimuli,
            branches=None if branches is None else parse_families(branches),
            config=TuningConfig(progress=not quiet),
            count=count,
            threshold=threshold,
            seed=seed,
        )
        if output is not None:
            _write_page(output, loaded, found, images, steps, px, seed, progress=not quiet)
    if save is not None:
        write_families(save, found.families)
    _print(found, output, as_json=as_json)


def _check_ways(by: str | None, file: Path | None, source: str | None, inputs: Path | None) -> None:
    """Refuse options that exclude or need each other."""
    if by is not None and file is not None:
        raise CircuitError("--file gives the families, so --by has nothing to find; drop one")
    if (by == "weights") != (source is not None):
        raise CircuitError(
            "--by weights needs --source SITE, an earlier site, and --source needs --by weights"
        )
    if inputs is not None and source is None:
        raise CircuitError("--inputs names families of the source; add --by weights --source SITE")


def _check_free(*files: Path | None, overwrite: bool) -> None:
    """Refuse outputs that are there already or have no folder, before anything is computed."""
    for file in filter(None, files):
        if file.is_dir():
            raise OutputError(f"{str(file)!r} is a folder; name a file in it")
        if file.exists() and not overwrite:
            raise OutputError(f"{str(file)!r} exists already; choose another or pass --overwrite")
        if file.parent.exists() and not file.parent.is_dir():
            raise OutputError(f"{str(file.parent)!r} is no folder; choose another name")


def _weights(model: "Model", source: str | None, site: str) -> "WeightMap":
    """Return the weights between the sites with gates taken as open."""
    from circuits.expansion.expand import expand

    assert source is not None, "checked before"
    return expand(model, source, site)


def _write_page(
    output: Path,
    model: "Model",
    found: "FamilyMap",
    images: int,
    steps: int,
    px: int,
    seed: int,
    *,
    progress: bool,
) -> None:
    import featviz
    from circuits.families.page import write_family_page
    from featviz.images import make_folder

    chosen = [m for f in found.families for m in _spread(found.of(f.name), images)]
    pictures: dict[int, Image.Image] = {}
    dead: frozenset[int] = frozenset()
    # A unit may be in several families that were given.
    units = list(dict.fromkeys(m.curve.unit for m in chosen if not m.curve.silent))
    if units:
        done = featviz.render(
            model, units, steps=steps, size=px, seed=seed, progress=None if progress else False
        )
        channels = [int(unit.rpartition(":")[2]) for unit in units]
        pictures = dict(zip(channels, done.pictures(), strict=True))
        dead = frozenset(c for c, flag in zip(channels, done.dead.tolist(), strict=True) if flag)
    make_folder(output.parent)
    write_family_page(output, found, pictures=pictures, dead=dead, command=_command())


def _spread(members: list[Any], count: int) -> list[Any]:
    """Return at most so many members, evenly along their order."""
    if len(members) <= count:
        return members
    return [members[k * len(members) // count] for k in range(count)]


def _command() -> str:
    """Return the command line of this run."""
    return shlex.join(["featviz", *sys.argv[1:]])


def _document(found: "FamilyMap", output: Path | None) -> dict[str, Any]:
    grouping = found.grouping
    return {
        "model": found.model,
        "site": found.site,
        "by": found.by,
        "families": [
            {
                "name": family.name,
                "units": len(family.units),
                "branches": {
                    name: {
                        "inside": e.inside,
                        "expected": round(e.expected, 3),
                        "log10_p_more": round(e.log10_p_more, 6),
                        "log10_p_fewer": round(e.log10_p_fewer, 6),
                    }
                    for name, e in found.branches.get(family.name, {}).items()
                },
            }
            for family in found.families
        ],
        "left_out": found.left_out,
        "control": None
        if grouping is None
        else {
            "threshold": grouping.threshold,
            "within": grouping.within,
            "shuffled_within": list(grouping.shuffled_within),
            "shuffled_largest": list(grouping.shuffled_largest),
            "networks_largest": list(found.networks),
        },
        "units": [member.row() for member in found.members],
        "page": None if output is None else str(output),
    }


def _print(found: "FamilyMap", output: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(found, output))
        return
    from circuits.families.page import branch_text, control_text, facts

    every = ("expected", "preferred", "mean", "FWHM", "echo", "selectivity", "stimulus")
    known = [(member, dict(facts(member))) for member in found.members]
    heads = tuple(head for head in every if any(head in values for _, values in known))
    rows = [
        [member.curve.unit, member.family, *(values.get(head, "-") for head in heads)]
        for member, values in known
    ]
    print_table(["unit", "family", *heads], rows)
    click.echo()
    tests = sum(map(len, found.branches.values()))
    for family in found.families:
        branches = found.branches.get(family.name)
        where = f"; {branch_text(branches, tests)}" if branches else ""
        click.echo(f"{family.name}: {len(family.units)} units{where}")
    if control_text(found):
        click.echo(control_text(found))
    if found.left_out:
        click.echo(f"{found.left_out} units of {found.site} are in no family")
    if output is not None:
        click.echo(f"page  {output}")
