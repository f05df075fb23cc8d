"""Random pictures behind transparent images, another one for each image and step.

A picture is made of noise when it is needed, from a seed of its own: all of them at once would
take as much memory as steps times images. The noise is a hash of the seed and the place, in whole
numbers, so it is the same on every device, in every batch, and costs no wait for a GPU, as torch's
own generators would.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.color import decorrelated_to_rgb_matrix
from featviz.params.base import logits_to_image
from featviz.params.fourier import frequency_scale

# Lucid's transparent images stand before spectra of decay power 1.5 and sd 0.2, which at its 320 px
# is this standard deviation of a pixel, before colours and sigmoid. There it grows with the size.
DECAY_POWER = 1.5
CONTRAST = 3.643

# SplitMix64: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"; its
# constants as signed numbers, for which torch has arithmetic modulo 2 ** 64.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))


class Backdrops:
    """What lies behind each image at each step.

    Args:
        seeds: One an image and step.
        channels: Channels of the pictures.
        size: Height and width in pixels.
    """

    def __init__(
        self, seeds: Int[Tensor, "steps b"], *, channels: int, size: tuple[int, int]
    ) -> None:
        self.size = size
        self.seeds = seeds
        scale = frequency_scale(size, decay_power=DECAY_POWER)
        spread = _spread(scale, size)
        # Beside the seeds, so that nothing is moved to a GPU at every step.
        self._scale = (scale * CONTRAST / spread).float()[..., None].to(seeds.device)
        places = torch.arange(1, channels * scale.numel() + 1, device=seeds.device)
        self._places = places.view(1, channels, *scale.shape) * _GOLDEN
        colors = decorrelated_to_rgb_matrix().float() if channels == 3 else None
        self._matrix = None if colors is None else colors.to(seeds.device)

    @classmethod
    def draw(
        cls,
        steps: int,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> "Backdrops":
        """Draw the seeds of a batch, those of an image from its own generator.

        Args:
            steps: Number of steps; the first seeds are the same however many follow.
            channels: Channels of the pictures.
            size: Height and width in pixels.
            generators: CPU generators, one an image.
            device: Where the pictures will be.
        """
        seeds = [torch.randint(2**62, (steps,), generator=g) for g in generators]
        return cls(torch.stack(seeds, 1).to(device), channels=channels, size=size)

    def __getitem__(self, step: int) -> Float[Tensor, "b c h w"]:
        """Return the pictures of a step: values 0..1, mostly low frequencies, natural colours."""
        spectrum = _noise(self.seeds[step, :, None, None, None] + self._places) * self._scale
        waves = torch.view_as_complex(spectrum)
        x: Tensor = torch.fft.irfft2(waves, s=self.size, norm="ortho")
        return logits_to_image(x, self._matrix)


def _noise(counters: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape 2"]:
    """Return two numbers a counter, of mean 0 and sd 1: the sum of two even ones, a triangle.

    A pixel adds up hundreds of them, so it hardly matters that they are not normal.
    """
    z = counters
    for shift, factor in _MIX:
        z = (z ^ _shifted(z, shift)) * factor
    z = z ^ _shifted(z, 31)
    parts = torch.stack(
        [(z >> at & 0xFFFF) + (_shifted(z, at + 16) & 0xFFFF) for at in (0, 32)], -1
    )
    # The variance of a whole number below n is (n ** 2 - 1) / 12.
    sd = ((2**32 - 1) / 6) ** 0.5
    numbers: Tensor = (parts - 0xFFFF).float() / sd
    return numbers


def _shifted(z: Int[Tensor, "*shape"], bits: int) -> Int[Tensor, "*shape"]:
    """Shift right, zeros following: torch's own shift repeats the sign."""
    shifted: Tensor = z >> bits & 2 ** (64 - bits) - 1
    return shifted


def _spread(scale: Float[Tensor, "h w_half"], size: tuple[int, int]) -> float:
    """Return the standard deviation of a pixel whose spectrum is noise times a scale."""
    waves = torch.full_like(scale, 4)  # two parts, and a conjugate wave each
    waves[:, 0] = 1  # conjugates of each other, of which the inverse takes the mean
    if size[1] % 2 == 0:
        waves[:, -1] = 1
    return float(((scale.square() * waves).sum() / (size[0] * size[1])).sqrt())
