"""Vectors and photographs that objectives are given: from files, as numbers, or as tensors.

A text names a file, or lists numbers. A tensor has no name: labels say `tensor-` and the first
digits of its hash, which tells tensors apart and is refused as text.
"""

import contextlib
import hashlib
import io
import re
import struct
import tokenize
import zipfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.images import read_photo
from featviz.objectives.spelling import argument, numbers

_TENSOR = re.compile(r"tensor-[0-9a-f]{6}\Z")
# What numpy and safetensors raise on files that are cut short, altered, or none of theirs.
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    KeyError,
    MemoryError,
    OverflowError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    safetensors.SafetensorError,
)
_SUFFIXES = (".npy", ".safetensors")
_FILES_ALLOWED: ContextVar[bool] = ContextVar("files allowed", default=True)


@contextlib.contextmanager
def without_files() -> Iterator[None]:
    """Let no text name a file, for texts of people who may not read this machine's files.

    Whether there is a file, and what is in it, then stays unknown: ObjectiveError says so.
    """
    before = _FILES_ALLOWED.set(False)
    try:
        yield
    finally:
        _FILES_ALLOWED.reset(before)


@dataclass(frozen=True)
class Values:
    """A vector or a photograph, and how a text names it.

    Attributes:
        text: As an argument in labels.
        sha256: Of the file, or of the numbers.
        file: The file as it was named; None if there is none.
        tensor: The numbers, on the CPU; None for a picture file, which is read at the size wanted.
    """

    text: str
    sha256: str
    file: str | None
    tensor: Shaped[Tensor, "..."] | None = field(default=None, compare=False, repr=False)

    @property
    def files(self) -> dict[str, str]:
        """The file, if there is one, with its SHA-256."""
        return {} if self.file is None else {self.file: self.sha256}

    @property
    def vector(self) -> Float[Tensor, " c"]:
        """The numbers of a vector."""
        assert self.tensor is not None
        return self.tensor

    def image(self, size: tuple[int, int], *, channels: int) -> Float[Tensor, "c h w"]:
        """Return a photograph at a size, values 0..1.

        A file is resized to cover it and the middle cut out; a tensor is resized as a whole.

        Args:
            size: Height and width in pixels.
            channels: Channels that the network takes.

        Raises:
            PictureError: If the file cannot be read as a picture.
            ObjectiveError: If a tensor has another number of channels.
        """
        if self.tensor is None:
            assert self.file is not None
            return read_photo(_path(self.file), size, channels=channels)
        if self.tensor.shape[0] != channels:
            raise ObjectiveError(
                f"the photograph {self.text} has {self.tensor.shape[0]} channels, the network "
                f"takes {channels}"
            )
        whole = self.tensor[None].float()
        return F.interpolate(whole, size=size, mode="bilinear", antialias=True)[0]


def as_vector(given: Shaped[Tensor, "..."] | Sequence[float] | str | Path, *, what: str) -> Values:
    """Return a vector: one row of finite numbers, not all zero, as float32.

    Args:
        given: A tensor; numbers; or a file, .npy or .safetensors with a single tensor. No file is
            unpickled.
        what: What it is, for messages: `a direction`.

    Raises:
        ObjectiveError: If the file is missing or cannot be read, or the numbers are no such row.
    """
    if isinstance(given, str | Path):
        content = _content(given, f"{what} is one of {' '.join(_SUFFIXES)}")
        row = _row(_array(content, str(given)), f"{what} from {str(given)!r}")
        return Values(argument(str(given)), _sha256(content), str(given), row)
    try:
        tensor = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ObjectiveError(
            f"{what} must be a tensor, a list of numbers, or the name of a file; got {given!r}"
        ) from error
    row = _row(tensor, what)
    listed = isinstance(given, list | tuple)
    text = numbers(row.tolist()) if listed else f"tensor-{short_hash(row)}"
    return Values(text, _sha256(row.numpy().tobytes()), None, row)


def as_photo(given: Shaped[Tensor, "..."] | str | Path) -> Values:
    """Return a photograph.

    Args:
        given: Values 0..1, [c h w]; or a picture file.

    Raises:
        ObjectiveError: If the file is missing, or the tensor is no image.
    """
    if isinstance(given, str | Path):
        content = _content(given, "a photograph is a picture file")
        return Values(argument(str(given)), _sha256(content), str(given))
    if not isinstance(given, Tensor) or given.dim() != 3 or not given.is_floating_point():
        got = tuple(given.shape) if isinstance(given, Tensor) else repr(given)
        raise ObjectiveError(
            f"a photograph must be a floating-point tensor [c h w] of values 0..1, or the name of "
            f"a picture file; got {got}"
        )
    values = given.detach().cpu()
    sha256 = _sha256(values.contiguous().float().numpy().tobytes())
    return Values(f"tensor-{short_hash(given)}", sha256, None, values)


def short_hash(values: Shaped[Tensor, "..."]) -> str:
    """Return six hexadecimal digits that tell tensors apart in labels."""
    plain = values.detach().cpu().contiguous()
    return _sha256(plain.numpy().tobytes())[:6]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _path(name: str | Path) -> Path:
    # In quotes, as texts are, the shell leaves ~ alone.
    return Path(name).expanduser()


def _content(name: str | Path, wanted: str) -> bytes:
    """Return what is in a file."""
    if _TENSOR.match(str(name)):
        raise ObjectiveError(
            f"{str(name)!r} stands for a tensor that was given in Python, which a text cannot "
            "hold; save it to a file and name that"
        )
    if not _FILES_ALLOWED.get():
        raise ObjectiveError(
            f"{str(name)!r} is the name of a file, and files cannot be named here; use the command "
            "line or Python, or write the numbers as a list"
        )
    try:
        path = _path(name)
        if not path.is_file():
            raise ObjectiveError(f"there is no file {str(name)!r}; {wanted}")
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        raise ObjectiveError(f"cannot read {str(name)!r}: {error}; {wanted}") from error


def _array(content: bytes, name: str) -> Tensor:
    """Return the one array in a .npy or .safetensors file."""
    suffix = Path(name).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ObjectiveError(
            f"cannot read {name!r} as a vector: it is neither .npy nor .safetensors; save it with "
            "numpy.save"
        )
    try:
        if suffix == ".npy":
            array = np.load(io.BytesIO(content), allow_pickle=False)
            return torch.from_numpy(np.ascontiguousarray(array))
        found = safetensors.torch.load(content)
    except _UNREADABLE as error:
        raise ObjectiveError(f"cannot read {name!r} as {suffix}: {error}") from error
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise ObjectiveError(
            f"{name!r} must hold a single tensor, holds {len(found)} ({names}); save one alone"
        )
    (tensor,) = found.values()
    return tensor


def _row(values: Tensor, what: str) -> Float[Tensor, " c"]:
    if values.dim() != 1 or values.is_complex() or values.dtype == torch.bool:
        raise ObjectiveError(
            f"{what} must be one row of finite numbers, not all zero; got shape "
            f"{tuple(values.shape)}, {values.dtype}"
        )
    row = values.detach().to("cpu", torch.float32, copy=True)
    wrong = int((~row.isfinite()).sum())
    if wrong or not row.any():
        got = f"{wrong} of {len(row)} that are not finite" if wrong else f"{len(row)} zeros"
        raise ObjectiveError(f"{what} must be one row of finite numbers, not all zero; got {got}")
    return row
