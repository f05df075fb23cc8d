import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from typecheck import unchecked

from featviz import objectives
from featviz.errors import ObjectiveError, UnitError
from featviz.objectives import bind, channel, class_logit, direction, neuron, objective
from featviz.receptive_field import UNKNOWN
from featviz.sites import Part, Site

CPU = torch.device("cpu")


def site(name, channels, map_size):
    return Site(name, (Part(name, 0),), (0, channels), map_size, UNKNOWN, False, 0)


SITES = {"a": site("a", 5, (4, 6)), "b": site("b", 3, (2, 2)), "logits": site("logits", 7, ())}


@pytest.fixture
def acts():
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (4, 5, 4, 6), "b": (4, 3, 2, 2), "logits": (4, 7)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_channel_is_the_mean(acts):
    expected = torch.stack([acts["a"][k, 2].mean() for k in range(4)])
    assert torch.allclose(channel("a", 2).score(acts), expected)
    assert torch.allclose(class_logit(6).score(acts), acts["logits"][:, 6])


def test_neuron_is_one_position(acts):
    assert torch.equal(neuron("a", 1, position=(3, 5)).score(acts), acts["a"][:, 1, 3, 5])
    assert torch.equal(neuron("a", 1).score(acts), acts["a"][:, 1, 2, 3])
    assert torch.equal(neuron("logits", 1).score(acts), acts["logits"][:, 1])


@pytest.mark.parametrize("power", [0, 1, 2.5])
def test_direction_is_lucids_formula(acts, power):
    vector = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
    expected = []
    for image in acts["a"]:
        terms = []
        for y in range(4):
            for x in range(6):
                a = image[:, y, x].double()
                dot = sum(p * q for p, q in zip(a.tolist(), vector.tolist(), strict=True))
                cosine = dot / (a.norm() + 1e-4) / (vector.double().norm() + 1e-4)
                terms.append(dot * max(0.1, cosine) ** power)
        expected.append(sum(terms) / len(terms))
    ours = direction("a", vector, cosine_power=power).score(acts)
    assert torch.allclose(ours, torch.tensor(expected).float(), atol=1e-5)


@pytest.mark.parametrize("power", [0, 1, 2.5])
def test_gradient_of_a_direction(acts, power):
    made = direction("a", [1.0, -2.0, 0.5, 0.0, 3.0], cosine_power=power)
    activation = acts["a"][:2].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: made.score({"a": a}), activation)


def test_direction_has_a_gradient_where_all_is_silent():
    silent = torch.zeros(1, 5, 2, 2, requires_grad=True)
    direction("a", [1.0, 0, 0, 0, 0], cosine_power=2).score({"a": silent}).sum().backward()
    assert silent.grad.isfinite().all()
    assert silent.grad[0, 0].min() > 0


def test_direction_copies_its_vector(acts):
    vector = torch.ones(5)
    made = direction("a", vector)
    before = made.score(acts)
    vector.zero_()
    assert torch.equal(made.score(acts), before)


def test_algebra_is_exact(acts):
    a, b, c = channel("a", 0), channel("a", 1), neuron("b", 2)
    x, y, z = (o.score(acts) for o in (a, b, c))
    for made, expected in (
        (a + 3 * b - 5 * c, x + 3 * y - 5 * z),
        (-(a - b) * 2, -2 * (x - y)),
        (2 - a / 4, 2 - x / 4),
        (a * b + 1, x * y + 1),
        (a / (b * b + 1), x / (y * y + 1)),
        (1 / (a * a + 2), 1 / (x * x + 2)),
        (sum([a, b, c]), x + y + z),
        (3 + a, x + 3),
        (0.5 - (a + b), 0.5 - x - y),
    ):
        assert torch.allclose(made.score(acts), expected, atol=1e-6), made.label


def test_labels_read_like_the_expression():
    a, b = channel("a", 0), channel("a", 1)
    assert (a + 3 * b - 5 * neuron("b", 2)).label == "a:0 + 3*a:1 - 5*b:2@center"
    assert (-a).label == "-a:0"
    assert (-a + b).label == "-a:0 + a:1"
    assert (-2.5 * a - 1).label == "-2.5*a:0 - 1"
    assert (a * b).label == "(a:0) * (a:1)"
    assert ((a + b) / b).label == "(a:0 + a:1) / (a:1)"
    assert str(neuron("a", 1, position=(2, 3))) == "a:1@2,3"
    assert direction("a", torch.ones(1)).label == "direction(a, tensor-e00e5e)"
    assert direction("a", [1.0, -0.1]).label == "direction(a, [1, -0.1])"
    assert direction("a", [2.0], cosine_power=2).label.endswith(", cosine_power=2)")
    assert direction("a", [2.0]).label != direction("a", [1.0]).label


def test_operands_do_not_change(acts):
    a, b = channel("a", 0), channel("a", 1)
    total = a + b
    before = [o.label for o in (a, b, total)]
    _ = (total * 3 - a) / 2 + b * total
    assert [o.label for o in (a, b, total)] == before
    with pytest.raises(AttributeError):
        a.index = 3
    assert torch.equal(total.score(acts), a.score(acts) + b.score(acts))


def test_a_long_sum_does_not_recurse(acts):
    total = sum([channel("a", k % 5) for k in range(5000)])
    expected = 1000 * sum(channel("a", k).score(acts) for k in range(5))
    assert torch.allclose(total.score(acts), expected, rtol=1e-3, atol=1e-2)


# Plain data, built into objectives inside the test: strategies must not run our checked code.
numbers = st.floats(-10, 10).map(lambda v: round(v, 2))
leaves = st.tuples(st.sampled_from(["channel", "neuron"]), st.integers(0, 2))
expressions = st.recursive(
    leaves,
    lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner | numbers),
    max_leaves=6,
)


def build(tree):
    if isinstance(tree, float):
        return tree
    kind, *rest = tree
    if kind in {"channel", "neuron"}:
        return channel("a", rest[0]) if kind == "channel" else neuron("b", rest[0])
    left, right = map(build, rest)
    return left + right if kind == "+" else right - left if kind == "-" else left * right


@given(expressions, expressions, numbers)
def test_algebra_laws(left_tree, right_tree, number):
    left, right = build(left_tree), build(right_tree)
    generator = torch.Generator().manual_seed(0)
    acts = {
        "a": torch.rand(2, 5, 4, 6, generator=generator).double(),
        "b": torch.rand(2, 3, 2, 2, generator=generator).double(),
    }

    def same(x, y):
        return torch.allclose(x.score(acts).double(), y.score(acts).double(), rtol=1e-5, atol=1e-5)

    assert same(left + right, right + left)
    assert same(number * (left + right), number * left + number * right)
    assert same(left - right, -(right - left))
    assert same(left * right, right * left)
    assert same((left + number) - number, left)


MIXED = [
    [channel("a", k) for k in (4, 0, 2, 2)],
    [neuron("a", 1), neuron("a", 2, position=(0, 1)), neuron("a", 0), neuron("a", 4)],
    [neuron("logits", k) for k in (1, 2, 3, 4)],
    [direction("a", torch.eye(5)[k] + k, cosine_power=1) for k in range(4)],
    [channel("a", 1), neuron("a", 1), direction("a", torch.ones(5)), -channel("b", 1)],
    [channel("a", 1), channel("b", 1), channel("a", 0), channel("b", 2)],
    [channel("a", k) - 2 * channel("b", 0) + k for k in range(4)],
    [-channel("a", k) for k in range(4)],
    [channel("a", 0) * channel("b", k % 3) / 2 for k in range(4)],
    [channel("a", 0) + channel("a", 1), -channel("a", 1), 2 * channel("a", 3), channel("a", 0) + 1],
    [objective(lambda acts: acts["a"].amax((1, 2, 3)), sites=["a"])] * 4,
]


@pytest.mark.parametrize("batch", MIXED, ids=lambda batch: batch[0].label)
def test_a_bound_batch_scores_each_image_by_its_own(acts, batch):
    expected = torch.stack([objective.score(acts)[k] for k, objective in enumerate(batch)])
    assert torch.allclose(bind(batch, device=CPU)(acts), expected, atol=1e-6)


@pytest.mark.parametrize("batch", MIXED, ids=lambda batch: batch[0].label)
def test_scores_are_float32_whatever_the_network_computes_in(acts, batch):
    low = {name: activation.bfloat16() for name, activation in acts.items()}
    exact = {name: activation.float() for name, activation in low.items()}
    score = bind(batch, device=CPU)
    assert score(low).dtype == torch.float32
    assert torch.equal(score(low), score(exact))


@pytest.mark.parametrize("batch", MIXED, ids=lambda batch: batch[0].label)
def test_images_do_not_influence_each_other(acts, batch):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in acts.items()}
    bind(batch, device=CPU)(leaves)[1].backward()
    for tensor in leaves.values():
        if tensor.grad is not None:
            assert tensor.grad[[0, 2, 3]].abs().max() == 0


def test_sites_are_declared():
    made = channel("a", 0) * channel("b", 1) + channel("a", 2) - objective(len, sites=["c"])
    assert made.sites == ("a", "b", "c")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (channel("a", 5), "channel 5 is out of range in 'a:5': 'a' has 5 channels, 0 to 4"),
        (2 * channel("b", 9) + 1, "channel 9 is out of range"),
        (neuron("a", 0, position=(4, 0)), r"position \(4, 0\) is out of range .* is 4x6"),
        (neuron("logits", 0, position=(0, 0)), "names a position, but 'logits' is a vector"),
        (channel("a", 0) / channel("b", 3), "channel 3 is out of range"),
        (channel("a", 0) * channel("a", 7), "channel 7 is out of range"),
    ],
)
def test_units_out_of_range(made, message):
    with pytest.raises(UnitError, match=message):
        made.check(SITES)


def test_direction_of_the_wrong_length():
    with pytest.raises(ObjectiveError, match="has 3 entries, 'a' has 5 channels"):
        direction("a", [1.0, 2.0, 3.0]).check(SITES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: direction("a", torch.zeros(5)), "not all zero"),
        (lambda: direction("a", [float("nan")]), "finite numbers"),
        (lambda: direction("a", torch.ones(2, 2)), r"got shape \(2, 2\)"),
        (lambda: direction("a", [1.0], cosine_power=-1), "cosine_power must be 0 or more"),
        (lambda: channel("a", 0) / 0, "cannot divide 'a:0' by 0"),
        (lambda: objective(len, sites=[]), "at least one site name"),
        (lambda: objective(len, sites="a"), "sites must be a list"),
    ],
)
def test_bad_objectives(make, message):
    with pytest.raises(ObjectiveError, match=message):
        make()


@pytest.mark.parametrize("function", [lambda acts: acts["a"].mean(), lambda _: 3.0])
def test_a_function_must_give_one_score_an_image(acts, function):
    with pytest.raises(ObjectiveError, match=r"must return one score an image, .* \(4,\); got"):
        objective(function, sites=["a"], label="mine").score(acts)


def test_nonsense_operands():
    with unchecked(), pytest.raises(TypeError, match="unsupported operand"):
        channel("a", 0) + "b:1"
    with unchecked(), pytest.raises(TypeError, match="unsupported operand"):
        channel("a", 0) * True


def test_exports_are_complete():
    assert {"Sum", "Product", "Quotient"} <= set(objectives.__all__)
