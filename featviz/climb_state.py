"""Where the climb of one image stands, taken out of a batch and put into another.

Parameters and what the optimiser remembers about them, image by image, so that a climb can be cut
off anywhere and go on in other company.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featviz.image_rows import Piece

# L-BFGS uses it within a step only.
_SCRATCH = "al"
_LIST = "[]"


@dataclass(frozen=True, eq=False)
class ClimbState:
    """Everything that the next step of one image depends on, but for its settings.

    Attributes:
        steps_done: Steps done.
        tensors: By name, on the CPU: `parameter/NAME`, `optimiser/NAME/KEY`, and what the loop
            keeps for itself.
        numbers: Plain numbers by name, exact.
    """

    steps_done: int
    tensors: dict[str, Tensor]
    numbers: dict[str, float]


def take(
    pieces: Sequence[Piece], optimiser: torch.optim.Optimizer, image: int
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the tensors and numbers of one image, apart from those of its batch.

    Args:
        pieces: The parameters of the batch.
        optimiser: What changes them.
        image: Index in the batch.
    """
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, float] = {}
    for piece in (p for p in pieces if p.serves(image)):
        tensors[f"parameter/{piece.name}"] = piece.of(piece.parameter, image)
        for key, value in optimiser.state.get(piece.parameter, {}).items():
            name = f"optimiser/{piece.name}/{key}"
            if key == _SCRATCH or value is None:
                continue
            if isinstance(value, list):
                tensors[name + _LIST] = torch.stack(value) if value else torch.empty(0)
            elif not isinstance(value, Tensor):
                numbers[name] = value
            else:
                like = value.shape == piece.parameter.shape
                tensors[name] = piece.of(value, image) if like else value
    return {k: t.detach().cpu().clone().contiguous() for k, t in tensors.items()}, numbers


def put(
    pieces: Sequence[Piece], optimiser: torch.optim.Optimizer, states: Sequence[ClimbState]
) -> None:
    """Set the parameters of a batch and what the optimiser remembers: the inverse of `take`.

    Args:
        pieces: The parameters of the batch.
        optimiser: What will change them.
        states: One an image, all after equally many steps.
    """
    remembered: dict[int, dict[str, Any]] = {}
    order = [id(p) for p in optimiser.param_groups[0]["params"]]
    for piece in pieces:
        mine = states[piece.first : piece.first + piece.count]
        name = f"parameter/{piece.name}"
        with torch.no_grad():
            piece.parameter.copy_(_joined(piece, [state.tensors[name] for state in mine]))
        prefix = f"optimiser/{piece.name}/"
        found: dict[str, Any] = {
            key.removeprefix(prefix): value
            for key, value in mine[0].numbers.items()
            if key.startswith(prefix)
        }
        for key, first in mine[0].tensors.items():
            if not key.startswith(prefix):
                continue
            like = first.shape[1:] == piece.parameter.shape[1:] and first.dim() > 0
            value = _joined(piece, [state.tensors[key] for state in mine]) if like else first
            short = key.removeprefix(prefix)
            if short.endswith(_LIST):
                found[short.removesuffix(_LIST)] = [part.clone() for part in first.unbind()]
            else:
                found[short] = value.clone()
        if found:
            remembered[order.index(id(piece.parameter))] = found
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": remembered, "param_groups": groups})


def _joined(piece: Piece, rows: Sequence[Tensor]) -> Tensor:
    return rows[0] if piece.shared else torch.cat(list(rows))
