import pytest
import torch

import reference
from featviz.redirected_relu import redirect


def gradient_of(x, grad, asleep=None, **options):
    x = x.clone().requires_grad_()
    asleep = torch.ones(len(x), dtype=torch.bool) if asleep is None else torch.tensor(asleep)
    redirect(x, asleep=asleep, **options).backward(grad)
    return x.grad


@pytest.mark.parametrize("seed", range(5))
def test_gradient_is_the_slow_one(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 2, 3, 3, generator=generator)
    x[0] = -x[0].abs()  # all closed
    x[1] = x[1].abs()  # all open
    grad = torch.randn(x.shape, generator=generator)
    grad[2] *= x[2] < 0  # open ones get nothing: wholly blocked
    grad[3] *= x[3] > 0
    x[4] = 0
    assert torch.equal(gradient_of(x, grad), reference.redirected_gradient(x, grad))


def test_only_the_blocked_image_is_redirected():
    x = torch.tensor([[-1.0, -2.0], [-1.0, 2.0]])
    grad = torch.tensor([[-1.0, 1.0], [-1.0, -3.0]])
    # Image 0: both closed, so what pushes up passes. Image 1: the open unit gets its gradient.
    assert torch.equal(gradient_of(x, grad), torch.tensor([[-1.0, 0.0], [0.0, -3.0]]))


def test_relu6_is_closed_above_too_but_not_redirected_there():
    x = torch.tensor([[7.0, -1.0], [7.0, 1.0]])
    grad = torch.tensor([[-1.0, -1.0], [-1.0, -1.0]])
    asleep = torch.tensor([True, True])
    assert torch.equal(redirect(x, asleep=asleep, ceiling=6.0), x.clamp(0, 6))
    assert torch.equal(gradient_of(x, grad, ceiling=6.0), torch.tensor([[0.0, -1.0], [0.0, -1.0]]))


def test_forward_is_a_relu():
    x = torch.randn(3, 4)
    assert torch.equal(redirect(x, asleep=torch.ones(3, dtype=torch.bool)), x.relu())


def test_images_that_are_awake_are_left_alone():
    x, grad = -torch.rand(3, 4) - 0.1, -torch.rand(3, 4)
    gradient = gradient_of(x, grad, asleep=[True, False, True])
    assert torch.equal(gradient[[0, 2]], grad[[0, 2]])
    assert not gradient[1].any()
