"""`featviz models` and `featviz sites`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from featviz.cli.loading import load_model, model_options
from featviz.cli.output import json_option, print_json, print_table, prints_to_stderr
from featviz.models.spec import FAMILIES, get_spec, list_models

if TYPE_CHECKING:
    from featviz.receptive_field import Field
    from featviz.sites import Site


@click.command()
@click.argument("family", required=False)
@json_option
def models(family: str | None, as_json: bool) -> None:
    """List models, where their weights come from, and whether they are here.

    FAMILY lists the names of a whole library: torchvision or timm.
    """
    if family is not None:
        _list_family(family.rstrip(":"), as_json=as_json)
        return
    import featviz.models  # noqa: F401 - registers the models

    entries = [_entry(name) for name in list_models()]
    if as_json:
        print_json({"models": entries, "families": list(FAMILIES)})
        return
    heads = ("model", "images", "weights here", "licence", "weights from")
    rows = [
        (e["name"], e["images"], "yes" if e["here"] else "no", e["licence"], e["origin"])
        for e in entries
    ]
    print_table(heads, rows)
    click.echo(
        "\nBesides: torchvision:NAME ('featviz models torchvision' lists them), timm:NAME "
        "('featviz models timm'),\npackage.module:factory. --weights FILE loads your own weights, "
        "--weights random none."
    )


def _entry(name: str) -> dict[str, Any]:
    spec = get_spec(name)
    path = spec.weights.locate() if spec.weights else None
    return {
        "name": name,
        "images": f"{spec.channels}x{spec.size[0]}x{spec.size[1]}",
        "here": path is not None,
        "path": str(path) if path else None,
        "licence": spec.weights.licence if spec.weights else "",
        "origin": spec.weights.origin if spec.weights else "none",
        "summary": spec.summary,
    }


def _list_family(family: str, *, as_json: bool) -> None:
    if family == "torchvision":
        from featviz.models.torchvision import list_names
    elif family == "timm":
        from featviz.models.timm import list_names
    else:
        raise click.BadParameter(f"unknown family {family!r}; choose torchvision or timm")
    names = [f"{family}:{name}" for name in list_names()]
    if as_json:
        print_json({"models": names})
    else:
        click.echo("\n".join(names))


@click.command()
@click.argument("model")
@click.option("--all", "every", is_flag=True, help="Also list what browsing leaves out.")
@model_options
@json_option
def sites(model: str, every: bool, as_json: bool, **options: Any) -> None:
    """List the sites of MODEL in network order: the places whose units can be rendered."""
    loaded = load_model(model, **options)
    with prints_to_stderr():
        found = loaded.sites(every=every)
    labels = loaded.spec.unit_labels() if loaded.spec.unit_labels else {}
    if as_json:
        entries = [_site_entry(site) for site in found]
        for entry in entries:
            if labels:
                entry["unit_labels"] = labels.get(entry["site"])
        print_json({"model": model, "sites": entries})
        return
    heads = ["site", "channels", "map", "receptive field px", "stride px", "before activation"]
    rows = [list(_site_row(site)) for site in found]
    if labels:
        heads.append("units")
        rows = [[*row, _first_and_last(labels.get(row[0], ()))] for row in rows]
    print_table(heads, rows)


def _first_and_last(names: Sequence[str]) -> str:
    """Return a few names of many."""
    return ", ".join(names if len(names) <= 3 else (*names[:2], "...", names[-1]))


def _pair(field: "Field", what: str) -> str:
    if field.y is None or field.x is None:
        return "whole image" if field.extent == "global" else "unknown"
    y, x = getattr(field.y, what), getattr(field.x, what)
    return str(y) if y == x else f"{y}x{x}"


def _site_row(site: "Site") -> tuple[str, ...]:
    stride = _pair(site.field, "stride_px") if site.field.extent == "local" else ""
    return (
        site.name,
        str(site.channels),
        "x".join(map(str, site.map_size)),
        _pair(site.field, "size_px"),
        stride,
        f"{site.name}.pre" if site.has_pre else "",
    )


def _site_entry(site: "Site") -> dict[str, Any]:
    y, x = site.field.y, site.field.x
    return {
        "site": site.name,
        "channels": site.channels,
        "map": list(site.map_size),
        "extent": site.field.extent,
        "receptive_field_px": [y.size_px, x.size_px] if y and x else None,
        "stride_px": [y.stride_px, x.stride_px] if y and x else None,
        "start_px": [y.start_px, x.start_px] if y and x else None,
        "pre_activation": f"{site.name}.pre" if site.has_pre else None,
    }
