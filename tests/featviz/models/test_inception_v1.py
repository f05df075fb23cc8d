"""Both trainings of Inception v1 against a slow definition, torch-lucent, and photographs."""

import copy
import functools
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from featviz.errors import WeightsError
from featviz.models import Model, get_spec, googlenet_bvlc, inception_v1, load
from featviz.models.weight_files import git_blob_id
from featviz.models.weights import digest, load_into, read_state_dict

NAMES = ("inceptionv1", "googlenet_bvlc")


@pytest.fixture
def lucent_class() -> type[nn.Module]:
    """The network of torch-lucent, without the rest of that package."""
    name = "lucent.modelzoo.inceptionv1.InceptionV1"
    try:
        return importlib.import_module(name).InceptionV1
    except ImportError as error:
        pytest.skip(f"torch-lucent is not installed ({error})")


@functools.cache
def lively(name: str) -> nn.Module:
    """The network with random weights that keep activations large; not to be changed."""
    network = get_spec(name).build().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * (2 / fan_in) ** 0.5)
    return network


def network_input(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 255 - 117


def outputs_of(network: nn.Module, x: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda *got, name=name: found.update({name: got[2]}))
        for name in names
    ]
    with torch.inference_mode():
        network(x)
    for handle in handles:
        handle.remove()
    return found


def same_pool(x: Tensor) -> Tensor:
    """Max pool of 3 px at stride 2, padded below and right for even maps."""
    return functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)


def slow_mixed(state: Mapping[str, Tensor], x: Tensor, last: str, *, bvlc: bool) -> Tensor:
    """The map at block `last`, written out with stock functions from the papers' descriptions."""
    reduce, project = ("reduce", "pool_proj") if bvlc else ("bottleneck", "pool_reduce")
    block = "inception_" if bvlc else "mixed"
    stem = ("conv1", "conv2_reduce", "conv2") if bvlc else ("conv2d0", "conv2d1", "conv2d2")

    def layer(name: str, x: Tensor, stride: int = 1, pad: tuple[int, ...] = ()) -> Tensor:
        weight, bias = (state[f"{name}_pre_relu_conv.{kind}"] for kind in ("weight", "bias"))
        pad = pad or (weight.shape[-1] // 2,) * 4
        return functional.relu(functional.conv2d(functional.pad(x, pad), weight, bias, stride))

    def norm(x: Tensor) -> Tensor:
        size, beta = (5, 0.75) if bvlc else (9, 0.5)
        return functional.local_response_norm(x, size, alpha=1e-4, beta=beta, k=1.0)

    x = norm(same_pool(layer(stem[0], x, 2, (3, 3, 3, 3) if bvlc else (2, 3, 2, 3))))
    x = same_pool(norm(layer(stem[2], layer(stem[1], x))))
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        if name in ("4a", "5a"):
            x = same_pool(x)
        base = block + name
        branches = [layer(f"{base}_1x1", x)]
        branches += [layer(f"{base}_{k}", layer(f"{base}_{k}_{reduce}", x)) for k in ("3x3", "5x5")]
        pooled = functional.max_pool2d(functional.pad(x, (1,) * 4, value=-torch.inf), 3, 1)
        x = torch.cat([*branches, layer(f"{base}_{project}", pooled)], 1)
        if base == last:
            break
    return x


@pytest.mark.parametrize("size", [(64, 64), (75, 90)])
@pytest.mark.parametrize("name", NAMES)
def test_equals_a_slow_definition(name: str, size: tuple[int, int]) -> None:
    network = lively(name)
    bvlc = name == "googlenet_bvlc"
    x = network_input(2, 3, *size)
    last = "inception_5b" if bvlc else "mixed5b"
    with torch.inference_mode():
        expected = slow_mixed(network.state_dict(), x, last, bvlc=bvlc)
        logits = network(x)
    found = outputs_of(network, x, (last,))[last]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.std().item())
    classifier = list(network.children())[-1]
    averaged = classifier(expected.mean(dim=(2, 3)))
    torch.testing.assert_close(logits, averaged, rtol=1e-4, atol=1e-4 * averaged.std().item())


def test_equals_torch_lucent(lucent_class: Callable[..., nn.Module]) -> None:
    ours, theirs = lively("inceptionv1"), lucent_class(redirected_ReLU=False).eval()
    assert list(ours.state_dict()) == sorted_like(ours, theirs)
    theirs.load_state_dict(ours.state_dict())
    x = network_input(1, 3, 224, 224)
    names = ("conv2d0", "conv2d2", "mixed3b", "mixed4a", "mixed4d_3x3", "mixed5b_pool_reduce")
    expected, found = outputs_of(theirs, x, names), outputs_of(ours, x, names)
    for name in names:
        close(found[name], expected[name])
    with torch.inference_mode():
        # torch-lucent ends in a softmax, ours in logits.
        close(ours(x).softmax(1), theirs(x))


def sorted_like(ours: nn.Module, theirs: nn.Module) -> list[str]:
    """Keys of torch-lucent's module in our order, so that a missing or further one shows."""
    order = {key: k for k, key in enumerate(ours.state_dict())}
    return sorted(theirs.state_dict(), key=lambda key: order.get(key, -1))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.std().item())


def test_lucid_has_508_channels_at_mixed4a() -> None:
    sites = {site.name: site.channels for site in load("inceptionv1", weights="random").sites()}
    assert sites == {
        "conv2d0": 64,
        "conv2d1": 64,
        "conv2d2": 192,
        "mixed3a": 256,
        "mixed3b": 480,
        "mixed4a": 508,
        "mixed4b": 512,
        "mixed4c": 512,
        "mixed4d": 528,
        "mixed4e": 832,
        "mixed5a": 832,
        "mixed5b": 1024,
        "logits": 1008,
    }


@pytest.mark.parametrize(
    ("name", "block", "branches"),
    [
        (
            "inceptionv1",
            "mixed4a",
            ["mixed4a_1x1", "mixed4a_3x3", "mixed4a_5x5", "mixed4a_pool_reduce"],
        ),
        ("googlenet_bvlc", "3b", [f"inception_3b/{b}" for b in ("1x1", "3x3", "5x5", "pool_proj")]),
    ],
)
def test_branches_make_up_a_block(name: str, block: str, branches: list[str]) -> None:
    spec = get_spec(name)
    model = Model(lively(name), spec, weights_origin="a test")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = model.record(image, [block, f"{block}.pre", *branches])
    assert torch.equal(found[block], torch.cat([found[branch] for branch in branches], 1))
    assert torch.equal(found[block], found[f"{block}.pre"].relu())
    assert found[f"{block}.pre"].min() < 0


def test_caffe_names_reach_their_layers() -> None:
    model = Model(lively("googlenet_bvlc"), get_spec("googlenet_bvlc"), weights_origin="a test")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    sites = ["conv2", "conv2/3x3", "inception_3b/3x3_reduce", "inception_3b_3x3_reduce"]
    found = model.record(image, sites)
    assert torch.equal(found["conv2"], found["conv2/3x3"])
    assert torch.equal(found["inception_3b/3x3_reduce"], found["inception_3b_3x3_reduce"])


def test_bvlc_on_photographs(
    shared_dir: Path, count_right: Callable[[Model, int], tuple[int, int]]
) -> None:
    weights = shared_dir / "weights" / "googlenet_bvlc.safetensors"
    # All 200: 152 and 184; bilinear instead of bicubic: 149 and 184.
    assert count_right(load("googlenet_bvlc", weights=weights), 4) == (39, 47)


def test_every_bvlc_key_is_mapped(shared_dir: Path) -> None:
    state = read_state_dict(shared_dir / "weights" / "googlenet_bvlc.safetensors")
    mapped = [googlenet_bvlc.caffe_to_own_key(key) for key in state]
    own = list(get_spec("googlenet_bvlc").build().state_dict())
    assert sorted(mapped) == sorted(own)
    assert not set(mapped) & set(state)
    assert [googlenet_bvlc.caffe_to_own_key(key) for key in own] == own


def test_bvlc_weights_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"no address is known.*--weights FILE.*FEATVIZ_WEIGHTS"):
        load("googlenet_bvlc")
    network = lively("googlenet_bvlc")
    state = {key: value.half() for key, value in network.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "googlenet_bvlc.safetensors")
    monkeypatch.setenv("FEATVIZ_WEIGHTS_DIR", str(tmp_path))
    model = load("googlenet_bvlc")
    expected = copy.deepcopy(network)
    load_into(expected, state, source="a test")
    assert digest(model.module) == digest(expected)


def test_lucid_weights_are_found_or_downloaded_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache, folder = tmp_path / "origin.pth", tmp_path / "cache", tmp_path / "folder"
    network = lively("inceptionv1")
    torch.save(network.state_dict(), file)
    monkeypatch.setenv("FEATVIZ_CACHE_DIR", str(cache))
    monkeypatch.setattr(inception_v1, "_URL", file.as_uri())
    with pytest.raises(WeightsError, match=r"git blob id is \w+, not 119f77db85c8352960933e025312"):
        load("inceptionv1")
    assert get_spec("inceptionv1").weights.locate() is None
    monkeypatch.setattr(inception_v1, "_GIT_BLOB", git_blob_id(file))
    assert digest(load("inceptionv1").module) == digest(network)
    assert get_spec("inceptionv1").weights.locate() == cache / "inception5h.pth"
    folder.mkdir()
    (cache / "inception5h.pth").rename(folder / "inception5h.pth")
    monkeypatch.setenv("FEATVIZ_WEIGHTS_DIR", str(folder))
    file.unlink()
    assert digest(load("inceptionv1").module) == digest(network)


def test_weights_of_one_training_do_not_pass_for_the_other(tmp_path: Path) -> None:
    torch.save(lively("inceptionv1").state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"not those of this InceptionNet: 116 missing \(conv1_"):
        load("googlenet_bvlc", weights=tmp_path / "w.pth")


def test_build_leaves_the_rng() -> None:
    state = torch.get_rng_state()
    networks: list[Any] = [get_spec(name).build() for name in (*NAMES, *NAMES)]
    assert torch.equal(torch.get_rng_state(), state)
    assert digest(networks[0]) == digest(networks[2])
