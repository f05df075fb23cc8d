"""`timm:NAME`: every model of timm, by its own pretrained configuration."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featviz.errors import ModelError, WeightsError, did_you_mean
from featviz.models.spec import ModelSpec, Preprocess, WeightsSource
from featviz.models.weight_files import FOLDER_VARIABLE, local_file

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIX = "timm:"


def list_names() -> list[str]:
    """Return the names of timm's architectures, sorted, without the prefix.

    Each also takes a tag of its pretrained weights, `resnet50.a1_in1k`.
    """
    import timm

    return sorted(timm.list_models())


def timm_spec(name: str) -> ModelSpec:
    """Return the spec of a timm model, from the configuration of its pretrained weights.

    Args:
        name: Name in timm, with or without a tag, without the prefix.

    Raises:
        ModelError: If timm has no such model or tag, or its input is no image.
    """
    config = _config(name)
    channels, height, width = config.input_size
    return ModelSpec(
        name=PREFIX + name,
        build=partial(_build, name),
        preprocess=Preprocess(mean=tuple(config.mean), std=tuple(config.std)),
        size=(height, width),
        channels=channels,
        labels=_labels_of(config),
        weights=WeightsSource(
            origin=_origin(config),
            licence=config.license or "unknown",
            locate=partial(_locate, name, config),
            load=partial(_load, name, config),
        ),
        summary=f"{name} of timm",
    )


def _config(name: str) -> Any:
    """Return timm's configuration of a name, or raise ModelError."""
    import timm
    from timm.models import get_pretrained_cfg, list_pretrained

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise ModelError(
            f"timm has no model {name!r}{did_you_mean(architecture, timm.list_models())} "
            "'featviz models timm' lists all"
        )
    tagged = list_pretrained(f"{architecture}.*")
    if tag and name not in tagged:
        raise ModelError(
            f"timm has no weights {name!r}{did_you_mean(name, tagged)} it has "
            f"{', '.join(tagged) or 'none'} of {architecture!r}"
        )
    config = get_pretrained_cfg(name)
    if config is None or config.input_size is None or len(config.input_size) != 3:
        raise ModelError(f"timm does not say what images {name!r} takes; write a factory for it")
    return config


def _origin(config: Any) -> str:
    if config.hf_hub_id:
        return f"https://huggingface.co/{config.hf_hub_id}"
    return config.url or "no published weights"


def _labels_of(config: Any) -> partial[tuple[str, ...]] | None:
    from timm.data.imagenet_info import infer_imagenet_subset

    subset = infer_imagenet_subset(config)
    return partial(_labels, subset) if subset else None


def _labels(subset: str) -> tuple[str, ...]:
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(k) for k in range(info.num_classes()))  # type: ignore[no-untyped-call]


def _build(name: str) -> "nn.Module":
    import timm

    from featviz.models.weights import seeded_init

    with seeded_init():
        network: nn.Module = timm.create_model(name, pretrained=False)
    return network


def _locate(name: str, config: Any) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if file := local_file(f"{name}.safetensors"):
        return file
    if not config.hf_hub_id:
        return None
    cached = try_to_load_from_cache(config.hf_hub_id.partition("@")[0], "model.safetensors")
    return Path(cached) if isinstance(cached, str) else None


def _load(name: str, config: Any, path: Path | None) -> "dict[str, Tensor]":
    import timm

    from featviz.models.weights import read_state_dict, seeded_init

    file = path or local_file(f"{name}.safetensors")
    if file is not None:
        return read_state_dict(file)
    if not config.has_weights:
        raise WeightsError(
            f"timm has no published weights of {name!r}; give --weights FILE, or --weights random"
        )
    try:
        # timm's own way: it knows where the file is and how old keys are renamed, and reads
        # safetensors, or else torch.load(weights_only=True).
        with seeded_init():
            network = timm.create_model(name, pretrained=True)
    # The hub, the network and timm each have exceptions of their own.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(
            f"cannot get the weights of 'timm:{name}' from {_origin(config)}: {reason}; fetch them "
            f"by hand and give --weights FILE, or put them as {name}.safetensors into the folder "
            f"that {FOLDER_VARIABLE} names"
        ) from error
    return dict(network.state_dict())
