"""The queue of renders of this server, and who is who in it."""

import atexit
import secrets
import threading

import streamlit as st

from app.jobs import JobQueue
from app.keeping import keep
from app.render_host import RenderHost

_LOCK = threading.Lock()
_QUEUES: list[JobQueue] = []


def queue() -> JobQueue:
    """Return the queue, made on its first use; it ends with the server."""
    with _LOCK:
        if not _QUEUES:
            made = JobQueue(RenderHost(), keep)
            atexit.register(made.close)
            _QUEUES.append(made)
        return _QUEUES[0]


def owner() -> str:
    """Return what stands for this session in the queue; nobody else can guess it."""
    if "owner" not in st.session_state:
        st.session_state["owner"] = secrets.token_urlsafe(16)
    return str(st.session_state["owner"])
