"""Objectives beyond single units, against slow definitions written out here."""

import math
from dataclasses import replace

import pytest
import torch

from featviz import objectives as o
from featviz.errors import ObjectiveError, UnitError
from featviz.objectives import IMAGE, bind, channel
from featviz.receptive_field import UNKNOWN
from featviz.sites import Part, Site
from nets import small_model

CPU = torch.device("cpu")
N, C, H, W = 3, 4, 5, 6


@pytest.fixture
def acts():
    generator = torch.Generator().manual_seed(0)
    return {
        "a": torch.rand(N, C, H, W, generator=generator, dtype=torch.float64),
        "v": torch.rand(N, C, generator=generator, dtype=torch.float64),
        IMAGE: torch.rand(N, 3, 8, 9, generator=generator, dtype=torch.float64),
    }


def site(name, channels, map_size):
    return Site(name, (Part(name, 0),), (0, channels), map_size, UNKNOWN, False, 0)


SITES = {"a": site("a", C, (H, W)), "v": site("v", C, ()), IMAGE: site(IMAGE, 3, (8, 9))}


def close(got, expected):
    assert torch.allclose(got, torch.as_tensor(expected, dtype=got.dtype), rtol=1e-9, atol=1e-12)


# ---- several images ------------------------------------------------------------------------------


def gram(a):
    c = a.shape[0]
    flat = a.reshape(c, -1).tolist()
    n = len(flat[0])
    return [
        [sum(flat[i][k] * flat[j][k] for k in range(n)) / n for j in range(c)] for i in range(c)
    ]


def cosine(x, y):
    pairs = [(p, q) for row_x, row_y in zip(x, y, strict=True) for p, q in zip(row_x, row_y)]  # noqa: B905
    dot = sum(p * q for p, q in pairs)
    return dot / math.sqrt(sum(p * p for p, _ in pairs) * sum(q * q for _, q in pairs))


def test_diversity_is_minus_the_mean_cosine_of_grams(acts):
    grams = [gram(a) for a in acts["a"]]
    expected = [
        -sum(cosine(grams[i], grams[j]) for j in range(N) if j != i) / (N - 1) for i in range(N)
    ]
    close(o.diversity("a").score(acts), expected)


def test_diversity_of_one_image_is_nothing(acts):
    assert o.diversity("a").score({"a": acts["a"][:1]}).tolist() == pytest.approx([0])


@pytest.mark.parametrize("decay", [2.0, 3.0])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_alignment_compares_neighbours(decay, n):
    a = torch.rand(n, C, H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = [
        -sum(float((a[i] - a[i + d]).square().mean()) / decay**d for d in range(1, 5) if i + d < n)
        for i in range(n)
    ]
    close(o.alignment("a", decay=decay).score({"a": a}), expected)


def test_interpolation_goes_from_one_unit_to_the_other(acts):
    means = acts["a"].mean((2, 3))
    expected = [means[0, 1], (means[1, 1] + means[1, 3]) / 2, means[2, 3]]
    close(o.interpolation("a", 1, 3).score(acts), [float(e) for e in expected])
    close(
        o.interpolation("a", 1, 3).score({"a": acts["a"][:1]}),
        [float((means[0, 1] + means[0, 3]) / 2)],
    )


def test_joint_objectives_see_their_own_images_only(acts):
    acts = {name: torch.cat([value, value.flip(0)]).float() for name, value in acts.items()}
    first = channel("a", 1) + 2 * o.diversity("a")
    second = channel("a", 2) + 5 * o.diversity("a")
    # the very same objective twice is two groups of images, not one
    batch = [first] * 4 + [second] * 2
    got = bind(batch, device=CPU, together=2)(acts)
    parts = [{name: value[k : k + 2] for name, value in acts.items()} for k in (0, 2, 4)]
    expected = [o.score(part) for o, part in zip([first, first, second], parts, strict=True)]
    assert torch.allclose(got, torch.cat(expected))
    assert not torch.allclose(
        got[:4],
        bind([first] * 4, device=CPU, together=4)(
            {name: value[:4] for name, value in acts.items()}
        ),
    )


def test_a_share_of_diversity_scales_with_the_score(acts):
    plain = channel("a", 1).score(acts)
    unlike = o.diversity("a").score(acts)
    close(o.Diverse(channel("a", 1), 0.5).score(acts), plain + 0.5 * plain * unlike)
    less = o.Diverse(-1 * channel("a", 1) + 0 * o.l1(), 0.5).score(acts)
    close(less, -plain + 0.5 * plain * unlike)


def test_an_objective_is_joint_if_a_part_is():
    joint, single = o.diversity("a"), channel("a", 1)
    assert (single + joint).joint
    assert (single * joint).joint
    assert (joint / single).joint
    assert not (single + 1).joint


# ---- penalties -----------------------------------------------------------------------------------


def test_total_variation_is_the_mean_step(acts):
    x = acts[IMAGE]
    expected = []
    for image in x:
        down = [abs(float(v)) for v in (image[:, 1:] - image[:, :-1]).flatten()]
        right = [abs(float(v)) for v in (image[..., 1:] - image[..., :-1]).flatten()]
        expected.append(-(sum(down) / len(down) + sum(right) / len(right)) / 2)
    close(o.total_variation().score(acts), expected)


def test_distances_from_grey(acts):
    rows = acts[IMAGE].flatten(1).tolist()
    n = len(rows[0])
    close(o.l1().score(acts), [-sum(abs(v - 0.5) for v in row) / n for row in rows])
    close(
        o.l2(center=0.2).score(acts),
        [-math.sqrt(sum((v - 0.2) ** 2 for v in row) / n) for row in rows],
    )


def test_blur_penalises_detail_alone():
    ramp = torch.arange(8.0)[:, None].expand(1, 3, 8, 9)
    assert o.blur().score({IMAGE: ramp[..., 1:-1, :]})[0] > -0.04  # only the replicated rim
    board = (torch.arange(8)[:, None] + torch.arange(9)) % 2
    # 0.25, 0.5, 0.25 both ways leaves 0.5 of a chessboard everywhere inside.
    inside = o.blur().score({IMAGE: board.expand(1, 3, 8, 9).float()})
    assert inside[0] == pytest.approx(-0.25, abs=0.05)


def test_blur_pulls_each_pixel_towards_its_neighbours():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(o.blur().score({IMAGE: x}).sum(), x)
    assert gradient[0, 0, 2, 2] < 0 < gradient[0, 0, 2, 1]


def test_boundary_counts_the_edge_alone(acts):
    x = acts[IMAGE]
    expected = [
        -sum(
            float((image[:, i, j] - 0.5).square().sum())
            for i in range(8)
            for j in range(9)
            if min(i, 7 - i, j, 8 - j) < 2
        )
        / (3 * 8 * 9)
        for image in x
    ]
    close(o.boundary(2).score(acts), expected)


# ---- groups --------------------------------------------------------------------------------------


def test_group_is_the_weighted_sum_of_means(acts):
    a = acts["a"]
    made = o.group("a", {0: 1.0, 3: -0.5})
    close(made.score(acts), (a[:, 0] - 0.5 * a[:, 3]).mean((1, 2)))
    part = o.group("a", [1, 2], region=(1, 3, 2, 6))
    close(part.score(acts), (a[:, 1] + a[:, 2])[:, 1:3, 2:6].mean((1, 2)))
    close(o.group("v", {2: 2.0}).score(acts), 2 * acts["v"][:, 2])


def test_deepdream_is_the_mean_square(acts):
    close(o.deepdream("a").score(acts), acts["a"].square().mean((1, 2, 3)))


@pytest.mark.parametrize("power", [0.0, 2.0])
@pytest.mark.parametrize(("position", "y", "x"), [("center", H // 2, W // 2), ((1, 4), 1, 4)])
def test_direction_at_a_position(acts, power, position, y, x):
    vector = torch.tensor([1.0, -2.0, 0.5, 3.0])
    made = o.direction("a", vector, cosine_power=power, position=position)
    one = {"a": acts["a"][:, :, y : y + 1, x : x + 1]}
    close(made.score(acts), o.direction("a", vector, cosine_power=power).score(one))
    said = "center" if position == "center" else "[1, 4]"
    assert made.label.endswith(f", position={said})")


# ---- photographs ---------------------------------------------------------------------------------


def photo(seed=0, size=(3, 20, 24)):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("make", [o.inversion, o.activation_difference, o.style])
def test_the_photograph_itself_is_best(make):
    model = small_model()
    exact = photo(size=(3, 32, 32))
    made = make("block", exact).prepared(model, size=(32, 32))
    images = torch.stack([exact, photo(1, (3, 32, 32))])
    with torch.no_grad():
        same, other = made.score(model.record(images, ["block"]))
    assert same == pytest.approx(0, abs=1e-5)
    assert other < -0.01


def test_reference_formulas(acts):
    a, aim = acts["a"], acts["a"][:1].flip(3)
    made = {
        kind: replace(kind("a", photo()), target=aim)
        for kind in (o.inversion, o.activation_difference, o.style, o.caricature)
    }
    close(
        made[o.inversion].score(acts),
        [-float((x - aim[0]).square().sum() / aim.square().sum()) for x in a],
    )
    close(made[o.activation_difference].score(acts), [-float((x - aim[0]).abs().mean()) for x in a])
    target = gram(aim[0])
    size = sum(abs(v) for row in target for v in row)
    apart = [
        sum(abs(p - q) for x, y in zip(gram(one), target, strict=True) for p, q in zip(x, y))  # noqa: B905
        for one in a
    ]
    close(made[o.style].score(acts), [-v / size for v in apart])
    dots = [float((x * aim[0]).sum()) for x in a]
    cosines = [
        d / math.sqrt(float(x.square().sum() * aim.square().sum()))
        for d, x in zip(dots, a, strict=True)
    ]
    close(
        made[o.caricature].score(acts),
        [d * max(0.1, c) for d, c in zip(dots, cosines, strict=True)],
    )


def test_labels_tell_photographs_apart():
    assert o.style("a", photo(0)).label != o.style("a", photo(1)).label


def test_prepared_parts_of_an_expression():
    model = small_model()
    made = channel("block", 0) + 0.5 * o.inversion("block", photo())
    with torch.no_grad():
        found = model.record(photo(2, (1, 3, 32, 32)), ["block"])
    assert made.prepared(model, size=(32, 32)).score(found).isfinite().all()
    with pytest.raises(ObjectiveError, match="call prepared"):
        made.score(found)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: o.group("a", {}), ObjectiveError, "needs at least one channel"),
        (lambda: o.group("a", [9]).check(SITES), UnitError, "channel 9 is out of range"),
        (
            lambda: o.group("a", [0], region=(0, 9, 0, 2)).check(SITES),
            UnitError,
            "empty or out of range .* is 5x6",
        ),
        (lambda: o.group("v", [0], region=(0, 1, 0, 1)).check(SITES), UnitError, "is a vector"),
        (lambda: o.interpolation("a", 0, 7).check(SITES), UnitError, "channel 7 is out of range"),
        (lambda: o.alignment("a", decay=0), UnitError, "decay must be above 0"),
        (lambda: o.boundary(0), ObjectiveError, "1 px or more"),
        (lambda: o.boundary(4).check(SITES), ObjectiveError, "below 4"),
        (
            lambda: o.style("block", photo(size=(1, 8, 8))).prepared(small_model(), size=(32, 32)),
            ObjectiveError,
            "has 1 channels, the network takes 3",
        ),
        (
            lambda: o.direction("a", torch.ones(C), position=(7, 0)).check(SITES),
            UnitError,
            "out of range",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


EVERY = [
    channel("a", 1) + o.diversity("a"),
    o.alignment("a"),
    o.interpolation("a", 0, 1),
    o.group("a", {0: 1.0, 2: -1.0}, region=(0, 2, 0, 2)),
    o.deepdream("a"),
    o.total_variation(),
    o.l1(),
    o.l2(),
    o.boundary(2),
    o.direction("a", torch.ones(C), cosine_power=2, position="center"),
    replace(o.style("a", photo()), target=torch.rand(1, C, H, W, dtype=torch.float64)),
    replace(o.caricature("a", photo()), target=torch.rand(1, C, H, W, dtype=torch.float64)),
]


@pytest.mark.parametrize("made", EVERY, ids=str)
def test_gradients(acts, made):
    names = list(made.sites)
    leaves = [acts[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(
        lambda *values: made.score({**acts, **dict(zip(names, values, strict=True))}), leaves
    )
