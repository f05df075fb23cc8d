"""Small seeded networks that tests run."""

import torch
from torch import Tensor, nn

from featviz.models.model import Model
from featviz.models.spec import ModelSpec, Preprocess


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and statistic of a network seeded values, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator) * 0.3
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return network.eval()


class Block(nn.Module):
    """A residual block that calls one in-place ReLU twice, as torchvision's do."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


class Branches(nn.Module):
    """Two rectified branches, concatenated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, 5, 1)
        self.wide = nn.Conv2d(channels, 7, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.relu(self.narrow(x)), torch.relu(self.wide(x))], 1)


class TwoTensors(nn.Module):
    """Gives a tuple."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * 2, x * 3


class SmallNet(nn.Module):
    """Stem, pool, residual block, branches, tuple, classifier; 32 px and more."""

    def __init__(self, channels: int = 3, classes: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.block = Block(8)
        self.branches = Branches(8)
        self.pair = TwoTensors()
        self.late = nn.Conv2d(12, 4, 3)
        self.fc = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.norm(self.stem(x))))
        x, _ = self.pair(self.branches(self.block(x)))
        x = torch.relu(self.late(x))
        return self.fc(x.mean((2, 3)))


def small_net(channels: int = 3, seed: int = 0) -> SmallNet:
    """Return a seeded SmallNet in eval mode."""
    network = SmallNet(channels)
    seeded(network, seed)
    return network


def small_model(channels: int = 3, seed: int = 0, **preprocess: object) -> Model:
    """Return a Model around a seeded SmallNet."""
    spec = ModelSpec(
        name="small",
        build=lambda: small_net(channels, seed),
        preprocess=Preprocess(**preprocess),
        size=(32, 32),
        channels=channels,
    )
    return Model(small_net(channels, seed), spec, weights_origin="seeded")
