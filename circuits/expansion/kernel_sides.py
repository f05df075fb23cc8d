"""What a kernel sums to on either side of a line through its middle.

For units with two unlike sides, such as high beside low frequency: which inputs feed which side.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import CircuitError


def side_sums(
    kernel: Float[Tensor, "o i kh kw"], angle_deg: Sequence[float]
) -> tuple[Float[Tensor, "o i"], Float[Tensor, "o i"]]:
    """Return the sums of weights on the first and on the second side of each target.

    Cells on the line count half for each side.

    Args:
        kernel: Weights, y down.
        angle_deg: Orientation of each target, convention of stimuli: 180 minus the direction of
            the first side, y up.

    Raises:
        CircuitError: If there is not one angle a target.
    """
    if len(angle_deg) != len(kernel):
        raise CircuitError(
            f"{len(angle_deg)} angles for kernels of {len(kernel)} targets; give one for each"
        )
    kh, kw = kernel.shape[2:]
    y = ((kh - 1) / 2 - torch.arange(kh, dtype=torch.float64))[:, None]
    x = (torch.arange(kw, dtype=torch.float64) - (kw - 1) / 2)[None]
    toward = [math.radians(180 - angle) for angle in angle_deg]
    along = torch.stack([x * math.cos(a) + y * math.sin(a) for a in toward])
    # Rounding must not give a cell on the line to one side.
    share = (torch.sign(along.where(along.abs() > 1e-9, torch.zeros(()).double())) + 1) / 2
    weights = kernel.detach().to("cpu", torch.float64)
    first = torch.einsum("oihw,ohw->oi", weights, share)
    return first, weights.sum((2, 3)) - first
