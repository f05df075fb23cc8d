"""Small atlases of renders."""

from pathlib import Path
from typing import Any

from atlases import new
from featviz.atlas import NewImage, Store
from featviz.atlas.canonical import content_key
from featviz.atlas.layout import Layout
from featviz.atlas.pictures import thumb_bytes, webp_bytes
from featviz.images import png_bytes
from featviz.result import RenderResult


def keep(root: Path, result: RenderResult, *, kind: str = "png", **more: Any) -> Layout:
    """Keep the images of a result, each a job of its own."""
    shared = {name: value for name, value in result.record.items() if name != "images"}
    kept = []
    for own, picture in zip(result.record["images"], result.pictures(), strict=True):
        site, _, channel = own["unit"].lstrip("-").partition("~")[0].rpartition(":")
        parts = {
            **new().parts,
            "key": content_key([own["unit"], kind]), "job": content_key(["job", own["unit"], kind]),
            "model": result.record["model"]["name"],
            "weights": result.record["model"]["weights_sha256"],
            "site": site, "channel": int(channel), "label": own["unit"], "score": own["score"],
            "dead": own["dead"], "kind": kind, "height": picture.height, "width": picture.width,
            "metrics": {k: v for k, v in own["metrics"].items() if v is not None}, "record": own,
            **more,
        }  # fmt: skip
        data = png_bytes(picture) if kind == "png" else webp_bytes(picture, quality=100)
        kept.append(NewImage(parts, data, thumb_bytes(picture, 16), shared))
    with Store(root) as store:
        store.add(kept)
    return Layout(root)
