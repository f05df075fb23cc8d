"""Where renders of the app stay: in the atlas that one looks at, or in one of their own."""

import os
import sys
from pathlib import Path
from typing import Any

from app.job import Job
from app.library import LIBRARY
from app.render_task import Finished, Rendered, Task
from app.shipped import own_atlas
from featviz.atlas.canonical import ENGINE, content_key
from featviz.atlas.entries import MAX_TEXT
from featviz.atlas.layout import Layout
from featviz.atlas.store import NewImage, Store, finite_numbers
from featviz.errors import RecordError
from featviz.objectives import is_unit_text
from featviz.units import parse_units

VARIANT = "live"
"""Of images that were rendered from the app."""


def data_folder() -> Path:
    """Return the folder of the user's own data of featviz, which need not be there yet."""
    if sys.platform == "darwin":
        above = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        above = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        above = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return above / "featviz"


def choose_atlas(name: str) -> str:
    """Return the name of the atlas that a render goes to: empty if there is none.

    Args:
        name: Of the atlas that one looks at; it is taken if it can be written to and is not the
            one that came with featviz.
    """
    root = LIBRARY.roots.get(name)
    if root is not None and _is_writable(root):
        return name
    return LIBRARY.renders[0] if LIBRARY.renders else ""


def _is_writable(root: Path) -> bool:
    try:
        if root == own_atlas().resolve():
            return False
    except RecordError:
        pass  # there is none
    layout = Layout(root)
    return all(
        os.access(folder, os.W_OK | os.X_OK)
        for folder in (layout.records, layout.images, layout.thumbs)
    )


def keep(job: Job, result: Finished) -> tuple[str, ...]:
    """Put the images of a job into its atlas and return their keys; the atlas is open afterwards.

    Raises:
        RecordError: If there is no such atlas.
        OutputError: If it cannot be written.
    """
    name = job.keep_in
    fresh = LIBRARY.renders is not None and name == LIBRARY.renders[0]
    root = LIBRARY.renders[1] if LIBRARY.renders and fresh else LIBRARY.root(name)
    with Store(root) as store:
        entries = store.add([new_image(job.task, result, image) for image in result.images])
    if name not in LIBRARY.roots:
        LIBRARY.roots = {**LIBRARY.roots, name: root}  # anew: pages may be walking over the old one
    return tuple(entry.key for entry in entries)


def new_image(task: Task, result: Finished, image: Rendered) -> NewImage:
    """Return what an atlas keeps of a finished image.

    Args:
        task: What was asked for.
        result: The render.
        image: One of it.
    """
    own = dict(image.own)
    job = content_key([VARIANT, ENGINE, _decisive(result, own)])
    number = _number(own["unit"])
    site, channel = place_of(own["objective"], task)
    parts = {
        "key": content_key([job, number]),
        "job": job,
        "model": result.shared["model"]["name"],
        "weights": result.shared["model"]["weights_sha256"],
        "site": site,
        "channel": channel,
        "variant": VARIANT,
        "image": number,
        "label": own["unit"][:MAX_TEXT],
        "score": own["score"],
        "dead": own["dead"],
        "failed": False,
        "metrics": finite_numbers(own["metrics"]),
        "kind": "png",
        "height": image.size[0],
        "width": image.size[1],
        "seconds": result.seconds / len(result.images),
        "record": own,
    }
    return NewImage(parts, image.png, image.thumb, result.shared)


def place_of(objective: str, task: Task) -> tuple[str, int | None]:
    """Return the site and channel that an atlas files an image under."""
    bare = objective.removeprefix("-")
    if is_unit_text(bare):
        spans = parse_units(bare).spans
        if spans is not None:
            return parse_units(bare).site.removesuffix(".pre"), spans[0][0]
    return task.site, None


def _decisive(result: Finished, own: dict[str, Any]) -> dict[str, Any]:
    """Return what decides the pixels of an image, but for its number."""
    shared = result.shared
    return {
        "weights": shared["model"]["weights_sha256"],
        "objective": own["objective"],
        "config": {k: v for k, v in shared["config"].items() if k not in {"batch", "thresholds"}},
        "ran": {k: v for k, v in shared["ran"].items() if k != "batch"},
    }


def _number(label: str) -> int:
    """Return the number of an image among those of its objective, from 0: labels end in ` ~2`."""
    _, mark, number = label.rpartition("~")
    return int(number) - 1 if mark and number.isdecimal() else 0
