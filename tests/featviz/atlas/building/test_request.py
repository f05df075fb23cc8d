import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from atlas_builds import QUICK, small_request
from featviz.atlas.building.request import ModelSource, Request
from featviz.errors import ConfigError, RecordError


def test_a_request_reads_back_what_it_says() -> None:
    request = small_request(
        model="nets:small_net",
        sites=("stem", "block*"),
        units="0-3,7",
        variants=("positive", "diverse:3"),
        kind="png",
        thumb_px=64,
        diversity=0.25,
    )
    again = Request.from_json(json.loads(json.dumps(request.to_json())))
    assert again == request
    source = ModelSource("a", mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0), size=(32, 48), channels=3)
    other = dataclasses.replace(request, model=source)
    assert Request.from_json(json.loads(json.dumps(other.to_json()))) == other


def test_diverse_images_have_settings_of_their_own() -> None:
    request = small_request(variants=("positive", "diverse:3"), diversity=0.25)
    assert request.config_of("negative") == QUICK
    diverse = request.config_of("diverse:3")
    assert (diverse.images, diverse.diversity) == (3, 0.25)
    assert dataclasses.replace(diverse, images=1, diversity=QUICK.diversity) == QUICK


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sites": ()}, "name sites, patterns such as"),
        ({"sites": ("",)}, "name sites, patterns such as"),
        ({"kind": "gif"}, "the format is webp or png, got 'gif'"),
        ({"thumb_px": 4}, "small pictures have 8 to 1024 px, got 4"),
        ({"diversity": 0.0}, "diversity must be above 0, got 0"),
        ({"variants": ()}, "name each variant once"),
        ({"variants": ("positive", "positive")}, "name each variant once"),
        ({"variants": ("upside",)}, "unknown variant 'upside'; there are positive, negative"),
        ({"variants": ("diverse:1",)}, "unknown variant 'diverse:1'"),
        (
            {"config": dataclasses.replace(QUICK, thresholds=(1,))},
            "finished images alone; leave out thresholds",
        ),
        ({"config": dataclasses.replace(QUICK, size=(32, 20_000))}, "webp has at most 16383 px"),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        small_request(**more)


@pytest.mark.parametrize(
    "change", [{"model": None}, {"colour": 3}, {"config": None}, {"sites": None}]
)
def test_an_edited_request_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="lacks something or has too much"):
        Request.from_json(small_request().to_json() | change)


def test_files_are_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pth").touch()
    monkeypatch.chdir(tmp_path)
    request = small_request()
    source = dataclasses.replace(request.model, weights="w.pth")
    whole = dataclasses.replace(request, model=source).with_whole_paths()
    assert whole.model.weights == str(tmp_path / "w.pth")
    source = dataclasses.replace(request.model, weights="random")
    whole = dataclasses.replace(request, model=source).with_whole_paths()
    assert whole.model.weights == "random"


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="device 'meta', which computes nothing"):
        dataclasses.replace(small_request().model, device="meta").load()
    with pytest.raises(ConfigError, match=r"cannot use device 'cuda:99'.*; try cpu"):
        dataclasses.replace(small_request().model, device="cuda:99").load()
