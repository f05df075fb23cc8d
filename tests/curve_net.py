"""A small hand-built network of curve detectors, for tests: Gabors, phases, lines, curves, curves.

Made by formula, in float64: 18 lines of angle 90 - 10 j degrees, 24 curves of orientation 15 i,
whose centre lies in direction 180 - 15 i. Angles are mathematical (y up), kernels
are rows from above.
"""

import math

import torch
from torch import Tensor, nn

LINES = torch.deg2rad(90 - 10.0 * torch.arange(18, dtype=torch.float64))
CURVES = torch.deg2rad(15.0 * torch.arange(24, dtype=torch.float64))


def grid(side: int) -> tuple[Tensor, Tensor]:
    """x to the right and y up of each cell of a kernel, 0 at its centre."""
    steps = torch.arange(side, dtype=torch.float64) - side // 2
    y, x = torch.meshgrid(-steps, steps, indexing="ij")
    return x, y


def gabors() -> Tensor:
    x, y = grid(7)
    kernels = []
    for angle in LINES.tolist():
        across = -x * math.sin(angle) + y * math.cos(angle)
        envelope = torch.exp(-(x**2 + y**2) / (2 * 2.4**2))
        for phase in range(4):
            kernel = envelope * torch.cos(2 * math.pi * 0.286 * across + phase * math.pi / 2)
            kernel = kernel - kernel.mean()
            kernels.append(kernel / kernel.abs().sum())
    return torch.stack(kernels)[:, None]


def phases() -> Tensor:
    return torch.kron(torch.eye(18, dtype=torch.float64), torch.ones(1, 4)) - 0.5 / 18


def tile_form(s: Tensor, turn: Tensor) -> Tensor:
    """Excite lines along a path at distance s, inhibit those across it."""
    profile = torch.where(s.abs() < 1.2, 1.1 * torch.cos(math.pi * s / 2.4) ** 2 - 0.1, -0.1)
    across = turn.sin().abs() ** 5 * torch.exp(-(s**2) / 0.5)
    return profile * turn.cos().abs() ** 5 - 0.6 * across


def lines() -> Tensor:
    x, y = grid(3)
    across = -x * LINES.sin().view(-1, 1, 1) + y * LINES.cos().view(-1, 1, 1)
    turn = LINES.view(1, 18, 1, 1) - LINES.view(18, 1, 1, 1)
    return tile_form(across[:, None], turn)


def from_centre(side: int, radius: float) -> tuple[Tensor, Tensor]:
    """Distance from the arc through the kernel's centre, and direction from the arc's centre."""
    x, y = grid(side)
    centre = (math.pi - CURVES).view(-1, 1, 1)
    dx, dy = x - radius * centre.cos(), y - radius * centre.sin()
    return torch.hypot(dx, dy) - radius, torch.atan2(dy, dx)


def early_curves() -> Tensor:
    s, direction = from_centre(3, 3.0)
    tangent = direction + math.pi / 2
    return tile_form(s[:, None], LINES.view(1, 18, 1, 1) - tangent[:, None])


def arcs() -> Tensor:
    """The closed formula of the curve block, [to from y x]."""
    s, direction = from_centre(5, 7.0)
    # A curve bulges away from its centre: seen from there it lies in direction -theta.
    turn = (math.pi - CURVES).view(1, 24, 1, 1) - (direction[:, None] + math.pi)
    g = 1.1 * torch.exp(-(s**2) / (2 * 0.65**2)) - 0.1
    excite = g[:, None] * turn.cos().clamp(min=0) ** 6
    inhibit = 1.1 * g.clamp(min=0)[:, None] * (-turn.cos()).clamp(min=0) ** 6
    return (excite - inhibit).clamp(-1, 1)


class CurveNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gabors = nn.Conv2d(1, 72, 7, stride=2, padding=3, bias=False)
        self.phases = nn.Conv2d(72, 18, 1, bias=False)
        self.lines = nn.Conv2d(18, 18, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.early = nn.Conv2d(18, 24, 3, padding=1, bias=False)
        self.arcs = nn.Conv2d(24, 24, 5, padding=2, bias=False)
        self.line_map, self.early_map, self.arc_map = nn.ReLU(), nn.ReLU(), nn.ReLU()
        kernels = (gabors(), phases()[..., None, None], lines(), early_curves(), arcs())
        self.double()
        layers = (self.gabors, self.phases, self.lines, self.early, self.arcs)
        with torch.no_grad():
            for layer, kernel in zip(layers, kernels, strict=True):
                layer.weight.copy_(kernel)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.phases(torch.relu(self.gabors(x))))
        x = self.pool(self.line_map(self.lines(x)))
        return self.arc_map(self.arcs(self.early_map(self.early(x))))


def arc_image(theta: float, *, radius: float = 28.0, side: int = 96) -> Tensor:
    """A dark arc through the centre of a grey image, [1 h w], for a curve of orientation theta."""
    fine = 4
    step = (torch.arange(side * fine, dtype=torch.float64) + 0.5) / fine - side / 2
    y, x = torch.meshgrid(-step, step, indexing="ij")
    centre = math.pi - theta
    dx, dy = x - radius * math.cos(centre), y - radius * math.sin(centre)
    away = torch.atan2(dy, dx) - (centre + math.pi)
    along = radius * torch.atan2(away.sin(), away.cos()).abs()
    dark = ((torch.hypot(dx, dy) - radius).abs() < 0.75) & (along < 28)
    image = -0.76 * dark.double()
    return nn.functional.avg_pool2d(image[None], fine)


def tangent_errors(kernel: Tensor) -> Tensor:
    """Degrees between the line angle that 24 units of [o 18 kh kw] prefer and their tangent.

    The preference is the doubled-angle mean of the positive weights.
    """
    mass = kernel.double().clamp(min=0).sum((2, 3))
    angle = torch.atan2(mass @ (2 * LINES).sin(), mass @ (2 * LINES).cos()) / 2
    off = torch.rad2deg(angle - (math.pi / 2 - CURVES)) % 180
    return torch.minimum(off, 180 - off)
