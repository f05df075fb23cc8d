"""Small atlases: images that are no pictures, for tests that never look at them."""

from typing import Any

from featviz.atlas import NewImage
from featviz.atlas.canonical import content_key

WEIGHTS = content_key("weights")


def new(
    channel: int = 0, *, site: str = "fire4", variant: str = "positive", **more: Any
) -> NewImage:
    parts = {
        "key": content_key([site, channel, variant]),
        "job": content_key(["job", site, channel, variant]),
        "model": "net", "weights": WEIGHTS, "site": site, "channel": channel, "variant": variant,
        "image": 0, "label": f"{site}:{channel}", "score": float(channel % 7), "dead": False,
        "failed": False, "metrics": {"sharpness": channel / 10}, "kind": "webp", "height": 8,
        "width": 8, "seconds": 0.1, "record": {"unit": f"{site}:{channel}"}, **more,
    }  # fmt: skip
    picture = f"picture {site} {channel}".encode()
    return NewImage(parts, picture, b"thumb" + picture, {"schema": 1, "config": {"steps": 4}})
