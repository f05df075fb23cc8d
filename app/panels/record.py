"""How an image was made, and how to make it again: from a terminal or in Python."""

import json

import streamlit as st

from featviz.atlas.entries import ImageEntry
from featviz.atlas.reading import Atlas
from featviz.config import RenderConfig
from featviz.record import Record, command, record_to_text


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
    name = entry.unit.replace(":", "_").replace("/", "_")
    with st.container(horizontal=True):
        if path.is_file():
            st.download_button(
                f"Image ({entry.kind})", path.read_bytes, f"{name}.{entry.kind}", on_click="ignore"
            )
        text = record_to_text(record)
        st.download_button("Record (JSON)", text, f"{name}.json", on_click="ignore")
    with st.expander("The whole record"):
        st.json(record, expanded=1)


def python_lines(record: Record) -> str:
    """Return Python that makes the image of a record again.

    Args:
        record: With the request, as an atlas gives it.
    """
    request = record["request"]
    name = json.dumps((request.get("arguments") or [str(record.get("model", ""))])[0])
    defaults = RenderConfig().to_json()
    options = {k: v for k, v in record["config"].items() if defaults.get(k, ...) != v}
    objectives = list(request["objectives"])
    asked = repr(objectives[0] if len(objectives) == 1 else objectives)
    arguments = "".join(f", {key}={value!r}" for key, value in options.items())
    return (
        f"import featviz\n\nmodel = featviz.load({name})\n"
        f'featviz.render(model, {asked}{arguments}).save("out/")'
    )
