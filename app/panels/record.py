"""How an image was made, and how to make it again: from a terminal or in Python."""

import re

import streamlit as st

from featviz.atlas.entries import ImageEntry
from featviz.atlas.reading import Atlas
from featviz.record import command, python_lines, record_to_text


def show_record(atlas: Atlas, entry: ImageEntry) -> None:
    """Show the record of an image with what reproduces it, and offer downloads."""
    record = atlas.record(entry)
    line = command(record)
    st.caption("From a terminal")
    if line is None:
        st.info("This image has no command: its objective or network has no name in a shell.")
    else:
        st.code(line, language="bash", wrap_lines=True)
    st.caption("In Python")
    st.code(python_lines(record), language="python", wrap_lines=True)
    path = atlas.image_path(entry)
    name = re.sub(r"[^\w.@+-]+", "_", entry.unit)[:80]
    with st.container(horizontal=True):
        if path.is_file():
            st.download_button(
                f"Image ({entry.kind})", path.read_bytes, f"{name}.{entry.kind}", on_click="ignore"
            )
        text = record_to_text(record)
        st.download_button("Record (JSON)", text, f"{name}.json", on_click="ignore")
    with st.expander("The whole record"):
        st.json(record, expanded=1)
