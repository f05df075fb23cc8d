"""Keep examples in an atlas: pictures by the hash of their bytes, then what is known of units."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from featviz.atlas.entries import Evidence
from featviz.atlas.examples.boxes import Box
from featviz.atlas.examples.collecting import Examples
from featviz.atlas.examples.crops import EDGES, cut, to_webp
from featviz.atlas.examples.records import Example, Ranking
from featviz.atlas.layout import Layout
from featviz.atlas.passes.reading_ahead import read_ahead
from featviz.atlas.passes.state import forget_state, record_pass
from featviz.atlas.store import Store
from featviz.errors import ConfigError, PictureError
from featviz.images import make_folder, write_file

Pictures = dict[tuple[int, Box | None], str]


def keep_examples(
    store: Store,
    examples: Examples,
    *,
    edges: str = EDGES[0],
    side: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the pictures of all examples, how the pass went, then the evidence of each unit.

    Each photograph that an example names is read once more; one that is gone meanwhile has no
    pictures.

    Args:
        store: Of the atlas.
        examples: From `collect_examples`.
        edges: What becomes of a crop that leaves the image: `clip`, the part inside, or `pad`, grey
            around it so that all crops of a site are of one size.
        side: Longest side of the pictures, px; smaller ones stay as they are.
        progress: Called with the photographs done, and all of them.

    Returns:
        How many photographs were gone.

    Raises:
        ConfigError: If a setting is out of range.
        OutputError: If something cannot be written.
    """
    if edges not in EDGES:
        raise ConfigError(f"edges must be one of {', '.join(EDGES)}, got {edges!r}")
    if not 16 <= side <= 4096:
        raise ConfigError(f"side must be 16 to 4096 px, got {side!r}")
    wanted: dict[int, set[Box]] = {}
    for example in _all_examples(examples):
        boxes = wanted.setdefault(example.image, set())
        if example.box is not None:
            boxes.add(example.box)
    writer = _Writer(store.layout)

    def write(number: int) -> Pictures:
        try:
            image = examples.source.read(number, examples.size, examples.channels)
        except PictureError:
            return {}
        found: Pictures = {(number, None): writer.write(to_webp(image, side=side))}
        for box in wanted[number]:
            crop = cut(image, box, edges=edges)
            if crop.size:  # a field may lie in the padding alone
                found[number, box] = writer.write(to_webp(crop, side=side))
        return found

    pictures: Pictures = {}
    gone, threads = 0, examples.settings.loaders or examples.source.loaders
    done = read_ahead(write, sorted(wanted), threads=threads, ahead=4 * threads)
    for count, found in enumerate(done, 1):
        pictures |= found
        gone += not found
        if progress is not None:
            progress(count, len(wanted))
    writer.sync()
    record_pass(store.layout, examples.about, examples.report, examples.source)
    for name, site in examples.sites.items():
        lines: list[Evidence] = []
        for channel in range(site.channels):
            lines += _evidence(examples, name, channel, pictures, edges)
        store.note(lines)
    forget_state(store.layout, examples.key)
    return gone


def _all_examples(examples: Examples) -> Iterator[Example]:
    for name, site in examples.sites.items():
        for channel in range(site.channels):
            unit = examples.of(name, channel)
            for ranking in filter(None, (unit.maximum, unit.mean)):
                yield from (*ranking.top, *ranking.bottom)
                for each in ranking.bins:
                    yield from each.examples


class _Writer:
    """Writes files by the hash of what they hold, each once, from several threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._claimed: set[str] = set()
        make_folder(layout.examples)

    def write(self, data: bytes) -> str:
        """Keep a file and return its key."""
        key = hashlib.sha256(data).hexdigest()
        with self._lock:
            claimed = key in self._claimed
            self._claimed.add(key)
        path = self._layout.example(key)
        if not claimed and not (path.is_file() and path.read_bytes() == data):
            path.parent.mkdir(exist_ok=True)
            write_file(path, data)
        return key

    def sync(self) -> None:
        """Wait until all is on disk: once, since each of thousands would take a turn."""
        os.sync()


def _evidence(
    examples: Examples, site: str, channel: int, pictures: Pictures, edges: str
) -> Iterator[Evidence]:
    unit = examples.of(site, channel)
    about = {
        "pass": examples.key,
        "images": unit.images,
        "skipped": len(examples.report.skipped),
        "broken": unit.broken,
    }
    rankings = {"maximum": unit.maximum, "mean": unit.mean}
    field = examples.sites[site].field
    value = {
        **about,
        "size": list(examples.size),
        "field": field.extent,
        "edges": edges,
        "firing_rate": unit.firing_rate,
        **{
            name: None if ranking is None else _ranking_line(ranking, pictures)
            for name, ranking in rankings.items()
        },
    }
    place = (examples.model, examples.weights, site, channel)
    yield Evidence(*place, "examples", value, {"firing_rate": unit.firing_rate})
    bars = {name: None if ranking is None else _bars(ranking) for name, ranking in rankings.items()}
    yield Evidence(*place, "histogram", {**about, **bars})


def _ranking_line(ranking: Ranking, pictures: Pictures) -> dict[str, Any]:
    return {
        "top": [_line(each, pictures) for each in ranking.top],
        "bottom": [_line(each, pictures) for each in ranking.bottom],
        "bins": [
            {
                "low": each.low,
                "high": each.high,
                "examples": [_line(example, pictures) for example in each.examples],
            }
            for each in ranking.bins
        ],
    }


def _line(example: Example, pictures: Pictures) -> dict[str, Any]:
    box = example.box
    return {
        "file": example.name,
        "value": example.value,
        "quantile": example.quantile,
        "position": None if example.position is None else list(example.position),
        "box": None if box is None else box.to_list(),
        "picture": pictures.get((example.image, None)),
        "crop": None if box is None else pictures.get((example.image, box)),
    }


def _bars(ranking: Ranking) -> dict[str, Any]:
    start, width, counts = ranking.histogram
    return {"start": start, "width": width, "counts": list(counts)}
