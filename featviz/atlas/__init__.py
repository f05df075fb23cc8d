"""Every unit of a network, with evidence: thousands of renders kept, resumed, checked and served.

    from featviz.atlas import Atlas

    with Atlas("atlas/") as atlas:
        atlas.images("squeezenet1_1", "fire4", sort="score", limit=50)

    from featviz.atlas import ModelSource, Request, build_atlas

    build_atlas("atlas/", Request(ModelSource("squeezenet1_1"), sites=("fire*",)))

Stage after the render. Files of images by content key, append-only logs of records as the truth,
an index that is rebuilt from them at any time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featviz.atlas.build import build_atlas, resume_atlas
    from featviz.atlas.entries import Failure, ImageEntry
    from featviz.atlas.example_files import keep_examples
    from featviz.atlas.example_records import read_examples
    from featviz.atlas.examples import ExampleSettings, collect_examples
    from featviz.atlas.neighbours import NeighbourSettings, collect_neighbours, keep_neighbours
    from featviz.atlas.reading import Atlas
    from featviz.atlas.request import ModelSource, Request
    from featviz.atlas.status import read_status
    from featviz.atlas.store import NewImage, Store

_HOMES = {
    "Atlas": "reading",
    "ExampleSettings": "examples",
    "Failure": "entries",
    "ImageEntry": "entries",
    "ModelSource": "request",
    "NeighbourSettings": "neighbours",
    "NewImage": "store",
    "Request": "request",
    "Store": "store",
    "build_atlas": "build",
    "collect_examples": "examples",
    "collect_neighbours": "neighbours",
    "keep_examples": "example_files",
    "keep_neighbours": "neighbours",
    "read_examples": "example_records",
    "read_status": "status",
    "resume_atlas": "build",
}

__all__ = [
    "Atlas",
    "ExampleSettings",
    "Failure",
    "ImageEntry",
    "ModelSource",
    "NeighbourSettings",
    "NewImage",
    "Request",
    "Store",
    "build_atlas",
    "collect_examples",
    "collect_neighbours",
    "keep_examples",
    "keep_neighbours",
    "read_examples",
    "read_status",
    "resume_atlas",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featviz.atlas' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"featviz.atlas.{_HOMES[name]}"), name)
    return value
