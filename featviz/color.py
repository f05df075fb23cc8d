"""Colour decorrelation: the axes along which the colours of photographs vary independently.

Optimising along these axes instead of R, G and B keeps the strongly correlated channels from
pulling against each other.
"""

import torch
from jaxtyping import Float
from torch import Tensor

# Square root of the covariance of ImageNet pixel colours, U sqrt(S) of its SVD; columns are the
# axes, the first one is brightness. Lucid 0.3.10, optvis/param/color.
COLOR_CORRELATION_SQRT = (
    (0.26, 0.09, 0.02),
    (0.27, 0.00, -0.05),
    (0.27, -0.09, 0.03),
)


def decorrelated_to_rgb_matrix() -> Float[Tensor, "3 3"]:
    """Return the matrix from decorrelated colours to RGB, both before the sigmoid.

    Divided by the largest column norm, 0.4619523785, so that no axis is stretched.

    Returns:
        Float64 matrix for column vectors: `rgb = matrix @ x`.

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, section
        "Preconditioning and Parameterization"; Lucid 0.3.10, optvis/param/color.
    """
    matrix = torch.tensor(COLOR_CORRELATION_SQRT, dtype=torch.float64)
    return torch.div(matrix, matrix.norm(dim=0).max())


def decorrelated_to_rgb(x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Turn decorrelated colours into RGB, both before the sigmoid.

    The mean colour that Lucid adds without a sigmoid is left out: featviz always has the sigmoid.
    """
    return mix_channels(x, decorrelated_to_rgb_matrix().to(x))


def rgb_to_decorrelated(rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Turn RGB before the sigmoid into decorrelated colours: inverse of `decorrelated_to_rgb`."""
    return mix_channels(rgb, torch.linalg.inv(decorrelated_to_rgb_matrix()).to(rgb))


def mix_channels(
    x: Float[Tensor, "b c h w"], matrix: Float[Tensor, "c c"]
) -> Float[Tensor, "b c h w"]:
    """Multiply the channels of every pixel by a matrix, as a column vector."""
    return torch.matmul(matrix, x.flatten(2)).view_as(x)
