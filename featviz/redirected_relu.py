"""ReLU whose gradient is redirected for images that would get none.

A unit that fires nowhere on the near-grey start image passes no gradient at all, so a plain loop
leaves it a grey square. ascent.py runs the network with this ReLU during the first steps, and
longer for images that still get no gradient.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

RELUS = {"relu", "relu_", "relu6"}


class _RedirectedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, asleep: Tensor, ceiling: float | None) -> Tensor:
        ctx.save_for_backward(x, asleep)
        ctx.ceiling = ceiling
        return x.clamp(min=0) if ceiling is None else x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, asleep = ctx.saved_tensors
        (grad,) = grads
        if ctx.ceiling is None:
            plain: Tensor = torch.ops.aten.threshold_backward(grad, x, 0)
        else:
            plain = torch.where((x > 0) & (x < ctx.ceiling), grad, 0)
        passed = torch.any(plain, dim=tuple(range(1, x.dim())), keepdim=True)
        kept = passed | ~asleep.view(-1, *[1] * (x.dim() - 1))
        # The usual case, seen at once on a CPU; on a GPU looking would wait for it.
        if x.device.type == "cpu" and kept.all():
            return plain, None, None
        # A loss falls along -grad: a negative gradient pushes a closed unit up, towards firing.
        pushed_up = torch.where((x <= 0) & (grad < 0), grad, 0)
        return torch.where(kept, plain, pushed_up), None, None


def redirect(
    x: Float[Tensor, "b ..."], *, asleep: Bool[Tensor, " b"], ceiling: float | None = None
) -> Float[Tensor, "b ..."]:
    """Apply a ReLU that does not block the whole gradient of an image that is asleep.

    Forward it is a ReLU. Backward too, except for a sleeping image none of whose gradient gets
    through: there the components that push a closed unit up pass, as if the ReLU were the identity.
    Gradients are those of a loss, which is minimised. Images do not influence each other.

    Args:
        x: Pre-activations, one image after the other along the first axis.
        asleep: Which images may be redirected at all.
        ceiling: Upper bound, 6 for a ReLU6; None for a plain ReLU.

    References:
        Lucid 0.3.10, misc/redirected_relu_grad. Differs: no step count inside (ascent.py decides
        which images to redirect, and how long); x = 0 counts as closed, as in torch.
    """
    out: Tensor = _RedirectedReLU.apply(x, asleep, ceiling)
    return out
