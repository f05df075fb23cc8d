"""From a name, a factory or a module to a `Model`: `featviz.load`.

Joins the parts of this package: a spec (spec.py and the families), its weights (weights.py), and
the settings of the caller. Imports torch only when it is called.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from featviz.errors import ConfigError, ModelError
from featviz.models.spec import FAMILIES, ModelSpec, Preprocess, get_spec

if TYPE_CHECKING:
    import torch

    import featviz.models.model

RANDOM = "random"
_RANDOM_ORIGIN = "random initialisation, seed 0"
_DEFAULT_CHANNELS = 3


def load(
    model: "str | torch.nn.Module",
    *,
    weights: str | Path | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
) -> "featviz.models.model.Model":
    """Load a model, ready for use.

    Args:
        model: A registered name (`featviz models` lists them), `torchvision:NAME`, `timm:NAME`,
            `package.module:factory`, or a network. A network is used as it is, not copied; its
            mode and gradients are left alone. A `Model` is returned unchanged.
        weights: A file, safetensors or a state dict; or `random`, the network's initialisation
            with seed 0, for baselines. None: those of the model's origin (a package, the folder
            $FEATVIZ_WEIGHTS_DIR, the cache, else a download), or what the factory gives.
        mean: Mean that is subtracted from images in 0..1, one number or one a channel. None: the
            model's own; for factories and networks 0.
        std: Standard deviation by which they are then divided. None: the model's own; for
            factories and networks 1.
        size: Height and width of the network's images, px. None: the model's own; for factories
            and networks 224.
        channels: Channels of the images, for factories and networks. None: as many as the
            network's first convolution takes, 3 if it has none.

    Returns:
        The model; in eval mode, except for a network that was handed over.

    Raises:
        ModelError: If the model is unknown or cannot be built.
        WeightsError: If the weights are missing, unreadable, or not those of the model.
        ConfigError: If a setting is out of range, or is fixed for this model.
    """
    import torch
    from torch import nn

    from featviz.borrowing import cpu_by_default
    from featviz.models.model import Model

    settings = _Settings.checked(mean=mean, std=std, size=size, channels=channels)
    if isinstance(model, str):
        device = torch.empty(0).device
        # Parameters made in inference mode would never let a gradient through. Random ones are
        # drawn on the CPU, so that they are the same everywhere.
        with torch.inference_mode(False), cpu_by_default():
            loaded = _load_named(model, weights, settings)
            return loaded if device.type == "meta" else loaded.to(device)
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"a model is a name or a torch.nn.Module, not a {type(model).__name__}; "
            "'featviz models' lists the names"
        )
    if weights is not None:
        raise ConfigError(
            f"weights={str(weights)!r} was given with a network; load them into the network "
            "before, or give a name or a factory instead"
        )
    if not isinstance(model, Model):
        spec = _bare_spec(type(model).__name__, model, settings)
        return Model(model, spec, weights_origin="as handed over")
    if settings != _Settings():
        raise ConfigError(
            f"{model.name!r} is loaded already, so its preprocessing and size are fixed; load it "
            "again with these settings"
        )
    return model


@dataclass(frozen=True)
class _Settings:
    """What the caller set, checked; None where left open."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None

    @classmethod
    def checked(
        cls,
        *,
        mean: float | Sequence[float] | None,
        std: float | Sequence[float] | None,
        size: int | Sequence[int] | None,
        channels: int | None,
    ) -> "_Settings":
        """Check each setting by itself."""
        if channels is not None and not _is_count(channels):
            raise ConfigError(f"channels must be a whole number of at least 1, not {channels!r}")
        numbers = None if std is None else _numbers("std", std)
        if numbers and not all(number > 0 for number in numbers):
            raise ConfigError(f"std must be above 0, not {std!r}; images are divided by it")
        return cls(
            mean=None if mean is None else _numbers("mean", mean),
            std=numbers,
            size=None if size is None else _size(size),
            channels=channels,
        )

    def preprocess(self, base: Preprocess, channels: int) -> Preprocess:
        """Return preprocessing with the caller's mean and std in place of those of `base`.

        Raises:
            ConfigError: If their lengths do not fit the channels.
        """
        for title, numbers in (("mean", self.mean), ("std", self.std)):
            if numbers is not None and len(numbers) not in (1, channels):
                raise ConfigError(
                    f"{title} has {len(numbers)} numbers for images of {channels} channels; give "
                    f"one number, one for each channel, or channels={len(numbers)}"
                )
        return replace(base, mean=self.mean or base.mean, std=self.std or base.std)

    def words(self) -> list[str]:
        """Return the settings as options of the command line."""
        words = []
        for option, values in (("--mean", self.mean), ("--std", self.std)):
            words += [option, ",".join(map(repr, values))] if values else []
        words += ["--input-size", "x".join(map(str, self.size))] if self.size else []
        return words + (["--channels", str(self.channels)] if self.channels else [])


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _numbers(title: str, value: float | Sequence[float]) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ConfigError(
            f"{title} must be one finite number or one for each channel, not {value!r}"
        )
    return numbers


def _size(value: int | Sequence[int]) -> tuple[int, int]:
    sides = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(sides) != 2 or not all(map(_is_count, sides)):
        raise ConfigError(
            f"size must be a whole number of pixels, or (height, width), each at least 1; got "
            f"{value!r}"
        )
    return sides[0], sides[1]


def _load_named(
    name: str, weights: str | Path | None, settings: _Settings
) -> "featviz.models.model.Model":
    family, colon, rest = name.partition(":")
    if colon and family not in FAMILIES:
        return _load_factory(name, weights, settings)
    if not colon:
        spec = get_spec(name)
        if settings.mean or settings.std:
            raise ConfigError(
                f"mean and std are fixed for {name!r}, whose weights need its own; leave them out"
            )
    elif family == "torchvision":
        from featviz.models.torchvision import torchvision_spec

        spec = torchvision_spec(rest)
    else:
        from featviz.models.timm import timm_spec

        spec = timm_spec(rest)
    if settings.channels not in (None, spec.channels):
        raise ConfigError(
            f"{name!r} takes images of {spec.channels} channels, not {settings.channels}; write a "
            "factory for a network with others"
        )
    preprocess = settings.preprocess(spec.preprocess, spec.channels)
    spec = replace(spec, preprocess=preprocess, size=settings.size or spec.size)
    return _with_weights(spec, spec.build(), weights, settings)


def _with_weights(
    spec: ModelSpec, network: "torch.nn.Module", weights: str | Path | None, settings: _Settings
) -> "featviz.models.model.Model":
    """Return the model of a spec that says where its weights come from."""
    from featviz.models.model import Model
    from featviz.models.weights import load_into

    assert spec.weights is not None
    if weights == RANDOM:
        origin = _RANDOM_ORIGIN
    else:
        path = None if weights is None else Path(weights).expanduser()
        origin = spec.weights.origin if path is None else str(path)
        load_into(network, spec.weights.load(path), source=origin)
    arguments = _arguments(spec.name, weights, settings)
    return Model(network, spec, weights_origin=origin, arguments=arguments).eval()


def _arguments(name: str, weights: str | Path | None, settings: _Settings) -> tuple[str, ...]:
    """Return what loads the same model on the command line."""
    return (name, *(["--weights", str(weights)] if weights else []), *settings.words())


def _load_factory(
    name: str, weights: str | Path | None, settings: _Settings
) -> "featviz.models.model.Model":
    from featviz.models.factory import call_factory, import_factory
    from featviz.models.model import Model
    from featviz.models.weights import load_into, read_state_dict, seeded_init

    factory = import_factory(name)
    origin = f"as {name} builds it"
    if weights == RANDOM:
        origin = _RANDOM_ORIGIN

        def seeded() -> object:
            with seeded_init():
                return factory()

        network = call_factory(seeded, name=name)
    else:
        network = call_factory(factory, name=name)
        if weights is not None:
            origin = str(weights)
            load_into(network, read_state_dict(Path(weights).expanduser()), source=origin)
    spec = _bare_spec(name, network, settings)
    arguments = _arguments(name, weights, settings)
    return Model(network, spec, weights_origin=origin, arguments=arguments).eval()


def _bare_spec(name: str, network: "torch.nn.Module", settings: _Settings) -> ModelSpec:
    """Return the spec of a network of which featviz knows only what the caller says."""
    from torch import nn

    channels = settings.channels
    if channels is None:
        convs = (module for module in network.modules() if isinstance(module, nn.Conv2d))
        first = next(convs, None)
        channels = first.in_channels if first else _DEFAULT_CHANNELS
    plain = settings.mean is None and settings.std is None
    return ModelSpec(
        name=name,
        build=lambda: network,
        preprocess=settings.preprocess(Preprocess(), channels),
        size=settings.size or ModelSpec.size,
        channels=channels,
        summary="images in 0..1, no normalisation" if plain else "normalisation as given",
    )
