"""The server over HTTP, in a process of its own: one App a process is what Streamlit allows."""

import asyncio
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.serving import BROWSER_COOKIE, OwnOrigin
from atlases import picture_atlas
from benchmarks.serving import serve

APP = [sys.executable, "-m", "featviz", "app"]


def get(url: str, **headers: str) -> tuple[int, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            answer.read()
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, {}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    root = picture_atlas(tmp_path_factory.mktemp("served") / "small atlas").root
    with serve(root) as app:
        yield app.base, root


def picture(root: Path) -> str:
    path = next(root.glob("thumbs/*/*.webp"))
    return f"small-atlas/thumbs/{path.parent.name}/{path.name}"


def test_pictures_are_served_for_good(served: tuple[str, Path]) -> None:
    base, root = served
    status, headers = get(f"{base}/atlasfiles/{picture(root)}")
    assert status == 200
    assert headers["content-type"] == "image/webp"
    assert "immutable" in headers["cache-control"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "small-atlas/thumbs/../atlas.json",
        "small-atlas/thumbs/%2e%2e/atlas.json",
        "small-atlas/thumbs/..%2f..%2f..%2fetc%2fpasswd",
        "small-atlas/thumbs/00/atlas.json",
        "small-atlas/thumbs/00/" + "0" * 64 + ".webp",
        "small-atlas/thumbs/",
    ],
)
def test_nothing_else_is_served(served: tuple[str, Path], path: str) -> None:
    assert get(f"{served[0]}/atlasfiles/{path}")[0] in (400, 404)


def test_other_names_of_the_server_are_refused(served: tuple[str, Path]) -> None:
    base, root = served
    assert get(f"{base}/atlasfiles/{picture(root)}", Host="evil.example")[0] == 400
    assert get(f"{base}/_stcore/health", Host="evil.example")[0] == 400


ORIGINS = [
    ("http://127.0.0.1:8501", True),
    ("https://127.0.0.1:8501", True),  # a proxy that adds TLS
    ("https://proxy.example", True),
    (None, True),
    ("http://127.0.0.1:3000", False),
    ("http://localhost:8501", False),
    ("http://evil.example", False),
    ("http://[evil", False),
    ("null", False),
]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(("origin", "own"), ORIGINS)
def test_pages_of_other_servers_never_reach_streamlit(
    kind: str, origin: str | None, *, own: bool
) -> None:
    reached, sent = [], []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        reached.append(scope["type"])

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8501")]
    headers += [(b"origin", origin.encode())] if origin is not None else []
    checked = OwnOrigin(app, origins=["https://proxy.example"])
    with ThreadPoolExecutor(1) as pool:  # tests with a browser leave a loop running in this thread
        call = checked({"type": kind, "headers": headers}, receive, send)
        pool.submit(asyncio.run, call).result()
    assert reached == ([kind] if own else [])
    if not own:
        refused = {"http": ("status", 403), "websocket": ("code", 1008)}[kind]
        assert sent[0][refused[0]] == refused[1]


def test_the_server_refuses_pages_of_other_servers(served: tuple[str, Path]) -> None:
    base, _ = served
    assert get(f"{base}/_stcore/health", Origin=base)[0] == 200
    assert get(f"{base}/_stcore/health", Origin="http://evil.example")[0] == 403
    assert get(f"{base}/_stcore/health", Origin="http://127.0.0.1:1")[0] == 403


def test_a_page_names_a_browser_that_has_no_name(served: tuple[str, Path]) -> None:
    base, root = served

    def cookies(path: str, **headers: str) -> list[str]:
        request = urllib.request.Request(f"{base}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            given = answer.headers.get_all("set-cookie") or []
        return [one for one in given if one.startswith(BROWSER_COOKIE)]

    first, second = cookies("/lessons"), cookies("/lessons")
    assert len(first) == len(second) == 1
    name, *rules = first[0].split("; ")
    assert len(name.partition("=")[2]) > 20
    assert name != second[0].split("; ")[0]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rules)
    assert cookies("/lessons", Cookie=name) == []
    assert cookies(f"/atlasfiles/{picture(root)}") == []


def test_it_listens_on_this_machine_alone(served: tuple[str, Path]) -> None:
    port = int(served[0].rpartition(":")[2])
    table = Path("/proc/net/tcp")
    if not table.is_file():
        pytest.skip("this system has no /proc/net/tcp")
    rows = [line.split()[1] for line in table.read_text().splitlines()[1:]]
    assert [
        row for row in rows if row.endswith(f":{port:04X}") and not row.startswith("0100007F")
    ] == []
    assert f"0100007F:{port:04X}" in rows


def test_a_port_that_is_taken_is_told(served: tuple[str, Path]) -> None:
    base, root = served
    done = subprocess.run(
        [*APP, str(root), "--no-browser", "--port", base.rpartition(":")[2]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "cannot be used" in done.stderr
    assert "--port" in done.stderr
