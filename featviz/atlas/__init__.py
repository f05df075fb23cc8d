"""Every unit of a network, with evidence: thousands of renders kept, resumed, checked and served.

    from featviz.atlas import Atlas

    with Atlas("atlas/") as atlas:
        atlas.images("squeezenet1_1", "fire4", sort="score", limit=50)

    from featviz.atlas import ModelSource, Request, build_atlas

    build_atlas("atlas/", Request(ModelSource("squeezenet1_1"), sites=("fire*",)))

Stage after the render. The modules here keep and read: files of images by content key, append-only
logs of records as the truth, an index that is rebuilt from them at any time. What is done with that
lies below: building/, checking/, exporting/, reporting/; passes/ over photographs, with examples/
and neighbours/; and activation_map/, which keeps its pictures in an atlas of its own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featviz.atlas.building.build import build_atlas, resume_atlas
    from featviz.atlas.building.request import ModelSource, Request
    from featviz.atlas.building.status import read_status
    from featviz.atlas.entries import Failure, ImageEntry
    from featviz.atlas.examples.collecting import ExampleSettings, collect_examples
    from featviz.atlas.examples.files import keep_examples
    from featviz.atlas.examples.records import read_examples
    from featviz.atlas.neighbours.nearest import (
        NeighbourSettings,
        collect_neighbours,
        keep_neighbours,
    )
    from featviz.atlas.neighbours.records import read_neighbours
    from featviz.atlas.reading import Atlas
    from featviz.atlas.store import NewImage, Store

_HOMES = {
    "Atlas": "reading",
    "ExampleSettings": "examples.collecting",
    "Failure": "entries",
    "ImageEntry": "entries",
    "ModelSource": "building.request",
    "NeighbourSettings": "neighbours.nearest",
    "NewImage": "store",
    "Request": "building.request",
    "Store": "store",
    "build_atlas": "building.build",
    "collect_examples": "examples.collecting",
    "collect_neighbours": "neighbours.nearest",
    "keep_examples": "examples.files",
    "keep_neighbours": "neighbours.nearest",
    "read_examples": "examples.records",
    "read_neighbours": "neighbours.records",
    "read_status": "building.status",
    "resume_atlas": "building.build",
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
    "read_neighbours",
    "read_status",
    "resume_atlas",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featviz.atlas' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"featviz.atlas.{_HOMES[name]}"), name)
    return value
