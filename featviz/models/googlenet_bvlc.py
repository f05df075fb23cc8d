"""GoogLeNet as trained by BVLC for Caffe: the Inception v1 family with Caffe's layer names.

The same architecture as `inceptionv1` but another training run: its units have other numbers.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from featviz.errors import WeightsError
from featviz.models.spec import ModelSpec, Preprocess, SiteAlias, WeightsSource, register_model
from featviz.models.weight_files import FOLDER_VARIABLE, local_file

if TYPE_CHECKING:
    from torch import Tensor, nn

_FILENAME = "googlenet_bvlc.safetensors"
_STEM = {"conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "conv2_reduce", "conv2/3x3": "conv2"}
_BRANCHES = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
_CLASSIFIER = "loss3/classifier"
_BLOCKS = {
    "inception_3a": (64, 96, 128, 16, 32, 32),
    "inception_3b": (128, 128, 192, 32, 96, 64),
    "inception_4a": (192, 96, 208, 16, 48, 64),
    "inception_4b": (160, 112, 224, 24, 64, 64),
    "inception_4c": (128, 128, 256, 24, 64, 64),
    "inception_4d": (112, 144, 288, 32, 64, 64),
    "inception_4e": (256, 160, 320, 32, 128, 128),
    "inception_5a": (256, 160, 320, 32, 128, 128),
    "inception_5b": (384, 192, 384, 48, 128, 128),
}


def _build() -> "nn.Module":
    from featviz.models.inception_net import InceptionNet, Layout
    from featviz.models.weights import seeded_init

    layout = Layout(
        stem=("conv1", "conv2_reduce", "conv2"),
        blocks=_BLOCKS,
        branches=_BRANCHES,
        pools={"inception_3a": "pool2", "inception_4a": "pool3", "inception_5a": "pool4"},
        first_pool="pool1",
        norms=("norm1", "norm2"),
        norm_size=5,
        norm_beta=0.75,
        first_pad=(3, 3, 3, 3),
        average="pool5",
        classifier="classifier",
        classes=1000,
    )
    with seeded_init():
        return InceptionNet(layout)


def caffe_to_own_key(key: str) -> str:
    """Return our name of a key with Caffe's layer name, `inception_3a/3x3.weight`.

    A key that is no Caffe key is returned as it is, so that our own keys load too.
    """
    from featviz.models.inception_net import CONV_SUFFIX

    layer, dot, kind = key.rpartition(".")
    if layer == _CLASSIFIER:
        return f"classifier.{kind}"
    if "/" not in layer:
        return key
    return _STEM.get(layer, layer.replace("/", "_")) + CONV_SUFFIX + dot + kind


def _locate() -> Path | None:
    return local_file(_FILENAME)


def _load(path: Path | None) -> "dict[str, Tensor]":
    from featviz.models.weights import read_state_dict

    file = path or _locate()
    if file is None:
        raise WeightsError(
            "no address is known for the weights of 'googlenet_bvlc'; give --weights FILE, or put "
            f"{_FILENAME} into the folder that {FOLDER_VARIABLE} names"
        )
    return {caffe_to_own_key(key): value for key, value in read_state_dict(file).items()}


def _labels() -> tuple[str, ...]:
    from torchvision.models import GoogLeNet_Weights

    return tuple(GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"])


def _sites() -> tuple[SiteAlias, ...]:
    listed = ("conv1", "conv2_reduce", "conv2", *_BLOCKS)
    browsable = (*(SiteAlias(name, (name,)) for name in listed), SiteAlias("logits", ("",)))
    short = (
        SiteAlias(block.removeprefix("inception_"), (block,), browsable=False) for block in _BLOCKS
    )
    branches = (
        SiteAlias(f"{block}/{branch}", (f"{block}_{branch}",), browsable=False)
        for block in _BLOCKS
        for branch in _BRANCHES
    )
    stem = (SiteAlias(caffe, (own,), browsable=False) for caffe, own in _STEM.items())
    return (*browsable, *short, *stem, *branches)


GOOGLENET_BVLC = register_model(
    ModelSpec(
        name="googlenet_bvlc",
        build=_build,
        preprocess=Preprocess(mean=(104.0, 117.0, 123.0), scale=255.0, channel_order="BGR"),
        sites=_sites(),
        labels=_labels,
        weights=WeightsSource(
            origin="BVLC, Caffe model zoo; a local file",
            licence="unrestricted use",
            locate=_locate,
            load=_load,
        ),
        summary="GoogLeNet of BVLC (Caffe), the same family with its own unit numbers",
    )
)
