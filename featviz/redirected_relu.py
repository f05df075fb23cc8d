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
        if ctx.ceiling is None:
            plain: Tensor = torch.ops.aten.threshold_backward(grad, x, 0)
        else:
            plain = torch.where((x > 0) & (x < ctx.ceiling), grad, 0)
        passed = torch.any(plain, dim=tuple(range(1, x.dim())), keepdim=True)
        # The usual case, seen at once on a CPU; on a GPU looking would wait for it.
        if x.device.type == "cpu" and passed.all():
            return plain, None
        # A loss falls along -grad: a negative gradient pushes a closed unit up, towards firing.
        pushed_up = torch.where((x <= 0) & (grad < 0), grad, 0)
        return torch.where(passed, plain, pushed_up), None


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
