"""What the lines of a log say, checked: an image, a failure, later measurements, evidence.

    {"type": "settings", "id": KEY, "record": {...}}       what many images have in common
    {"type": "image", "key": KEY, "job": KEY, ...}         see ImageEntry
    {"type": "failure", "job": KEY, ...}                   see Failure
    {"type": "metrics", "key": KEY, "metrics": {...}}      measured later, of an image
    {"type": "evidence", "model": ..., "site": ..., "channel": ..., "name": ..., "value": ...}
                                                           of a unit: examples, neighbours ...
    {"type": "forget", "log": NAME, "place": BYTE, ...}    takes back another line; see Forgotten

Logs may come from anywhere, so each line is checked before it is believed.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from featviz.atlas.canonical import is_key
from featviz.atlas.layout import FORMATS, is_log_name
from featviz.errors import RecordError

MAX_TEXT = 1000
MAX_ERROR = 4000
MAX_SIDE = 100_000
ATTEMPTS = 3
"""How often builds try a job that fails, before they leave it out."""
_HALF = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class ImageEntry:
    """One rendered image.

    Attributes:
        key: SHA-256 of everything that decides its pixels.
        job: Key of the work that made it, with the other images of one objective.
        model: Name of the model.
        weights: SHA-256 of its weights.
        site: Name of the site.
        channel: Index of the unit there; None where the image is of no single channel.
        variant: Such as `positive`, `negative`, `diverse:4`.
        image: Number among the images of its job, from 0.
        label: Objective as people read it, such as `fire4:128 ~2`.
        score: Objective of the final image; None if it failed.
        dead: Whether the image does not fire its unit.
        failed: Whether it is not finite.
        metrics: Finite measurements by name.
        settings: Id of the record that it shares with others.
        record: Its own part of the record, see featviz/record.py.
        kind: `webp` or `png`.
        height: In pixels.
        width: In pixels.
        bytes: Of the file.
        sha256: Of the file.
        thumb_sha256: Of the small picture.
        seconds: Share of the time that its batch took.
    """

    key: str
    job: str
    model: str
    weights: str
    site: str
    channel: int | None
    variant: str
    image: int
    label: str
    score: float | None
    dead: bool
    failed: bool
    metrics: Mapping[str, float]
    settings: str
    kind: str
    height: int
    width: int
    bytes: int
    sha256: str
    thumb_sha256: str
    seconds: float
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check each part."""
        for name in ("key", "job", "settings", "sha256", "thumb_sha256", "weights"):
            _check(is_key(getattr(self, name)), self, name)
        _check_place(self)
        _check(_is_text(self.label), self, "label")
        for name in ("image", "bytes"):
            _check(_is_whole(getattr(self, name)), self, name)
        for name in ("height", "width"):
            _check(0 < _whole(getattr(self, name)) <= MAX_SIDE, self, name)
        for name in ("dead", "failed"):
            _check(isinstance(getattr(self, name), bool), self, name)
        _check(self.score is None or _is_finite(self.score), self, "score")
        _check(_is_finite(self.seconds), self, "seconds")
        _check(_is_metrics(self.metrics), self, "metrics")
        _check(self.kind in FORMATS, self, "kind")
        _check(isinstance(self.record, dict), self, "record")

    @property
    def unit(self) -> str:
        """The unit as users type it, or the label where there is none."""
        return self.label if self.channel is None else f"{self.site}:{self.channel}"

    def to_line(self) -> dict[str, Any]:
        """Return the line of a log."""
        return {"type": "image", **asdict(self)}


@dataclass(frozen=True)
class Failure:
    """Work that ended with an error; it does not stop the rest.

    Attributes:
        job: Key of the work.
        model: Name of the model.
        weights: SHA-256 of its weights.
        site: Name of the site.
        channel: Index of the unit, or None.
        variant: Such as `positive`.
        error: What was wrong.
        attempt: How often it was tried by then.
    """

    job: str
    model: str
    weights: str
    site: str
    channel: int | None
    variant: str
    error: str
    attempt: int = 1

    def __post_init__(self) -> None:
        """Check each part."""
        for name in ("job", "weights"):
            _check(is_key(getattr(self, name)), self, name)
        _check_place(self)
        _check(_is_text(self.error, MAX_ERROR), self, "error")
        _check(0 < _whole(self.attempt) < 2**31, self, "attempt")

    @property
    def given_up(self) -> bool:
        """Whether it failed so often that nobody tries it again unless asked to."""
        return self.attempt >= ATTEMPTS

    def to_line(self) -> dict[str, Any]:
        """Return the line of a log."""
        return {"type": "failure", **asdict(self)}


@dataclass(frozen=True)
class Metrics:
    """Measurements of an image that came later.

    Attributes:
        key: Of the image.
        metrics: Finite numbers by name.
    """

    key: str
    metrics: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check each part."""
        _check(is_key(self.key), self, "key")
        _check(_is_metrics(self.metrics), self, "metrics")

    def to_line(self) -> dict[str, Any]:
        """Return the line of a log."""
        return {"type": "metrics", **asdict(self)}


@dataclass(frozen=True)
class Evidence:
    """What is known of a unit apart from its renders.

    Attributes:
        model: Name of the model.
        weights: SHA-256 of its weights.
        site: Name of the site.
        channel: Index of the unit.
        name: What it is: `examples`, `neighbours` ...
        value: JSON of the module that wrote it.
        metrics: Numbers that units can be sorted by.
    """

    model: str
    weights: str
    site: str
    channel: int
    name: str
    value: Any
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check each part."""
        _check(is_key(self.weights), self, "weights")
        _check(_is_text(self.model), self, "model")
        _check(_is_text(self.site), self, "site")
        _check(_is_text(self.name), self, "name")
        _check(_is_whole(self.channel), self, "channel")
        _check(_is_metrics(self.metrics), self, "metrics")

    def to_line(self) -> dict[str, Any]:
        """Return the line of a log."""
        return {"type": "evidence", **asdict(self)}


@dataclass(frozen=True)
class Settings:
    """The part of a record that many images share.

    Attributes:
        id: Its content key.
        record: See featviz/record.py; without its images.
    """

    id: str
    record: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check each part."""
        _check(is_key(self.id), self, "id")
        _check(isinstance(self.record, dict), self, "record")

    def to_line(self) -> dict[str, Any]:
        """Return the line of a log."""
        return {"type": "settings", **asdict(self)}


@dataclass(frozen=True)
class Forgotten:
    """Takes back a line: of an image whose files are gone or changed, or one not believed.

    It names the line and not the image, so that the same image can be recorded again, in any log,
    whichever of them is read first.

    Attributes:
        log: Name of the log.
        place: Number of the line's first byte.
        reason: Why.
    """

    log: str
    place: int
    reason: str

    def __post_init__(self) -> None:
        """Check each part."""
        _check(is_log_name(self.log), self, "log")
        _check(_is_whole(self.place), self, "place")
        _check(_is_text(self.reason), self, "reason")

    def to_line(self) -> dict[str, Any]:
        """Return the line of a log."""
        return {"type": "forget", **asdict(self)}


Entry = ImageEntry | Failure | Metrics | Evidence | Settings | Forgotten
_TYPES: dict[str, type[Entry]] = {
    "image": ImageEntry,
    "failure": Failure,
    "metrics": Metrics,
    "evidence": Evidence,
    "settings": Settings,
    "forget": Forgotten,
}


def parse_entry(line: Mapping[str, Any]) -> Entry:
    """Return what a line of a log says.

    Raises:
        RecordError: If it is of no known type, lacks a part, or a part is not what it must be.
    """
    kind = line.get("type")
    home = _TYPES.get(kind) if isinstance(kind, str) else None
    if home is None:
        raise RecordError(f"a line has the type {kind!r}; known are {', '.join(_TYPES)}")
    names = {each.name for each in fields(home)}
    given = {name: value for name, value in line.items() if name in names}
    try:
        return home(**given)
    except TypeError as error:
        raise RecordError(f"a line of type {kind!r} lacks something: {error}") from error


def _check_place(entry: ImageEntry | Failure) -> None:
    for name in ("model", "site", "variant"):
        _check(_is_text(getattr(entry, name)), entry, name)
    _check(entry.channel is None or _is_whole(entry.channel), entry, "channel")


def _check(good: bool, entry: object, name: str) -> None:
    if not good:
        found = repr(getattr(entry, name))
        raise RecordError(
            f"{type(entry).__name__}.{name} cannot be {found[:80]}; was the record edited?"
        )


def _is_text(value: object, longest: int = MAX_TEXT) -> bool:
    # Halves of surrogate pairs are valid JSON, and nothing that could be written anywhere else.
    return isinstance(value, str) and 0 < len(value) <= longest and not _HALF.search(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _is_finite(value: object) -> bool:
    # An integer of 400 digits is valid JSON too.
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _is_metrics(value: object) -> bool:
    return isinstance(value, dict) and all(
        _is_text(name, 100) and _is_finite(number) for name, number in value.items()
    )
