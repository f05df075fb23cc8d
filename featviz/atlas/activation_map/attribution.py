"""Which classes an activation speaks for: activation times gradient, all logits at once.

One gradient a logit would take a thousand passes. Gradients are linear in the weights u of the
logits that they are taken of, so the derivative of <J^T u, a> by u is J a, for all logits together:
two backward passes, then one for each place.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from featviz.models.model import Model
from featviz.sites import OUTPUT, Site


def attribute(
    model: Model, site: Site, images: Float[Tensor, "b c h w"], places: Int[Tensor, "b n"]
) -> Float[Tensor, "b n k"] | None:
    """Return what the activation at each place gives to each logit, linearly.

    Logit k gets sum over channels of a[c, place] * d logit k / d a[c, place].

    Args:
        model: The network.
        site: Where; its activation at this size is a map or a vector.
        images: In 0..1, on the network's device.
        places: Indices into the flattened map; 0 for vectors.

    Returns:
        None where the logits have no gradient by the site: a pre-activation, or a module that
        returns more than one tensor.
    """
    if site.parts == model.site_table().resolve(OUTPUT).parts:
        # The output itself: each logit gets its own value, if it belongs to the site.
        found = torch.zeros_like(logits := model.record(images, [OUTPUT])[OUTPUT])
        found[:, slice(*site.span)] = logits[:, slice(*site.span)]
        return found.float()[:, None]
    names = [f"{part.path}#{part.index}{'.pre' * part.pre}" for part in site.parts]
    with torch.enable_grad():
        recorded = model.record(images.detach().requires_grad_(), [*names, OUTPUT])
        outputs = recorded[OUTPUT]
        if outputs.dim() != 2 or not outputs.requires_grad:
            return None
        parts = [recorded[name] for name in names]
        weights = torch.zeros_like(outputs, requires_grad=True)
        gradients = torch.autograd.grad(
            outputs, parts, weights, create_graph=True, allow_unused=True
        )
        used = [g for g in gradients if g is not None]
        if len(used) < len(parts) or not all(g.requires_grad for g in used):
            return None
        slope, values = torch.cat(used, 1), torch.cat(parts, 1).detach()
        first, stop = site.span
        return _products(slope[:, first:stop], values[:, first:stop], weights, places)


def _products(
    slope: Tensor, values: Tensor, weights: Float[Tensor, "b k"], places: Int[Tensor, "b n"]
) -> Float[Tensor, "b n k"]:
    """Return the derivative by the weights of the product of slope and value at each place."""
    products = (slope * values).flatten(1 if slope.dim() == 2 else 2)
    products = products.sum(1, keepdim=slope.dim() == 2)
    found: list[Tensor] = []
    for n in range(places.shape[1]):
        total = products.gather(1, places[:, n : n + 1]).sum()
        (by_weight,) = torch.autograd.grad(total, weights, retain_graph=True)
        found.append(by_weight.float())
    return torch.stack(found, 1)


def top_classes(
    mean: Float[np.ndarray, " k"], labels: Sequence[str], *, count: int
) -> list[dict[str, object]]:
    """Return the classes with the largest attributions, the largest first.

    Args:
        mean: One number a class.
        labels: Names, one a class.
        count: How many.
    """
    best = np.argsort(-mean, kind="stable")[:count].tolist()
    return [{"class": k, "name": labels[k], "attribution": float(f"{mean[k]:.4g}")} for k in best]
