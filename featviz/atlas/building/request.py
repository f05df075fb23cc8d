"""What an atlas is asked to hold: a model, sites, units, variants and the settings of its renders.

It is saved in the folder of the atlas, so that going on needs nothing else.
"""

import dataclasses
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featviz.atlas.layout import FORMATS, THUMB_PX
from featviz.config import RenderConfig
from featviz.errors import ConfigError, RecordError
from featviz.models.spec import FAMILIES

if TYPE_CHECKING:
    from featviz.models.model import Model

ALL = "all"
DIVERSITY = 0.5
_DIVERSE = re.compile(r"diverse:([1-9]\d{0,3})\Z")
_WEBP_SIDE_PX = 16_383


@dataclass(frozen=True)
class ModelSource:
    """What loads a model, in this process or another one.

    Attributes:
        name: As for `featviz.load`.
        weights: A file, or `random`; None: those of the model's origin.
        mean: Of the images, 0..1; None: the model's own.
        std: Standard deviation; None: the model's own.
        size: Height and width that the network expects, px; None: the model's own.
        channels: Of the images; None: the model's own.
        device: Such as `cpu` or `cuda`; `auto`: a GPU where there is one.
    """

    name: str
    weights: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None
    device: str = "auto"

    def load(self) -> "Model":
        """Load the model and move it to its device.

        Raises:
            InputError: If it cannot be loaded, or there is no such device.
        """
        import torch

        from featviz.models.load import load

        # Factories are looked up from where the user is, as `python -m` would.
        family, colon, _ = self.name.partition(":")
        if colon and family not in FAMILIES and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        model = load(
            self.name,
            weights=self.weights,
            mean=self.mean,
            std=self.std,
            size=self.size,
            channels=self.channels,
        )
        if self.device.startswith("meta"):
            raise ConfigError("cannot use device 'meta', which computes nothing; try cpu")
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        elif model.arguments:
            model.arguments = (*model.arguments, "--device", device)
        try:
            return model.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"cannot use device {device!r}: {reason}; try cpu") from error


@dataclass(frozen=True)
class Request:
    """What is to be rendered into an atlas.

    Attributes:
        model: What loads the model.
        sites: Names, patterns such as `fire*`, or `all`.
        units: `all`, or channels such as `0-15,40`, the same at each site.
        variants: `positive`, `negative`, `diverse:N`: N images that differ from each other.
        config: Settings of the renders; those of diverse images have `images` and `diversity`
            of their own.
        diversity: How much diverse images are pushed apart.
        kind: Of the picture files: `webp`, quality 90, or `png`, lossless and with the record.
        thumb_px: Longer side of the small pictures.

    Raises:
        ConfigError: If a part is out of its range.
    """

    model: ModelSource
    sites: tuple[str, ...] = (ALL,)
    units: str = ALL
    variants: tuple[str, ...] = ("positive",)
    config: RenderConfig = field(default_factory=RenderConfig)
    diversity: float = DIVERSITY
    kind: str = FORMATS[0]
    thumb_px: int = THUMB_PX

    def __post_init__(self) -> None:
        """Check each part that can be checked without the model."""
        if not self.sites or not all(isinstance(s, str) and s for s in self.sites):
            raise ConfigError("name sites, patterns such as 'fire*', or all")
        if self.kind not in FORMATS:
            raise ConfigError(f"the format is {' or '.join(FORMATS)}, got {self.kind!r}")
        if not 8 <= self.thumb_px <= 1024:
            raise ConfigError(f"small pictures have 8 to 1024 px, got {self.thumb_px}")
        if not 0 < self.diversity < float("inf"):
            raise ConfigError(f"diversity must be above 0, got {self.diversity}")
        if not self.variants or len(set(self.variants)) < len(self.variants):
            raise ConfigError("name each variant once: positive, negative, diverse:4")
        for variant in self.variants:
            self.config_of(variant)
        if self.config.thresholds:
            raise ConfigError("an atlas keeps finished images alone; leave out thresholds")
        size = self.config.size
        sides = size if isinstance(size, tuple) else (size or 1,)
        if self.kind == "webp" and max(sides) > _WEBP_SIDE_PX:
            raise ConfigError(f"webp has at most {_WEBP_SIDE_PX} px a side; take png")

    def config_of(self, variant: str) -> RenderConfig:
        """Return the settings of a variant.

        Raises:
            ConfigError: If there is no such variant.
        """
        if variant in {"positive", "negative"}:
            return self.config
        match = _DIVERSE.match(variant)
        if match is None or int(match[1]) < 2:
            raise ConfigError(
                f"unknown variant {variant!r}; there are positive, negative, and diverse:N for N "
                "images that differ, 2 or more"
            )
        return dataclasses.replace(self.config, images=int(match[1]), diversity=self.diversity)

    def with_whole_paths(self) -> "Request":
        """Return the request with the files that it names found from every folder."""
        config = dataclasses.replace(
            self.config,
            start=_whole(self.config.start),
            mask=_whole(self.config.mask),
            contrast=_whole(self.config.contrast),
        )
        model = dataclasses.replace(self.model, weights=_whole(self.model.weights))
        return dataclasses.replace(self, model=model, config=config)

    def to_json(self) -> dict[str, Any]:
        """Return JSON that `from_json` reads back."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values["model"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self.model).items()
        }
        values["config"] = self.config.to_json()
        return values | {"sites": list(self.sites), "variants": list(self.variants)}

    @classmethod
    def from_json(cls, values: Any) -> "Request":
        """Return the request that was saved.

        Raises:
            RecordError: If something is missing or of the wrong type.
            ConfigError: If a value is out of its range.
        """
        try:
            model: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values["model"].items()
            }
            return cls(
                **{
                    **values,
                    "model": ModelSource(**model),
                    "config": RenderConfig.from_json(values["config"]),
                    "sites": tuple(values["sites"]),
                    "variants": tuple(values["variants"]),
                }
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise RecordError(
                f"the request of an atlas lacks something or has too much: {error}; was it edited?"
            ) from error


def _whole(name: str | None) -> str | None:
    if name is None:
        return None
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name
