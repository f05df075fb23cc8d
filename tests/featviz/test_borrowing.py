import pytest
import torch

import featviz
from featviz.borrowing import borrowed, own_settings
from nets import small_model, small_net


def state(network):
    return (
        [m.training for m in network.modules()],
        [p.requires_grad for p in network.parameters()],
        torch.get_rng_state().tolist(),
    )


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_everything_is_as_before(error):
    network = small_net().train()
    network.block.eval()
    network.late.requires_grad_(False)
    torch.rand(3)
    before = state(network)
    try:
        with borrowed(network):
            assert not any(m.training for m in network.modules())
            assert not any(p.requires_grad for p in network.parameters())
            torch.rand(5)
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert state(network) == before


def test_networks_that_draw_numbers_draw_the_same():
    network = small_net()
    with borrowed(network):
        first = torch.rand(3)
    with borrowed(network):
        assert torch.equal(torch.rand(3), first)


def settings():
    return (
        torch.get_default_dtype(),
        torch.is_autocast_enabled("cpu"),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )


@pytest.fixture
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
@pytest.mark.usefixtures("float64_by_default")
def test_what_the_user_has_set_is_as_before(error):
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        before = settings()
        try:
            with own_settings():
                assert settings() == (torch.float32, False, True, False, False, False)
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert settings() == before
        assert before[:4] == (torch.float64, True, False, True)


def test_either_interface_of_tf32():
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this torch has the old interface only")
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with own_settings():
            assert (matmul.fp32_precision, conv.fp32_precision) == ("ieee", "ieee")
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


@pytest.fixture
def meta_by_default():
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.usefixtures("meta_by_default")
@pytest.mark.parametrize("error", [None, ValueError])
def test_the_default_device_is_as_before(error):
    try:
        with own_settings():
            assert torch.empty(1).device.type == "cpu"
            if error:
                raise error
    except ValueError:
        pass
    assert torch.empty(1).device.type == "meta"


def test_renders_do_not_depend_on_the_default_device():
    settings = {"steps": 2, "size": 32, "progress": False, "precision": "float32"}
    model, expected = small_model(), featviz.render(small_model(), "block:1", **settings)
    assert torch.get_default_device().type == "cpu"
    with torch.device("meta"):
        assert featviz.render(model, "block:1", **settings).images.equal(expected.images)
        assert featviz.load("squeezenet1_1").device.type == "cpu"
        assert featviz.load("squeezenet1_1").sites()
        assert torch.empty(1).device.type == "meta"
