import pytest
import torch

from circuits.graphs.held_out import LEAST, hold_out


@pytest.mark.parametrize("count", [LEAST, 33])
def test_halves_share_no_image_and_lose_none(count: int) -> None:
    images = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    halves = hold_out(images, seed=1)
    choosing, checking = (part[:, 0, 0, 0].tolist() for part in (halves.choosing, halves.checking))
    assert len(choosing) == count // 2 == halves.chosen_on
    assert sorted(choosing + checking) == list(range(count))
    assert choosing == sorted(choosing)
    assert halves.why_not == ""
    assert torch.equal(hold_out(images, seed=1).choosing, halves.choosing)
    assert not torch.equal(hold_out(images, seed=2).choosing, halves.choosing)


def test_too_few_images_are_all_used_twice_and_it_is_said() -> None:
    images = torch.rand(LEAST - 1, 3, 2, 2)
    halves = hold_out(images)
    assert halves.choosing is images
    assert halves.checking is images
    assert halves.chosen_on == 0
    assert halves.why_not == "15 images are too few to hold half of them out, 16 are needed"
