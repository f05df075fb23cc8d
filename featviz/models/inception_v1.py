"""Inception v1 as trained for TensorFlow's tutorials: the network of Lucid and the Circuits papers.

Layers, units and numbering are theirs (`mixed4a:476`): 508 channels at mixed4a, 1008 outputs.
Keys are those of the checkpoint that torch-lucent uses.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from featviz.models.spec import ModelSpec, Preprocess, SiteAlias, WeightsSource, register_model
from featviz.models.weight_files import cached_file, download, local_file

if TYPE_CHECKING:
    from torch import Tensor, nn

_URL = "https://github.com/ProGamerGov/pytorch-old-tensorflow-models/raw/master/inception5h.pth"
_FILENAME = "inception5h.pth"
_GIT_BLOB = "119f77db85c8352960933e025312b507d9a96ed7"
_STEM = ("conv2d0", "conv2d1", "conv2d2")
_BLOCKS = {
    "mixed3a": (64, 96, 128, 16, 32, 32),
    "mixed3b": (128, 128, 192, 32, 96, 64),
    "mixed4a": (192, 96, 204, 16, 48, 64),
    "mixed4b": (160, 112, 224, 24, 64, 64),
    "mixed4c": (128, 128, 256, 24, 64, 64),
    "mixed4d": (112, 144, 288, 32, 64, 64),
    "mixed4e": (256, 160, 320, 32, 128, 128),
    "mixed5a": (256, 160, 320, 48, 128, 128),
    "mixed5b": (384, 192, 384, 48, 128, 128),
}


def _build() -> "nn.Module":
    from featviz.models.inception_net import InceptionNet, Layout
    from featviz.models.weights import seeded_init

    layout = Layout(
        stem=_STEM,
        blocks=_BLOCKS,
        branches=("1x1", "3x3_bottleneck", "3x3", "5x5_bottleneck", "5x5", "pool_reduce"),
        pools={"mixed3a": "maxpool1", "mixed4a": "maxpool4", "mixed5a": "maxpool10"},
        first_pool="maxpool0",
        norms=("localresponsenorm0", "localresponsenorm1"),
        norm_size=9,
        norm_beta=0.5,
        # TensorFlow's SAME padding of an even image at stride 2.
        first_pad=(2, 3, 2, 3),
        average="avgpool0",
        classifier="softmax2_pre_activation_matmul",
        classes=1008,
    )
    with seeded_init():
        return InceptionNet(layout)


def _locate() -> Path | None:
    return local_file(_FILENAME) or cached_file(_FILENAME)


def _load(path: Path | None) -> "dict[str, Tensor]":
    from featviz.models.weights import read_state_dict

    file = path or local_file(_FILENAME)
    if file is None:
        file = download(_URL, filename=_FILENAME, git_blob=_GIT_BLOB)
    return read_state_dict(file)


INCEPTIONV1 = register_model(
    ModelSpec(
        name="inceptionv1",
        build=_build,
        preprocess=Preprocess(mean=(117.0,), scale=255.0),
        sites=(
            *(SiteAlias(name, (name,)) for name in (*_STEM, *_BLOCKS)),
            SiteAlias("logits", ("",)),
        ),
        weights=WeightsSource(
            origin=_URL,
            licence="Apache-2.0",
            locate=_locate,
            load=_load,
            git_blob=_GIT_BLOB,
        ),
        summary="Inception v1 of Lucid and the Circuits papers, with their unit numbers",
    )
)
