"""One unit in every kind of image and under every preset, side by side, on one page.

After rendering: it renders, measures and writes pages, and does none of that itself. What is shown
stands in variants.py.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from featviz.config import RenderConfig
from featviz.errors import ConfigError
from featviz.images import check_folder
from featviz.metrics import PictureFolder, measure_renders, read_render
from featviz.models.model import Model
from featviz.objectives import is_unit_text
from featviz.page import Figure, Section, result_figures, write_page
from featviz.record import command
from featviz.rendering import list_labels, render
from featviz.result import RenderResult
from featviz.variants import SLOW_SHARE, Setting, good_for, list_settings

# One early, one middle, one deep unit of the embedded default network, out of `featviz demo`.
UNITS = {"squeezenet1_1": ("fire3:80", "fire5:150", "fire9:269")}

_COLUMNS = (
    ("slope", "slope", "{:.2f}"),
    ("high", "high", "{:.3f}"),
    ("clipped", "clipped", "{:.2f}"),
    ("saturation", "saturation", "{:.2f}"),
    ("robust", "robust_ratio", "{:.2f}"),
    ("percentile", "percentile", "{:.1f}"),
    ("self", "self_rank", "{}"),
    ("z", "self_z", "{:.1f}"),
)


def default_units(model: Model) -> list[str]:
    """Return one early, one middle and one deep unit.

    Args:
        model: For networks without chosen ones, channel 0 a fifth, a half and all the way down the
            sites that have a map.
    """
    if model.name in UNITS:
        return list(UNITS[model.name])
    names = [site.name for site in model.sites() if site.map_size]
    if not names:
        raise ConfigError(f"{model.name!r} has no site with a map to choose units from; name some")
    places = [len(names) // 5, len(names) // 2, len(names) - 1]
    return [f"{names[k]}:0" for k in dict.fromkeys(places)]


@dataclass(frozen=True)
class Picture:
    """One picture of the gallery.

    Attributes:
        setting: How it was rendered.
        figure: What the page shows.
        row: Its measures, as in `featviz metrics --json`.
    """

    setting: Setting
    figure: Figure
    row: dict[str, Any]


@dataclass(frozen=True)
class Gallery:
    """What `make_gallery` made.

    Attributes:
        page: The HTML file.
        units: Unit -> its pictures, in the order of the page.
    """

    page: Path
    units: dict[str, list[Picture]]


def make_gallery(
    model: Model,
    folder: str | Path,
    *,
    units: Sequence[str] | None = None,
    config: RenderConfig | None = None,
    photographs: PictureFolder | None = None,
    settings: Sequence[Setting] | None = None,
    progress: bool = False,
) -> Gallery:
    """Render units under every setting, measure the pictures, and write a page of them.

    Each picture is rendered alone, so that its command gives the same bytes. Pictures of an earlier
    gallery are replaced.

    Args:
        model: The network.
        folder: Where page and pictures go.
        units: Units or expressions; None: `default_units`.
        config: What all pictures have in common; None: the defaults.
        photographs: For percentile and self-identification; None: they are left out.
        settings: How to render; None: `list_settings`.
        progress: Whether to show a bar on stderr.

    Raises:
        InputError: If a unit, a setting or a photograph is wrong, or the folder cannot be made.
        KeyboardInterrupt: On Ctrl-C, after which there is no page.
    """
    folder, base = Path(folder), config or RenderConfig()
    check_folder(folder)
    if photographs is not None:
        photographs.check()  # they are read when everything is rendered
    settings = list_settings() if settings is None else settings
    labels = list_labels(model, default_units(model) if units is None else units, config=base)
    shown: dict[str, list[Picture]] = {}
    with tqdm(total=len(labels) * len(settings), disable=not progress, unit=" renders") as bar:
        for label in labels:
            bar.set_description(label)
            shown[label] = _render_unit(model, label, settings, base, folder, bar.update)
    for pictures in shown.values():
        _measure(model, pictures, photographs)
    page = folder / "index.html"
    sections = _sections(shown, settings)
    write_page(page, sections, title=f"One unit, every setting: {model.name}", lead=_lead(base))
    return Gallery(page, shown)


def _render_unit(
    model: Model,
    label: str,
    settings: Sequence[Setting],
    base: RenderConfig,
    folder: Path,
    done: Callable[[], object],
) -> list[Picture]:
    """Render one unit under every setting; settings that come to the same share a picture."""
    made: dict[tuple[str, str], list[Figure]] = {}
    pictures = []
    for setting in settings:
        config = setting.config(base)
        target = _negative(label) if setting.negative else label
        key = target, str({**config.to_json(), "optimiser": config.optimiser_used})
        if key not in made:
            result = render(model, target, config=config, progress=False)
            if result.interrupted:
                raise KeyboardInterrupt
            paths = result.save(folder / _folder_name(setting), overwrite=True)
            made[key] = _figures(result, paths)
        pictures += [
            Picture(setting, dataclasses.replace(figure, label=setting.name), {})
            for figure in made[key]
        ]
        done()
    return pictures


def _negative(label: str) -> str:
    return f"-{label}" if is_unit_text(label) else f"-({label})"


def _folder_name(setting: Setting) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", setting.name).strip("-")


def _figures(result: RenderResult, paths: Sequence[Path]) -> list[Figure]:
    line = command(result.record) or ""
    return [dataclasses.replace(figure, command=line) for figure in result_figures(result, paths)]


def _measure(model: Model, pictures: list[Picture], photographs: PictureFolder | None) -> None:
    """Fill in the rows of pictures and the facts below them, each file measured once."""
    files = dict.fromkeys(picture.figure.path for picture in pictures)
    renders = [read_render(file) for file in files]
    report = measure_renders(renders, images=photographs, load_recorded=lambda _words: model)
    rows = dict(zip(files, report.rows, strict=True))
    for k, picture in enumerate(pictures):
        row = rows[picture.figure.path]
        facts = [
            (name, form.format(row[column]))
            for name, column, form in _COLUMNS
            if row.get(column) is not None
        ]
        steps = picture.figure.record["config"]["steps"]
        facts.append(("steps", str(steps)))
        figure = dataclasses.replace(picture.figure, facts=facts)
        pictures[k] = dataclasses.replace(picture, figure=figure, row=row)


def _sections(shown: dict[str, list[Picture]], settings: Sequence[Setting]) -> list[Section]:
    rows = {setting.name: good_for(setting) for setting in settings}
    sections = [Section("What each setting is good for", rows=list(rows.items()))]
    for label, pictures in shown.items():
        sections.append(Section(label))
        for heading in dict.fromkeys(setting.heading for setting in settings):
            figures = [p.figure for p in pictures if p.setting.heading == heading]
            sections.append(Section(heading, figures=figures, level=3))
    return sections


def _lead(base: RenderConfig) -> str:
    return (
        f"Each picture took {base.steps} steps, those whose steps cost many times as much "
        f"(lbfgs, maco transforms) {max(1, round(base.steps * SLOW_SHARE))}; everything that its "
        "name does not say is at the default. Below each: the score, and the measures of "
        "'featviz metrics'. Scores compare within a unit, except that of a diverse set, or of "
        "--negative, which is minus the unit before its ReLU."
    )
