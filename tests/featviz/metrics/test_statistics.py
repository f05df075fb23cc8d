import numpy as np
import pytest
import torch

import reference
from featviz.metrics import (
    Moments,
    cosine_distance,
    gain,
    gram_diversity,
    percentile,
    rank,
    z_scores,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("split", [[9], [1, 8], [4, 4, 1], [1] * 9])
def test_moments_in_parts_are_those_of_the_whole(split):
    values = drawn(9, 5) * 3 + 1000
    parts = [Moments.of(part) for part in values.split(split)]
    moments = parts[0]
    for part in parts[1:]:
        moments = moments.merge(part)
    wide = values.double().numpy()
    assert moments.count == 9
    np.testing.assert_allclose(moments.mean, wide.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.sd, wide.std(0, ddof=1), rtol=1e-9)
    np.testing.assert_array_equal(moments.largest, wide.max(0))


def test_one_image_has_no_spread():
    assert Moments.of(drawn(1, 3)).sd.isnan().all()


def test_percentile():
    natural = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    # 2.5 lies above two of four; 0 ties with all, which count half
    assert percentile(torch.tensor([2.5, 0.0]), natural).tolist() == [50.0, 50.0]
    assert percentile(torch.tensor([4.0, 1.0]), natural).tolist() == [87.5, 100.0]
    assert percentile(torch.tensor([torch.nan, -1.0]), natural)[0].isnan()


def test_gain():
    natural = torch.tensor([[1.0, -2.0], [4.0, -1.0]])
    found = gain(torch.tensor([6.0, 3.0]), natural)
    assert found[0] == 1.5
    assert found[1].isnan()


def test_z_scores_and_ranks():
    natural, values = drawn(30, 6), drawn(4, 6, seed=1) * 3
    natural[:, 2] = 0.7  # the same on all images: no scale
    z = z_scores(values, Moments.of(natural))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (values.numpy() - natural.numpy().mean(0)) / natural.numpy().std(0, ddof=1)
    keep = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(z[:, keep], expected[:, keep], rtol=1e-4, atol=1e-5)
    assert z[:, 2].isnan().all()
    index = torch.tensor([0, 1, 2, 5])
    found = rank(z, index).tolist()
    for row, k, place in zip(z.tolist(), index.tolist(), found, strict=True):
        order = sorted((c for c in keep), key=lambda c, row=row: -row[c])
        assert place == (0 if k == 2 else order.index(k) + 1)


def test_gram_and_diversity_against_the_definition():
    activations = drawn(4, 3, 5, 6).relu()
    slow = reference.gram_diversity(activations.double().numpy())
    assert gram_diversity(activations).item() == pytest.approx(slow, rel=1e-5)


def test_diversity_of_the_same_texture_is_none():
    one = drawn(1, 3, 4, 4).relu()
    moved = one.flip(3)  # the same values in other places: the same Gram matrix
    assert gram_diversity(torch.cat([one, moved, 2 * one])).item() == pytest.approx(0, abs=1e-6)
    apart = torch.zeros(2, 2, 3, 3)
    apart[0, 0] = apart[1, 1] = 1
    assert gram_diversity(apart).item() == 1
    assert gram_diversity(one).isnan()


def test_cosine_distance():
    ours = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    theirs = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    expected = [[0.0, 1.0, 2.0], [1 - 0.5**0.5, 1 - 0.5**0.5, 1 + 0.5**0.5]]
    np.testing.assert_allclose(cosine_distance(ours, theirs), expected, atol=1e-6)
