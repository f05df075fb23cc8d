"""A drop-in `render_vis` for code written for Lucent, the PyTorch port of Lucid.

    from featviz.lucent import render_vis      # instead of lucent.optvis.render

Objectives and `param` functions made with Lucent run unchanged; Lucent need not be installed when
none are used. The objective, parameters, optimiser and transforms are the caller's, so this has a
loop of its own beside ascent.py; the network runs as there, up to the last layer that is read,
and is the same afterwards.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from featviz.borrowing import own_settings
from featviz.config import has_fast_bf16
from featviz.errors import ConfigError, ObjectiveError
from featviz.images import to_picture
from featviz.inference import InferenceCopy
from featviz.kept_memory import kept_memory
from featviz.models.load import load
from featviz.models.model import Model
from featviz.objectives import IMAGE, OUTSIDE, Channel, Objective, image_site, text_to_objectives
from featviz.params import Fourier
from featviz.sites import OUTPUT, SiteTable
from featviz.transforms import parse_transforms

# What Lucent applies to every network but its InceptionV1: torchvision's statistics of ImageNet.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# To the range -117..138 of Lucid's InceptionV1.
_INCEPTION_MEAN, _INCEPTION_STD = 117 / 255, 1 / 255

_SIZE_PX = 128
_LEARNING_RATE = 0.05
_REDIRECT_STEPS = 16
_INPUT = "input"
_LAYERS = {"labels": OUTPUT}

Hook = Callable[[str], Tensor]
"""Lucent's: layer name -> activation; `input` is the image, `labels` the output."""

Wanted: TypeAlias = str | Objective | Callable[[Hook], Tensor]
"""Text, an objective of featviz, or one of Lucent."""

# What Lucent reads: one channel, spaces around the colon, and names as the network spells them.
_TEXT = re.compile(r"\s*(\S+)\s*:\s*(\d{1,18})\s*\Z")


def render_vis(
    model: nn.Module | Model | str,
    objective_f: Wanted,
    param_f: Callable[[], tuple[Sequence[Tensor], Callable[[], Tensor]]] | None = None,
    optimizer: Callable[[Sequence[Tensor]], torch.optim.Optimizer] | None = None,
    transforms: Sequence[Callable[[Tensor], Tensor]] | None = None,
    thresholds: Sequence[int] = (512,),
    verbose: bool = False,
    preprocess: bool = True,
    progress: bool = True,
    show_image: bool = True,
    save_image: bool = False,
    image_name: str | None = None,
    show_inline: bool = False,
    fixed_image_size: int | None = None,
) -> list[NDArray[np.float32]]:
    """Render as Lucent 0.1.8 does, with its arguments in its order.

    What differs: the image is not enlarged to 224 px unless `fixed_image_size` says so; the
    network is frozen, in eval mode, hooked by nobody afterwards, and run no further than needed;
    a failing forward pass is an error, not a warning and a score of old activations; without
    `transforms` the image moves as by featviz's preset `lucid`.

    Args:
        model: A network, which gets ImageNet statistics as in Lucent (its InceptionV1: -117..138);
            or a featviz model or name, which brings its own preprocessing.
        objective_f: `layer:channel`; a featviz objective; or a function of a hook that returns
            what is minimised, such as Lucent's objectives.
        param_f: Returns parameters and a function from nothing to images [b c h w] in 0..1; None
            for one image of 128 px in Fourier coefficients.
        optimizer: From parameters to an optimiser; None for Adam at 0.05.
        transforms: Functions from images to images, applied in order; None for the preset.
        thresholds: Steps after which images are returned; the largest is the number of steps.
        verbose: Whether to print the loss at the thresholds.
        preprocess: Whether images are normalised for the network.
        progress: Whether to show a bar.
        show_image: Whether to open the last image in a viewer.
        save_image: Whether to write the last image.
        image_name: Where; None for `image.png`.
        show_inline: Whether to show the last image in a notebook instead.
        fixed_image_size: Side in pixels that the network sees.

    Returns:
        For each threshold reached, images as [b h w c], float32.

    Raises:
        ConfigError: If a threshold is below 1, or an objective that compares images is given one.
        SiteError: If a layer is unknown.
        UnitError: If a channel or position is out of range.
        ObjectiveError: If the objective reads no layer, names several units, or is a facet.
    """
    if not thresholds or min(thresholds) < 1:
        raise ConfigError(f"thresholds must be 1 or more, got {tuple(thresholds)}")
    loaded = _as_model(model, preprocess=preprocess)
    with own_settings():
        params, image_f = (param_f or (lambda: _fourier_image(loaded)))()
        run = _Run(loaded, objective_f, image_f, _movers(transforms, fixed_image_size))
        images = run.optimise(
            (optimizer or _adam)(params), thresholds, progress=progress, verbose=verbose
        )
    last = to_picture(torch.from_numpy(images[-1][0]).permute(2, 0, 1))
    if save_image:
        last.save(Path(image_name or "image.png"))
    if show_inline:
        from IPython.display import display

        display(last)  # type: ignore[no-untyped-call]
    elif show_image:
        last.show()
    return images


class _Run:
    """The loop: move the image, run the network, score, step."""

    def __init__(
        self,
        model: Model,
        objective_f: Wanted,
        image_f: Callable[[], Tensor],
        move: Callable[[Tensor], Tensor],
    ) -> None:
        self._model, self._image_f, self._move = model, image_f, move
        images = image_f().detach()
        seen = self._move(images).to(model.device)
        self._size = (seen.shape[-2], seen.shape[-1])
        self._loss_f = _as_loss(objective_f, model, images=images, size=self._size)
        layers = self._layers_read(seen)
        table = model.site_table(self._size)
        self._sites = {layer: table.resolve(_LAYERS.get(layer, layer)) for layer in layers}

    def _layers_read(self, seen: Tensor) -> list[str]:
        """Ask the objective which layers it reads, on one pass of the network itself."""
        read: list[str] = []

        def probe(layer: str) -> Tensor:
            if layer == _INPUT:
                return seen
            read.append(layer)
            name = _LAYERS.get(layer, layer)
            with torch.no_grad():
                return self._model.record(seen, [name])[name].float()

        self._loss_f(probe)
        if not read:
            raise ObjectiveError("the objective reads no layer of the network")
        return list(dict.fromkeys(read))

    @kept_memory()
    def optimise(
        self,
        optimiser: torch.optim.Optimizer,
        thresholds: Sequence[int],
        *,
        progress: bool,
        verbose: bool,
    ) -> list[NDArray[np.float32]]:
        device, images = self._model.device, []
        dtype = torch.bfloat16 if has_fast_bf16(device) else torch.float32
        sites = list({site.name: site for site in self._sites.values()}.values())
        trace = self._model.trace(self._size)
        with InferenceCopy(self._model, sites, trace=trace, dtype=dtype) as network:
            try:
                for step in tqdm(range(1, max(thresholds) + 1), disable=not progress):
                    loss = optimiser.step(self._closure(network, optimiser, step))
                    if step in thresholds:
                        images.append(_to_arrays(self._image_f()))
                        if verbose:
                            tqdm.write(f"Loss at step {step}: {loss:.3f}")
            except KeyboardInterrupt:
                tqdm.write(f"Interrupted optimization at step {step}.")
                images.append(_to_arrays(self._image_f()))
        return images

    def _closure(
        self, network: InferenceCopy, optimiser: torch.optim.Optimizer, step: int
    ) -> Callable[[], float]:
        def closure() -> float:
            optimiser.zero_grad()
            image = self._image_f()
            moved = self._move(image.to(self._model.device))
            # Lucent leaks gradient through silent ReLUs for good; Lucid for the first 16 steps.
            asleep = torch.ones(len(moved), dtype=torch.bool, device=moved.device)
            found = network(moved, asleep=asleep if step <= _REDIRECT_STEPS else None)

            def hook(layer: str) -> Tensor:
                return image if layer == _INPUT else found[self._sites[layer].name].float()

            loss = self._loss_f(hook)
            loss.backward()
            return float(loss.detach())

        return closure


def _as_model(model: nn.Module | Model | str, *, preprocess: bool) -> Model:
    if isinstance(model, Model | str):
        if not preprocess:
            raise ConfigError("a featviz model brings its own preprocessing; give its module")
        return load(model)
    if not preprocess:
        return load(model)
    if type(model).__name__ == "InceptionV1":
        return load(model, mean=_INCEPTION_MEAN, std=_INCEPTION_STD)
    return load(model, mean=_MEAN, std=_STD)


def _as_loss(
    wanted: Wanted, model: Model, *, images: Float[Tensor, "b c h w"], size: tuple[int, int]
) -> Callable[[Hook], Tensor]:
    """Return what is minimised, checked as far as it is ours.

    Args:
        wanted: As given to `render_vis`.
        model: The model.
        images: What the parameters give.
        size: Height and width of what the network sees.
    """
    if isinstance(wanted, str):
        wanted = _as_objective(wanted, model.site_table(size))
    if not isinstance(wanted, Objective):
        return wanted
    table = model.site_table(size)
    sites = {name: table.resolve(name) for name in wanted.sites if name not in OUTSIDE}
    shown = (images.shape[-2], images.shape[-1])
    wanted.check({**sites, IMAGE: image_site(images.shape[1], shown)})
    if wanted.joint and len(images) == 1:
        raise ConfigError(
            f"{wanted.label!r} compares images, and there is one; give a param_f for several, "
            "such as lambda: param.image(128, batch=4)"
        )
    if wanted.looks_back:
        raise ObjectiveError(f"{wanted.label!r} needs gradients on the way; use featviz.render")
    objective = wanted.prepared(model, size=size)

    def loss(hook: Hook) -> Tensor:
        read = {name: hook(_INPUT if name == IMAGE else name) for name in objective.sites}
        return -objective.score(read).sum()

    return loss


def _as_objective(text: str, table: SiteTable) -> Objective:
    if plain := _TEXT.match(text):
        return Channel(_LAYERS.get(plain[1], plain[1]), int(plain[2]))
    found = text_to_objectives(text, table)
    if len(found) > 1:
        raise ObjectiveError(f"{text!r} names {len(found)} units; featviz.render takes several")
    return found[0]


def _adam(params: Sequence[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(params, lr=_LEARNING_RATE)


def _fourier_image(model: Model) -> tuple[list[Tensor], Callable[[], Tensor]]:
    # As in Lucent the global generator decides, so torch.manual_seed makes it repeatable.
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    side = min(_SIZE_PX, *model.spec.size)
    images = Fourier().start(
        channels=model.spec.channels,
        size=(side, side),
        generators=[generator],
        device=model.device,
    )
    return list(images.parameters()), images


def _movers(
    transforms: Sequence[Callable[[Tensor], Tensor]] | None, side_px: int | None
) -> Callable[[Tensor], Tensor]:
    """Return the function that moves the images of a step."""
    preset = parse_transforms("lucid")
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))

    def move(images: Tensor) -> Tensor:
        if transforms is None:
            size = (images.shape[-2], images.shape[-1])
            moves = preset.draw_batch(
                1, channels=images.shape[1], size=size, generators=[generator] * len(images)
            )
            images = preset.apply(images, moves.to(images.device)[0])
        else:
            for transform in transforms:
                images = transform(images)
        if side_px is None:
            return images
        return F.interpolate(images, size=(side_px, side_px), mode="bilinear")

    return move


def _to_arrays(images: Tensor) -> NDArray[np.float32]:
    return images.detach().float().cpu().permute(0, 2, 3, 1).numpy()
