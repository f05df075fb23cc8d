import numpy as np
import pytest
import torch
from typecheck import unchecked

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.graphs.building import build_graph
from circuits.graphs.check import check_circuit
from circuits.graphs.probe import Probe, check_draws, varying_response
from featviz.errors import CircuitError
from nets import small_model


@pytest.mark.parametrize("draws", [0, -1, 1.5, True, "5", None])
def test_a_check_compares_with_something(draws: object) -> None:
    with pytest.raises(CircuitError, match=f"a whole number, 1 or more, got {draws!r}"):
        check_draws(draws)
    check_draws(np.int64(1))


def test_a_check_without_draws_is_refused() -> None:
    curves = featviz.load(ARTIFICIAL_CURVES.name)
    graph = build_graph(curves, "arcs:6", depth=1, keep=2)
    with unchecked(), pytest.raises(CircuitError, match="draws must be a whole number, 1 or more"):
        check_circuit(curves, graph, torch.rand(2, 3, 96, 96), draws=0)


def test_a_response_that_is_no_number_is_told() -> None:
    model = small_model()
    with torch.no_grad():
        next(model.module.parameters()).fill_(torch.nan)
    probe = Probe(model, "block:0", torch.rand(3, model.spec.channels, *model.spec.size))
    with pytest.raises(CircuitError, match=r"the activation of 'block' .* not finite .* so do the"):
        varying_response(probe)
