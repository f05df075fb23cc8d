"""Images as small networks from the position of a pixel to its colour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.errors import ConfigError
from featviz.params.base import ImageParameters, Parameterisation, positive

# Coordinates spread evenly over ±sqrt(3) have a standard deviation of 1.
REACH = math.sqrt(3)
# Root mean square of atan(u) and of atan(u) ** 2 for u ~ N(0, 1), rounded as Lucid has them: the
# next layer gets inputs of about unit size.
ATAN_RMS, SQUARE_RMS = 0.67, 0.6


def coordinates(size: tuple[int, int]) -> Float[Tensor, "2 n"]:
    """Return x and y of each pixel, row by row: the longer side from -sqrt(3) to sqrt(3).

    Pixels are square: the shorter side reaches as far as its length. For square images, the only
    ones that Lucid has, both sides reach sqrt(3).

    Args:
        size: Height and width in pixels.
    """
    h, w = size
    step = 2 * REACH / max(h - 1, w - 1, 1)
    y = (torch.arange(h, dtype=torch.float64) - (h - 1) / 2) * step
    x = (torch.arange(w, dtype=torch.float64) - (w - 1) / 2) * step
    return torch.stack([x.repeat(h), y.repeat_interleave(w)]).float()


class CppnImages(ImageParameters):
    """A batch of independent networks, computed at once: each weight has a batch axis.

    Args:
        weights: Of each layer, the last one's `o` being the channels of the images.
        biases: Of each layer.
        size: Height and width in pixels.
    """

    def __init__(
        self,
        weights: Sequence[Float[Tensor, "b _o _i"]],
        biases: Sequence[Float[Tensor, "b _o 1"]],
        *,
        size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)
        self.size = size
        self.coordinates: Tensor
        self.register_buffer("coordinates", coordinates(size).to(weights[0]))

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""
        *hidden, last = zip(self.weights, self.biases, strict=True)
        x = self.coordinates.expand(len(last[0]), -1, -1)
        for weight, bias in hidden:
            u = torch.baddbmm(bias, weight, x).atan()
            x = torch.cat([u / ATAN_RMS, u.square() / SQUARE_RMS], 1)
        weight, bias = last
        images: Tensor = torch.baddbmm(bias, weight, x).sigmoid().unflatten(2, self.size)
        return images


@dataclass(frozen=True)
class Cppn(Parameterisation):
    """Compositional pattern-producing network: smooth shapes without pixels, of any size.

    The memory grows with the number of pixels times
    `layers * units`: large images need a small batch.

    Attributes:
        layers: Hidden layers.
        units: Units of each, before the activation that doubles them.
        bias_sd: Standard deviation of the hidden biases at the start. Lucent starts at 0, where
            every pattern is symmetric about the centre up to its sign.
        last_sd: Spread of the start image before the sigmoid, about; 0 is Lucid's even grey, on
            which deep units get hardly a gradient: several never left it.

    References:
        Mordvintsev et al. 2018, "Differentiable Image Parameterizations", Distill; Lucid 0.3.10,
        optvis/param/cppn. Differs: images that are not square, see `coordinates`; the
        last layer does not start at 0; learning rate 0.002 instead of 0.005, at which some images
        of deep units end in one colour.
    """

    name: ClassVar[str] = "cppn"
    learning_rate: ClassVar[float] = 2e-3
    layers: int = 8
    units: int = 24
    bias_sd: float = 0.1
    last_sd: float = 0.3

    def __post_init__(self) -> None:
        positive(self.name, "layers", self.layers)
        positive(self.name, "units", self.units)
        for key, sd in (("bias_sd", self.bias_sd), ("last_sd", self.last_sd)):
            if not 0 <= sd < float("inf"):
                raise ConfigError(f"cppn: {key} must be 0 or more, got {sd}")

    def start(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> CppnImages:
        """Return networks with weights from N(0, 1 / inputs), the last ones times `last_sd`."""
        if channels < 1:
            raise ConfigError(f"cppn: images need at least 1 channel, got {channels}")
        wide = 2 * self.units
        shapes = [(self.units, 2), *[(self.units, wide)] * (self.layers - 1), (channels, wide)]
        gains = [1.0] * self.layers + [self.last_sd]
        spreads = [self.bias_sd] * self.layers + [0.0]
        weights, biases = [], []
        for (outputs, inputs), gain, spread in zip(shapes, gains, spreads, strict=True):
            weight = [torch.randn((outputs, inputs), generator=g) for g in generators]
            bias = [torch.randn((outputs, 1), generator=g) for g in generators]
            weights.append(torch.stack(weight) * (gain / math.sqrt(inputs)))
            biases.append(torch.stack(bias) * spread)
        return CppnImages(weights, biases, size=size).to(device)
