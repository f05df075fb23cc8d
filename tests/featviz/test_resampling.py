import pytest
import torch
import torch.nn.functional as F

from featviz.resampling import affine_grid, resample


@pytest.mark.parametrize(("size", "out"), [((16, 16), (16, 16)), ((11, 14), (15, 18))])
def test_equals_torch_with_grey_outside(size, out):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 2, *size, generator=generator, dtype=torch.float64)
    maps = torch.eye(2, 3, dtype=torch.float64) + torch.randn(
        3, 2, 3, generator=generator, dtype=torch.float64
    ).mul(0.3)
    grid = F.affine_grid(maps, [3, 2, *out], align_corners=False)
    assert torch.allclose(affine_grid(maps, *out), grid, atol=1e-12)
    weight = torch.rand(3, 2, *out, generator=generator, dtype=torch.float64)
    results = []
    for read in (
        lambda x: F.grid_sample(x - 0.5, grid, align_corners=False) + 0.5,
        lambda x: resample(x, affine_grid(maps, *out)),
    ):
        x = images.clone().requires_grad_()
        moved = read(x)
        (gradient,) = torch.autograd.grad(moved, x, weight)
        results.append((moved, gradient))
    (moved, gradient), (ours, our_gradient) = results
    assert torch.allclose(ours, moved, atol=1e-12)
    assert torch.allclose(our_gradient, gradient, atol=1e-12)
