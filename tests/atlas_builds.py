"""Requests of a few seconds, and what can be said of the folder that they left."""

import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from featviz.atlas.building.request import ModelSource, Request
from featviz.config import RenderConfig

QUICK = RenderConfig(steps=2, size=32, precision="float32", batch=4)


def small_request(model: str | ModelSource = "nets:small_net", **more: Any) -> Request:
    """Return a request of 8 units unless more is asked for."""
    source = ModelSource(model, device="cpu") if isinstance(model, str) else model
    return dataclasses.replace(Request(source, sites=("stem",), config=QUICK), **more)


def files(root: Path) -> dict[str, str]:
    """Return the SHA-256 of each picture by its name, small ones too."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("images", "thumbs")
        for path in sorted((root / folder).rglob("*.*"))
        if not path.name.startswith(".")
    }


def lines(root: Path, kind: str = "image") -> list[dict[str, Any]]:
    """Return the lines of all logs that are of a kind, and none that was cut short."""
    found = []
    for log in sorted((root / "records").glob("*.jsonl")):
        for text in log.read_text().splitlines(keepends=True):
            if text.endswith("\n"):
                found.append(json.loads(text))
    return [line for line in found if line["type"] == kind]


def check_clean(root: Path) -> None:
    """Assert that each picture is recorded once, as it is, and no other is there."""
    entries = lines(root)
    again = [key for key, count in Counter(e["key"] for e in entries).items() if count > 1]
    assert again == []
    expected = {}
    for entry in entries:
        place = f"{entry['key'][:2]}/{entry['key']}"
        expected[f"images/{place}.{entry['kind']}"] = entry["sha256"]
        expected[f"thumbs/{place}.webp"] = entry["thumb_sha256"]
    assert files(root) == expected
