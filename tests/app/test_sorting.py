import pytest

from app.sorting import sorted_by
from atlases import new
from featviz.atlas import ImageEntry
from featviz.atlas.canonical import content_key


def entry(channel: int) -> ImageEntry:
    key = content_key(channel)
    return ImageEntry(**new(channel).parts, settings=key, bytes=1, sha256=key, thumb_sha256=key)


@pytest.mark.parametrize(
    ("descending", "order"), [(False, [2, 4, 0, 1, 3]), (True, [0, 4, 2, 1, 3])]
)
def test_units_without_the_number_come_last_in_their_order(
    descending: bool, order: list[int]
) -> None:
    numbers = {0: 9.0, 2: -1.0, 4: 3.0, 77: 0.0}
    found = sorted_by([entry(k) for k in range(5)], numbers, descending=descending)
    assert [one.channel for one in found] == order
