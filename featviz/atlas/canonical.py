"""One text for one value, and keys made of it: the same work has the same name everywhere."""

import hashlib
import json
import re

ENGINE = 1
"""Part of every key; goes up when the same settings give other pixels."""

KEY = re.compile(r"[0-9a-f]{64}\Z")


def canonical_json(value: object) -> str:
    """Return JSON that is the same for equal values: sorted names, no spaces, ASCII.

    Raises:
        ValueError: If a number is not finite.
        TypeError: If a part is no JSON.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def content_key(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON, 64 hexadecimal digits.

    Raises:
        ValueError: If a number is not finite.
        TypeError: If a part is no JSON.
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def is_key(text: object) -> bool:
    """Tell whether something is a key, and so safe as a file name."""
    return isinstance(text, str) and KEY.match(text) is not None
