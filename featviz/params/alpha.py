"""A fourth channel that says where an image shows anything: optimised beside the colours.

It goes with every parameterisation: the colours are whatever `--param` names, alpha always is a
Fourier image of one channel.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.params.base import ImageParameters, Parameterisation
from featviz.params.fourier import Fourier, FourierImages
from featviz.resampling import GREY

# Coarser than the colours: at 1, as in Lucid, masks of deep units are full of half clear places, at
# 2 they have a firm outline and few holes.
_ALPHA = Fourier(decay_power=2.0)
# How far a step moves the coarsest wave, before the sigmoid, at every size. More (0.4) makes edges
# jagged and leaves specks, and clears what has not had time to grow; less (0.025) softens edges.
_STEP = 0.1


class AlphaImages(ImageParameters):
    """Colours and alpha of a batch of images.

    Args:
        color: The colours.
        alpha: One channel: 0 where an image is transparent, 1 where it is opaque.
    """

    def __init__(self, color: ImageParameters, alpha: ImageParameters) -> None:
        super().__init__()
        self.color = color
        self.alpha = alpha

    def forward(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1, alpha last; colours are not multiplied by it."""
        return torch.cat([self.color(), self.alpha()], 1)


def start_alpha(
    alpha: Float[Tensor, "b 1 h w"], param: Parameterisation, *, device: torch.device
) -> FourierImages:
    """Return the parameters of given alphas, clamped to 0.01..0.99.

    Args:
        alpha: Values 0..1.
        param: Of the colours. Its learning rate suits its own kind of numbers: those of alpha are
            scaled to it.
        device: Where the parameters live.
    """
    images = _ALPHA.start_from(alpha, device=device)
    h, w = alpha.shape[-2:]
    coarsest = float(images.scale[0, 0, 0]) / (h * w) ** 0.5  # of a wave of coefficient 1
    share = _STEP / (param.learning_rate * coarsest)
    with torch.no_grad():
        images.scale.mul_(share)
        images.spectrum.div_(share)
    return images


def over(
    images: Float[Tensor, "b c_alpha h w"], background: Float[Tensor, "*b_c_h_w"]
) -> Float[Tensor, "b c h w"]:
    """Return what is seen of transparent images before a background.

    Args:
        images: Values 0..1, alpha last.
        background: Values 0..1, of the shape of the result or one number.

    References:
        Porter and Duff 1984, "Compositing digital images", the operator "over", with an opaque
        background.
    """
    seen: Tensor = torch.lerp(background, images[:, :-1], images[:, -1:])
    return seen


def over_grey(images: Float[Tensor, "b c_alpha h w"]) -> Float[Tensor, "b c h w"]:
    """Return what is seen of transparent images before grey: what is measured of them.

    Args:
        images: Values 0..1, alpha last.
    """
    return over(images, images.new_full((), GREY))
