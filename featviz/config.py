"""The settings of a render: the only place of its defaults, saved in every record.

Nothing here imports torch before a config is made, so that the command line can show defaults.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from featviz.errors import ConfigError

if TYPE_CHECKING:
    import torch

    import featviz.params
    import featviz.transforms

Precision = Literal["auto", "float32", "bf16"]
Optimiser = Literal["adam", "nadam", "lbfgs"]

# Newton steps know their own length.
LBFGS_LEARNING_RATE = 1.0

# Of torch's generators, which take whole numbers of 64 bits.
LARGEST_SEED = 2**64 - 1
# Of a PNG file, by its standard.
LARGEST_SIDE_PX = 2**31 - 1

DEFAULT_SIZE_PX = 128
DEFAULT_BATCH = {"cpu": 16, "cuda": 64}


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
        learning_rate: Of the optimiser; None: what the parameterisation names, 0.05 for most, for
            MACO 1.0 from noise and 0.05 from a picture; 1.0 for L-BFGS.
        optimiser: `adam`, `nadam`, or `lbfgs`, which takes one image at a time; None: what the
            parameterisation names, Adam for most.
        redirect_steps: For so many steps at the start, ReLUs that block all of an image's
            gradient let through what pushes them up; then again, for images that still get no
            gradient. 0: never.
        batch: Images rendered together; None: 16 on a CPU, 64 on a GPU, 1 for L-BFGS; where
            transforms make several views of an image so many fewer. Halved, and retried, when
            memory runs out.
        precision: What the network computes in: `float32`, `bf16`, or `auto`, which is bf16 where
            the hardware is fast at it. Images, losses and scores are float32 always.
        thresholds: Steps after which a copy of the images is kept besides.
        images: Images of each objective, from different random numbers.
        diversity: Share of its score that an image gives for being unlike the other images of its
            objective, at the sites of the objective. 0: none; 0.1 is little, 1 is much.
        start: A picture to start from; None: noise.
        keep: Share of its score that an image gives for staying near the picture that it started
            from. 0: none; 1 is little, 10 is much.
        mask: A picture that is white where the image is optimised and black where it stays as it
            started, or grey; None: white everywhere.
        contrast: Folder of photographs, some dozens at least, or what `featviz contrast` made of
            one. Whole channels are then maximised less what their strongest rivals in the site get,
            both in standard deviations over these photographs: see objectives/contrast.py. None:
            each unit alone.
        patience: An image stops when its smoothed score has not risen for so many steps, by the
            rule in stalling.py; images of one objective that are compared with each other stop
            together. None: all steps are done.
        min_delta: What counts as a rise, relative to the best smoothed score so far.
        terms: Whether to keep the history of each term of an objective besides.
        alpha: Share of its score that an image gives for being transparent, see
            objectives/transparency.py: it then has an alpha channel, and stands before another
            random background at every step. 1 is usual, 2 cuts closer; 0: transparent at no gain.
            None: opaque images.
    """

    steps: int = 256
    size: int | tuple[int, int] | None = None
    seed: int = 0
    param: "str | featviz.params.Parameterisation" = "fourier"
    transforms: "str | featviz.transforms.Transforms | Sequence[featviz.transforms.Transform]" = (
        "lucid"
    )
    learning_rate: float | None = None
    optimiser: Optimiser | None = None
    redirect_steps: int = 16
    batch: int | None = None
    precision: Precision = "auto"
    thresholds: tuple[int, ...] = ()
    images: int = 1
    diversity: float = 0.0
    start: str | None = None
    keep: float = 0.0
    mask: str | None = None
    contrast: str | None = None
    patience: int | None = None
    # Scores grow for as long as one cares to wait, ever more slowly, so 0 would stop nothing.
    min_delta: float = 0.01
    terms: bool = False
    alpha: float | None = None

    def __post_init__(self) -> None:
        _at_least("steps", self.steps, 1)
        _at_least("redirect_steps", self.redirect_steps, 0)
        _at_least("seed", self.seed, 0)
        if self.seed > LARGEST_SEED:
            raise ConfigError(f"seed must be at most {LARGEST_SEED}, got {self.seed}")
        _at_least("images", self.images, 1)
        _check_type("diversity", self.diversity, int | float, "a number")
        if not 0 <= self.diversity < float("inf"):
            raise ConfigError(f"diversity must be 0 or more, got {self.diversity}")
        _check_type("keep", self.keep, int | float, "a number")
        if not 0 <= self.keep < float("inf"):
            raise ConfigError(f"keep must be 0 or more, got {self.keep}")
        for name in ("start", "mask"):
            if getattr(self, name) is not None:
                _check_type(name, getattr(self, name), str, "the name of a picture file")
        if self.diversity and self.images == 1:
            raise ConfigError("diversity compares images of one unit; ask for 2 images or more")
        if self.contrast is not None:
            _check_type("contrast", self.contrast, str, "a folder of photographs, as text")
        self._check_alpha()
        for name in ("start", "mask", "contrast"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} is empty; name a file or folder, or leave it out")
        if self.batch is not None:
            _at_least("batch", self.batch, 1)
        if self.patience is not None:
            _at_least("patience", self.patience, 1)
        _check_type("min_delta", self.min_delta, int | float, "a number")
        if not 0 <= self.min_delta < 1:
            raise ConfigError(f"min_delta must be 0 or more and below 1, got {self.min_delta}")
        _check_type("terms", self.terms, bool, "true or false")
        if self.learning_rate is not None:
            _check_type("learning_rate", self.learning_rate, int | float, "a number")
            if not 0 < self.learning_rate < float("inf"):
                raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}")
        _one_of("precision", self.precision, get_args(Precision))
        if self.optimiser is not None:
            _one_of("optimiser", self.optimiser, get_args(Optimiser))
        self._check_size()
        self._check_thresholds()
        self._check_parts()
        if self.batch is not None and self.batch > 1 and self.optimiser_used == "lbfgs":
            raise ConfigError(
                f"lbfgs takes one image at a time, since its line search would tie them together; "
                f"got batch {self.batch}: leave it out, or choose adam"
            )

    @property
    def optimiser_used(self) -> Optimiser:
        """The optimiser: the one set, or the one that the parameterisation names."""
        from featviz.params import parse_parameterisation

        return self.optimiser or cast("Optimiser", parse_parameterisation(self.param).optimiser)

    @property
    def learning_rate_used(self) -> float:
        """The learning rate: the one set, or what the parameterisation or L-BFGS names."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.optimiser_used == "lbfgs":
            return LBFGS_LEARNING_RATE
        from featviz.params import parse_parameterisation

        return parse_parameterisation(self.param).learning_rate

    def _check_alpha(self) -> None:
        if self.alpha is None:
            return
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float):
            raise ConfigError(f"alpha must be a number, usually 1; got {self.alpha!r}")
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"alpha must be 0 or more, got {self.alpha}")
        if self.keep:
            raise ConfigError(
                "keep holds an image near an opaque picture, and alpha makes it transparent; "
                "leave one out"
            )

    def _check_size(self) -> None:
        if self.size is None:
            return
        sides = self.size if isinstance(self.size, tuple | list) else (self.size, self.size)
        if len(sides) != 2:
            raise ConfigError(f"size must be one number or (height, width), got {self.size}")
        for side in sides:
            _at_least("size", side, 1)
            if side > LARGEST_SIDE_PX:
                raise ConfigError(f"size must be at most {LARGEST_SIDE_PX} px, got {side}")

    def _check_thresholds(self) -> None:
        _check_type("thresholds", self.thresholds, tuple | list, "steps such as (16, 64)")
        for threshold in self.thresholds:
            _at_least("thresholds", threshold, 1)
        late = [t for t in self.thresholds if t > self.steps]
        if late:
            raise ConfigError(f"thresholds must be 1 to {self.steps} (steps), got {late[0]}")

    def _check_parts(self) -> None:
        from featviz.params import Parameterisation, parse_parameterisation
        from featviz.transforms import Transform, Transforms, parse_transforms

        wanted = "text such as 'fourier', or a parameterisation such as Fourier()"
        _check_type("param", self.param, str | Parameterisation, wanted)
        wanted = "text such as 'jitter:8,scale:0.9..1.1', or a list of transforms such as Jitter(8)"
        _check_type("transforms", self.transforms, str | Transforms | Sequence, wanted)
        if not isinstance(self.transforms, str | Transforms):
            for part in self.transforms:
                _check_type("transforms", part, Transform, wanted)
        parse_parameterisation(self.param)
        parse_transforms(self.transforms)

    def size_px(self, native: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of the images.

        Args:
            native: Height and width the network was trained at.
        """
        if self.size is None:
            return min(DEFAULT_SIZE_PX, native[0]), min(DEFAULT_SIZE_PX, native[1])
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def batch_on(self, device: "torch.device") -> int:
        """Return how many images to render together on a device."""
        if self.optimiser_used == "lbfgs":
            return 1
        from featviz.transforms import parse_transforms

        default = DEFAULT_BATCH.get(device.type, DEFAULT_BATCH["cuda"])
        return self.batch or max(1, default // parse_transforms(self.transforms).views)

    def dtype_on(self, device: "torch.device") -> "torch.dtype":
        """Return what the network computes in on a device."""
        import torch

        if self.precision == "auto":
            return torch.bfloat16 if has_fast_bf16(device) else torch.float32
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values, parts as the text that reads back."""
        from featviz.params import parse_parameterisation
        from featviz.transforms import parse_transforms

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
        thresholds = values.get("thresholds", ())
        values["thresholds"] = tuple(thresholds) if isinstance(thresholds, list) else thresholds
        return cls(**values)


def _check_type(name: str, value: object, kinds: Any, wanted: str) -> None:
    if not isinstance(value, kinds):
        raise ConfigError(f"{name} must be {wanted}; got {value!r}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _at_least(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} must be a whole number, {least} or more, got {value!r}")


def has_fast_bf16(device: "torch.device") -> bool:
    """Tell whether a device is faster in bf16: CUDA from sm_80, CPU with AMX or AVX512-BF16.

    Where torch cannot tell (before 2.6 on a CPU) the answer is no.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if device.type != "cpu" or capabilities is None:
        return False
    found = capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
