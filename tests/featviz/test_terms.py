"""Terms of an objective: they add up to its score, step by step and in the end."""

import json

import pytest
import torch

from featviz.objectives import (
    channel,
    diversity,
    facet,
    neuron,
    term_labels,
    term_scores,
    total_variation,
)
from featviz.record import command, read_record
from featviz.rendering import render
from nets import small_model

SETTINGS = {"steps": 5, "precision": "float32", "progress": False, "terms": True}
FACED = facet(channel("late", 0), "block", [1.0] * 8) + 0.5 * channel("late", 1)
MIXED = channel("late", 0) + 0.5 * channel("block", 1) - 2 * total_variation() + 3


@pytest.fixture
def model():
    return small_model()


def total(terms):
    return torch.stack(list(terms.values())).sum(0)


def test_labels():
    assert term_labels(MIXED) == ("late:0", "0.5*block:1", "-2*total_variation()", "3")
    assert term_labels(channel("late", 0)) == ("late:0",)
    product = channel("late", 0) * neuron("block", 1)
    assert term_labels(product) == (product.label,)
    assert term_labels(2 * product) == (f"2*({product.label})",)


def test_each_term_is_its_weight_times_its_score(model):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        acts = {"image": images, **model.record(images, ["late", "block"])}
    found = term_scores(MIXED, acts)
    expected = [
        acts["late"][:, 0].mean((1, 2)),
        0.5 * acts["block"][:, 1].mean((1, 2)),
        -2 * total_variation().score(acts),
        torch.full((2,), 3.0),
    ]
    assert torch.allclose(torch.stack(found), torch.stack(expected))


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        ([MIXED, "block:2", channel("late", 1) * channel("late", 2)], {}),
        ([MIXED, channel("late", 1) + channel("block", 2)], {"images": 2, "diversity": 0.5}),
        ([MIXED], {"start": torch.rand(3, 32, 32), "keep": 1.0}),
        ([MIXED + diversity("late"), "late:1"], {"images": 3}),
        ([MIXED], {"transforms": "crops:3"}),
        ([MIXED], {"optimiser": "lbfgs", "redirect_steps": 0}),
        ([MIXED, "late:1"], {"patience": 1, "min_delta": 0.9, "redirect_steps": 0}),
        ([MIXED], {"alpha": 1.0}),
        ([FACED, "late:1"], {}),
        ([FACED], {"images": 2, "diversity": 0.5, "alpha": 1.0, "transforms": "crops:2"}),
        # Batches begin and end between the images of one objective.
        ([MIXED, channel("late", 1) + channel("block", 2)], {"images": 3, "batch": 2}),
    ],
    ids=[
        *("mixed", "diverse", "near", "joint", "views", "lbfgs", "stopping"),
        *("alpha", "facet", "facet with all", "batches"),
    ],
)
def test_they_add_up(model, targets, options):
    result = render(model, targets, **SETTINGS, **options)
    assert len(result.terms) == len(result)
    for terms, history in zip(result.terms, result.history, strict=True):
        assert torch.allclose(total(terms), history, rtol=1e-4, atol=1e-4, equal_nan=True)
    names = {"diversity", "keep", "alpha"} & options.keys()
    assert all(names <= terms.keys() for terms in result.terms)
    if not names:
        for entry in result.record["images"]:
            assert sum(entry["terms"].values()) == pytest.approx(entry["score"], abs=1e-4)


def test_keeping_them_changes_no_image(model):
    options = {**SETTINGS, "images": 2, "diversity": 0.5}
    kept, plain = (render(model, MIXED, **{**options, "terms": t}) for t in (True, False))
    assert torch.equal(kept.images, plain.images)
    assert torch.equal(kept.history, plain.history)
    assert plain.terms == ({}, {})
    assert "terms" not in plain.record["images"][0]


def test_terms_that_read_the_same_are_added_up(model):
    twice = channel("late", 0) + channel("late", 0)
    (terms,) = render(model, twice, **SETTINGS).terms
    assert list(terms) == ["late:0"]
    (plain,) = render(model, channel("late", 0) + 0 * channel("late", 1), **SETTINGS).terms
    assert terms["late:0"][0] != plain["late:0"][0]


def test_the_record_has_them(model, tmp_path):
    model.arguments = ("small",)
    result = render(model, "late:0 - 0.5*block:1", **SETTINGS)
    (path,) = result.save(tmp_path)
    record = json.loads(json.dumps(read_record(path)))
    assert list(record["image"]["terms"]) == ["late:0", "-0.5*block:1"]
    assert " --terms -o out/" in command(record)
