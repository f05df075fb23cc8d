"""What a network makes of images: scores, robustness, whether a unit knows its own image."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from featviz.ascent import image_generator
from featviz.errors import ConfigError
from featviz.metrics.pictures import PictureFolder
from featviz.metrics.statistics import Moments, cosine_distance, gram_diversity, rank, z_scores
from featviz.models.model import Model
from featviz.objectives import OUTSIDE, Objective, bind, outside
from featviz.sites import OUTPUT
from featviz.transforms import parse_transforms

_BLUR_REACH = 3  # standard deviations: beyond lies 0.3 % of a Gaussian


def score_images(
    model: Model,
    objectives: Sequence[Objective],
    images: Float[Tensor, "b c h w"],
    *,
    together: int = 1,
    alpha: Float[Tensor, "b 1 h w"] | None = None,
) -> Float[Tensor, " b"]:
    """Score image k by objective k: float32, the unchanged network, no transform.

    Args:
        model: The network.
        objectives: One an image.
        images: Values 0..1, on the network's device; scores are differentiable if they are, as
            far as the network goes: penalties on the image itself count as fixed.
        alpha: Of the same images, for objectives that read it; None: they are opaque.
        together: How many neighbouring images belong to one objective, see `bind`.
    """
    names = dict.fromkeys(name for o in objectives for name in o.sites if name not in OUTSIDE)
    asked = torch.is_grad_enabled() and images.requires_grad
    looks_back = any(objective.looks_back for objective in objectives)
    with torch.set_grad_enabled(torch.is_grad_enabled() or looks_back):
        # Gradients at a site need an image that has one.
        shown = images.detach().requires_grad_() if looks_back and not asked else images
        found = model.record(shown, list(names))
        bound = bind(objectives, device=images.device, together=together)
        score = bound({**outside(images.detach(), alpha), **found})
    return score.detach() if looks_back and not asked else score


def channel_means(activation: Float[Tensor, "b c *map"]) -> Float[Tensor, "b c"]:
    """Return the mean of each channel over its map; a vector as it is."""
    return activation.float().flatten(2).mean(2) if activation.dim() > 2 else activation.float()


@dataclass(frozen=True)
class HeldOut:
    """Transforms that no preset trains with.

    Attributes:
        draws: How many moves of each image; from 2 on there is a spread.
        transforms: Wider than the preset `lucid`, see transforms.py.
        blur_px: Smallest and largest standard deviation of the Gaussian blur that follows, px;
            the draws are spread evenly in between. Blur is the family no render trains with.
        seed: Added to the name of the unit, so the moves are not those of a render.
    """

    draws: int = 16
    transforms: str = "jitter:24,scale:0.8..1.2,rotate:-20..20"
    blur_px: tuple[float, float] = (0.0, 1.0)
    seed: int = 1

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise ConfigError(f"draws must be 2 or more, got {self.draws}")
        if not 0 <= self.blur_px[0] <= self.blur_px[1] < float("inf"):
            raise ConfigError(f"blur_px must be (LOW, HIGH) from 0 on, got {self.blur_px}")
        parse_transforms(self.transforms)


@dataclass(frozen=True)
class Robustness:
    """Scores over held-out transforms.

    Attributes:
        mean: Over the draws.
        sd: Over the draws, over draws - 1.
        ratio: Mean over the untransformed score; not a number where that is not above 0.
    """

    mean: Float[Tensor, " b"]
    sd: Float[Tensor, " b"]
    ratio: Float[Tensor, " b"]


@torch.no_grad()
def robustness(
    model: Model,
    objectives: Sequence[Objective],
    images: Float[Tensor, "b c h w"],
    *,
    alpha: Float[Tensor, "b 1 h w"] | None = None,
    held_out: HeldOut | None = None,
) -> Robustness:
    """Score images after moves and blurs that they were not trained with.

    Args:
        model: The network.
        objectives: One an image.
        images: Values 0..1, on the CPU.
        alpha: Of the same images, which is not moved; None: they are opaque.
        held_out: The transforms; None: the defaults of `HeldOut`.
    """
    held_out = held_out or HeldOut()
    transforms = parse_transforms(held_out.transforms)
    size = (images.shape[-2], images.shape[-1])
    generators = [image_generator(held_out.seed, f"held out: {o.label}") for o in objectives]
    shown = images.to(model.device)
    alpha = None if alpha is None else alpha.to(model.device)
    moves = transforms.draw_batch(
        held_out.draws, channels=images.shape[1], size=size, generators=generators
    ).to(shown.device)
    rows = []
    for draw, sd_px in enumerate(torch.linspace(*held_out.blur_px, held_out.draws).tolist()):
        moved = blurred(transforms.apply(shown, moves[draw]), sd_px)
        rows.append(score_images(model, objectives, moved, alpha=alpha).cpu())
    scores = torch.stack(rows)
    plain = score_images(model, objectives, shown, alpha=alpha).cpu()
    ratio = (scores.mean(0) / plain).where(plain > 0, torch.nan)
    return Robustness(scores.mean(0), scores.std(0), ratio)


def blurred(images: Float[Tensor, "b c h w"], sd_px: float) -> Float[Tensor, "b c h w"]:
    """Blur with a Gaussian, mirrored at the edges, cut off at three standard deviations."""
    reach_px = round(_BLUR_REACH * sd_px)
    reach_px = min(reach_px, images.shape[-1] - 1, images.shape[-2] - 1)
    if reach_px < 1:
        return images
    side = 2 * reach_px + 1
    result: Tensor = gaussian_blur(images, [side, side], [sd_px, sd_px])
    return result


@dataclass(frozen=True)
class SelfIdentification:
    """Whether each unit is the one that its own image excites most.

    Attributes:
        rank: Among the channels of the site, 1 is first; 0 if the unit is the same on all
            reference images, so that it has no scale.
        z: Standard deviations of the unit above its mean over the reference images.
        first: The channel that the image excites most.
    """

    rank: Int[Tensor, " b"]
    z: Float[Tensor, " b"]
    first: Int[Tensor, " b"]


@torch.no_grad()
def self_identification(
    model: Model,
    site: str,
    channels: Sequence[int],
    images: Float[Tensor, "b c h w"],
    moments: Moments,
) -> SelfIdentification:
    """Rank each unit among all units of its site by what its image does to them.

    Every unit's mean over the map is counted in its own standard deviations over the reference
    images; units that are the same on all of those take no part.

    Args:
        model: The network.
        site: The site of the units.
        channels: The unit of each image.
        images: Values 0..1, on the CPU.
        moments: Of the site over reference images, from `Reference.moments`.
    """
    found = model.record(images.to(model.device), [site])[site]
    z = z_scores(channel_means(found), moments)
    index = torch.tensor(channels)
    own = z[torch.arange(len(z)), index]
    return SelfIdentification(rank(z, index), own, z.nan_to_num(-torch.inf).argmax(1))


@torch.no_grad()
def diversity(model: Model, site: str, images: Float[Tensor, "b c h w"]) -> float:
    """Return how different images are at a site: see `gram_diversity`.

    Args:
        model: The network.
        site: With a map, not a vector.
        images: Two or more, values 0..1, on the CPU.

    Raises:
        ConfigError: For fewer images, or a site without a map.
    """
    if len(images) < 2:
        raise ConfigError(f"diversity needs two images at least, got {len(images)}")
    found = model.record(images.to(model.device), [site])[site]
    if found.dim() != 4:
        raise ConfigError(f"{site!r} is a vector; diversity needs a site with a map")
    return gram_diversity(found).item()


def penultimate_site(model: Model) -> str:
    """Return the name of the last browsable site before the output."""
    names = [site.name for site in model.sites() if site.name != OUTPUT]
    return names[-1] if names else OUTPUT


@torch.no_grad()
def embed(
    model: Model, images: Float[Tensor, "b c h w"], *, site: str | None = None
) -> Float[Tensor, "b d"]:
    """Return what a site says about images, averaged over its map.

    Images of another size are resized to the network's own, which it knows best.

    Args:
        model: The network.
        images: Values 0..1, on the CPU.
        site: Site; None: the last before the output.
    """
    name = site or penultimate_site(model)
    if tuple(images.shape[-2:]) != tuple(model.spec.size):
        images = torch.nn.functional.interpolate(
            images, size=model.spec.size, mode="bilinear", antialias=True
        )
    return channel_means(model.record(images.to(model.device), [name])[name]).cpu()


@dataclass(frozen=True)
class Nearest:
    """The most similar picture of a folder for each image.

    Attributes:
        distance: Cosine distance of the embeddings, 0 to 2.
        index: Place in the folder's `files`.
    """

    distance: Float[Tensor, " b"]
    index: Int[Tensor, " b"]


def nearest_pictures(
    model: Model,
    images: Float[Tensor, "b c h w"],
    folder: PictureFolder,
    *,
    site: str | None = None,
) -> Nearest:
    """Find the picture that another network takes for the most similar to each image.

    Args:
        model: A network that the images were not made with, see `independent_name`.
        images: Values 0..1, on the CPU.
        folder: The pictures, read batch by batch.
        site: Site of the embedding; None: the last before the output.
    """
    ours = embed(model, images, site=site)
    distance = torch.full((len(images),), torch.inf)
    index = torch.zeros(len(images), dtype=torch.long)
    first = 0
    for batch in folder.batches(model.spec.size, channels=model.spec.channels):
        found, place = cosine_distance(ours, embed(model, batch, site=site)).min(1)
        nearer = found < distance
        distance = torch.where(nearer, found, distance)
        index = torch.where(nearer, place + first, index)
        first += len(batch)
    return Nearest(distance, index)


def independent_name(name: str) -> str:
    """Return the embedded network to judge renders of another by."""
    return "squeezenet1_1" if name == "efficientnet_lite0" else "efficientnet_lite0"
