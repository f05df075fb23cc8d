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
    from featviz.atlas.reading import Atlas
    from featviz.atlas.request import ModelSource, Request
    from featviz.atlas.status import read_status
    from featviz.atlas.store import NewImage, Store

_HOMES = {
    "Atlas": "reading",
    "Failure": "entries",
    "ImageEntry": "entries",
    "ModelSource": "request",
    "NewImage": "store",
    "Request": "request",
    "Store": "store",
    "build_atlas": "build",
    "read_status": "status",
    "resume_atlas": "build",
}

__all__ = [
    "Atlas",
    "Failure",
    "ImageEntry",
    "ModelSource",
    "NewImage",
    "Request",
    "Store",
    "build_atlas",
    "read_status",
    "resume_atlas",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featviz.atlas' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"featviz.atlas.{_HOMES[name]}"), name)
    return value
