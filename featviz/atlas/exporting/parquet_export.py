"""An atlas as one Parquet file, a row an image; needs pyarrow, the extra `parquet`.

`record` and `evidence` are JSON texts, `picture` and `thumb` the files themselves.
"""

from pathlib import Path
from typing import Any

from featviz.atlas.exporting.export import Sites
from featviz.atlas.exporting.outgoing import Outgoing
from featviz.errors import ConfigError

_GROUP = 256
_TEXTS = (
    "key", "job", "model", "weights", "site", "variant", "label", "kind", "sha256",
    "thumb_sha256", "settings", "record", "evidence",
)  # fmt: skip
_WHOLES = ("channel", "image", "height", "width", "bytes")
_FLAGS = ("dead", "failed")
_NUMBERS = ("score", "seconds")
_FILES = ("picture", "thumb")


def write_parquet(path: Path, sites: Sites) -> None:
    """Write a Parquet file.

    Args:
        path: The file.
        sites: What is to be in it.

    Raises:
        ConfigError: If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow: pip install 'featviz[parquet]', or take --format webdataset"
        ) from error
    kinds: dict[str, Any] = {
        **dict.fromkeys(_TEXTS, pyarrow.string()),
        **dict.fromkeys(_WHOLES, pyarrow.int64()),
        **dict.fromkeys(_FLAGS, pyarrow.bool_()),
        **dict.fromkeys(_NUMBERS, pyarrow.float64()),
        "metrics": pyarrow.map_(pyarrow.string(), pyarrow.float64()),
        **dict.fromkeys(_FILES, pyarrow.binary()),
    }
    schema = pyarrow.schema(list(kinds.items()))
    # Pictures are compressed already.
    packing = {name: "none" if name in _FILES else "zstd" for name in kinds}
    packing["metrics.key_value.key"] = packing["metrics.key_value.value"] = "zstd"
    # Opened here, since errors of pyarrow's own are long.
    with (
        path.open("wb") as file,
        parquet.ParquetWriter(file, schema, compression=packing) as writer,
    ):
        rows: list[dict[str, Any]] = []
        for _, _, images in sites:
            for image in images:
                rows.append(_row(image))
                if len(rows) == _GROUP:
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                    rows.clear()
        if rows:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _row(image: Outgoing) -> dict[str, Any]:
    return {
        **image.document,
        "metrics": sorted(image.metrics.items()),
        "record": image.text(image.record),
        "evidence": image.text(image.evidence),
        "picture": image.picture,
        "thumb": image.thumb,
    }
