import pytest
import torch
from typecheck import unchecked

from featviz.config import RenderConfig, has_fast_bf16
from featviz.errors import ConfigError
from featviz.params import Pixels
from featviz.transforms import Jitter

CPU = torch.device("cpu")


def test_json_round_trip():
    config = RenderConfig(
        steps=7,
        size=(40, 50),
        param=Pixels(sd=0.5),
        transforms=[Jitter(3)],
        thresholds=(2, 7),
        precision="float32",
    )
    values = config.to_json()
    assert values["param"] == "pixels:sd=0.5"
    assert values["transforms"] == "jitter:3"
    again = RenderConfig.from_json(values)
    assert again.to_json() == values
    assert again.size == (40, 50)
    assert RenderConfig.from_json(RenderConfig().to_json()).to_json() == RenderConfig().to_json()


@pytest.mark.parametrize(
    ("size", "native", "expected"),
    [
        (None, (224, 224), (128, 128)),
        (None, (32, 32), (32, 32)),
        (None, (96, 224), (96, 128)),
        (77, (224, 224), (77, 77)),
        ((30, 50), (224, 224), (30, 50)),
    ],
)
def test_size(size, native, expected):
    assert RenderConfig(size=size).size_px(native) == expected


@pytest.mark.parametrize(
    ("values", "optimiser", "learning_rate"),
    [
        ({}, "adam", 0.05),
        ({"param": "cppn"}, "adam", 0.002),
        ({"param": "maco"}, "nadam", 1.0),
        ({"param": "maco", "optimiser": "adam"}, "adam", 1.0),
        ({"optimiser": "nadam", "learning_rate": 0.2}, "nadam", 0.2),
        ({"optimiser": "lbfgs"}, "lbfgs", 1.0),
        ({"param": "cppn", "optimiser": "lbfgs"}, "lbfgs", 1.0),
    ],
)
def test_what_is_not_set_is_what_the_parameterisation_names(values, optimiser, learning_rate):
    config = RenderConfig(**values)
    assert config.optimiser_used == optimiser
    assert config.learning_rate_used == learning_rate
    assert config.batch_on(CPU) == (1 if optimiser == "lbfgs" else 16)
    assert RenderConfig.from_json(config.to_json()).to_json() == config.to_json()


def test_precision(monkeypatch):
    assert RenderConfig(precision="bf16").dtype_on(CPU) == torch.bfloat16
    assert RenderConfig(precision="float32").dtype_on(CPU) == torch.float32
    for flags, dtype in (
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True}, torch.float32),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags, raising=False)
        assert RenderConfig().dtype_on(CPU) == dtype
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert has_fast_bf16(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert not has_fast_bf16(torch.device("cuda"))
    assert not has_fast_bf16(torch.device("mps"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be a whole number, 1 or more, got 0"),
        ({"steps": -5}, "steps must be a whole number, 1 or more, got -5"),
        ({"size": 0}, "size must be a whole number, 1 or more, got 0"),
        ({"size": (64, -1)}, "size must be a whole number, 1 or more, got -1"),
        ({"batch": 0}, "batch must be a whole number, 1 or more"),
        ({"redirect_steps": -1}, "redirect_steps must be a whole number, 0 or more"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        ({"optimiser": "sgd"}, "optimiser must be one of adam, nadam, lbfgs, got 'sgd'"),
        ({"optimiser": "lbfgs", "batch": 2}, "lbfgs takes one image at a time.* got batch 2"),
        ({"thresholds": (5, 300)}, r"thresholds must be 1 to 256 \(steps\), got 300"),
        ({"thresholds": (2.5,)}, "thresholds must be a whole number"),
        ({"seed": -1}, "seed must be a whole number, 0 or more"),
        ({"size": (1, 2, 3)}, r"size must be one number or \(height, width\)"),
        ({"size": 32.0}, "size must be a whole number, 1 or more, got 32.0"),
        ({"size": "32"}, "size must be a whole number, 1 or more, got '32'"),
        ({"size": (32,)}, r"size must be one number or \(height, width\), got \(32,\)"),
        ({"size": (32, 32.0)}, "size must be a whole number, 1 or more, got 32.0"),
        ({"thresholds": 3}, r"thresholds must be steps such as \(16, 64\); got 3"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number; got '0.1'"),
        ({"param": 3}, r"param must be text such as 'fourier', or .* Fourier\(\); got 3"),
        ({"transforms": 3}, "transforms must be text such as 'jitter:8,scale:.*; got 3"),
        ({"transforms": ["jitter:3"]}, r"or a list of transforms .* Jitter\(8\); got 'jitter:3'"),
        ({"transforms": Jitter(3)}, r"or a list of transforms .*; got Jitter\(reach=3"),
        ({"param": "fouier"}, "unknown parameterisation 'fouier'; did you mean 'fourier'"),
        ({"transforms": "wobble"}, "unknown transform 'wobble'"),
    ],
)
def test_bad_settings(values, message):
    with unchecked(), pytest.raises(ConfigError, match=message):
        RenderConfig(**values)


def test_unknown_precision():
    with unchecked(), pytest.raises(ConfigError, match="must be one of auto, float32, bf16, got"):
        RenderConfig.from_json({"precision": "fp16"})


def test_record_of_a_newer_version():
    with pytest.raises(ConfigError, match="unknown setting 'glitter' in the record"):
        RenderConfig.from_json({"glitter": 1})
    with unchecked(), pytest.raises(ConfigError, match=r"thresholds must be steps .*; got 5"):
        RenderConfig.from_json({"thresholds": 5})
