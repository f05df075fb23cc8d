import pytest
import torch
from torch import nn
from torchvision.models import get_model

import reference
from featviz.receptive_field import GLOBAL, IMAGE, UNKNOWN, Axis
from featviz.tracing import trace
from nets import seeded, small_net


def traced(network, size, channels=3):
    return trace(network, torch.rand(1, channels, size, size))


def middle_columns(call):
    axis = call.field.x
    first = axis.start_px + axis.stride_px * (call.shape[-1] // 2)
    return first, first + axis.size_px


NETWORKS = {
    "small": (small_net(), 48),
    "odd": (
        seeded(
            nn.Sequential(
                nn.ZeroPad2d((2, 0, 1, 0)),
                nn.Conv2d(3, 4, (3, 5), stride=(1, 2), dilation=(1, 2), padding="valid"),
                nn.LeakyReLU(),
                nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
                nn.Conv2d(4, 4, 3, padding="same", dilation=2, groups=2),
                nn.MaxPool2d(2),
            )
        ),
        50,
    ),
    "squeezenet1_1": (seeded(get_model("squeezenet1_1", weights=None)), 160),
    "resnet18": (seeded(get_model("resnet18", weights=None)), 96),
    "shufflenet": (seeded(get_model("shufflenet_v2_x0_5", weights=None)), 96),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_arithmetic_is_what_brute_force_finds(name):
    network, size = NETWORKS[name]
    calls = [c for c in traced(network, size).calls if len(c.shape) == 4 and c.fresh and c.path]
    inside = 0
    for call in calls[:: max(1, len(calls) // 8)]:
        if any(c.path == call.path and c is not call for c in calls):
            continue  # brute force cannot tell two calls of one module apart
        first, stop = middle_columns(call)
        seen = reference.receptive_field(network, network.get_submodule(call.path), size, 3)
        if first >= 0 and stop <= size:
            assert (first, stop) == (seen.start, seen.stop), call.path
            inside += 1
        else:
            # Windows that reach past the image may leave its last column out.
            assert max(first, 0) <= seen.start < seen.stop <= min(stop, size), call.path
    assert inside >= 2


def test_squeezenet_by_hand():
    # Closed form: fire4 follows conv 3/2, pool 3/2, two fires with one 3x3 each, pool 3/2, 3x3.
    network = NETWORKS["squeezenet1_1"][0]
    (fire4,) = traced(network, 224).of("features.6")
    assert (fire4.field.x.size_px, fire4.field.x.stride_px) == (47, 8)


def test_global_pooling_sees_everything():
    network = seeded(get_model("mobilenet_v3_small", weights=None))
    calls = traced(network, 64).of("features.4")
    assert calls[0].field == GLOBAL  # squeeze and excitation


def test_what_is_not_covered_is_said():
    class Roll(nn.Module):
        def forward(self, x):
            return torch.roll(x, 1, -1)

    (call, _) = traced(nn.Sequential(Roll()), 8).calls
    assert call.field == UNKNOWN


def test_maps_of_different_stride_do_not_mix():
    a = IMAGE.window((3, 3), (2, 2), (1, 1))
    b = IMAGE.window((3, 3), (1, 1), (1, 1))
    assert a.union(b) == UNKNOWN
    assert GLOBAL.union(a) == GLOBAL
    assert a.union(UNKNOWN) == UNKNOWN


def test_union_covers_both():
    assert Axis(3, 2, -1).union(Axis(5, 2, 0)) == Axis(6, 2, -1)
