"""What a record must hold for those who read it: files can be edited, or come from elsewhere."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Test: TypeAlias = Callable[[Any], bool]


def _of(*kinds: type) -> Test:
    return lambda value: isinstance(value, kinds)


def _texts(value: object) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(v, str) for v in value)


def _size(value: object) -> bool:
    return (
        isinstance(value, list) and [type(side) for side in value] == [int, int] and min(value) > 0
    )


def _named_hashes(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


_NOTHING = type(None)
_FORM: dict[str, dict[str, Test]] = {
    "request": {"objectives": _texts, "arguments": lambda value: value is None or _texts(value)},
    "model": {"name": _of(str), "weights": _of(str), "weights_sha256": _of(str)},
    "config": {},
    "ran": {"size": _size, "interrupted": _of(bool)},
    "environment": {"packages": _of(dict), "device": _of(str)},
}
_IMAGE: dict[str, Test] = {
    "unit": _of(str),
    "score": _of(int, float, _NOTHING),
    "steps_done": _of(int),
    "dead": _of(bool),
    "failed": _of(bool),
}
# Only where there is something to tell.
_MAYBE: dict[str, dict[str, Test]] = {"ran": {"files": _named_hashes}}


def wrong_part(record: Mapping[str, Any]) -> str | None:
    """Return what a record lacks, or has something else for; None if all is there.

    Args:
        record: With all parts at the top, see record.py.
    """
    images = [record["image"]] if "image" in record else record.get("images")
    if not isinstance(images, list) or not images:
        return "'image'"
    parts = [(name, record[name], form) for name, form in _FORM.items()]
    parts += [("image", image, _IMAGE) for image in images]
    for name, part, form in parts:
        if not isinstance(part, dict):
            return repr(name)
        present = {key: test for key, test in _MAYBE.get(name, {}).items() if key in part}
        for key, test in {**form, **present}.items():
            if key not in part or not test(part[key]):
                return f"{key!r} in {name!r}"
    return None
