"""Loading by name, factory and module; settings; and the registry against what it builds."""

import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typecheck import unchecked

from featviz.errors import ConfigError, ModelError, WeightsError
from featviz.models import Model, ModelSpec, get_spec, list_models, load, register_model
from featviz.models import timm as timm_family
from featviz.models import torchvision as torchvision_family
from featviz.models.weights import digest

FACTORIES = """
import torch
from torch import nn
NUMBER = 3
def build():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
def tell():
    return "a network"
def fail():
    raise ValueError("no data")
def leave():
    raise SystemExit(3)
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's with good and bad factories."""
    (tmp_path / "user_nets_for_tests.py").write_text(FACTORIES)
    (tmp_path / "broken_nets_for_tests.py").write_text("1 / 0")
    (tmp_path / "leaving_nets_for_tests.py").write_text("raise SystemExit(2)")
    (tmp_path / "needy_nets_for_tests.py").write_text("import no_such_package_here")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "user_nets_for_tests", raising=False)
    return "user_nets_for_tests"


@pytest.fixture
def no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and no network for the libraries that would use it."""
    monkeypatch.setenv("FEATVIZ_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


# ---- the registry ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["squeezenet1_1", "efficientnet_lite0", "inceptionv1", "googlenet_bvlc"]
)
def test_registry_entry_against_the_built_model(name: str) -> None:
    spec = get_spec(name)
    state = torch.get_rng_state()
    model = load(name, weights="random")
    assert torch.equal(torch.get_rng_state(), state)
    assert digest(model.module) == digest(spec.build())
    paths = dict(model.module.named_modules())
    assert [part for alias in spec.sites for part in alias.parts if part not in paths] == []
    assert len({alias.name for alias in spec.sites}) == len(spec.sites)
    sites = model.sites()
    # Browsable sites stand in network order, and every alias can be recorded.
    assert [site.order for site in sites] == sorted(site.order for site in sites)
    table = model.site_table()
    assert all(table.resolve(alias.name).channels > 0 for alias in spec.sites)
    labels = spec.labels() if spec.labels else None
    assert labels is None or len(labels) == sites[-1].channels
    assert sites[-1].name == "logits"
    assert spec.weights is not None
    assert spec.weights.licence
    assert spec.weights.origin


def test_registry_knows_what_it_should() -> None:
    names = {"squeezenet1_1", "efficientnet_lite0", "inceptionv1", "googlenet_bvlc"}
    assert names <= set(list_models())
    assert list_models() == sorted(list_models())
    with pytest.raises(ModelError, match=r"'squeezenet1_1' is registered already; choose another"):
        register_model(ModelSpec("squeezenet1_1", nn.Identity))
    with pytest.raises(
        ModelError, match=r"unknown model 'squeezenet'; did you mean 'squeezenet1_1'"
    ):
        load("squeezenet")


def test_listing_models_imports_no_torch() -> None:
    code = "import sys, featviz.models as m; m.list_models(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"std": 0.0}, "std must be above 0, not 0.0; images are divided by it"),
        ({"std": (0.2, -1.0, 0.2)}, "std must be above 0"),
        ({"std": float("nan")}, "std must be one finite number or one for each channel, not nan"),
        ({"mean": ()}, "mean must be one finite number or one for each channel, not ()"),
        ({"mean": (0.5, 0.5)}, "mean has 2 numbers for images of 3 channels; give one number"),
        ({"std": (0.5, 0.5)}, "std has 2 numbers for images of 3 channels"),
        ({"size": 0}, "size must be a whole number of pixels, or (height, width)"),
        ({"size": (32, 0)}, "each at least 1; got (32, 0)"),
        ({"size": (32, 32, 3)}, "got (32, 32, 3)"),
        ({"channels": 0}, "channels must be a whole number of at least 1, not 0"),
        ({"channels": True}, "channels must be a whole number of at least 1, not True"),
    ],
)
def test_bad_settings(settings: dict[str, Any], said: str, tiny_cnn: nn.Module) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tiny_cnn, **settings)
    assert said in str(caught.value)


def test_fixed_settings_of_a_registered_model() -> None:
    with pytest.raises(ConfigError, match=r"mean and std are fixed for 'squeezenet1_1'"):
        load("squeezenet1_1", mean=0.5)
    with pytest.raises(ConfigError, match=r"takes images of 3 channels, not 1; write a factory"):
        load("squeezenet1_1", channels=1)
    model = load("squeezenet1_1", size=(96, 128), channels=3)
    assert model.spec.size == (96, 128)
    assert model.sites()[0].map_size == (47, 63)
    assert model.arguments == ("squeezenet1_1", "--input-size", "96x128", "--channels", "3")


# ---- modules and factories ---------------------------------------------------------------------


def test_a_module_is_used_and_left_alone(tiny_cnn: nn.Module) -> None:
    tiny_cnn.train()
    tiny_cnn.fc.weight.requires_grad_(False)
    before = digest(tiny_cnn)
    model = load(tiny_cnn, mean=(0.1, 0.2, 0.3), std=0.5, size=32)
    assert model.module is tiny_cnn
    assert tiny_cnn.training
    assert not tiny_cnn.fc.weight.requires_grad
    assert tiny_cnn.late.weight.requires_grad
    assert digest(tiny_cnn) == before
    assert model.arguments is None
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    tiny_cnn.eval()
    torch.testing.assert_close(model(image), tiny_cnn((image - mean) / 0.5))


def test_a_bare_module_gets_images_as_they_are() -> None:
    model = load(nn.Identity())
    image = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(image), image)
    assert model.spec.size == (224, 224)
    assert model.weights_origin == "as handed over"
    assert model.spec.summary == "images in 0..1, no normalisation"


@pytest.mark.parametrize(("given", "expected"), [(None, 5), (5, 5), (2, 2)])
def test_channels_are_those_of_the_first_convolution(given: int | None, expected: int) -> None:
    assert load(nn.Conv2d(5, 2, 1), channels=given).spec.channels == expected


def test_a_model_is_returned_as_it_is(tiny_cnn: nn.Module) -> None:
    model = load(tiny_cnn, size=32)
    assert load(model) is model
    with pytest.raises(ConfigError, match=r"is loaded already, so its preprocessing and size are"):
        load(model, size=64)


def test_what_is_no_model(tiny_cnn: nn.Module) -> None:
    with unchecked(), pytest.raises(ModelError, match=r"a model is a name or .* not a int; 'featv"):
        load(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"weights='random' was given with a network; load them"):
        load(tiny_cnn, weights="random")


def test_factory(user_module: str, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    model = load(f"{user_module}:build", mean=0.5, size=(16, 24))
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    assert model.spec.channels == 1
    assert model.name == f"{user_module}:build"
    assert model.arguments == (model.name, "--mean", "0.5", "--input-size", "16x24")
    torch.save(model.module.state_dict(), tmp_path / "w.pth")
    again = load(f"{user_module}:build", weights=tmp_path / "w.pth")
    assert digest(again.module) == digest(model.module)
    assert again.weights_origin == str(tmp_path / "w.pth")
    seeded = [load(f"{user_module}:build", weights="random") for _ in range(2)]
    assert digest(seeded[0].module) == digest(seeded[1].module)
    assert seeded[0].weights_origin == "random initialisation, seed 0"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_package_here.nets:build", "cannot import 'no_such_package_here' for the model"),
        ("needy_nets_for_tests:build", "cannot import 'no_such_package_here' for the model 'needy"),
        ("broken_nets_for_tests:build", "failed with ZeroDivisionError: division by zero; correct"),
        ("user_nets_for_tests:bild", "has no 'bild'; did you mean 'build'? give the name"),
        ("user_nets_for_tests:", "names no factory; write package.module:factory"),
        (
            "user_nets_for_tests:NUMBER",
            "is a int and cannot be called; give the name of a function",
        ),
        ("user_nets_for_tests:tell", "returned a str, not a torch.nn.Module; return the network"),
        ("user_nets_for_tests:fail", "failed with ValueError: no data; it must build the network"),
        ("user_nets_for_tests:leave", "failed with SystemExit: 3; it must build the network"),
        ("leaving_nets_for_tests:build", "failed with SystemExit: 2; correct that module"),
        (
            "timn:resnet18",
            "cannot import 'timn' for the model 'timn:resnet18'; did you mean 'timm'",
        ),
        ("torchvison:resnet18", "did you mean 'torchvision'? install it, or run where it can be"),
        (":build", "':build' names no factory; write package.module:factory"),
    ],
)
@pytest.mark.usefixtures("user_module")
def test_bad_factories(name: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(name)
    assert said in str(caught.value)


# ---- libraries ---------------------------------------------------------------------------------


def test_torchvision_preprocessing_is_that_of_its_weights(no_caches: Path) -> None:
    from torchvision.models import ResNet18_Weights, resnet18

    model = load("torchvision:resnet18", weights="random", size=64)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = resnet18().eval()
    network.load_state_dict(model.module.state_dict())
    preset = ResNet18_Weights.DEFAULT.transforms(crop_size=64, resize_size=64)
    torch.testing.assert_close(model(image), network(preset(image)))
    assert model.spec.labels is not None
    assert model.spec.labels()[0] == "tench"
    assert model.spec.weights is not None
    assert model.spec.weights.locate() is None
    file = no_caches / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"other")
    assert model.spec.weights.locate() == file
    with pytest.raises(WeightsError, match=r"not the expected file.*not f37072fd; delete it"):
        load("torchvision:resnet18")


@pytest.mark.parametrize("name", torchvision_family.list_names())
def test_torchvision_metadata_makes_a_spec(name: str) -> None:
    spec = torchvision_family.torchvision_spec(name)
    assert spec.name == f"torchvision:{name}"
    assert min(spec.size) >= 224
    assert len(spec.preprocess.mean) == len(spec.preprocess.std) == 3
    assert spec.weights is not None
    assert spec.weights.origin.startswith("https://")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_auxiliary_heads_are_left_out(name: str, tmp_path: Path) -> None:
    from torchvision import models

    built = load(f"torchvision:{name}", weights="random")
    assert built.module.transform_input
    options = {"weights": None, "init_weights": False, "aux_logits": True}
    published = models.get_model(name, **options).state_dict()
    torch.save(published, tmp_path / "w.pth")
    model = load(f"torchvision:{name}", weights=tmp_path / "w.pth")
    assert set(published) > set(model.module.state_dict())
    assert torch.equal(model.module.fc.weight, published["fc.weight"])


@pytest.mark.usefixtures("no_caches")
def test_torchvision_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(WeightsError) as caught:
        load("torchvision:resnet18")
    for said in ("download.pytorch.org/models/resnet18-f37072fd.pth", "--weights FILE"):
        assert said in str(caught.value)


def test_timm_preprocessing_is_that_of_its_weights(tmp_path: Path) -> None:
    import timm

    model = load("timm:test_resnet", weights="random")
    assert model.spec.size == (160, 160)
    config = timm.data.resolve_data_config(model=model.module)
    assert model.spec.preprocess.mean == config["mean"]
    assert model.spec.preprocess.std == config["std"]
    assert model.spec.labels is not None
    assert len(model.spec.labels()) == 1000
    torch.save(model.module.state_dict(), tmp_path / "w.pth")
    again = load("timm:test_resnet.r160_in1k", weights=tmp_path / "w.pth")
    assert digest(again.module) == digest(model.module)
    assert "resnet50" in timm_family.list_names()


def test_timm_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    assert timm.is_model("test_resnet")
    with pytest.raises(WeightsError) as caught:
        load("timm:test_resnet")
    for said in ("timm/test_resnet.r160_in1k: no network in tests", "--weights FILE", "FEATVIZ_W"):
        assert said in str(caught.value)
    with pytest.raises(WeightsError, match=r"no published weights of 'coatnet_0_224'; give"):
        load("timm:coatnet_0_224")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet19", r"no classification model 'resnet19'; did you mean 'resnet1"),
        ("torchvision:fcn_resnet50", r"no classification model 'fcn_resnet50'"),
        ("timm:resnt50", r"timm has no model 'resnt50'; did you mean 'resnet50'"),
        ("timm:resnet50.nope", r"timm has no weights 'resnet50.nope'"),
        ("timm:hf-hub:someone/something", r"timm has no model 'hf-hub:someone/something'"),
        ("torchvision:", r"no classification model ''"),
    ],
)
def test_unknown_library_models(name: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(name, weights="random")
    assert said in str(caught.value)


def test_timm_models_whose_input_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.models.get_pretrained_cfg", lambda _: None)
    with pytest.raises(ModelError, match=r"does not say what images 'test_resnet' takes; write a"):
        load("timm:test_resnet", weights="random")


def test_a_wrong_weights_file_is_reported(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"122 missing|1 unexpected \(w\)"):
        load("torchvision:resnet18", weights=tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"cannot read the weights file .*none\.pth"):
        load("squeezenet1_1", weights=tmp_path / "none.pth")


def test_weights_are_copied_into_eval_models() -> None:
    model: Model = load("torchvision:mobilenet_v3_small", weights="random")
    assert not model.training
    assert not model.module.training
    assert model.weights_origin == "random initialisation, seed 0"
    assert model.arguments == ("torchvision:mobilenet_v3_small", "--weights", "random")
