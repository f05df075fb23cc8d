"""The queue of renders of this server, and who is who in it."""

import atexit
import secrets
import threading

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.jobs import JobQueue
from app.keeping import keep
from app.render_host import RenderHost

_LOCK = threading.Lock()
_QUEUES: list[JobQueue] = []


def queue() -> JobQueue:
    """Return the queue, made on its first use; it ends with the server."""
    with _LOCK:
        if not _QUEUES:
            made = JobQueue(RenderHost(), keep, present=is_present)
            atexit.register(made.close)
            _QUEUES.append(made)
        return _QUEUES[0]


def owner() -> str:
    """Return what stands for this session in the queue; nobody else can guess it."""
    if "owner" not in st.session_state:
        context = get_script_run_ctx(suppress_warning=True)
        session = context.session_id if context is not None else ""
        st.session_state["owner"] = f"{session} {secrets.token_urlsafe(16)}"
    return str(st.session_state["owner"])


def is_present(owner: str) -> bool:
    """Tell whether the page of a session is open; a reload makes another session.

    Args:
        owner: As `owner` gave it there.
    """
    session = owner.rpartition(" ")[0]
    return not Runtime.exists() or Runtime.instance().is_active_session(session)
