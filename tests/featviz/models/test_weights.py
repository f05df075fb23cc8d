"""Reading weights safely, copying all or none, and the digest that names them."""

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from featviz.errors import WeightsError
from featviz.models.weights import digest, load_into, read_state_dict, seeded_init


def small_net() -> nn.Module:
    """A network with a batch norm, so that it has a counter too."""
    with seeded_init():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def random_state(seed: int = 1) -> dict[str, Tensor]:
    """Weights that fit `small_net` and are not its own."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(value.shape, generator=generator)
        if value.is_floating_point()
        else value.clone()
        for key, value in small_net().state_dict().items()
    }


class TouchesFile:
    """Runs code when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_reads_checkpoints(wrapper: str | None, tmp_path: Path) -> None:
    state = random_state()
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert same(read_state_dict(tmp_path / "w.pth"), state)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_reads_safetensors_whatever_their_name(name: str, tmp_path: Path) -> None:
    state = random_state()
    safetensors.torch.save_file(state, tmp_path / name)
    assert same(read_state_dict(tmp_path / name), state)


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_pickle_does_not_run(legacy: bool, tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "w.pth"
    # The file is dangerous: opened without care it touches the mark.
    pickle.loads(pickle.dumps(TouchesFile(mark)))
    assert mark.exists()
    mark.unlink()
    content = {"w": torch.ones(2), "x": TouchesFile(mark)}
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        WeightsError, match=r"could run code when opened, so it is not.*safetensors"
    ):
        read_state_dict(file)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(2)], "holds no state dict but a list"),
        (torch.ones(2), "holds no state dict but a Tensor"),
        ({}, "holds no state dict but a dict without entries"),
        ({"state_dict": {}}, "holds no state dict but a dict without entries"),
        ({"w": torch.ones(2), "lr": 0.1}, "entry 'lr' is a float, not a tensor"),
        ({1: torch.ones(2)}, "entry 1 is a Tensor, not a tensor"),
    ],
)
def test_what_is_no_state_dict(content: object, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        read_state_dict(tmp_path / "w.pth")
    assert said in str(caught.value)
    assert "safetensors.torch.save_file" in str(caught.value)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin"])
def test_unreadable_files(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    with pytest.raises(WeightsError, match=r"cannot read the weights file .*No such file"):
        read_state_dict(file)
    file.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"is empty; get it again"):
        read_state_dict(file)
    for content in (b"<html>not found</html>", b"hello", pickle.dumps({"w": 1})):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=r"it is damaged, or n\w+ safetensors.*get it again"):
            read_state_dict(file)
    if file.suffix == ".safetensors":
        safetensors.torch.save_file(random_state(), file)
    else:
        torch.save(random_state(), file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(WeightsError, match=r"it is damaged, or n\w+ safetensors.*get it again"):
        read_state_dict(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(WeightsError, match=r"cannot read the weights file .*directory"):
        read_state_dict(file)


def test_load_into_copies_every_tensor() -> None:
    net, state = small_net(), random_state()
    load_into(net, state, source="a test")
    assert same(net.state_dict(), state)


def test_load_into_converts_half_precision() -> None:
    net, state = small_net(), random_state()
    load_into(
        net, {key: value.half() for key, value in state.items() if "num" not in key}, source=""
    )
    assert net[0].weight.dtype == torch.float32
    assert torch.equal(net[0].weight, state["0.weight"].half().float())


def test_wrong_weights_are_listed_and_change_nothing() -> None:
    net, state = small_net(), random_state()
    before = digest(net)
    del state["3.bias"]
    state["0.weight"] = torch.ones(4, 3, 5, 5)
    state["0.bias"] = torch.ones(4, dtype=torch.int64)
    state |= {f"extra.{k}": torch.ones(1) for k in range(6)}
    with pytest.raises(WeightsError) as caught:
        load_into(net, state, source="my.pth")
    text = str(caught.value)
    for said in (
        "the weights from my.pth are not those of this Sequential",
        "1 missing (3.bias)",
        "6 unexpected (extra.0, extra.1, extra.2, extra.3, ...)",
        "2 of another shape or type (0.weight is float32[4, 3, 5, 5], needs float32[4, 3, 3, 3], "
        "0.bias is int64[4], needs float32[4])",
    ):
        assert said in text
    assert digest(net) == before


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_weights_of_a_wrapped_network(prefix: str) -> None:
    state = {prefix + key: value for key, value in random_state().items()}
    with pytest.raises(WeightsError) as caught:
        load_into(small_net(), state, source="my.pth")
    assert (
        f"those of a wrapped network (DataParallel or torch.compile): take '{prefix}' off"
        in str(caught.value)
    )
    remedy = str(caught.value).partition("each key, ")[2].partition(", and save")[0]
    load_into(small_net(), eval(remedy, {"state": state}), source="my.pth")
    del state[prefix + "0.bias"]
    with pytest.raises(WeightsError, match="give the weights of this very architecture"):
        load_into(small_net(), state, source="my.pth")


def test_digest_sees_names_values_shapes_and_dtypes_only() -> None:
    net = small_net()
    first = digest(net)
    assert first == digest(small_net())
    assert first == digest(small_net().to(memory_format=torch.channels_last).eval())
    with torch.no_grad():
        net[3].bias[0] += 1e-6
    assert digest(net) != first
    assert digest(small_net().to(torch.bfloat16)) != first
    assert digest(nn.ModuleDict({"a": nn.Linear(1, 1)})) != digest(nn.Linear(1, 1))


def test_digest_of_a_literal() -> None:
    net = nn.Linear(2, 1, bias=False)
    net.weight.data = torch.tensor([[1.0, -2.0]])
    # hashlib.sha256(b"weight\0float32[1, 2]\0" + struct.pack("<2f", 1, -2)).hexdigest()
    assert digest(net) == "44c276f3807084328ac105630ab52908e4d16f4273cec77d3f3cfbb43406b986"


def test_seeded_init_is_the_same_each_time_and_leaves_the_rng() -> None:
    state = torch.get_rng_state()
    assert digest(small_net()) == digest(small_net())
    assert torch.equal(torch.get_rng_state(), state)
