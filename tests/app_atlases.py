"""An atlas of the hand-built network for tests of pages: pictures of noise, true records."""

from pathlib import Path
from typing import Any

from atlases import WEIGHTS, new, noise
from featviz import RenderConfig
from featviz.atlas import NewImage, Store
from featviz.atlas.canonical import content_key
from featviz.atlas.entries import Evidence
from featviz.atlas.layout import Layout
from featviz.atlas.pictures import thumb_bytes, webp_bytes

MODEL = "artificial_curves"
HOSTILE = "<img src=x onerror=alert(1)> **bold**"
"""Label of arcs:2, which was never fired as well."""
RECORD = {
    "schema": 1,
    "request": {"arguments": [MODEL]},
    "model": {"name": MODEL, "weights": "by formula", "weights_sha256": "0" * 64},
    "config": RenderConfig(steps=2, size=32).to_json(),
    "ran": {"size": [32, 32], "batch": 1, "start_sha256": None, "mask_sha256": None},
    "environment": {"python": "3", "packages": {}, "device": "cpu", "threads": 1},
}


def image(site: str, channel: int, variant: str = "positive", **more: Any) -> NewImage:
    objective = f"{'-' if variant == 'negative' else ''}{site}:{channel}"
    made = new(
        channel, site=site, variant=variant, model=MODEL, height=32, width=32,
        record={"unit": objective, "objective": objective}, **more,
    )  # fmt: skip
    picture = noise(channel)
    return NewImage(made.parts, webp_bytes(picture, quality=90), thumb_bytes(picture, 16), RECORD)


def curves_atlas(root: Path, *, arcs: int = 4) -> Layout:
    """Make an atlas of some units of three sites; arcs:0 has a negative and all evidence."""
    images = [image("arcs", channel) for channel in range(arcs) if channel != 2]
    images += [image("arcs", 2, label=HOSTILE, dead=True, score=0.0)] if arcs > 2 else []
    images += [image("arcs", 0, "negative")]
    images += [image(site, channel) for site in ("early_curves", "lines") for channel in (0, 1, 2)]
    with Store(root) as store:
        store.add(images)
        store.note([_evidence(name, value) for name, value in _found().items()])
    layout = Layout(root)
    crop = layout.example(content_key("crop"))
    crop.parent.mkdir(parents=True, exist_ok=True)
    crop.write_bytes(webp_bytes(noise(9), quality=90))
    return layout


def _evidence(name: str, value: dict[str, Any]) -> Evidence:
    metrics = {key: value[key] for key in ("firing_rate",) if key in value}  # as the pass notes it
    return Evidence(
        model=MODEL, weights=WEIGHTS, site="arcs", channel=0, name=name, value=value,
        metrics=metrics,
    )  # fmt: skip


def _found() -> dict[str, dict[str, Any]]:
    def ranking(*values: float) -> dict[str, Any]:
        shown = [
            {
                "file": f"folder/{k}.jpg", "value": value, "quantile": 0.9, "position": [1, 2],
                "box": [0, 0, 8, 8], "picture": content_key("crop"), "crop": content_key("crop"),
            }
            for k, value in enumerate(values)
        ]  # fmt: skip
        return {"top": shown, "bottom": shown[-1:], "bins": [
            {"low": 0.5, "high": 1.0, "examples": shown[:1]},
        ]}  # fmt: skip

    bars = {"start": 0.0, "width": 1.0, "counts": [1, 2, 3]}
    near = {
        "nearest": [{"site": "arcs", "channel": k, "value": 0.6 + k / 10} for k in (3, 1)],
        "chance": 0.2, "expected": 0.1, "pass": content_key("pass"), "images": 6,
        "statistic": "maximum", "across": False,
    }  # fmt: skip
    return {
        "examples": {
            "maximum": ranking(3.0, 2.0), "mean": ranking(1.0), "images": 6, "broken": 0,
            "firing_rate": 0.5,
        },
        "histogram": {"maximum": bars, "mean": bars},
        "neighbours": {"activation": near, "weights": {**near, "chance": 0.1}},
    }  # fmt: skip
