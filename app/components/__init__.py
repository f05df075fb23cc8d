"""Parts of pages that Streamlit lacks, as components in plain JavaScript.

Each is a Python file with its .js and .css beside it; a component is registered once, when its
module is imported. Text from atlases and users is set as text, never as HTML. Links within the app
go through visit.js: one entry in the browser's history, one run of the script.
"""

from pathlib import Path

__all__ = ["read_source"]

_HERE = Path(__file__).parent


def read_source(*names: str) -> str:
    """Return the text of files of this folder, one after the other."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)
