import pytest
import torch

from featviz.borrowing import borrowed
from nets import small_net


def state(network):
    return (
        [m.training for m in network.modules()],
        [p.requires_grad for p in network.parameters()],
        torch.get_rng_state().tolist(),
    )


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_everything_is_as_before(error):
    network = small_net().train()
    network.block.eval()
    network.late.requires_grad_(False)
    torch.rand(3)
    before = state(network)
    try:
        with borrowed(network):
            assert not any(m.training for m in network.modules())
            assert not any(p.requires_grad for p in network.parameters())
            torch.rand(5)
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert state(network) == before


def test_networks_that_draw_numbers_draw_the_same():
    network = small_net()
    with borrowed(network):
        first = torch.rand(3)
    with borrowed(network):
        assert torch.equal(torch.rand(3), first)
