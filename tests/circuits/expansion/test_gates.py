import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuits
from circuits.expansion.gates import check_norm_point, make_passage
from circuits.pictures.weight_files import weight_arrays
from circuits.tracing.opgraph import record_between
from curve_net import CURVES, CurveNet, arc_image, tangent_errors
from featviz.errors import CircuitError
from featviz.models import Model, load
from nets import seeded, small_model


@pytest.fixture(scope="module")
def curves() -> Model:
    return load(CurveNet(), mean=(0.0,), std=(1.0,), size=96, channels=1)


@pytest.fixture(scope="module")
def arcs() -> dict[int, Tensor]:
    """The stimulus of each curve unit."""
    return {k: arc_image(float(theta))[None].float() for k, theta in enumerate(CURVES)}


def test_only_some_gates_find_the_tangent(curves: Model, arcs: dict[int, Tensor]) -> None:
    """Figures of the hand-built network; the published ones: 87, 2.7 (4.2), 2.7, 6.5 (12.3), 87."""

    def errors(gates: str, **options: object) -> Tensor:
        return tangent_errors(
            circuits.expand(curves, "line_map", "arc_map", gates=gates, **options).kernel
        )

    assert float(errors("identity").mean()) == pytest.approx(87.1, abs=0.1)
    top = errors("positive_top")
    assert float(top.mean()) == pytest.approx(2.74, abs=0.01)
    assert float(top.max()) == pytest.approx(4.24, abs=0.01)
    assert float(errors("positive_paths").mean()) == pytest.approx(2.75, abs=0.01)
    own = errors("attribution", images=arcs)
    assert float(own.mean()) < 8
    assert float(own.max()) < 12.3
    assert float(errors("attribution", images=arcs, times_activation=False).mean()) > 80
    # Shares of open gates do not tell opposed curves apart either.
    assert float(errors("data_mean", images=torch.cat(list(arcs.values()))).mean()) > 80


def test_the_disagreement_of_gates_is_reported(curves: Model, arcs: dict[int, Tensor]) -> None:
    report = circuits.compare_gates(
        curves,
        "line_map",
        "arc_map",
        units=[0, 6],
        gates=("identity", "positive_top", "positive_paths", "attribution"),
        images=arcs,
        top=6,
    )
    rows = {(row["unit"], *row["gates"]): row for row in report.rows()}
    assert len(rows) == 2 * 6
    far = rows["arc_map:0", "identity", "positive_top"]
    near = rows["arc_map:0", "positive_top", "positive_paths"]
    assert near["correlation"] > 0.8 > 0.5 > far["correlation"]
    assert near["overlap"] == 1
    assert far["chance_overlap"] == pytest.approx(6 / 18)
    assert 0 < far["chance_correlation"] < 0.5


def hand_net() -> Model:
    """Two inputs, excited and inhibited over two hidden units, 1x1."""
    network = nn.Sequential(
        nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False)
    )
    network = nn.Sequential(nn.Identity(), *network).eval().double()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]).view(2, 2, 1, 1))
        network[2].weight.copy_(torch.tensor([1.0, -1.0]))  # the norm turns the second unit round
        network[2].running_var.fill_(1 - network[2].eps)
        network[4].weight.copy_(torch.tensor([5.0, -7.0]).view(1, 2, 1, 1))
    return load(network, mean=(0.0, 0.0), std=(1.0, 1.0), size=4, channels=2)


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        # 5 (1, -2) - 7 (-3, -4); the same without -7; 5 (1, 0), for -(3, 4) folds to (0, 0).
        ("identity", [26.0, 18.0]),
        ("positive_top", [5.0, -10.0]),
        ("positive_paths", [5.0, 0.0]),
    ],
)
def test_positive_gates_by_hand(gates: str, expected: list[float]) -> None:
    weights = circuits.expand(hand_net(), "0", "4", gates=gates)
    assert weights.kernel.flatten().tolist() == pytest.approx(expected)
    clamped = gates != "identity"
    assert any("count as 0" in note for note in weights.notes) == clamped


def test_the_last_layer_is_the_last_one_on_each_way() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.stem = nn.Identity(), nn.Conv2d(1, 1, 1, bias=False)
            self.inner, self.end = nn.Conv2d(1, 1, 1, bias=False), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(self.start(x))
            return self.end(y + self.inner(y))

    network = Residual().double()
    with torch.no_grad():
        network.stem.weight.fill_(-2.0)
        network.inner.weight.fill_(3.0)
    model = load(network, mean=(0.0,), std=(1.0,), size=4, channels=1)
    # Straight on, the stem is the last layer and clamped; over the inner layer, it is not.
    for gates, expected in (("identity", -8.0), ("positive_top", -6.0), ("positive_paths", 0.0)):
        weights = circuits.expand(model, "start", "end", gates=gates)
        assert float(weights.kernel) == pytest.approx(expected)


def test_data_mean_is_the_share_of_open_gates() -> None:
    model = hand_net()
    images = torch.rand(9, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    before = model.record(images, ["2"])["2"]
    share = (before > 0).double().mean((0, 2, 3))
    assert 0 < float(share[0]) < 1
    weights = circuits.expand(model, "0", "4", gates="data_mean", images=images)
    ways = torch.tensor([[5.0, -10.0], [21.0, 28.0]], dtype=torch.float64)
    torch.testing.assert_close(weights.kernel.flatten(), share @ ways)


def smooth_net() -> Model:
    layers = [nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3), nn.ReLU6(inplace=True)]
    network = nn.Sequential(*layers, nn.Conv2d(4, 4, 3), nn.SiLU(inplace=True), nn.Conv2d(4, 3, 1))
    return load(seeded(network).double(), mean=(0.5,) * 3, std=(0.5,) * 3, size=24)


def test_mean_slopes_are_those_of_autograd_and_pass_gradients_likewise() -> None:
    model = smooth_net()
    images = torch.rand(10, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    graph = record_between(model, "0", "6")
    passage = make_passage(model, graph, "data_mean", images=images, lrn_at=None, pool="average")
    before = model.record(images, ["2"])["2"].double().requires_grad_()
    (slope,) = torch.autograd.grad(nn.functional.relu6(before).sum(), before)
    second = sorted(passage.factors)[1]
    torch.testing.assert_close(passage.factors[second], slope.mean((0, 2, 3)))
    options = {"gates": "data_mean", "images": images}
    composed = circuits.expand(model, "0", "6", **options)
    gradients = circuits.expand(model, "0", "6", method="vjp", **options)
    assert (composed.method, gradients.method) == ("compose", "vjp")
    largest = composed.kernel.abs().max()
    assert (composed.kernel - gradients.kernel).abs().max() <= 1e-12 * largest


def test_attribution_is_gradient_times_activation_where_the_unit_is_strongest() -> None:
    model = small_model()
    images = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(5))
    weights = circuits.expand(model, "pool", "branches", units=[7], gates="attribution",
                              images=images, size=(48, 48))  # fmt: skip
    plain = circuits.expand(model, "pool", "branches", units=[7], gates="attribution",
                            images=images, size=(48, 48), times_activation=False)  # fmt: skip
    expected = torch.zeros_like(weights.kernel[0])
    kh, kw = weights.kernel.shape[2:]
    shares, slopes = expected.clone(), expected.clone()
    network = model.module.eval()
    for image in images:
        source = network.pool(network.act(network.norm(network.stem(image[None])))).detach()
        x = source.clone().requires_grad_()
        target = network.branches(network.block(x.clone()))[0, 7]
        y, x0 = divmod(int(target.argmax()), target.shape[1])
        (gradient,) = torch.autograd.grad(target[y, x0], x)
        for found, values in ((slopes, gradient[0]), (shares, (gradient * source)[0])):
            for row in range(kh):
                for column in range(kw):
                    at = (y + weights.offset[0] + row, x0 + weights.offset[1] + column)
                    if 0 <= at[0] < values.shape[1] and 0 <= at[1] < values.shape[2]:
                        found[:, row, column] += values[:, at[0], at[1]] / 3
    assert shares.abs().max() > 0
    torch.testing.assert_close(weights.kernel[0], shares)
    torch.testing.assert_close(plain.kernel[0], slopes)


def test_silent_targets_are_told() -> None:
    model = hand_net()
    network = nn.Sequential(*model.module, nn.ReLU())
    with torch.no_grad():
        network[4].weight.mul_(-1).clamp_(max=0)  # only ever inhibits
    quiet = load(network.eval(), mean=(0.0, 0.0), std=(1.0, 1.0), size=4, channels=2)
    images = torch.rand(2, 2, 4, 4)
    weights = circuits.expand(quiet, "0", "5", gates="attribution", images={0: images})
    assert not weights.kernel.any()
    assert "silent on all images, so without weights: 0" in weights.notes
    with pytest.raises(CircuitError, match="no images for 5:0; attribution gates need some"):
        circuits.expand(quiet, "0", "5", gates="attribution", images={1: images})


def test_a_target_that_is_active_without_its_source_is_not_silent() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.ReLU())
    seeded(network)
    with torch.no_grad():
        network[0].bias.fill_(-50)
        network[2].bias.copy_(torch.tensor([5.0, -5.0]))
    model = load(network, size=4, channels=2)
    images = torch.rand(2, 2, 4, 4)
    weights = circuits.expand(model, "1", "3", gates="attribution", images=images)
    assert not weights.kernel.any()
    assert weights.notes == (
        "1 targets were silent on some of the images",
        "silent on all images, so without weights: 1",
        "active, but not by 1 on any image, so without weights: 0",
    )
    slopes = circuits.expand(
        model, "1", "3", gates="attribution", images=images, times_activation=False
    )
    torch.testing.assert_close(slopes.kernel[0], network[2].weight[0].detach())
    assert not any("active, but" in note for note in slopes.notes)


class Pooled(nn.Module):
    """What is read ends with the map: behind the mean over it, or a flattened one."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.p = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.p(self.b(self.a(x)))


@pytest.mark.parametrize("side", [6, 8, 13])
def test_behind_a_whole_map_images_run_at_their_own_size(side: int) -> None:
    model = load(seeded(Pooled(), 2).double(), size=8, channels=2)
    images = torch.rand(3, 2, side, side, generator=torch.Generator().manual_seed(1))
    found = circuits.expand(model, "a", "p", units=[1], gates="attribution", images=images)
    x = model.record(images, ["a"])["a"].detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.module.b(x).mean((2, 3))[:, 1].sum(), x)
    torch.testing.assert_close(found.kernel[0], (gradient * x).mean(0).detach())
    own = circuits.expand(model, "a", "p", units=[1], gates="attribution", images={1: images})
    assert torch.equal(own.kernel, found.kernel)


def test_images_of_the_wrong_size_behind_a_whole_map_are_refused() -> None:
    model = load(seeded(Pooled(), 2), size=8, channels=2)
    small, large = torch.rand(1, 2, 8, 8), torch.rand(1, 2, 12, 12)
    with pytest.raises(CircuitError, match="images are of 12x12, not of 8x8; give images of one"):
        circuits.expand(model, "a", "p", gates="attribution", images=large, size=(8, 8))
    for gates, said in (
        ("attribution", "images are of 8x8, 12x12; give images of one size"),
        ("data_mean", "images must be of one size here, got 8x8, 12x12"),
    ):
        with pytest.raises(CircuitError, match=said):
            circuits.expand(model, "a", "p", gates=gates, images={0: small, 1: large})


def test_attribution_does_not_compose() -> None:
    model = load(seeded(Pooled(), 2), size=8, channels=2)
    images = torch.rand(2, 2, 8, 8)
    with pytest.raises(CircuitError, match="attribution gates take gradients; leave method='comp"):
        circuits.expand(model, "a", "b", gates="attribution", images=images, method="compose")
    report = circuits.compare_gates(
        model, "a", "b", gates=("identity", "attribution"), images=images, method="compose"
    )
    assert [weights.method for weights in report.maps] == ["compose", "vjp"]


@pytest.mark.parametrize("at", [float("nan"), float("inf"), "median", True])
def test_norms_are_linearised_at_numbers(at: object) -> None:
    with pytest.raises(CircuitError, match="lrn_at must be a finite number, 'mean' or None, got"):
        check_norm_point(at)


def test_a_point_that_is_no_number_is_told_where_there_is_no_norm() -> None:
    model = load(seeded(Pooled(), 2), size=8, channels=2)
    with pytest.raises(CircuitError, match="lrn_at must be a finite number"):
        circuits.expand(model, "a", "b", lrn_at=float("nan"))


@pytest.mark.parametrize("options", [{"gates": "attribution"}, {"method": "vjp"}])
def test_half_precision_gives_kernels_of_float32(options: dict[str, str]) -> None:
    model = load(seeded(Pooled(), 2), size=8, channels=2)
    images = torch.rand(20, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    given = images if "gates" in options else None
    exact = circuits.expand(model, "a", "b", images=given, **options).kernel
    model.module.bfloat16()
    found = circuits.expand(model, "a", "b", images=given, **options)
    assert found.kernel.dtype == torch.float32
    assert (found.kernel - exact).abs().max() < 0.05 * exact.abs().max()
    assert weight_arrays(found)["kernels"].dtype == np.float32
