"""The server of the app: Streamlit on this machine alone, and the pictures of the atlases.

Pictures are served by their keys from the image folders of the atlases that were opened; nothing
else on the disk can be asked for.
"""

import re
import secrets
import socket
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Collection, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from streamlit import config
from streamlit.starlette import App

from app.library import FILES, LIBRARY, Library
from featviz.errors import ConfigError

HOST = "127.0.0.1"
PICTURES = ("images", "thumbs", "examples")
"""Folders of an atlas that are served."""
BROWSER_COOKIE = "featviz_browser"
_MAIN = Path(__file__).with_name("main.py")
_PICTURE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(?:-[a-z0-9-]{1,40})?\.(?:webp|png)")
_FOREVER = "public, max-age=31536000, immutable"


class OwnOrigin:
    """Refuses what pages of other servers ask for, before Streamlit sees it.

    Streamlit would look up this machine's address outside to compare, and take all ports of this
    machine for its own.

    Args:
        app: What is asked.
        origins: Others that may ask, such as that of a proxy.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str] = ()) -> None:
        self._app, self._origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and not self._is_own(origin, headers.get("host", "")):
                refusal: ASGIApp = PlainTextResponse("other origin", status_code=403)
                if scope["type"] == "websocket":
                    refusal = WebSocketClose(code=1008)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_own(self, origin: str, host: str) -> bool:
        # By text, for what a browser sends is SCHEME://HOST and some others send is no URL.
        return origin in self._origins or origin.partition("://")[2] == host


class BrowserCookie:
    """Gives each browser a name of its own, by which a page is known after a reload.

    Args:
        app: What is asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; a page that a browser without a name asked for brings it one."""
        if scope["type"] != "http" or BROWSER_COOKIE in Request(scope).cookies:
            return await self._app(scope, receive, send)

        async def name(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    word = f"{BROWSER_COOKIE}={secrets.token_urlsafe(16)}"
                    headers.append("set-cookie", f"{word}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        return await self._app(scope, receive, name)


class PictureFiles(StaticFiles):
    """Pictures of a folder by key; a picture of a key never changes, so browsers may keep it."""

    async def check_config(self) -> None:
        """Accept a folder that is not there: an atlas makes its folders when it needs them."""

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        """Return the picture, or 404 for anything that is not named as pictures are."""
        if not _PICTURE.fullmatch(path):
            raise HTTPException(status_code=404)
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = _FOREVER
        response.headers["x-content-type-options"] = "nosniff"
        return response


def picture_routes(library: Library) -> list[BaseRoute]:
    """Return the routes of the pictures of each atlas."""
    roots = library.roots | dict([library.renders] if library.renders else [])
    return [
        Mount(
            f"{FILES}/{name}/{kind}",
            app=PictureFiles(directory=root / kind, check_dir=False),
        )
        for name, root in roots.items()
        for kind in PICTURES
    ]


def make_server(library: Library, *, port: int) -> uvicorn.Server:
    """Return the server of a library, not yet running.

    Args:
        library: What it shows; one in each process.
        port: Of 127.0.0.1.

    Raises:
        ConfigError: If the port is taken.
    """
    _check_free(port)
    LIBRARY.roots, LIBRARY.models = library.roots, library.models
    LIBRARY.renders = library.renders
    app = App(_MAIN, routes=picture_routes(library))
    # Streamlit checks the name that the server is called by for its own connection only; the
    # pictures need it too. The App has read .streamlit/config.toml beside the script by now.
    hosts = list(config.get_option("server.allowedHosts")) or ["*"]
    origins = config.get_option("server.corsAllowedOrigins")
    asked = OwnOrigin(BrowserCookie(app), origins=origins)
    checked = TrustedHostMiddleware(asked, allowed_hosts=hosts)
    return uvicorn.Server(uvicorn.Config(checked, host=HOST, port=port, log_level="warning"))


def _check_free(port: int) -> None:
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} of {HOST} cannot be used: {error.strerror}; is the app open already? "
                "Choose another one with --port"
            ) from error


def open_browser_when_ready(port: int, *, patience_s: float = 30.0) -> threading.Thread:
    """Open the app in the user's browser as soon as it answers, from a thread."""
    address = f"http://{HOST}:{port}"

    def wait() -> None:
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                    webbrowser.open(address)
                    return
            except OSError:
                time.sleep(0.1)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread
