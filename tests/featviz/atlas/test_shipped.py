"""The small atlas in assets/: whole, light, and readable where nobody can write."""

import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from atlases import mounted
from featviz.atlas import Atlas
from featviz.atlas.checking.verify import verify

SHIPPED = Path(__file__).parents[3] / "assets" / "atlas"
UNITS = {"fire3": 128, "fire4": 256, "fire5": 256, "fire6": 384, "fire7": 384, "fire8": 512}
MOST_BYTES = 8_000_000
USED = ("index.sqlite", "index.sqlite-journal", "index.lock", "build.lock")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy as a checkout has it: without what reading leaves, and without empty folders."""
    target = tmp_path_factory.mktemp("shipped") / "atlas"
    shutil.copytree(SHIPPED, target, ignore=shutil.ignore_patterns(*USED, "requests", "thumbs"))
    return target


def test_it_is_whole_and_light(copy: Path) -> None:
    assert sum(file.stat().st_size for file in copy.rglob("*") if file.is_file()) < MOST_BYTES
    found = verify(copy)
    assert found.problems == ()
    assert found.images > 2600


def test_it_has_the_units_that_fire(copy: Path) -> None:
    with Atlas(copy) as atlas:
        assert atlas.models() == ["artificial_curves", "squeezenet1_1"]
        for site, units in UNITS.items():
            found = atlas.counts("squeezenet1_1", site)
            assert units - 2 <= found["units"] <= units
            assert found["dead"] == 0
            assert atlas.variants("squeezenet1_1", site) == ["positive"]
        assert atlas.counts("artificial_curves")["units"] == 174
        best = atlas.images("squeezenet1_1", "fire9", sort="score", descending=True, limit=3)
        for entry in best:
            with Image.open(atlas.thumb_path(entry)) as picture:
                assert picture.size == (80, 80)
            assert atlas.record(entry)["image"]["objective"] == f"fire9:{entry.channel}"
            assert atlas.record(entry)["config"]["steps"] == 64


def test_it_is_read_where_nobody_can_write(copy: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=40m"):
        root = tmp_path / "disk" / "atlas"
        shutil.copytree(copy, root, ignore=shutil.ignore_patterns(*USED))
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        with Atlas(root) as atlas:
            assert len(atlas.channels("squeezenet1_1", "fire4")) == 256
        assert verify(root).clean
        assert not (root / "index.sqlite").exists()
