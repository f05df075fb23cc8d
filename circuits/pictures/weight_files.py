"""Weight maps as files: NPZ for programs, JSON for both, PNG for people."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from circuits.expansion.weight_map import Aggregation, WeightMap
from circuits.pictures.kernels import SCALE_TEXT, weight_sheet
from featviz.errors import OutputError
from featviz.images import make_folder, png_bytes, write_file


def weight_document(
    weights: WeightMap, *, count: int = 12, by: Aggregation = "l2"
) -> dict[str, Any]:
    """Return the strongest inputs of each target as plain data for JSON.

    Args:
        weights: The weights.
        count: Inputs of each target at most.
        by: How they are ranked, see `WeightMap.strength`.
    """
    scales = weights.display_scale().tolist()
    return {
        "source": weights.source,
        "target": weights.target,
        "gates": weights.gates,
        "method": weights.method,
        "stride": list(weights.stride),
        "offset": list(weights.offset),
        "kernel_size": list(weights.kernel.shape[2:]),
        "notes": list(weights.notes),
        "ranked_by": by,
        "colors": SCALE_TEXT,
        "units": [
            {
                "unit": f"{weights.target}:{channel}",
                "max_weight": scale,
                "inputs": [
                    {
                        "unit": f"{weights.source}:{source}",
                        "strength": strength,
                        "kernel": kernels[weights.sources.index(source)].tolist(),
                    }
                    for source, strength in weights.top(channel, count=count, by=by)
                ],
            }
            for channel, kernels, scale in zip(weights.targets, weights.kernel, scales, strict=True)
        ],
    }


def weight_arrays(weights: WeightMap) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Return all weights as arrays; the kernels as [upstream][downstream][y][x]."""
    return {
        "kernels": weights.kernel.transpose(0, 1).contiguous().numpy(),
        "sources": np.array(weights.sources),
        "targets": np.array(weights.targets),
        "stride": np.array(weights.stride),
        "offset": np.array(weights.offset),
    }


def weight_paths(folder: Path, model_name: str, maps: Sequence[WeightMap]) -> list[list[Path]]:
    """Return for each map where `save_weights` writes: NPZ, JSON, then a picture a target."""
    found = []
    for weights in maps:
        stem = f"{model_name}_{weights.source}_to_{weights.target}_{weights.gates}"
        names = [".npz", ".json", *(f"_{channel}.png" for channel in weights.targets)]
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)
        found.append([folder / (safe + name) for name in names])
    return found


def check_weight_files(
    maps: Sequence[WeightMap], folder: Path, *, model_name: str, overwrite: bool
) -> None:
    """Raise OutputError if a file that `save_weights` writes exists and may not be replaced.

    Args:
        maps: See `save_weights`.
        folder: See `save_weights`.
        model_name: See `save_weights`.
        overwrite: See `save_weights`.
    """
    places = weight_paths(folder, model_name, maps)
    taken = [path for paths in places for path in paths if path.exists()]
    if taken and not overwrite:
        raise OutputError(
            f"{str(taken[0])!r} exists; choose another folder or pass --overwrite "
            "(overwrite=True in Python)"
        )


def save_weights(
    maps: Sequence[WeightMap],
    folder: Path,
    *,
    model_name: str,
    count: int = 12,
    by: Aggregation = "l2",
    features: Mapping[int, Image.Image] | None = None,
    target_features: Mapping[int, Image.Image] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write weight maps and return the files.

    Args:
        maps: The weights.
        folder: Made if it is not there.
        model_name: For the names of the files.
        count: Inputs of each target in pictures and JSON; the NPZ holds all.
        by: How they are ranked.
        features: Picture of each source channel.
        target_features: Picture of each target channel.
        overwrite: Whether files may be replaced.

    Raises:
        OutputError: If a file exists and may not be replaced, or cannot be written.
    """
    check_weight_files(maps, folder, model_name=model_name, overwrite=overwrite)
    places = weight_paths(folder, model_name, maps)
    make_folder(folder)
    for weights, (arrays, text, *pictures) in zip(maps, places, strict=True):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **weight_arrays(weights))  # type: ignore[arg-type]
        write_file(arrays, buffer.getvalue())
        document = weight_document(weights, count=count, by=by)
        write_file(text, json.dumps(document, indent=1).encode())
        for channel, path in zip(weights.targets, pictures, strict=True):
            sheet = weight_sheet(
                weights,
                channel,
                count=count,
                by=by,
                features=features,
                feature=(target_features or {}).get(channel),
            )
            write_file(path, png_bytes(sheet))
    return [path for paths in places for path in paths]
