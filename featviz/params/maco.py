"""Images with the magnitudes of photographs, of which only the phase is learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featviz.natural_spectrum import NaturalSpectrum, resample_magnitude
from featviz.params.base import (
    ImageParameters,
    Parameterisation,
    check_file,
    color_matrix,
    image_to_logits,
    logits_to_image,
)
from featviz.spectrum_files import default_spectrum, read_spectrum

# Keeps an even image from 0 / 0. Under the root, not beside it as Xplique has it, so that nothing
# else depends on it.
EPSILON = 1e-5


def standardise(x: Float[Tensor, "b c *hw"]) -> Float[Tensor, "b c *hw"]:
    """Give each image mean 0 and standard deviation 1 over all its channels and positions."""
    dims = tuple(range(1, x.ndim))
    x = x - x.mean(dims, keepdim=True)
    return x / (x.square().mean(dims, keepdim=True) + EPSILON**2).sqrt()


class MacoImages(ImageParameters):
    """Phases of a batch of images.

    Args:
        phase: Start values in radians, before they are standardised.
        magnitude: Of each wave; of one image each, or of all.
        size: Height and width in pixels.
        matrix: Colour matrix, or None.
        standard: Whether phases and images are standardised, image by image.
    """

    def __init__(
        self,
        phase: Float[Tensor, "b c h w_half"],
        *,
        magnitude: Float[Tensor, "_b c h w_half"],
        size: tuple[int, int],
        matrix: Float[Tensor, "c c"] | None,
        standard: bool,
    ) -> None:
        super().__init__()
        self.phase = nn.Parameter(phase)
        self.size = size
        self.standard = standard
        self.magnitude: Tensor
        self.matrix: Tensor | None
        self.register_buffer("magnitude", magnitude)
        self.register_buffer("matrix", matrix)

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1."""
        phase = standardise(self.phase) if self.standard else self.phase
        waves = torch.complex(self.magnitude * phase.cos(), self.magnitude * phase.sin())
        x: Tensor = torch.fft.irfft2(waves, s=self.size, norm="ortho")
        return logits_to_image(standardise(x) if self.standard else x, self.matrix)


@dataclass(frozen=True)
class Maco(Parameterisation):
    """Magnitude-constrained optimisation (MACO): natural magnitudes, learned phases.

    No wave can be made stronger than it is in photographs, which rules out the high frequencies
    that fool networks. Images have full contrast from the first step on. The magnitudes are
    resampled to the size asked for. Images without RGB colours have those of brightness in every
    channel.

    Attributes:
        spectrum: File of `featviz spectrum`, whose magnitudes and colour axes are used; empty: the
            one that comes with featviz.

    References:
        Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude
        Constrained Optimization", arXiv 2306.06805, section 3; standard phases and images as in
        Xplique 2.0. Differs: any number of images at a time, each standardised alone; the
        magnitudes.
    """

    name: ClassVar[str] = "maco"
    learning_rate: ClassVar[float] = 1.0
    start_learning_rate: ClassVar[float | None] = 0.05
    optimiser: ClassVar[str] = "nadam"
    spectrum: str = ""

    def __post_init__(self) -> None:
        check_file(self.name, "spectrum", self.spectrum)

    def start(
        self,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> MacoImages:
        """Return phases drawn from N(0, 1), one generator an image."""
        spectrum, matrix = self._spectrum(channels)
        magnitude = resample_magnitude(spectrum.magnitude, size)
        if channels != 3:
            magnitude = magnitude[:1].repeat(channels, 1, 1)
        # To about unit contrast, so that what keeps from 0 / 0 is small beside it.
        magnitude = magnitude / magnitude.square().mean().sqrt().clamp(min=EPSILON)
        phase = torch.stack([torch.randn(magnitude.shape, generator=g) for g in generators])
        images = MacoImages(
            phase, magnitude=magnitude[None], size=size, matrix=matrix, standard=True
        )
        return images.to(device)

    def start_from(self, images: Float[Tensor, "b c h w"], *, device: torch.device) -> MacoImages:
        """Return the phases of given images, clamped to 0.01..0.99, with their own magnitudes.

        Nothing is standardised, so that the images come back; their mean keeps its magnitude too.
        A learning rate of 0.05 alters an image, and is the default here; 1.0, for random phases,
        replaces it.

        References:
            Hamblin et al. 2024, "Feature Accentuation", arXiv 2402.10039.
        """
        _, matrix = self._spectrum(images.shape[1])
        waves = torch.fft.rfft2(image_to_logits(self.name, images, matrix), norm="ortho")
        size = (images.shape[2], images.shape[3])
        parameters = MacoImages(
            waves.angle().float(),
            magnitude=waves.abs().float(),
            size=size,
            matrix=matrix,
            standard=False,
        )
        return parameters.to(device)

    def _spectrum(self, channels: int) -> tuple[NaturalSpectrum, Tensor | None]:
        """Return the spectrum and its colour matrix."""
        found = read_spectrum(self.spectrum) if self.spectrum else default_spectrum()
        lucid = color_matrix(self.name, decorrelate=True, channels=channels)
        return found, None if lucid is None else found.colors.float()
