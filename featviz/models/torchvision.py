"""`torchvision:NAME`: every classification model of torchvision, by its own metadata."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featviz.errors import ModelError, did_you_mean
from featviz.models.spec import ModelSpec, Preprocess, WeightsSource
from featviz.models.weight_files import cached_file, download, local_file, verify

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torchvision.models import Weights

PREFIX = "torchvision:"
# What the published weights of these two were trained with, except their auxiliary classifiers,
# which run in training only; the slow initialisation of their builders is left out.
_BUILD_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"init_weights": False, "transform_input": True, "aux_logits": False}
    for name in ("googlenet", "inception_v3")
}
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def list_names() -> list[str]:
    """Return the names of torchvision's classification models, sorted, without the prefix."""
    from torchvision import models

    return sorted(models.list_models(module=models))


def torchvision_spec(name: str) -> ModelSpec:
    """Return the spec of a torchvision model; preprocessing is that of its default weights.

    Args:
        name: Name in torchvision, without the prefix.

    Raises:
        ModelError: If torchvision has no such classification model.
    """
    from torchvision import models

    names = list_names()
    if name not in names:
        raise ModelError(
            f"torchvision has no classification model {name!r}{did_you_mean(name, names)} "
            "'featviz models torchvision' lists all"
        )
    weights = models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    (side,) = transforms.crop_size
    return ModelSpec(
        name=PREFIX + name,
        build=partial(_build, name),
        preprocess=Preprocess(mean=tuple(transforms.mean), std=tuple(transforms.std)),
        size=(side, side),
        labels=lambda: tuple(weights.meta["categories"]),
        weights=WeightsSource(
            origin=weights.url,
            licence=weights.meta.get("license", "BSD-3-Clause"),
            locate=partial(_locate, weights),
            load=partial(_load, name, weights),
        ),
        summary=f"{name} of torchvision, {weights.name}",
    )


def _build(name: str) -> "nn.Module":
    from torchvision import models

    from featviz.models.weights import seeded_init

    with seeded_init():
        network: nn.Module = models.get_model(name, weights=None, **_BUILD_OPTIONS.get(name, {}))
    return network


def _locate(weights: "Weights") -> Path | None:
    import torch

    filename = Path(weights.url).name
    # Weights that torchvision itself has downloaded need not be fetched again.
    hub = Path(torch.hub.get_dir(), "checkpoints", filename)
    return local_file(filename) or (hub if hub.is_file() else cached_file(filename))


def _load(name: str, weights: "Weights", path: Path | None) -> "dict[str, Tensor]":
    from featviz.models.weights import read_state_dict

    # torchvision ends each file name with the first digits of the file's SHA-256.
    filename = Path(weights.url).name
    digits = filename.removesuffix(".pth").rpartition("-")[2]
    file = path or _locate(weights)
    if file is None:
        file = download(weights.url, filename=filename, sha256=digits)
    elif path is None:
        verify(file, sha256=digits)
    state = read_state_dict(file)
    if name in _BUILD_OPTIONS:
        state = {k: v for k, v in state.items() if not k.startswith(_AUXILIARY)}
    return state
