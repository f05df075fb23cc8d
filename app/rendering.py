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
from app.serving import BROWSER_COOKIE

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
    """Return what stands for this session and its browser in the queue; nobody can guess it."""
    if "owner" not in st.session_state:
        context = get_script_run_ctx(suppress_warning=True)
        session = context.session_id if context is not None else ""
        token = secrets.token_urlsafe(16)
        browser = st.context.cookies.get(BROWSER_COOKIE, "") or token
        st.session_state["owner"] = f"{session} {token} {browser}"
    return str(st.session_state["owner"])


def inherit() -> None:
    """Take over the jobs that closed pages of the same browser left, as a reload does."""
    mine = owner()
    browser = mine.rpartition(" ")[2]
    queue().inherit(mine, lambda other: other.rpartition(" ")[2] == browser)


def is_present(owner: str) -> bool:
    """Tell whether the page of a session is open; a reload makes another session.

    Args:
        owner: As `owner` gave it there.
    """
    session = owner.partition(" ")[0]
    return not Runtime.exists() or Runtime.instance().is_active_session(session)
