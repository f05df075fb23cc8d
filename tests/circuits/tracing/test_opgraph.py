from collections.abc import Iterator
from itertools import combinations

import pytest
import torch

from circuits.expansion.expand import expand
from circuits.expansion.raw_weights import first_obstacle, raw_weights
from circuits.tracing.opgraph import OpGraph, Tracing, record_between
from featviz.errors import CircuitError, SiteError
from featviz.models import Model
from nets import small_model

SITES = ("stem", "pool", "block", "branches", "logits")


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture(scope="module")
def tracing(model: Model) -> Tracing:
    return Tracing(model, SITES)


def told(graph: OpGraph) -> Iterator[object]:
    """Yield what a graph says, values by their numbers."""
    yield graph.sources, graph.targets, graph.order, graph.size, graph.dtype, graph.between
    for operation in graph.operations:
        yield operation.index, operation.signature(), operation.outputs, operation.path


@pytest.mark.parametrize("pair", list(combinations(SITES, 2)))
def test_one_tracing_gives_what_each_pair_alone_gives(
    model: Model, tracing: Tracing, pair: tuple[str, str]
) -> None:
    alone = record_between(model, *pair)
    assert list(told(tracing.between(*pair))) == list(told(alone))
    assert tracing.reads(*pair)
    assert not tracing.reads(*reversed(pair))


def test_a_site_does_not_read_itself(tracing: Tracing) -> None:
    assert not tracing.reads("block", "block")
    with pytest.raises(CircuitError, match=r"'block' and 'block' in .* are the same place"):
        tracing.between("block", "block")
    with pytest.raises(CircuitError, match="'block' comes after 'pool'"):
        tracing.between("block", "pool")


def test_weights_of_what_was_traced(model: Model, tracing: Tracing) -> None:
    pairs = list(combinations(SITES, 2))
    adjacent = [pair for pair in pairs if first_obstacle(tracing.between(*pair)) is None]
    assert 0 < len(adjacent) < len(pairs)
    for pair in pairs:
        make = raw_weights if pair in adjacent else expand
        one, other = make(model, *pair), make(model, *pair, traced=tracing.between(*pair))
        assert torch.equal(one.kernel, other.kernel)
        assert (one.offset, one.stride, one.notes) == (other.offset, other.stride, other.notes)


def test_what_was_traced_must_be_what_is_asked_for(model: Model, tracing: Tracing) -> None:
    way = tracing.between("pool", "block")
    h, w = way.size
    said = (
        f"what was traced lies between 'pool' and 'block' at {h}x{w} px, and 'stem' to 'block' is "
        "asked for; give the same sites and no size, or leave traced out"
    )
    with pytest.raises(CircuitError, match=said):
        raw_weights(model, "stem", "block", traced=way)
    with pytest.raises(CircuitError, match=f"is asked for at {2 * h}x{w} px"):
        expand(model, "pool", "block", size=(2 * h, w), traced=way)
    assert torch.equal(
        expand(model, "pool", "block", size=way.size, traced=way).kernel,
        expand(model, "pool", "block").kernel,
    )


def test_sites_that_are_none(model: Model) -> None:
    with pytest.raises(SiteError, match="unknown site 'stern'"):
        Tracing(model, ["stem", "stern"])
