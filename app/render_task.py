"""What travels between the server and the process that renders for it: tasks, and what becomes.

Plain data, so that the server need not load a network to pass it on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """What is to be rendered.

    Attributes:
        model: Name of the network.
        text: Unit or expression.
        config: Settings, as `RenderConfig.to_json` gives them.
        site: The first that is read; an atlas files objectives of no single unit there.
        photo: A picture of the size of the render, PNG, that is accentuated; None: from noise.
    """

    model: str
    text: str
    config: Mapping[str, Any]
    site: str
    photo: bytes | None = None


@dataclass(frozen=True)
class Warm:
    """Asks the process to load a network, since a render of it is likely; nothing comes back.

    Attributes:
        model: Name of the network.
    """

    model: str


@dataclass(frozen=True)
class Preview:
    """Where a batch of images stands.

    Attributes:
        labels: One an image.
        step: Steps done.
        scores: One an image; None where it is no finite number.
        pictures: One an image, as a data URL.
        frequency: Of the rings of the spectrum, cycles a pixel.
        amplitudes: One list an image, a number a ring.
    """

    labels: tuple[str, ...]
    step: int
    scores: tuple[float | None, ...]
    pictures: tuple[str, ...]
    frequency: tuple[float, ...]
    amplitudes: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Rendered:
    """A finished image.

    Attributes:
        stem: Of its file name.
        own: Its own part of the record.
        png: The file, with the record.
        thumb: Small picture, WebP.
        picture: To be shown, as a data URL.
        size: Height and width in pixels.
    """

    stem: str
    own: Mapping[str, Any]
    png: bytes
    thumb: bytes
    picture: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Finished:
    """A render that ended well.

    Attributes:
        images: Those that are finite.
        shared: The part of the record that they have in common.
        history: Score at each step by label.
        frequency: Of the rings of the spectrum.
        amplitudes: By label.
        seconds: That it took, without loading the network.
    """

    images: tuple[Rendered, ...]
    shared: Mapping[str, Any]
    history: Mapping[str, tuple[float | None, ...]]
    frequency: tuple[float, ...]
    amplitudes: Mapping[str, tuple[float, ...]]
    seconds: float


@dataclass(frozen=True)
class Refused:
    """A render that ended with an error.

    Attributes:
        reason: For people.
    """

    reason: str


Message = Preview | Finished | Refused
