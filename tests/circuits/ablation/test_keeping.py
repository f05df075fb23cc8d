import pytest
import torch
from torch import nn

from circuits.ablation.keeping import channel_means, keep_only
from featviz.errors import CircuitError, UnitError
from featviz.models import Model, load
from nets import seeded


@pytest.fixture
def model() -> Model:
    return load(seeded(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())), size=8)


@pytest.mark.parametrize("channel", [-1, 4, 99])
def test_channels_that_there_are_not(model: Model, channel: int) -> None:
    with (
        pytest.raises(UnitError, match=f"channel {channel} is out of range: '0' has 4 channels"),
        keep_only(model, {"0": [0, channel]}),
    ):
        pass


def test_means_of_many_images_come_in_batches(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(37, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = model.record(images, ["0"])["0"].mean((0, 2, 3))
    sizes: list[int] = []
    record = Model.record

    def counted(self: Model, batch: torch.Tensor, sites: list[str]) -> dict[str, torch.Tensor]:
        sizes.append(len(batch))
        return record(self, batch, sites)

    monkeypatch.setattr(Model, "record", counted)
    assert torch.allclose(channel_means(model, images, ["0"])["0"], expected, atol=1e-6)
    assert sizes == [16, 16, 5]
    with pytest.raises(CircuitError, match="no images to take a mean over"):
        channel_means(model, images[:0], ["0"])
