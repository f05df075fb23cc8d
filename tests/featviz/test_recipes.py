"""Recipes for photographs, on a small network."""

import pytest
import torch

from featviz import recipes
from featviz.errors import ConfigError
from featviz.objectives import channel, deepdream, inversion, style
from featviz.recipes import dreaming
from nets import small_model

QUIET = {"progress": False}


def photo(seed=0, size=(96, 80)):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0] * 0.8 + 0.1


def score(model, objective, image):
    sites = [site for site in objective.sites if site != "image"]
    with torch.no_grad():
        found = model.record(image[None], sites)
        prepared = objective.prepared(model, size=tuple(image.shape[1:]))
        return float(prepared.score({"image": image[None], **found})[0])


def test_inversion_comes_nearer_than_another_photograph():
    model, wanted = small_model(), photo()
    (image,) = recipes.invert(model, "block", wanted, steps=80, **QUIET).images
    assert image.shape == wanted.shape
    goal = inversion("block", wanted)
    assert score(model, goal, image) > score(model, goal, photo(1)) / 2


def test_a_dream_excites_the_site_and_keeps_the_photograph():
    model, seen = small_model(), photo(size=(140, 132))
    result = recipes.dream(model, "block", seen, octaves=3, steps=8, **QUIET)
    assert result.images[0].shape == seen.shape
    goal = deepdream("block")
    assert score(model, goal, result.images[0]) > score(model, goal, seen)
    assert (result.images[0] - seen).square().mean() < seen.var() / 2


def test_accentuation_raises_the_unit_near_the_photograph():
    model, seen = small_model(), photo()
    steps: list[int] = []
    (image,) = recipes.accentuate(
        model,
        "block:1",
        seen,
        steps=24,
        callback=lambda moment: steps.append(moment.step),
        **QUIET,
    ).images
    assert steps == list(range(1, 25))
    goal = channel("block", 1)
    assert score(model, goal, image) > score(model, goal, seen)
    assert (image - seen).square().mean() < seen.var() / 2


def test_style_moves_from_one_texture_to_the_other():
    model, content, look = small_model(), photo(0), photo(1)
    result = recipes.transfer_style(
        model,
        content,
        look,
        content_site="late",
        style_sites=["stem", "block"],
        style_weight=5,
        steps=60,
        **QUIET,
    )
    goal = style("stem", look) + style("block", look)
    assert score(model, goal, result.images[0]) > score(model, goal, content)


def test_caricatures_start_from_noise():
    model, seen = small_model(), photo()
    result = recipes.exaggerate(model, "block", seen, steps=30, **QUIET)
    assert result.history[0, -5:].mean() > result.history[0, :5].mean()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (lambda m: recipes.dream(m, "block", photo(), octaves=0), "octaves must be 1 or more"),
        (lambda m: recipes.dream(m, "block", photo(), octaves=5), "the smallest of 5 octaves has"),
        (
            lambda m: recipes.transfer_style(
                m, photo(), photo(), content_site="late", style_sites=[]
            ),
            "at least one site",
        ),
    ],
)
def test_bad_input(recipe, message):
    with pytest.raises(ConfigError, match=message):
        recipe(small_model())


@pytest.mark.parametrize(
    ("octave", "step"), [(0, 2), (1, 0), (1, 3), (2, 0)], ids=["first", "between", "second", "last"]
)
def test_an_interrupted_dream_has_the_size_of_the_photograph(monkeypatch, octave, step):
    model, seen = small_model(), photo(size=(140, 132))
    plain = dreaming.render
    calls = []

    def stop(moment):
        if moment.step == step:
            raise KeyboardInterrupt

    def cut(*arguments, **options):
        calls.append(options["size"])
        if len(calls) <= octave:
            return plain(*arguments, **options)
        if step == 0:
            raise KeyboardInterrupt
        return plain(*arguments, callback=stop, **options)

    monkeypatch.setattr(dreaming, "render", cut)
    result = recipes.dream(model, "block", seen, octaves=3, steps=8, **QUIET)
    assert len(calls) == octave + 1
    assert result.interrupted
    assert result.images[0].shape == seen.shape
    assert result.record["ran"]["size"] == [140, 132]
    assert result.record["ran"]["interrupted"]
    assert result.score[0] == pytest.approx(
        score(model, deepdream("block"), result.images[0]), rel=1e-5
    )
    assert result.score[0] > score(model, deepdream("block"), seen)
    assert (result.images[0] - seen).square().mean() < seen.var() / 2


def test_a_dream_interrupted_before_its_first_step(monkeypatch):
    def cut(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(dreaming, "render", cut)
    with pytest.raises(KeyboardInterrupt):
        recipes.dream(small_model(), "block", photo(size=(140, 132)), octaves=2, **QUIET)
