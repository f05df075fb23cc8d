"""What a network does on a folder of pictures: the scale that its renders are measured on.

The folder is read once for everything that is asked together, batch by batch; only statistics are
kept, in memory, for as long as the object lives.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.metrics.measures import channel_means
from featviz.metrics.pictures import PictureFolder
from featviz.metrics.statistics import Moments
from featviz.models.model import Model
from featviz.objectives import OUTSIDE, Activations, Objective, Part, outside


class Reference:
    """Statistics of a network over a folder of pictures.

    Args:
        model: The network.
        folder: Pictures, or where they are.
        size: Height and width that they are shown at, px; None: the network's own.
        batch: Pictures at a time.

    Attributes:
        model: The network.
        folder: The pictures.
        size: Height and width that they are shown at, px.

    Raises:
        PictureError: If the folder is missing or holds fewer than two pictures.
    """

    def __init__(
        self,
        model: Model,
        folder: str | Path | PictureFolder,
        *,
        size: tuple[int, int] | None = None,
        batch: int = 32,
    ) -> None:
        self.model = model
        self.folder = folder if isinstance(folder, PictureFolder) else PictureFolder.open(folder)
        self.size = size or model.spec.size
        self._batch = batch
        self._moments: dict[str, Moments] = {}
        self._peaks: dict[str, Tensor] = {}
        self._scores: dict[Objective, Tensor] = {}

    def gather(self, sites: Sequence[str] = (), objectives: Sequence[Objective] = ()) -> None:
        """Read the folder once for all that is not known yet.

        Args:
            sites: Whose moments and peaks will be asked for.
            objectives: Whose scores will be asked for.

        Raises:
            PictureError: If a picture cannot be read.
            SiteError: If a site is unknown.
        """
        new_sites = [name for name in dict.fromkeys(sites) if name not in self._moments]
        new = [o for o in dict.fromkeys(objectives) if o not in self._scores]
        if not new_sites and not new:
            return
        read = [name for o in new for name in o.sites if name not in OUTSIDE]
        needed = list(dict.fromkeys([*new_sites, *read]))
        scores: list[Tensor] = []
        moments: dict[str, Moments] = {}
        peaks: dict[str, Tensor] = {}
        shown = self.folder.batches(self.size, channels=self.model.spec.channels, batch=self._batch)
        for images in shown:
            # Gradients at a site need an image that has one.
            looks_back = any(o.looks_back for o in new)
            with torch.set_grad_enabled(looks_back):
                shown_here = images.to(self.model.device).requires_grad_(looks_back)
                found = {**outside(shown_here, None), **self.model.record(shown_here, needed)}
                rows = [_score(o, found).detach() for o in new]
            found = {name: values.detach() for name, values in found.items()}
            for name in new_sites:
                fresh = Moments.of(channel_means(found[name]))
                peak = found[name].movedim(1, -1).flatten(0, -2).amax(0).cpu()
                moments[name] = moments[name].merge(fresh) if name in moments else fresh
                peaks[name] = torch.maximum(peaks[name], peak) if name in peaks else peak
            scores.append(torch.stack(rows, 1).cpu() if rows else torch.empty(len(images), 0))
        self._moments |= moments
        self._peaks |= peaks
        self._scores |= dict(zip(new, torch.cat(scores).unbind(1), strict=True))

    def moments(self, site: str) -> Moments:
        """Return mean and spread over the pictures of each channel's mean over its map."""
        self.gather([site])
        return self._moments[site]

    def peaks(self, site: str) -> Float[Tensor, " c"]:
        """Return the largest activation of each channel at any position of any picture."""
        self.gather([site])
        return self._peaks[site]

    def scores(self, objectives: Sequence[Objective]) -> Float[Tensor, "n b"]:
        """Return the score of each picture by each objective."""
        self.gather(objectives=objectives)
        return torch.stack([self._scores[objective] for objective in objectives], 1)


def _score(objective: Objective, found: Activations) -> Float[Tensor, " n"]:
    read = {name: found[name].float() for name in objective.sites}
    return objective.score(Part(read, whole=found, rows=slice(None)))
