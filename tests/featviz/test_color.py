import numpy as np
import torch

import reference
from featviz.color import decorrelated_to_rgb, decorrelated_to_rgb_matrix, rgb_to_decorrelated


def test_matrix_is_the_published_one():
    assert np.abs(decorrelated_to_rgb_matrix().numpy() - reference.LUCID_COLOR).max() < 1e-6


def test_inverse_is_the_published_one():
    published = [[0.5774, 0.5774, 0.5774], [2.7717, -0.3080, -2.3611], [3.1182, -6.1209, 3.1182]]
    inverse = torch.linalg.inv(decorrelated_to_rgb_matrix())
    assert (inverse - torch.tensor(published, dtype=torch.float64)).abs().max() < 5e-4


def test_colours_are_mixed_as_column_vectors():
    x = torch.zeros(1, 3, 1, 2, dtype=torch.float64)
    x[0, 1, 0, 1] = 2.0
    rgb = decorrelated_to_rgb(x)[0, :, 0]
    assert torch.equal(rgb[:, 0], torch.zeros(3, dtype=torch.float64))
    assert np.allclose(rgb[:, 1].numpy(), 2 * reference.LUCID_COLOR[:, 1], atol=1e-5)


def test_round_trip():
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(rgb_to_decorrelated(decorrelated_to_rgb(x)), x, atol=1e-12)


def test_gradients():
    x = torch.randn(1, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(decorrelated_to_rgb, (x,))
    assert torch.autograd.gradcheck(rgb_to_decorrelated, (x,))
