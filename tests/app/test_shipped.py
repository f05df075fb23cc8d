"""Files that come with the app: a wheel must bring each of those that it opens."""

import tomllib
from pathlib import Path

from app.shipped import own_atlas, shipped
from featviz.atlas import Atlas

REPO = Path(__file__).parents[2]


def test_a_wheel_brings_all_that_the_app_opens() -> None:
    with (REPO / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "app" in wheel["packages"]
    brought = wheel["force-include"]
    assert brought == {f"assets/{name}": f"app/assets/{name}" for name in (
        "atlas", "lessons", "families-squeezenet1_1.json",
    )}  # fmt: skip
    for source, target in brought.items():
        assert shipped(target.removeprefix("app/assets/")) == REPO / source
        assert (REPO / source).exists()


def test_its_own_atlas_shows_two_networks() -> None:
    with Atlas(own_atlas()) as atlas:
        assert atlas.models() == ["artificial_curves", "squeezenet1_1"]
