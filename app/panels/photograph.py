"""The photograph of a session: given, kept over pages, and taken back."""

import hashlib

import streamlit as st

from app.plain import as_text
from app.uploads import MAX_BYTES, SUFFIXES, read_upload
from featviz.errors import PictureError

_PHOTO, _BOX, _JOB, _GIVEN = "photograph taken", "photograph", "photo job", "photo given"


def take_photograph() -> bytes | None:
    """Let a photograph be chosen; it stays for the session or until it is taken back."""
    stayed = _BOX in st.session_state  # what a box holds goes when its page is left
    given = st.file_uploader(
        "Photograph",
        type=list(SUFFIXES),
        max_upload_size=MAX_BYTES // 2**20,
        help="It stays on this machine, for this session, and is in no link.",
        key=_BOX,
    )
    if stayed and given is None and st.session_state.get(_GIVEN):
        _forget()  # by the cross of the box
    st.session_state[_GIVEN] = given is not None
    if given is not None:
        digest = hashlib.sha256(given.getbuffer()).hexdigest()
        kept = st.session_state.get(_PHOTO)
        if kept is None or kept[0] != digest:
            try:
                st.session_state[_PHOTO] = (digest, read_upload(given.name, given.getvalue()))
            except PictureError as error:
                _forget()
                st.error(as_text(str(error)), icon=":material/broken_image:")
    found = st.session_state.get(_PHOTO)
    if found is not None and given is None:  # from before another page: the box has no cross
        st.button("Forget the photograph", icon=":material/delete:", on_click=_forget)
    return None if found is None else found[1]


def _forget() -> None:
    for name in (_PHOTO, _JOB):
        st.session_state.pop(name, None)
