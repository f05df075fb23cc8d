import json
import re
from typing import Literal

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given, settings
from torch import nn

import featviz
from featviz.config import RenderConfig
from featviz.errors import ObjectiveError, SiteError, UnitError
from featviz.objectives import (
    Channel,
    Objective,
    Product,
    Quotient,
    calls,
    channel,
    class_logit,
    is_unit_text,
    neuron,
    parse_expression,
    register_text,
    text_to_objectives,
)
from featviz.rendering import list_labels
from featviz.units import Unit
from nets import small_model

A, B, C = channel("a", 1), channel("b", 2), neuron("c.0", 3)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("(a:1)", A),
        ("a:1 - 0.5*b:2", A - 0.5 * B),
        ("(a:1 + b:2) / 2", (A + B) / 2),
        ("a:1 + b:2 * 3", A + 3 * B),
        ("a:1 - b:2 - 1", A - B - 1),
        ("a:1 - (b:2 - 1)", A - B + 1),
        ("a:1 / b:2 / c.0:3@center", Quotient(Quotient(A, B), C)),
        ("a:1 / (b:2 * a:1)", A / (B * A)),
        ("2 * a:1 * b:2", (2 * A) * B),
        ("-a:1 * b:2", -(A * B)),
        ("a:1 * -b:2", Product(A, -B)),
        ("(-a:1) * b:2", Product(-A, B)),
        ("-a:1 + b:2", -A + B),
        ("- - +a:1 + 0", A),
        ("a:1 - -1", A + 1),
        ("1 / a:1", 1 / A),
        ("2**a:1".replace("**", "* 1e-3*"), 0.002 * A),
        ("(1 + 2) * a:1 / 3", 3 * A / 3),
        # what belongs to names
        ("2*layer2.0:7", 2 * channel("layer2.0", 7)),
        ("2*features.3#1:4@0,12", 2 * neuron("features.3#1", 4, position=(0, 12))),
        ("1*mixed4a/0:8:3", channel("mixed4a/0:8", 3)),
        ("inception_3a/3x3:1 / 2", channel("inception_3a/3x3", 1) / 2),
        ("conv-1:5 -conv-1:6", channel("conv-1", 5) - channel("conv-1", 6)),
        ("(a:1)-(b:2)", A - B),
        ("(a:1)/2", A / 2),
        ("2-a:1", 2 - A),
        ("1/a:1", 1 / A),
        ("1/2*a:1", 0.5 * A),
        ("2*0:5", 2 * channel("0", 5)),
        ("0.1:5*2", 2 * channel("0.1", 5)),
        ("0/0:4:2 * 2", 2 * channel("0/0:4", 2)),
        ('2*"my conv*:3"', 2 * channel("my conv*", 3)),
        (r"""2*'it\'s "x":3@center'""", 2 * neuron('it\'s "x"', 3)),
        # calls
        ("channel(a, 1)", A),
        ("channel( index = 1 , site = 'a', )", A),
        ("channel(0/0:4, 1) - 1", channel("0/0:4", 1) - 1),
        ("neuron(c.0, 3)", C),
        ("neuron(c.0, 3, position=center)", C),
        ("neuron(c.0, 3, position=[4, 5])", neuron("c.0", 3, position=(4, 5))),
        ("class_logit(3) / 2", class_logit(3) / 2),
    ],
)
def test_expressions(text, made):
    assert parse_expression(text) == made
    assert parse_expression(f"({text})") == made
    assert parse_expression(f" {text} ") == made
    assert parse_expression(made.label) == made


EXPECTED = "expected a unit such as 'fire4:5', a number, a function or '\\('"

BAD = [
    ("", 0, ObjectiveError, f"{EXPECTED}; found the end"),
    ("a:1 +", 5, ObjectiveError, f"{EXPECTED}; found the end"),
    ("a:1 + ) ", 6, ObjectiveError, f"{EXPECTED}; found '\\)'"),
    ("a:1 ** 2", 5, ObjectiveError, f"{EXPECTED}; found '\\*'"),
    ("(a:1 + 2", 8, ObjectiveError, r"expected an operator \(\+ - \* /\) or '\)'; found the end"),
    ("a:1)", 3, ObjectiveError, r"expected an operator \(\+ - \* /\); found '\)'"),
    ("my conv:1", 0, UnitError, "'my' names no unit"),
    ("a:1 b:2", 4, ObjectiveError, "a name with spaces stands in quotes; found 'b'"),
    ("fire4 + 1", 0, UnitError, "'fire4' names no unit; write SITE:CHANNEL"),
    ("1 + a:x", 4, UnitError, "bad channel 'x' in 'a:x'"),
    ("1 + a:1@7", 4, UnitError, "bad position '@7' in 'a:1@7'"),
    ("1 + a:1-3", 4, UnitError, "'a:1-3' is a set of units; in an expression write one channel"),
    ("1 + a:*", 4, UnitError, r"'a:\*' is a set of units"),
    ("2*a:1/2", 2, UnitError, "bad channel '1/2'"),
    ("2*a:1-b:2", 2, UnitError, "'a:1-b:2' is not one unit; .* write spaces around it"),
    ("2*'a:1-3'", 2, UnitError, "'a:1-3' is a set of units"),
    (f"1 + a:{'9' * 5000}", 4, UnitError, "bad channel '999"),
    ("'a:1", 0, ObjectiveError, "the quote is not closed"),
    ("a:1 / 0", 6, ObjectiveError, "cannot divide by 0"),
    ("1 / (2 - 2)", 4, ObjectiveError, "cannot divide by 0"),
    ("1 + 2", 0, ObjectiveError, "3 is a number; name a unit to maximise"),
    ("a:1 + 1e999", 6, ObjectiveError, "a number is too large"),
    ("a:1 * 1e300 * 1e300", 0, ObjectiveError, "a number is too large"),
    ("a:1 + 1e308 + 1e308", 0, ObjectiveError, "a number is too large"),
    ("a:1 / 1e-320", 0, ObjectiveError, "a number is too large"),
    ("(" * 10_000, 50, ObjectiveError, "this nests too deep: at most 50 levels are read"),
    ("a:1 * " * 10_000, None, ObjectiveError, "this nests too deep"),
    ("channel(" * 10_000, 15, ObjectiveError, "expected ',' or '\\)'.*; found '\\('"),
    ("chanel(a, 1)", 0, ObjectiveError, "unknown function 'chanel'; did you mean 'channel'"),
    ("__import__('os')", 0, ObjectiveError, "unknown function '__import__'; there are activation_"),
    ("2*channel", 2, ObjectiveError, r"'channel' is a function; write channel\(site, index\)"),
    ("channel(a)", 0, ObjectiveError, r"channel needs index; write channel\(site, index\)"),
    ("channel()", 0, ObjectiveError, "channel needs site, index"),
    ("channel(a, 1, 2)", 14, ObjectiveError, "one argument too many, or one without a name"),
    ("channel(index=1, a)", 17, ObjectiveError, "one argument too many, or one without a name"),
    ("neuron(a, 1, center)", 13, ObjectiveError, "one without a name; .*index, .position=.*"),
    ("channel(a, 1, site=b)", 14, ObjectiveError, "'site' is given twice"),
    ("channel(a, indx=1)", 11, ObjectiveError, "no 'indx'; did you mean 'index'"),
    ("channel(a, 1.5)", 11, ObjectiveError, "'index' of channel must be a whole number; got '1.5'"),
    ("channel(a, [1])", 11, ObjectiveError, r"must be a whole number; got \['1'\]"),
    ("channel([a], 1)", 8, ObjectiveError, "'site' of channel must be a word or a text in quo"),
    ("channel(a b, 1)", 10, ObjectiveError, "expected ',' or '\\)'; a name with spaces stands"),
    ("channel(, 1)", 8, ObjectiveError, "expected an argument: a word, a number, or a text"),
    ("channel(a, 1", 12, ObjectiveError, "expected ',' or '\\)'; found the end"),
    ("neuron(a, 1, position=[1])", 22, ObjectiveError, "such as .1, 2. or 'center'; got .'1'."),
    ("neuron(a, 1, position=[1, 2", 27, ObjectiveError, "expected ',' or ']'; found the end"),
]


@pytest.mark.parametrize(("text", "place", "error", "message"), BAD, ids=lambda v: str(v)[:30])
def test_errors_point_at_the_place(text, place, error, message):
    with pytest.raises(error, match=message) as caught:
        parse_expression(text)
    _, line, caret = str(caught.value).rsplit("\n", 2)
    if place is not None and place <= 50:
        assert line[2:52] == text[:50]
        assert caret == " " * (2 + place) + "^"
    assert len(line) <= 2 + 100 + 6


def test_long_and_strange_texts_are_shown_on_one_line():
    with pytest.raises(UnitError) as caught:
        parse_expression("a:1 +\n\x1b" * 30 + ")")
    _, line, caret = str(caught.value).split("\n")
    assert line.isprintable()
    assert len(line) <= 108
    assert caret.strip() == "^"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        *[(text, True) for text in ("fire4:5", "-fire4:5", " - fire4:5 ", "fire4:0-15, 40")],
        *[(text, True) for text in ("fire4:*", "fire4:*@center", "a/0:8:*", "a:1@2,3", "0:5")],
        *[(text, True) for text in ("", "fire4", "fire4:", "fire4:1@", "3", "0/0:4:2", "-")],
        *[(text, False) for text in ("(a:1)", "-(a:1)", "a:1 - b:2", "2*a:1", "a:1*2", "a:1+b:2")],
        *[(text, False) for text in ("2-a:1", "1/a:1", "channel(a, 1)", '"a:1"', "2.5", "a: *2")],
    ],
)
def test_what_is_a_unit_as_a_whole(text, unit):
    assert is_unit_text(text) is unit


# ---- properties ----

sites = st.sampled_from(
    ["a", "layer2.0", "features.3#1", "mixed4a/0:8", "0", "0/0:4", "1-x", "2/x", "in/3x3.pre"]
) | st.text(min_size=1).filter(lambda name: name.strip() == name)
numbers = st.floats(-1e6, 1e6) | st.integers(-9, 9).map(float)
leaves = st.tuples(
    st.just("unit"),
    sites,
    st.integers(0, 999),
    st.none() | st.just("center") | st.tuples(st.integers(0, 99), st.integers(0, 99)),
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from("+-*/"), inner, inner | numbers)
        | st.tuples(st.sampled_from("+-*/"), numbers, inner)
    ),
    max_leaves=8,
)


def build(tree):
    """Objective or number of plain data; nothing is divided by almost 0."""
    if isinstance(tree, float):
        return tree
    if tree[0] == "unit":
        _, site, index, place = tree
        return Channel(site, index) if place is None else neuron(site, index, position=place)
    operator, left, right = tree[0], build(tree[1]), build(tree[2])
    if operator == "/":
        return left if isinstance(right, float) and abs(right) < 1e-6 else left / right
    return (
        {"+": left.__add__, "-": left.__sub__, "*": left.__mul__}[operator](right)
        if isinstance(left, Objective)
        else {"+": right.__radd__, "-": right.__rsub__, "*": right.__rmul__}[operator](left)
    )


def spelled(tree):
    """The text of a tree, with all its parentheses."""
    if isinstance(tree, float):
        return repr(tree)
    if tree[0] == "unit":
        return build(tree).label
    return f"({spelled(tree[1])}) {tree[0]} ({spelled(tree[2])})"


@settings(deadline=None)
@given(trees)
def test_labels_read_back_as_equal_objectives(tree):
    made = build(tree)
    again = parse_expression(made.label)
    assert again == made
    assert again.label == made.label


@settings(deadline=None)
@given(trees.filter(lambda tree: "/" not in str(tree)))
def test_text_means_what_python_means(tree):
    assert parse_expression(spelled(tree)) == build(tree)


PIECES = (
    "a:1 b.0#1:2@3,4 x/0:4:2 a:* a:1-3 2 0.5 1e5 1e400 0 channel neuron( class_logit( site= index= "
    "position= center \" ' ( ) [ ] + - * / , : @ # . = \\"
)
pieces = st.lists(st.sampled_from([*PIECES.split(), " ", "\n", "'q c:1'"]), max_size=25).map(
    "".join
)


@settings(deadline=None)
@given(st.text() | pieces)
@example("(" * 10_000)
@example("-" * 10_000 + "a:1")
@example("a:1+" * 300 + "a:1")
@example("a:1@1,2" * 3_000)
@example("'" * 3)
@example("a#" + "9" * 5000 + ":1 + 1")
@example("a/" + "9" * 5000 + ":9:1 + 1")
def test_every_text_gives_an_objective_or_an_error(text):
    try:
        made = parse_expression(text)
    except (ObjectiveError, UnitError):
        return
    assert parse_expression(made.label) == made


TABLE = small_model().site_table((32, 32))


@settings(deadline=None)
@given(st.text() | pieces | pieces.map(lambda text: text.replace("a:", "late:")))
@example("late:" + "9" * 5000)
@example("late#" + "9" * 5000 + ":1")
@example("late/" + "9" * 5000 + "::1")
def test_every_text_gives_objectives_or_an_error_of_the_network(text):
    try:
        made = text_to_objectives(text, TABLE)
    except (ObjectiveError, SiteError, UnitError):
        return
    assert all(isinstance(objective, Objective) for objective in made)


# ---- in a network ----


def test_a_leading_minus_is_literal_in_an_expression_only():
    assert [o.label for o in text_to_objectives("-block:1", TABLE)] == ["-block.pre:1"]
    assert text_to_objectives("(-block:1)", TABLE) == [-channel("block", 1)]
    assert text_to_objectives("-block:1 + late:1", TABLE) == [
        -channel("block", 1) + channel("late", 1)
    ]
    assert len(text_to_objectives("late:*", TABLE)) == 4


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("late:1 + lat:2", SiteError, "unknown site 'lat' .* did you mean 'late'"),
        ("late:1 + late:9", UnitError, "channel 9 is out of range in 'late:9'"),
        ("late:1 * late:1@9,9", UnitError, r"position \(9, 9\) is out of range"),
        (
            "late:1-block:2",
            UnitError,
            "'late:1-block:2' is not one unit; .* write spaces around it",
        ),
        ("late:1/late:2", UnitError, "is not one unit; if - or / is meant as arithmetic"),
    ],
)
def test_errors_of_the_network(text, error, message):
    with pytest.raises(error, match=message):
        list_labels(small_model(), text, config=RenderConfig(size=32))


def test_a_text_renders_as_the_objective():
    quick = {"steps": 2, "size": 32, "precision": "float32"}
    text = "late:0 - 0.5*block:1"
    made = channel("late", 0) - 0.5 * channel("block", 1)
    as_text = featviz.render(small_model(), text, **quick)
    assert torch.equal(as_text.images, featviz.render(small_model(), made, **quick).images)
    assert as_text.labels == (text,)
    assert json.loads(json.dumps(as_text.record["request"]["objectives"])) == [text]


# ---- registering ----


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(calls, "TEXT_FUNCTIONS", dict(calls.TEXT_FUNCTIONS))
    monkeypatch.setattr("featviz.objectives.expression.TEXT_FUNCTIONS", calls.TEXT_FUNCTIONS)


@pytest.mark.usefixtures("registry")
def test_arguments_are_read_by_annotation():
    got = {}

    def everything(
        site: str,
        unit: Unit,
        term: Objective,
        *,
        module: nn.Module | None = None,
        power: float = 1.0,
        count: int | None = None,
        flat: bool = False,
        kind: Literal["l1", "l2"] = "l1",
        weights: list[float] | None = None,
        pair: tuple[str, int] = ("a", 1),
    ) -> Objective:
        del module
        got.update(locals())
        return term

    register_text("everything", everything)
    made = parse_expression(
        "2 * everything(0/0:4, a:1@2,3, (a:1 + 2) * b:2, power=-1.5e-2, count=3, flat=true, "
        "kind=l2, weights=[1, -2.5], pair=[b, 2])"
    )
    assert made == 2 * ((A + 2) * B)
    assert got["site"] == "0/0:4"
    assert got["unit"] == Unit("a", 1, (2, 3))
    assert (got["power"], got["count"], got["flat"], got["kind"]) == (-0.015, 3, True, "l2")
    assert tuple(got["weights"]) == (1.0, -2.5)
    assert got["pair"] == ("b", 2)
    for argument, said in (
        ("power=x", "'power' of everything must be a number; got 'x'"),
        ("power=1e999", "must be a number"),
        ("flat=1", "must be true or false"),
        ("kind=l3", "must be 'l1' or 'l2'; got 'l3'"),
        ("weights=1", r"must be a list such as \[1, 2\]"),
        ("module=x", "everything has no 'module'"),
    ):
        with pytest.raises(ObjectiveError, match=said):
            parse_expression(f"everything(a, a:1, a:1, {argument})")
    for arguments, said in (
        ("a, a:1-3, a:1", "must be one unit such as 'fire4:5'; got 'a:1-3'"),
        ("a, a, a:1", "must be one unit such as"),
        ("a, a:1, 3", "must be an objective"),
    ):
        with pytest.raises(ObjectiveError, match=said):
            parse_expression(f"everything({arguments})")


@pytest.mark.usefixtures("registry")
def test_calls_nest_and_errors_of_factories_are_placed():
    def doubled(term: Objective) -> Objective:
        return 2 * term

    def refused(power: float = 1) -> Objective:
        raise ObjectiveError(f"power must be 0 or more, got {power:g}")

    register_text("doubled", doubled)
    register_text("refused", refused)
    assert parse_expression("doubled(doubled(a:1) - 1)") == 2 * (2 * A - 1)
    with pytest.raises(ObjectiveError, match=r"power must be 0 or more, got -1\n  a:1 \+ refused"):
        parse_expression("a:1 + refused(-1)")
    deep = "doubled(" * 60 + "a:1" + ")" * 60
    with pytest.raises(ObjectiveError, match="this nests too deep"):
        parse_expression(deep)


@pytest.mark.usefixtures("registry")
def test_what_cannot_be_registered():
    def of_a_module(module: nn.Module) -> Objective:
        return channel(type(module).__name__, 1)

    def of_many(*sites: str) -> Objective:
        return channel(sites[0], 1)

    for name, factory, said in (
        ("channel", channel, "cannot register 'channel': it is taken"),
        ("two words", channel, "or not a Python identifier"),
        ("of_a_module", of_a_module, "its parameter 'module' has no default and cannot be written"),
        ("of_many", of_many, "its parameter 'sites'"),
    ):
        with pytest.raises(ObjectiveError, match=said):
            register_text(name, factory)


def test_the_docstring_tells_no_lies():
    text = re.sub(r"\s+", " ", featviz.objectives.expression.__doc__)
    for quoted in ("a:5 -b:6", "2-a:5", "1/a:5", "-a:1 * b:2", '"my conv*:3" * 1'):
        assert quoted.removesuffix(" * 1") in text
        assert parse_expression(quoted)
    assert parse_expression("-a:1 * b:2") == parse_expression("-(a:1 * b:2)")


@pytest.mark.parametrize(
    "text",
    [
        "fire4:5 + 100*diversity(fire4)",
        "alignment(fire4, decay=3.1)",
        "interpolation(fire4, 5, 9)",
        "deepdream(layer2.0)",
        "fire4:5 + 0.1*total_variation() + l1() + l2(center=0.123456789)",
        "fire4:5 + blur() - 2*boundary(7)",
    ],
)
def test_every_registered_function_reads_back(text):
    made = parse_expression(text)
    assert parse_expression(made.label) == made
    assert made.label == text
