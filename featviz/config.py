"""The settings of a render: the only place of its defaults, saved in every record."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from featviz.errors import ConfigError
from featviz.params import Parameterisation, parse_parameterisation
from featviz.transforms import Transform, Transforms, parse_transforms

Precision = Literal["auto", "float32", "bf16"]

DEFAULT_SIZE_PX = 128
_BATCH = {"cpu": 16, "cuda": 64}


@dataclass(frozen=True)
class RenderConfig:
    """How to render.

    Attributes:
        steps: Steps of the optimiser.
        size: Side, or height and width, of the images in pixels; None: 128, or the network's own
            size where that is smaller.
        seed: With the name of the unit, decides every random number.
        param: Image parameterisation, see params/__init__.py.
        transforms: Robustness transforms, see transforms/.
        learning_rate: Of Adam.
        redirect_steps: For so many steps at the start, ReLUs that block all of an image's
            gradient let through what pushes them up; then again, for images that still get no
            gradient. 0: never.
        batch: Images rendered together; None: 16 on a CPU, 64 on a GPU, where transforms make
            several views of an image so many fewer. Halved, and retried, when memory runs out.
        precision: What the network computes in: `float32`, `bf16`, or `auto`, which is bf16 where
            the hardware is fast at it. Images, losses and scores are float32 always.
        thresholds: Steps after which a copy of the images is kept besides.
    """

    steps: int = 256
    size: int | tuple[int, int] | None = None
    seed: int = 0
    param: str | Parameterisation = "fourier"
    transforms: str | Transforms | Sequence[Transform] = "lucid"
    learning_rate: float = 0.05
    redirect_steps: int = 16
    batch: int | None = None
    precision: Precision = "auto"
    thresholds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _at_least("steps", self.steps, 1)
        _at_least("redirect_steps", self.redirect_steps, 0)
        _at_least("seed", self.seed, 0)
        for threshold in self.thresholds:
            _at_least("thresholds", threshold, 1)
        if self.batch is not None:
            _at_least("batch", self.batch, 1)
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.precision not in get_args(Precision):
            raise ConfigError(
                f"precision must be one of {', '.join(get_args(Precision))}, got {self.precision!r}"
            )
        late = [t for t in self.thresholds if not 1 <= t <= self.steps]
        if late:
            raise ConfigError(f"thresholds must be 1 to {self.steps} (steps), got {late[0]}")
        self._check_size()
        parse_parameterisation(self.param)
        parse_transforms(self.transforms)

    def _check_size(self) -> None:
        size = (self.size,) if isinstance(self.size, int) else self.size or ()
        if self.size is not None and len(size) not in {1, 2}:
            raise ConfigError(f"size must be one number or (height, width), got {self.size}")
        for side in size:
            _at_least("size", side, 1)

    def size_px(self, native: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of the images.

        Args:
            native: Height and width the network was trained at.
        """
        if self.size is None:
            return min(DEFAULT_SIZE_PX, native[0]), min(DEFAULT_SIZE_PX, native[1])
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def batch_on(self, device: torch.device) -> int:
        """Return how many images to render together on a device."""
        default = _BATCH.get(device.type, _BATCH["cuda"])
        return self.batch or max(1, default // parse_transforms(self.transforms).views)

    def dtype_on(self, device: torch.device) -> torch.dtype:
        """Return what the network computes in on a device."""
        if self.precision == "auto":
            return torch.bfloat16 if has_fast_bf16(device) else torch.float32
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values, parts as the text that reads back."""
        values = dataclasses.asdict(self)
        values["param"] = parse_parameterisation(self.param).to_text()
        values["transforms"] = parse_transforms(self.transforms).text
        values["thresholds"] = list(self.thresholds)
        values["size"] = list(self.size) if isinstance(self.size, tuple) else self.size
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RenderConfig":
        """Return the settings of `to_json`.

        Raises:
            ConfigError: If a field is unknown or a value out of range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise ConfigError(
                f"unknown setting {unknown[0]!r} in the record; was it made by a newer featviz?"
            )
        values = dict(values)
        if isinstance(values.get("size"), list):
            values["size"] = tuple(values["size"])
        values["thresholds"] = tuple(values.get("thresholds", ()))
        return cls(**values)


def _at_least(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} must be a whole number, {least} or more, got {value!r}")


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether a device is faster in bf16: CUDA from sm_80, CPU with AMX or AVX512-BF16.

    Where torch cannot tell (before 2.6 on a CPU) the answer is no.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if device.type != "cpu" or capabilities is None:
        return False
    found = capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
