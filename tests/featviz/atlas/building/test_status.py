import dataclasses
from pathlib import Path

import pytest

from atlas_builds import small_request
from featviz.atlas.building.build import build_atlas
from featviz.atlas.building.builder_lock import Builder, build_lock
from featviz.atlas.building.moments import Moment
from featviz.atlas.building.status import read_status
from featviz.atlas.layout import create_layout
from featviz.errors import RecordError


def test_a_status_tells_what_is_left_and_how_long_it_takes(tmp_path: Path) -> None:
    def stop(moment: Moment) -> None:
        if moment.made:
            raise KeyboardInterrupt

    request = small_request(variants=("positive", "diverse:2"))
    with pytest.raises(KeyboardInterrupt):
        build_atlas(tmp_path / "a", request, progress=stop)
    layout = create_layout(tmp_path / "a")
    with build_lock(layout, Builder(1, "spawn", 2)):
        found = read_status(tmp_path / "a")
    assert found.running
    (one,) = found.requests
    assert (one.total, one.done, one.to_do, one.sites) == (24, 4, 20, 1)
    assert one.rate is not None
    # Two workers, and each image costs the same: 20 are left.
    assert one.seconds_left == pytest.approx(20 / one.rate)
    assert not read_status(tmp_path / "a").running


def test_a_status_counts_what_failed(tmp_path: Path) -> None:
    request = small_request("counted_net:raising_net", units="2-3")
    for failed, given_up in ((1, 0), (1, 0), (0, 1)):
        build_atlas(tmp_path / "a", request)
        (one,) = read_status(tmp_path / "a").requests
        assert (one.done, one.failed, one.given_up, one.to_do) == (1, failed, given_up, failed)
        assert list(one.errors) == ["stem:2 positive"]


def test_each_request_has_its_own_line(tmp_path: Path) -> None:
    build_atlas(tmp_path / "a", small_request(units="0-1"))
    build_atlas(tmp_path / "a", dataclasses.replace(small_request(units="0-3")))
    assert sorted(one.total for one in read_status(tmp_path / "a").requests) == [2, 4]


def test_no_atlas_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no atlas"):
        read_status(tmp_path)
    create_layout(tmp_path / "a")
    found = read_status(tmp_path / "a")
    assert (found.requests, found.builder, found.running) == ((), None, False)
