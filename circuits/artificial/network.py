"""The module behind `artificial_curves`: four layers of detectors, wired by hand.

Its weights come from kernels.py (see model.py); built alone it has torch's random ones,
which serve as the control.
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.artificial import kernels as curve_kernels


class ArtificialCurves(nn.Module):
    """Curve detectors over curve detectors over lines over Gabors; no biases.

    Every layer ends in a ReLU, so each has a name before (`NAME.pre`) and after it. The curves and
    the lines of the fourth layer are layers of their own, joined before the last one.
    """

    def __init__(self) -> None:
        super().__init__()
        line, curve = len(curve_kernels.LINE_DEG), len(curve_kernels.CURVE_DEG)
        phase = len(curve_kernels.PHASE_DEG)
        self.gabors = _layer(3, line * phase, kernel=7, stride=2)
        self.phases = _layer(line * phase, line, kernel=1)
        self.lines = _layer(line, line, kernel=3)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.early_curves = _layer(line, curve, kernel=3)
        self.early_lines = _layer(line, line, kernel=3)
        self.arcs = _layer(curve + line, curve, kernel=5)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 24 h4 w4"]:
        """Return the curve detectors' maps, a quarter of the image's size.

        Args:
            images: 0 where nothing is, negative where there is ink.
        """
        pooled = self.pool(self.lines(self.phases(self.gabors(images))))
        early = torch.cat([self.early_curves(pooled), self.early_lines(pooled)], dim=1)
        arcs: Tensor = self.arcs(early)
        return arcs


def _layer(inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU()))


def formula_weights() -> dict[str, Tensor]:
    """Return the weights by formula as a state dict, float32.

    The first layer sees the mean of red, green and blue: a third of each Gabor a channel.
    """
    kernels = {
        "gabors": curve_kernels.gabors().repeat(3, axis=1) / 3,
        "phases": curve_kernels.phases(),
        "lines": curve_kernels.lines(),
        "early_curves": curve_kernels.early_curves(),
        "early_lines": curve_kernels.early_lines(),
        "arcs": curve_kernels.arcs(),
    }
    return {f"{name}.conv.weight": torch.from_numpy(k).float() for name, k in kernels.items()}
