import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

import circuits
from circuits import WeightMap
from circuits.expansion.compose import pick_channels
from circuits.expansion.gates import norm_jacobian
from circuits.tracing.operations import ACTIVATIONS
from circuits.tracing.opgraph import record_between
from featviz.errors import CircuitError, SiteError
from featviz.models import Model, load
from featviz.models.local_response_norm import LocalResponseNorm
from nets import seeded, small_model


class Ends(nn.Module):
    """Names the input of a network `source` and its output `target`."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.source, self.middle, self.target = nn.Identity(), middle, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.target(self.middle(self.source(x)))


class Apply(nn.Module):
    """A function as a module, perhaps with other modules inside."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


def ends(middle: nn.Module, *, size: int = 24, channels: int = 4) -> Model:
    network = seeded(Ends(middle)).double()
    return load(
        network, mean=(0.0,) * channels, std=(1.0,) * channels, size=size, channels=channels
    )


def conv(a: int = 4, b: int = 4, k: int = 3, **options: int) -> nn.Module:
    return nn.Conv2d(a, b, k, **options)


def norm(channels: int = 4) -> nn.Module:
    return nn.BatchNorm2d(channels)


def shuffled(x: Tensor, a: nn.Module) -> Tensor:
    b, c, h, w = x.shape
    return a(x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w))


def in_place(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    y = a(x)
    y += x
    functional.relu(y, inplace=True)
    z = b(y)
    z.mul_(0.5).add_(1.0)
    return z


OPERATIONS: dict[str, Callable[[], nn.Module]] = {
    "stride and padding": lambda: nn.Sequential(conv(stride=2, padding=1), conv(padding=1)),
    "dilation": lambda: nn.Sequential(conv(dilation=2, padding=2), conv(dilation=3)),
    "groups": lambda: nn.Sequential(conv(groups=2, padding=1), conv(groups=4), conv(b=6, k=1)),
    "uneven kernel": lambda: nn.Conv2d(4, 4, (1, 5), padding=(0, 2), stride=(1, 2)),
    "batch norm": lambda: nn.Sequential(norm(), conv(bias=False), norm(), nn.ReLU(), norm()),
    "batch norm without weights": lambda: nn.Sequential(nn.BatchNorm2d(4, affine=False), conv()),
    "bottleneck": lambda: nn.Sequential(conv(b=2, k=1), nn.ReLU(inplace=True), conv(a=2)),
    "residual": lambda: Apply(lambda x, a, b: b(a(x).relu()) + x, conv(padding=1), conv(padding=1)),
    "strided residual": lambda: Apply(
        lambda x, a, b: a(x) - 2 * b(x), conv(stride=2, padding=1), conv(k=1, stride=2)
    ),
    "branches": lambda: Apply(
        lambda x, a, b, c: c(torch.cat([a(x), x, b(x)], 1)),
        conv(b=3, k=1), conv(k=5, padding=2), conv(a=11)),
    "in place": lambda: Apply(in_place, conv(padding=1), conv()),
    "average pool": lambda: nn.Sequential(conv(), nn.AvgPool2d(3, 2, padding=1), conv()),
    "average pool, no padding counted": lambda: nn.Sequential(
        nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False), conv()),
    "max pool": lambda: nn.Sequential(conv(), nn.MaxPool2d(3, 2, padding=1), conv()),
    "max pool, rounded up": lambda: nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), conv()),
    "max pool, dilated": lambda: nn.Sequential(nn.MaxPool2d(2, 1, dilation=2), conv()),
    "norm across channels": lambda: nn.Sequential(conv(), nn.LocalResponseNorm(3), conv()),
    "our norm across channels": lambda: nn.Sequential(LocalResponseNorm(3, k=2.0), conv()),
    "padding by hand": lambda: Apply(lambda x, a: a(functional.pad(x, (2, 1, 0, 3))), conv()),
    "cropping by padding": lambda: Apply(lambda x, a: a(functional.pad(x, (-2, 1, 0, -1))), conv()),
    "channels padded": lambda: Apply(
        lambda x, a: a(functional.pad(x, (0, 0, 0, 0, 1, 1))), conv(a=6)),
    "channel slices": lambda: Apply(lambda x, a, b: a(x[:, 1:3]) + b(x[:, ::2]), conv(2), conv(2)),
    "chunks": lambda: Apply(
        lambda x, a: torch.cat([a(x.chunk(2, 1)[1]), x.split([1, 3], 1)[0]], 1),
        conv(2, padding=1)),
    "rows sliced": lambda: Apply(lambda x, a: a(x[:, :, 1:, ::2]), conv()),
    "channel shuffle": lambda: Apply(shuffled, conv(groups=2)),
    "nn channel shuffle": lambda: nn.Sequential(nn.ChannelShuffle(2), conv(groups=2)),
    "scales": lambda: Apply(
        lambda x, a: -a(x * torch.arange(4.0, dtype=x.dtype).view(1, 4, 1, 1)) / 3, conv()),
    "dropout": lambda: nn.Sequential(conv(), nn.Dropout(), nn.Dropout2d(), conv()),
    "relu6, silu, gelu": lambda: nn.Sequential(
        nn.ReLU6(), conv(), nn.SiLU(inplace=True), conv(), nn.GELU(), conv(), nn.Hardswish()),
    "leaky, elu, prelu": lambda: nn.Sequential(
        nn.LeakyReLU(), conv(), nn.ELU(), conv(), nn.PReLU(4), conv(), nn.Sigmoid()),
    "depthwise separable": lambda: nn.Sequential(
        conv(b=8, k=1), norm(8), nn.ReLU6(inplace=True), conv(8, 8, groups=8, stride=2, padding=1),
        norm(8), nn.ReLU6(inplace=True), conv(8, 4, 1), norm()),
    "whole map and classes": lambda: nn.Sequential(
        conv(padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)),
    "mean and classes": lambda: Apply(
        lambda x, a, b: b(a(x).mean((2, 3))), conv(padding=1), nn.Linear(4, 5)),
    "flattened map": lambda: nn.Sequential(
        conv(stride=3), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 7), nn.ReLU(),
        nn.Dropout(), nn.Linear(7, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_composition_equals_gradients_through_the_network(name: str) -> None:
    model = ends(OPERATIONS[name]())
    for options in ({"lrn_at": 3.0}, {"pool": "keep_l2"}):
        composed = circuits.expand(model, "source", "target", method="compose", **options)
        gradients = circuits.expand(model, "source", "target", method="vjp", **options)
        largest = composed.kernel.abs().max()
        assert largest > 1e-4
        assert composed.kernel.dtype == torch.float64
        assert (composed.offset, composed.stride) == (gradients.offset, gradients.stride)
        assert (composed.kernel - gradients.kernel).abs().max() <= 1e-12 * largest


REAL = [
    ("squeezenet1_1", "features.3", "features.6"),
    ("squeezenet1_1", "features.3.pre/10:20", "features.6.pre"),
    ("efficientnet_lite0", "blocks.0.0", "blocks.2.0"),
    ("googlenet", "conv2", "inception3b"),
    ("resnet18", "layer1.0", "layer2.0"),
    ("resnet18", "layer3.1.relu#1", "fc"),
    ("resnet50", "maxpool", "layer1.0"),
    ("vgg16", "4", "9"),
    ("alexnet", "2", "8"),
    ("densenet121", "pool0", "denseblock1.denselayer3"),
    ("mobilenet_v2", "1", "3"),
    ("shufflenet_v2_x0_5", "maxpool", "stage2.1"),
]


def real_model(name: str) -> Model:
    """Return an architecture with seeded weights, without classifiers that take long to fill."""
    if name == "efficientnet_lite0":
        model = load(name, weights="random")
        seeded(model.module).double()
        return model
    with torch.device("meta"):
        network: nn.Module = getattr(torchvision.models, name)(weights=None)
    if name in {"vgg16", "alexnet", "densenet121", "mobilenet_v2"}:
        network = network.features
    network = seeded(network.to_empty(device="cpu")).double()
    return load(network, mean=(0.0,) * 3, std=(1.0,) * 3, size=96)


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
@pytest.mark.parametrize(("name", "source", "target"), REAL)
def test_composition_equals_gradients_on_real_networks(name: str, source: str, target: str) -> None:
    model = real_model(name)
    composed = circuits.expand(model, source, target, units=[0, 1, 7])
    gradients = circuits.expand(model, source, target, units=[0, 1, 7], method="vjp")
    assert composed.method == "compose"
    largest = composed.kernel.abs().max()
    assert largest > 0
    assert (composed.kernel - gradients.kernel).abs().max() <= 1e-9 * largest


def impulse_responses(model: Model, side: int, channels: int) -> Tensor:
    """Return by brute force what each source cell does to the target, [c h w o y x]."""
    cells = torch.eye(channels * side * side, dtype=torch.float64).view(-1, channels, side, side)
    with torch.no_grad():
        zero = model.module(torch.zeros(1, channels, side, side, dtype=torch.float64))
        moved = model.module(cells) - zero
    return moved.view(channels, side, side, *zero.shape[1:])


@pytest.mark.parametrize(
    "name", ["stride and padding", "dilation", "uneven kernel", "branches", "padding by hand",
             "rows sliced", "strided residual", "average pool"],
)  # fmt: skip
def test_kernels_lie_where_impulses_are_felt(name: str) -> None:
    model = ends(OPERATIONS[name](), size=20)
    weights = circuits.expand(model, "source", "target")
    felt = impulse_responses(model, 20, 4)
    kh, kw = weights.kernel.shape[2:]
    inner = 0
    for y in range(felt.shape[4]):
        for x in range(felt.shape[5]):
            top = y * weights.stride[0] + weights.offset[0]
            left = x * weights.stride[1] + weights.offset[1]
            if not (0 <= top <= 20 - kh and 0 <= left <= 20 - kw):
                continue
            expected = torch.zeros(4, 20, 20, felt.shape[3], dtype=torch.float64)
            expected[:, top : top + kh, left : left + kw] = weights.kernel.permute(1, 2, 3, 0)
            torch.testing.assert_close(felt[..., y, x], expected, rtol=0, atol=1e-12)
            inner += 1
    assert inner >= 4


def test_a_window_is_not_centred_behind_a_padded_stride() -> None:
    layers = nn.Sequential(conv(stride=2, padding=1), conv(padding=1))
    weights = circuits.expand(ends(layers, size=56), "source", "target")
    centre = 13  # of 28
    first = centre * weights.stride[0] + weights.offset[0]
    assert (first, first + weights.kernel.shape[2] - 1) == (23, 29)
    # A crop of 7 around the source's centre, rows and columns 24 to 30, loses an edge.
    seen = weights.kernel[:, :, 1:, 1:].abs().sum() / weights.kernel.abs().sum()
    assert seen < 0.95


def test_a_map_smaller_than_the_kernels_does_not_crop_them() -> None:
    layers = nn.Sequential(conv(k=5, padding=2), conv(k=5, padding=2))
    weights = circuits.expand(ends(layers, size=7), "source", "target")
    wide = circuits.expand(ends(layers, size=31), "source", "target")
    assert weights.kernel.shape[2:] == (9, 9)
    assert torch.equal(weights.kernel, wide.kernel)
    gradients = circuits.expand(ends(layers, size=7), "source", "target", method="vjp")
    torch.testing.assert_close(weights.kernel, gradients.kernel, rtol=0, atol=1e-12)
    # What fits on the map of 7 around its centre is not all.
    assert weights.kernel[:, :, 1:8, 1:8].abs().sum() / weights.kernel.abs().sum() < 0.9


@pytest.mark.parametrize(("activation", "expected"), [(0, 0.707), (50, 0.435), (200, 0.135)])
def test_a_norm_is_linearised_at_a_stated_point(activation: float, expected: float) -> None:
    at = torch.full((32,), float(activation), dtype=torch.float64)
    jacobian = norm_jacobian(at, (11, 0.0011, 0.5, 2.0))
    own = jacobian[16, 16] if jacobian.dim() == 2 else jacobian[16]
    assert float(own) == pytest.approx(expected, abs=5e-4)
    model = ends(nn.LocalResponseNorm(11, 0.0011, 0.5, 2.0), channels=32)
    weights = circuits.expand(model, "source", "target", units=[16], lrn_at=activation)
    assert float(weights.kernel[0, 16]) == pytest.approx(float(own))
    assert weights.notes == (f"1 local response norm linearised at activation {activation}",)


def test_a_norm_is_linearised_at_the_mean_of_images() -> None:
    model = ends(LocalResponseNorm(3, alpha=1.0))
    images = torch.rand(11, 4, 24, 24, generator=torch.Generator().manual_seed(1))
    weights = circuits.expand(model, "source", "target", lrn_at="mean", images=images)
    at = images.double().mean((0, 2, 3))
    expected = norm_jacobian(at, (3, 1.0, 0.75, 1.0))
    torch.testing.assert_close(weights.kernel[:, :, 0, 0].double(), expected, rtol=0, atol=1e-6)
    with pytest.raises(CircuitError, match="lrn_at='mean' need images"):
        circuits.expand(model, "source", "target", lrn_at="mean")


def test_pool_branches_are_spread_unless_scaled() -> None:
    branches = Apply(
        lambda x, pool, a: torch.cat([a(x), a(pool(x))], 1), nn.MaxPool2d(3, 1, 1), conv(k=1)
    )
    model = ends(branches)
    by = {p: circuits.expand(model, "source", "target", pool=p) for p in
          ("average", "keep_l2", "keep_max")}  # fmt: skip
    for pool, measure in (("keep_l2", "l2"), ("keep_max", "max")):
        strength = by[pool].strength(measure)
        torch.testing.assert_close(strength[4:], strength[:4])
    average = by["average"]
    torch.testing.assert_close(average.strength("l2")[4:] * 3, average.strength("l2")[:4])
    torch.testing.assert_close(average.strength("max")[4:] * 9, average.strength("max")[:4])
    assert "do not rank ways with a pool" in average.notes[0]
    assert circuits.expand(model, "middle.parts.0", "target", units=[5]).kernel.any()


def test_cost_does_not_grow_with_the_number_of_images_or_units() -> None:
    model = ends(nn.Sequential(conv(b=64), nn.ReLU(), conv(a=64, b=64)))
    passes = []
    model.module.register_forward_pre_hook(lambda *_: passes.append(1))
    for units in ([0], None):
        passes.clear()
        circuits.expand(model, "source", "target", units=units)
        assert len(passes) <= 3  # the trace of the first call, and two recordings


def test_behind_a_whole_map_kernels_end_with_the_map_and_are_exact() -> None:
    layers = nn.Sequential(conv(padding=1), nn.AdaptiveAvgPool2d(1))
    model = ends(layers, size=6)
    weights = circuits.expand(model, "source", "target")
    felt = impulse_responses(model, 6, 4)[..., 0, 0].permute(3, 0, 1, 2)
    assert weights.offset == (0, 0)
    torch.testing.assert_close(weights.kernel, felt, rtol=0, atol=1e-12)


def test_sources_of_several_parts_and_slices_keep_their_order() -> None:
    model = load("squeezenet1_1", weights="random")
    whole = circuits.expand(model, "fire2", "fire3", units=[3, 100])
    part = circuits.expand(model, "fire2/60:70", "fire3/90:128", units=[10])
    torch.testing.assert_close(part.kernel[0], whole.kernel[1, 60:70])
    assert part.sources == tuple(range(10))
    before = circuits.expand(model, "fire2.pre", "fire3.pre", units=[3, 100])
    torch.testing.assert_close(before.kernel, whole.kernel)


def test_operations_are_recorded_by_name_and_module() -> None:
    graph = record_between(small_model(), "act", "branches")
    names = [operation.name for operation in graph.operations]
    assert names[0] == "max_pool2d_with_indices"
    assert names[-1] == "cat"
    assert names.count("convolution") == 4
    assert str(graph.operations[1]) == "convolution in 'block.conv1'"
    assert len([name for name in names if name in ACTIVATIONS]) == 4


def test_large_jobs_are_done_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    whole = circuits.expand(model, "act", "branches")
    monkeypatch.setattr("circuits.expansion.compose._WORKING_BYTES", 1)
    torch.testing.assert_close(circuits.expand(model, "act", "branches").kernel, whole.kernel)


def test_the_model_is_left_as_it_was() -> None:
    model = small_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    circuits.expand(model, "act", "branches")
    circuits.expand(model, "act", "branches", method="vjp")
    with pytest.raises(CircuitError):
        circuits.expand(model, "branches", "act")
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.module.modules())
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


class Forked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.two, self.last = conv(), conv(), conv(k=5), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(self.one(x) if x.flatten()[0] > x.mean() else self.two(x))


class Ahead(Forked):
    def forward(self, x: Tensor) -> Tensor:
        rough = (x[..., 1:] - x[..., :-1]).abs().mean() > 0.1
        x = self.first(x)
        return self.last(self.one(x) if rough else self.two(x).relu())


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.mean())


def squeezed(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    return a(x) * torch.sigmoid(b(x.mean((2, 3), keepdim=True)))


def through_view(x: Tensor, a: nn.Module) -> Tensor:
    y = a(x).clone()
    y[:, :2] *= 2
    return y + 0


def test_bad_input_is_told() -> None:
    model = small_model()
    for ends_, said in (
        (
            ("branches", "act"),
            "'branches' comes after 'act' in 'small'; give the earlier site first",
        ),
        (("act", "act"), "are the same place"),
        (("branches.narrow", "branches.wide"), "no path leads from 'branches.narrow'"),
    ):
        with pytest.raises(CircuitError, match=said):
            circuits.expand(model, *ends_)
    with pytest.raises(SiteError, match="did you mean 'branches'"):
        circuits.expand(model, "act", "brances")
    with pytest.raises(CircuitError, match="no channel 12 in 'branches', which has 12, 0 to 11"):
        circuits.expand(model, "act", "branches", units=[12])
    with pytest.raises(CircuitError, match="no channel at all"):
        circuits.expand(model, "act", "branches", units=[])
    with pytest.raises(CircuitError, match="unknown gates 'identiti'; did you mean 'identity'"):
        circuits.expand(model, "act", "branches", gates="identiti")
    with pytest.raises(CircuitError, match="unknown pool 'avarage'; did you mean 'average'"):
        circuits.expand(model, "act", "branches", pool="avarage")
    with pytest.raises(CircuitError, match="unknown method 'magic'"):
        circuits.expand(model, "act", "branches", method="magic")
    with pytest.raises(CircuitError, match="attribution gates need images"):
        circuits.expand(model, "act", "branches", gates="attribution")
    with pytest.raises(CircuitError, match="data_mean gates need images"):
        circuits.expand(model, "act", "branches", gates="data_mean")
    with pytest.raises(CircuitError, match=r"got NaN or infinity"):
        circuits.expand(
            model, "act", "branches", gates="data_mean", images=torch.full((1, 3, 32, 32), math.nan)
        )


def test_what_depends_on_the_image_is_told() -> None:
    with pytest.raises(CircuitError, match="takes a number out of its activations"):
        circuits.expand(ends(Forked()), "source", "target")
    with pytest.raises(CircuitError, match="takes a number out of its activations"):
        circuits.expand(ends(Scaled()), "source", "target")
    # Where the fork looks at the image itself, the two passes differ.
    with pytest.raises(CircuitError, match="does not do the same for every image"):
        circuits.expand(ends(Ahead()), "middle.first", "target")


def test_weights_that_are_no_numbers_are_told() -> None:
    model = ends(nn.Sequential(conv(), conv()))
    with torch.no_grad():
        model.module.middle[1].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(CircuitError, match=r"convolution in 'middle.1' .* not finite"):
        circuits.expand(model, "source", "target")


def test_too_large_a_result_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.expansion.compose.MAX_BYTES", 8 * 4 * 9 * 2)
    model = ends(conv())
    with pytest.raises(CircuitError, match=r"4 x 4 kernels of 3x3.* ask for 2 units at a time"):
        circuits.expand(model, "source", "target")
    assert circuits.expand(model, "source", "target", units=[0, 1]).kernel.any()
    monkeypatch.setattr("circuits.expansion.compose.MAX_BYTES", 8)
    with pytest.raises(CircuitError, match="choose a source nearer"):
        circuits.expand(model, "source", "target", units=[0])


def test_what_cannot_be_composed_falls_back_and_says_so() -> None:
    gated = ends(Apply(squeezed, conv(padding=1), conv(k=1)))
    with pytest.raises(CircuitError, match=r"mul in 'middle' is not linear.* give images"):
        circuits.expand(gated, "source", "target")
    with pytest.raises(CircuitError, match="mul in 'middle': it multiplies two activations"):
        circuits.expand(gated, "source", "target", method="compose")
    with pytest.raises(CircuitError, match="clamped weights need composition, but mul"):
        circuits.expand(gated, "source", "target", gates="positive_top")
    weights = circuits.expand(gated, "source", "target", images=torch.rand(3, 4, 24, 24))
    assert weights.method == "vjp"
    assert (
        "by gradients at the central position, not composed: mul in 'middle'" in weights.notes[-1]
    )

    viewed = circuits.expand(ends(Apply(through_view, conv(k=1))), "source", "target",
                             images=torch.rand(1, 4, 24, 24))  # fmt: skip
    expected = ends(Apply(through_view, conv(k=1))).module.middle.parts[0].weight
    torch.testing.assert_close(viewed.kernel[:2], 2 * expected[:2].detach())


def test_layers_that_mix_positions_take_gradients_at_images() -> None:
    block = Apply(
        lambda x, a, n, b: x + b(functional.gelu(n(a(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2),
        conv(k=7, padding=3, groups=4), nn.LayerNorm(4), nn.Linear(4, 4),
    )  # fmt: skip
    model = ends(block)
    images = torch.rand(2, 4, 24, 24, generator=torch.Generator().manual_seed(2))
    weights = circuits.expand(model, "source", "target", images=images)
    assert weights.method == "vjp"
    x = images.double().requires_grad_()
    y = model.module.middle.parts
    slopes_are_one = y[2](y[1](y[0](x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2) + x
    (expected,) = torch.autograd.grad(slopes_are_one[:, 1, 12, 12].sum(), x)
    own = weights.kernel[1]
    top, left = (12 + o for o in weights.offset)
    kh, kw = own.shape[1:]
    found = torch.zeros(4, 24, 24, dtype=torch.float64)
    found[:, max(0, top) : top + kh, max(0, left) : left + kw] = own[
        :, max(0, -top) : 24 - top, max(0, -left) : 24 - left
    ]
    torch.testing.assert_close(found, expected.mean(0), rtol=0, atol=1e-9)


class StraightGelu(nn.Module):
    """GELU forward, the identity backward: what gates of identity mean."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (functional.gelu(x) - x).detach()


def test_blocks_of_convnext_take_gradients_at_images() -> None:
    with torch.device("meta"):
        network = torchvision.models.convnext_tiny(weights=None).features[:2]
    network = network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    network = network.double().eval()
    model = load(network, mean=(0.0,) * 3, std=(1.0,) * 3, size=64)
    images = torch.rand(2, 3, 64, 64, generator=generator)
    with pytest.raises(CircuitError, match=r"native_layer_norm in '1.1.block.2' .* give images"):
        circuits.expand(model, "1.0", "1.2", units=[1])
    weights = circuits.expand(model, "1.0", "1.2", units=[1], images=images)

    with torch.no_grad():
        source = network[1][0](network[0](images.double()))
    source.requires_grad_()
    for block in network[1]:
        block.block[4] = StraightGelu()
    target = network[1][2](network[1][1](source))
    (expected,) = torch.autograd.grad(target[:, 1, 8, 8].sum(), source)
    (top, left), (kh, kw) = (tuple(8 + o for o in weights.offset), weights.kernel.shape[2:])
    own = expected.mean(0)[:, top : top + kh, left : left + kw]
    assert weights.method == "vjp"
    assert own[2:].abs().max() > 1e-4  # more than the residual path
    torch.testing.assert_close(weights.kernel[0], own, rtol=0, atol=1e-9)
    assert expected.mean(0).abs().sum() - own.abs().sum() < 1e-9


@pytest.mark.parametrize("size", [24, 28])  # 24 px: that of the network
def test_gradients_over_many_images_are_the_mean_of_those_of_each(size: int) -> None:
    """More images than run at once, the last batch not full, also at another size."""
    layers = nn.Sequential(conv(), nn.GroupNorm(1, 4), conv())
    model = ends(layers)
    images = torch.rand(11, 4, size, size, generator=torch.Generator().manual_seed(3))
    weights = circuits.expand(model, "source", "target", units=[2, 0], images=images)
    each = [
        circuits.expand(model, "source", "target", units=[2, 0], images=image[None]).kernel
        for image in images
    ]
    assert weights.method == "vjp"
    torch.testing.assert_close(weights.kernel, torch.stack(each).mean(0), rtol=1e-5, atol=1e-7)


def test_a_target_without_gradient_is_told() -> None:
    model = ends(Apply(lambda x, a: a(x).round().detach() + 0, conv()))
    with pytest.raises(CircuitError, match="the target has no gradient"):
        circuits.expand(model, "source", "target", images=torch.rand(1, 4, 24, 24))


def test_a_finer_target_is_told() -> None:
    model = ends(nn.Sequential(nn.ConvTranspose2d(4, 4, 2, stride=2), conv()))
    with pytest.raises(CircuitError, match="'target' has a finer map than 'source'"):
        circuits.expand(model, "source", "target")


def test_the_result_says_what_it_is() -> None:
    weights = circuits.expand(small_model(), "act", "branches", units=[2])
    assert isinstance(weights, WeightMap)
    assert repr(weights) == (
        "WeightMap(act -> branches, 8 x 1 kernels of 19x19, stride 2x2, gates identity, by compose)"
    )


def own_statistics(x: Tensor, a: nn.BatchNorm2d, b: nn.Module) -> Tensor:
    mean, variance = a.running_mean, a.running_var
    assert mean is not None
    assert variance is not None
    copies = (mean.clone(), variance.clone())
    return b(functional.batch_norm(x, *copies, a.weight, a.bias, training=True))


def rounded(x: Tensor, a: nn.Module) -> Tensor:
    return a(torch.div(x, 0.5, rounding_mode="floor"))


def of_image(x: Tensor, a: nn.Module) -> Tensor:
    kernel = x.mean((0, 2, 3)).view(4, 1, 1, 1)
    return functional.conv2d(a(x), kernel, groups=4)


@pytest.mark.parametrize(
    ("middle", "blamed", "why"),
    [
        (Apply(own_statistics, norm(), conv()), "native_batch_norm", "by its own images"),
        (nn.Sequential(nn.InstanceNorm2d(4), conv()), "native_batch_norm", "by its own images"),
        (Apply(rounded, conv()), "div", "it rounds to whole numbers"),
        (Apply(lambda x, a: a(2 / (3 + x)), conv()), "div|reciprocal", "an activation|no rule"),
        (Apply(of_image, conv()), "convolution", "its weights depend on the image"),
    ],
    ids=["batch statistics", "instance norm", "rounded", "reciprocal", "weights of the image"],
)
def test_what_is_linear_only_by_its_name_is_refused(
    middle: nn.Module, blamed: str, why: str
) -> None:
    model = ends(middle)
    with pytest.raises(CircuitError, match=f"({blamed}).* is not linear, so its weights depend on"):
        circuits.expand(model, "source", "target")
    with pytest.raises(CircuitError, match=f"({blamed}).*({why})"):
        circuits.expand(model, "source", "target", method="compose")
    with pytest.raises(CircuitError, match=f"({blamed}).*({why})"):
        circuits.raw_weights(model, "source", "target")


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_padding_that_repeats_the_map_is_exact_without_images(mode: str) -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1, padding_mode=mode)
    model = ends(nn.Sequential(nn.ReLU(), layer))
    weights = circuits.expand(model, "source", "middle")
    assert weights.offset == (-1, -1)
    torch.testing.assert_close(weights.kernel, layer.weight.detach(), rtol=0, atol=1e-12)
    assert not any("linearised" in note for note in weights.notes)


def test_what_was_linearised_at_images_is_told_and_none_is_resized() -> None:
    model = ends(nn.Sequential(nn.Softmax(1), conv(padding=1), nn.Softmax(1)))
    images = torch.rand(2, 4, 12, 12)
    seen: list[tuple[int, ...]] = []
    handle = model.module.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[2:]))
    weights = circuits.expand(model, "source", "target", images=images)
    handle.remove()
    assert seen[-1] == (12, 12)
    assert weights.notes[0] == (
        "linearised at each of the 2 images, then averaged: _softmax in 'middle.0', "
        "_softmax in 'middle.2'"
    )
    one = circuits.expand(model, "source", "target", images=images[:1])
    assert one.notes[0].startswith("linearised at the image: ")
    wide = ends(Apply(lambda x, a: x * a(x), conv(k=9, padding=4)))
    with pytest.raises(CircuitError, match=r"kernels of 9x9 .* at 6x6 px, the size of the images"):
        circuits.expand(wide, "source", "target", images=images[:, :, :6, :6])


def test_units_are_whole_numbers_of_any_kind() -> None:
    model = ends(conv())
    expected = circuits.expand(model, "source", "middle", units=[2, 0])
    found = circuits.expand(model, "source", "middle", units=range(2, -1, -2))
    assert torch.equal(found.kernel, expected.kernel)
    graph = record_between(model, "source", "middle")
    for units in (np.array([2, 0, 2]), torch.tensor([2, 0]), [np.int8(2), 0]):
        assert pick_channels(graph, units) == (2, 0)
    with pytest.raises(CircuitError, match=r"a channel must be a whole number, got True \(bool\)"):
        circuits.expand(model, "source", "middle", units=[True])
