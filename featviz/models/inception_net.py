"""The network of the Inception v1 family (GoogLeNet), one class for all trainings of it.

A `Layout` holds what differs between trainings: names, widths, norm and padding. Every ReLU and
every concatenation is a module of its own, so each layer and each branch has a name before
(`NAME.pre`) and after its ReLU.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from featviz.models.local_response_norm import LocalResponseNorm

CONV_SUFFIX = "_pre_relu_conv"
# Output channels of: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, projection of the pool.
Widths = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Layout:
    """What differs between trainings of Inception v1.

    Attributes:
        stem: Names of the three layers before the blocks, which have 64, 64 and 192 channels.
        blocks: Block name -> widths, in network order.
        branches: Names of the six layers of a block, in the order of `Widths`.
        pools: Block name -> name of the pool before it.
        first_pool: Name of the pool after the first layer.
        norms: Names of the two norms, before the second and after the third layer.
        norm_size: Channels in the window of the norms.
        norm_beta: Exponent of the norms.
        first_pad: Padding of the first layer as (left, right, top, bottom), px.
        average: Name of the global average.
        classifier: Name of the last layer.
        classes: Its outputs.
    """

    stem: tuple[str, str, str]
    blocks: Mapping[str, Widths]
    branches: tuple[str, str, str, str, str, str]
    pools: Mapping[str, str]
    first_pool: str
    norms: tuple[str, str]
    norm_size: int
    norm_beta: float
    first_pad: tuple[int, int, int, int]
    average: str
    classifier: str
    classes: int


class Concat(nn.Module):
    """Joins branches along the channels; a module, so that the result has a name."""

    def forward(self, *branches: Float[Tensor, "b _ h w"]) -> Float[Tensor, "b c h w"]:
        """Return the joined branches."""
        return torch.cat(branches, dim=1)


class InceptionNet(nn.Module):
    """Inception v1, without its auxiliary classifiers; gives logits.

    Averages over the whole last map, so that it also takes images of other sizes.

    Args:
        layout: Names, widths, norm and padding.

    References:
        Szegedy et al. 2015, Going deeper with convolutions, table 1.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self._add_stem()
        channels = 192
        for block, widths in layout.blocks.items():
            if block in layout.pools:
                self.add_module(layout.pools[block], _downsampling_pool())
            channels = self._add_block(block, channels, widths)
        self.add_module(layout.average, nn.AdaptiveAvgPool2d(1))
        self.add_module(layout.classifier, nn.Linear(channels, layout.classes))

    def _add_stem(self) -> None:
        first, reduce, third = self.layout.stem
        norms = [
            LocalResponseNorm(self.layout.norm_size, alpha=1e-4, beta=self.layout.norm_beta)
            for _ in range(2)
        ]
        # Padded by hand in forward: it may be asymmetric.
        self._add_layer(first, 3, 64, kernel=7, stride=2, padding=0)
        self.add_module(self.layout.first_pool, _downsampling_pool())
        self.add_module(self.layout.norms[0], norms[0])
        self._add_layer(reduce, 64, 64, kernel=1)
        self._add_layer(third, 64, 192, kernel=3)
        self.add_module(self.layout.norms[1], norms[1])

    def _add_block(self, block: str, channels: int, widths: Widths) -> int:
        names = [f"{block}_{branch}" for branch in self.layout.branches]
        one, reduce3, three, reduce5, five, projection = names
        self._add_layer(one, channels, widths[0], kernel=1)
        self._add_layer(reduce3, channels, widths[1], kernel=1)
        self._add_layer(three, widths[1], widths[2], kernel=3)
        self._add_layer(reduce5, channels, widths[3], kernel=1)
        self._add_layer(five, widths[3], widths[4], kernel=5)
        self.add_module(f"{block}_pool", nn.MaxPool2d(3, stride=1, padding=1))
        self._add_layer(projection, channels, widths[5], kernel=1)
        self.add_module(block, Concat())
        return widths[0] + widths[2] + widths[4] + widths[5]

    def _add_layer(
        self,
        name: str,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        padding = kernel // 2 if padding is None else padding
        conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding)
        self.add_module(name + CONV_SUFFIX, conv)
        self.add_module(name, nn.ReLU())

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """Return the logits of preprocessed images."""
        layout = self.layout
        first, reduce, third = layout.stem
        x = self._layer(first, functional.pad(x, layout.first_pad))
        x = self._run(layout.norms[0], self._run(layout.first_pool, x))
        x = self._layer(third, self._layer(reduce, x))
        x = self._run(layout.norms[1], x)
        for block in layout.blocks:
            if block in layout.pools:
                x = self._run(layout.pools[block], x)
            x = self._block(block, x)
        return self._run(layout.classifier, self._run(layout.average, x).flatten(1))

    def _block(self, block: str, x: Tensor) -> Tensor:
        names = [f"{block}_{branch}" for branch in self.layout.branches]
        one, reduce3, three, reduce5, five, projection = names
        return self._run(
            block,
            self._layer(one, x),
            self._layer(three, self._layer(reduce3, x)),
            self._layer(five, self._layer(reduce5, x)),
            self._layer(projection, self._run(f"{block}_pool", x)),
        )

    def _layer(self, name: str, x: Tensor) -> Tensor:
        return self._run(name, self._run(name + CONV_SUFFIX, x))

    def _run(self, name: str, *inputs: Tensor) -> Tensor:
        output: Tensor = self.get_submodule(name)(*inputs)
        return output


def _downsampling_pool() -> nn.MaxPool2d:
    # Equal to TensorFlow's SAME padding of even maps: one row and column more, below and right.
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
