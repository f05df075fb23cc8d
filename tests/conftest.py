"""Fixtures for every test: a small network, the shared data folder, a clean environment."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

REPO = Path(__file__).resolve().parents[1]


class TinyCNN(nn.Module):
    """Three convolutions with what trips hooks: batch-norm, an in-place ReLU, a module used twice.

    Images of 32 px leave `block1` as 8 channels of 32 px, `block2` as 16 of 16 px, `conv3` as 16
    of 8 px. `relu` is called after `block2` and again after `conv3`.
    """

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.block1 = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.pool1 = nn.MaxPool2d(2)
        self.block2 = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.relu = nn.ReLU(inplace=True)
        self.pool2 = nn.AvgPool2d(2)
        self.conv3 = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.block1(x))
        x = self.pool2(self.relu(self.block2(x)))
        x = self.relu(self.conv3(x))
        return self.head(x.mean(dim=(2, 3)))


@pytest.fixture
def tiny_cnn() -> TinyCNN:
    """The same small network each time, in eval mode, its batch-norms far from the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TinyCNN()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                nn.init.normal_(module.running_mean, std=0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Photographs and weights that may not be redistributed, beside the checkout."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared (photographs, BVLC weights) is not beside the checkout")
    return folder


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches them."""
    for name in [name for name in os.environ if name.startswith("FEATVIZ_")]:
        monkeypatch.delenv(name)
