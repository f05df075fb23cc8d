"""Images as Fourier coefficients in decorrelated colours: the default."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from featviz.errors import ConfigError
from featviz.params.base import (
    ImageParameters,
    Parameterisation,
    check_colors,
    color_matrix,
    image_to_logits,
    logits_to_image,
    positive,
)

# Lucid divides by 4 without a reason given; under Adam it only sets the step: 0.05 / 4 a step.
LUCID_DIVISOR = 4.0


def frequency_scale(size: tuple[int, int], *, decay_power: float) -> Float[Tensor, "h w_half"]:
    """Return the amplitude given to each frequency: `1 / max(f, 1 / max(h, w)) ** decay_power`.

    f is in cycles a pixel. With the orthonormal inverse FFT this is Lucid's scaling, whose factor
    sqrt(h w) undoes the 1 / (h w) of its transform.

    Args:
        size: Height and width in pixels, even or odd.
        decay_power: 0 for white noise, 1 for Lucid.

    Returns:
        Float64, laid out as torch.fft.rfft2 gives its coefficients.

    References:
        Lucid 0.3.10, optvis/param/spatial. Differs: odd widths have their own w // 2 + 1
        frequencies instead of one more than needed and a crop.
    """
    h, w = size
    fy = torch.fft.fftfreq(h, dtype=torch.float64)[:, None]
    fx = torch.fft.rfftfreq(w, dtype=torch.float64)[None, :]
    f = (fx**2 + fy**2).sqrt().clamp(min=1 / max(h, w))
    scale: Tensor = f**-decay_power
    return scale


class _ScaledInverseFFT(torch.autograd.Function):
    """Scale and inverse FFT in one, because autograd's own backward pass reads memory twice over.

    The map is linear, so its gradient is the adjoint: the FFT, times the scale, times 2 for the
    waves that stand for their conjugates too.
    """

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, scale: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(scale)
        coefficients = torch.view_as_complex(spectrum * scale)
        image: Tensor = torch.fft.irfft2(coefficients, s=size, norm="ortho")
        return image

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (scale,) = ctx.saved_tensors
        (grad,) = grads
        waves = torch.full_like(scale, 2)
        waves[:, 0] = 1
        if grad.shape[-1] % 2 == 0:
            waves[:, -1] = 1
        adjoint = torch.view_as_real(torch.fft.rfft2(grad, norm="ortho"))
        return torch.mul(adjoint, scale * waves), None, None


class FourierImages(ImageParameters):
    """Spectra of a batch of images.

    Args:
        spectrum: Start coefficients; the last axis is (real, imaginary).
        scale: Amplitude of each frequency.
        size: Height and width in pixels.
        matrix: Colour matrix, or None.
    """

    def __init__(
        self,
        spectrum: Float[Tensor, "b c h w_half 2"],
        *,
        scale: Float[Tensor, "h w_half"],
        size: tuple[int, int],
        matrix: Float[Tensor, "c c"] | None,
    ) -> None:
        super().__init__()
        self.spectrum = nn.Parameter(spectrum)
        self.size = size
        self.scale: Tensor
        self.matrix: Tensor | None
        # Repeated for the real and the imaginary part: broadcasting over them is slow.
        both = (scale / LUCID_DIVISOR)[..., None].repeat(1, 1, 2)
        self.register_buffer("scale", both.to(spectrum))
        self.register_buffer("matrix", matrix)

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""
        return logits_to_image(self.logits(), self.matrix)

    def logits(self) -> Float[Tensor, "b c h w"]:
        """Return the images before colour matrix and sigmoid."""
        x: Tensor = _ScaledInverseFFT.apply(self.spectrum, self.scale, self.size)
        return x


@dataclass(frozen=True)
class Fourier(Parameterisation):
    """Fourier coefficients, each frequency scaled by a power law.

    Under Adam every coefficient moves by the same step, so `decay_power` is a learning rate for
    each frequency rather than only a prior: higher values favour coarse structure.

    Attributes:
        decay_power: Exponent of the power law.
        sd: Standard deviation of the start coefficients, real and imaginary.
        decorrelate: Whether RGB images are optimised in decorrelated colours.
        colors: File of `featviz spectrum` whose colour axes to take; empty: Lucid's, of ImageNet.
    """

    name: ClassVar[str] = "fourier"
    decay_power: float = 1.0
    sd: float = 0.01
    decorrelate: bool = True
    colors: str = ""

    def __post_init__(self) -> None:
        positive(self.name, "sd", self.sd)
        check_colors(self.name, self.colors, decorrelate=self.decorrelate)
        if not 0 <= self.decay_power <= 4:
            raise ConfigError(f"fourier: decay_power must be 0 to 4, got {self.decay_power}")

    def start(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> FourierImages:
        """Return spectra drawn from N(0, sd), one generator an image."""
        matrix = self._matrix(channels)
        scale = frequency_scale(size, decay_power=self.decay_power)
        shape = (channels, *scale.shape, 2)
        spectrum = torch.stack([torch.randn(shape, generator=g) for g in generators]) * self.sd
        images = FourierImages(spectrum, scale=scale, size=size, matrix=matrix)
        return images.to(device)

    def start_from(
        self, images: Float[Tensor, "b c h w"], *, device: torch.device
    ) -> FourierImages:
        """Return the spectra of given images, clamped to 0.01..0.99."""
        matrix = self._matrix(images.shape[1])
        x = image_to_logits(self.name, images, matrix)
        size = (images.shape[2], images.shape[3])
        scale = frequency_scale(size, decay_power=self.decay_power)
        spectrum = torch.fft.rfft2(x, norm="ortho") / (scale / LUCID_DIVISOR)
        parts = torch.view_as_real(spectrum).float().contiguous()
        return FourierImages(parts, scale=scale, size=size, matrix=matrix).to(device)

    def _matrix(self, channels: int) -> Tensor | None:
        return color_matrix(
            self.name, decorrelate=self.decorrelate, channels=channels, colors=self.colors
        )
