"""ReLU whose gradient is redirected for images that would get none.

A unit that fires nowhere on the near-grey start image passes no gradient at all, so a plain loop
leaves it a grey square. During the first steps render.py runs the network with this ReLU.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

RELUS = {"relu", "relu_", "relu6", "hardtanh"}


class _RedirectedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float | None) -> Tensor:
        ctx.save_for_backward(x)
        ctx.ceiling = ceiling
        return x.clamp(min=0) if ceiling is None else x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        (grad,) = grads
        is_open = x > 0 if ctx.ceiling is None else (x > 0) & (x < ctx.ceiling)
        plain = torch.where(is_open, grad, 0)
        # A loss falls along -grad: a negative gradient pushes a closed unit up, towards firing.
        pushed_up = torch.where((x <= 0) & (grad < 0), grad, 0)
        blocked = (plain == 0).flatten(1).all(dim=1).view(-1, *[1] * (x.dim() - 1))
        return torch.where(blocked, pushed_up, plain), None


def redirect(x: Float[Tensor, "..."], *, ceiling: float | None = None) -> Float[Tensor, "..."]:
    """Apply a ReLU that never blocks the whole gradient of an image.

    Forward it is a ReLU. Backward too, except for an image none of whose gradient gets through:
    there the components that push a closed unit up pass, as if the ReLU were the identity.
    Gradients are those of a loss, which is minimised. Images do not influence each other.

    Args:
        x: Pre-activations, one image after the other along the first axis.
        ceiling: Upper bound, 6 for a ReLU6; None for a plain ReLU.

    References:
        Lucid 0.3.10, misc/redirected_relu_grad. Differs: no step count inside (render.py decides
        how long to redirect); x = 0 counts as closed, as in torch.
    """
    out: Tensor = _RedirectedReLU.apply(x, ceiling)
    return out
