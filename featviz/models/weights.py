"""Weights: read from files that cannot run code, copied into a network, named by a digest.

Second stage of the flow: a `WeightsSource` (spec.py) finds its file (weight_files.py) and reads
it here, `load_into` puts the tensors into the network, `digest` names them in records. Only
safetensors, and what torch.load(weights_only=True) admits, is read.
"""

import hashlib
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from featviz.errors import WeightsError
from featviz.models.weight_files import unreadable

_LISTED_KEYS = 4
_NEITHER = "neither safetensors nor what torch.save writes"
_WRAPPERS = ("state_dict", "model")
# What nn.DataParallel and torch.compile put before every key.
_PREFIXES = ("module.", "_orig_mod.")
_SAVE_ADVICE = (
    "save it again with safetensors.torch.save_file(module.state_dict(), 'my.safetensors')"
)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a file that cannot run code.

    A checkpoint that holds the state dict under `state_dict` or `model` is unwrapped.

    Args:
        path: A safetensors file, or one that torch.load(weights_only=True) admits.

    Raises:
        WeightsError: If the file is missing, damaged, holds code, or holds no state dict.
    """
    content = _read(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        size = " without entries" if isinstance(content, Mapping) else ""
        raise WeightsError(
            f"{path} holds no state dict but a {type(content).__name__}{size}; {_SAVE_ADVICE}"
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} holds no state dict: entry {key!r} is a {type(value).__name__}, not a "
                f"tensor; {_SAVE_ADVICE}"
            )
    return dict(content)


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(unreadable(path, error)) from error
    if not head:
        raise WeightsError(f"the weights file {path} is empty; get it again")
    # A safetensors file is a length of 8 bytes followed by JSON, whatever its name.
    is_safetensors = head[8:9] == b"{" or path.suffix == ".safetensors"
    try:
        with warnings.catch_warnings(action="ignore"):
            if is_safetensors:
                return safetensors.torch.load_file(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    # The content decides what a reader trips over, so no list of exceptions is complete.
    except Exception as error:
        # torch's own text advises weights_only=False, which would run the code.
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise WeightsError(
                f"{path} is a pickle with more than tensors in it, which could run code when "
                f"opened, so it is not opened; where you trust it, {_SAVE_ADVICE}"
            ) from error
        kind = "not safetensors" if is_safetensors else _NEITHER
        raise WeightsError(unreadable(path, f"it is damaged, or {kind}")) from error


def load_into(module: nn.Module, state_dict: Mapping[str, Tensor], *, source: str) -> None:
    """Copy weights into a network, all or none.

    Keys and shapes must be those of the network; a floating-point dtype is converted. Counters of
    batch norms (`num_batches_tracked`), which old files lack and inference ignores, may be absent.

    Args:
        module: The network, changed only if everything fits.
        state_dict: Its weights by key.
        source: Where they came from, for the message.

    Raises:
        WeightsError: If keys, shapes or kinds differ; it lists the first of each.
    """
    own = module.state_dict()
    optional = {
        key: value
        for key, value in own.items()
        if key.endswith("num_batches_tracked") or not isinstance(value, Tensor)
    }
    missing = [key for key in own if key not in state_dict and key not in optional]
    unexpected = [key for key in state_dict if key not in own]
    misfits = [
        f"{key} is {_kind(value)}, needs {_kind(own[key])}"
        for key, value in state_dict.items()
        if key in own and key not in optional and not _fits(value, own[key])
    ]
    lists = {"missing": missing, "unexpected": unexpected, "of another shape or type": misfits}
    found = [_first_few(title, items) for title, items in lists.items() if items]
    if found:
        raise WeightsError(
            f"the weights from {source} are not those of this {type(module).__name__}: "
            f"{'; '.join(found)}; {_advice(state_dict, own.keys() - optional.keys())}"
        )
    module.load_state_dict({**optional, **state_dict})


def _advice(keys: Iterable[str], needed: Set[str]) -> str:
    for prefix in _PREFIXES:
        if {key.removeprefix(prefix) for key in keys if key.startswith(prefix)} >= needed:
            return (
                "they are those of a wrapped network (DataParallel or torch.compile): take "
                f"{prefix!r} off each key, {{key.removeprefix({prefix!r}): value for key, value in "
                "state.items()}, and save that"
            )
    return "give the weights of this very architecture"


def _fits(value: Tensor, own: Tensor) -> bool:
    return value.shape == own.shape and value.is_floating_point() == own.is_floating_point()


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _first_few(title: str, items: list[str]) -> str:
    dots = ", ..." if len(items) > _LISTED_KEYS else ""
    return f"{len(items)} {title} ({', '.join(items[:_LISTED_KEYS])}{dots})"


def digest(module: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers: what names weights in records.

    Names, dtypes, shapes and bytes count, sorted by name; device and memory layout do not.
    """
    state = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, Tensor):
            state.update(f"{name}\0{_kind(tensor)}\0".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            state.update(flat.view(torch.uint8).numpy().data)
    return state.hexdigest()


@contextmanager
def seeded_init(seed: int = 0) -> Iterator[None]:
    """Make every network built in this block the same, and leave the global RNG as it was.

    Args:
        seed: Seed of the initialisation.
    """
    # Networks are built on the CPU, so only its generator is drawn from.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
