"""A page on this machine for one person: the client of neuroglancer, and blocks of images in the words of OME-Zarr.

It listens on the loopback interface only, answers requests that know its token and name it by its own address
(otherwise a page of the web could reach it by a name that it points to 127.0.0.1), and gives no file but those of a
fixed table. Its pages may load nothing from elsewhere.
"""

from __future__ import annotations

import hmac
import json
import mimetypes
import secrets
import select
import socket
import threading
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from fusestack.display.neuroglancer import client_files, page_state
from fusestack.model.errors import FusestackError
from fusestack.model.machine import cores
from fusestack.storage import folder_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fusestack.display.neuroglancer import Scene
    from fusestack.display.served import Blocks

_LOOPBACK = "127.0.0.1"
_MOST_STATE = 2**24
_SIGN_OF_LIFE = 10.0
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">
<title>{title}</title><style>
html, body {{ margin: 0; height: 100%; background: #18181c; color: #ddd; font: 14px/32px system-ui, sans-serif; }}
header {{ height: 32px; padding: 0 12px; display: flex; gap: 1.5rem; }} a {{ color: #8cf; }}
iframe {{ border: 0; width: 100%; height: calc(100% - 32px); display: block; }}
</style><body><header><b>{title}</b>{links}</header>
<iframe src="{client}" title="neuroglancer"></iframe></body></html>"""


class ViewServer(ThreadingHTTPServer):
    """Serves a scene until it is shut down.

    Parameters
    ----------
    scene : Scene
    blocks : Blocks
        Of the images of the scene.
    drawn : callable, optional
        Called with the areas that are drawn, as a configuration says them, whenever the page has changed.

    Raises
    ------
    ConfigError
        If neuroglancer is not installed.
    """

    daemon_threads = True

    def __init__(self, scene: Scene, blocks: Blocks, drawn: Callable[[list[Any]], None] | None = None) -> None:
        self.files: dict[str, Path] = client_files()
        self.token = secrets.token_urlsafe(24)
        self.scene, self.blocks = scene, blocks
        self.documents = [image.documents() for image in scene.images]
        # more at once would only take memory from one another
        self.computing = threading.BoundedSemaphore(cores())
        self.changed = threading.Condition()
        self.closing = False
        super().__init__((_LOOPBACK, 0), _Handler)
        self.state: dict[str, Any] = page_state(scene, lambda n: f"{self.origin}/data/{self.token}/{n}/")
        self.generation = "0"
        self._drawn = drawn
        self._drawing = threading.Lock()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{_LOOPBACK}:{self.server_address[1]}"

    @property
    def address(self) -> str:
        """Of the page, with its token."""
        return f"{self.origin}/{self.token}/"

    def tell_drawn(self) -> None:
        """Say which areas are drawn."""
        if self._drawn is None or self.scene.drawing is None:
            return
        with self._drawing:
            areas = self.scene.drawing.drawn(self.state, self.scene.world)
            if areas is not None:
                self._drawn(areas)

    def shutdown(self) -> None:
        """Stop serving, and end the streams that pages listen to."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        super().shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: browsers break connections off whenever something is not needed any more."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ViewServer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def version_string(self) -> str:
        """Not which Python this is."""
        return "fusestack"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        """Answer with a page, a file of the client, a block, or the stream of states."""
        words = self._words()
        match words:
            case None:
                return
            case ["", ""]:
                self._send(self._page(), "text/html; charset=utf-8")
            case ["v", name]:
                self._client_file(name or "index.html")
            case ["events", _]:
                self._events()
            case ["data", number, *key] if key:
                self._data(number, "/".join(key))
            case ["report", ""]:
                self._report()
            case _:
                self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take the state of a page."""
        words = self._words()
        if words is None:
            return
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _MOST_STATE:
            self.close_connection = True
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(length)
        if words[0] == "state":
            self._state(body)
        elif words[0] == "action":
            self._send(b"", "text/plain")
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _words(self) -> list[str] | None:
        """What is asked for: kind, and what follows the token; None where it was refused."""
        port = self.server.server_address[1]
        hosts = {f"{name}:{port}" for name in (_LOOPBACK, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or (origin and origin not in {f"http://{host}" for host in hosts}):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        _, *words = urlsplit(self.path).path.split("/")
        kind = words.pop(0) if words and words[0] in ("v", "events", "state", "action", "data", "report") else ""
        token = words.pop(0) if words else ""
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return [kind, *(words or [""])]

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status.phrase.encode(), "text/plain", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _page(self) -> bytes:
        server, scene = self.server, self.server.scene
        there = scene.report is not None and _exists(scene.report)
        links = f'<a href="/report/{server.token}/" target="_blank" rel="noopener">report</a>' if there else ""
        client = f"/v/{server.token}/"
        return _PAGE.format(title=escape(scene.title), links=links, client=client).encode()

    def _client_file(self, name: str) -> None:
        found = self.server.files.get(name)
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        kind = "application/wasm" if name.endswith(".wasm") else mimetypes.guess_type(name)[0]
        self._send(found.read_bytes(), kind or "application/octet-stream")

    def _report(self) -> None:
        found = None
        if self.server.scene.report is not None:
            folder, name = folder_of(self.server.scene.report)
            found = folder.get(name)
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(found, "text/html; charset=utf-8")

    def _data(self, number: str, key: str) -> None:
        server = self.server
        if not (number.isascii() and number.isdecimal()) or int(number[:9]) >= len(server.documents):
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        image = int(number)
        if (document := server.documents[image].get(key)) is not None:
            self._send(document, "application/json")
            return
        place = server.scene.images[image].place(key)
        if place is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with server.computing:
            if self._gone():
                self.close_connection = True
                return
            try:
                found = server.blocks.get(image, *place)
            except FusestackError as error:
                self._send("\n".join(error.problems).encode(), "text/plain", HTTPStatus.INTERNAL_SERVER_ERROR)
                return
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND)  # as Zarr has it: the fill value
        else:
            self._send(found, "application/octet-stream")

    def _gone(self) -> bool:
        """Whether the browser has broken the connection off, because the block is not seen any more."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def _events(self) -> None:
        """States that a page does not have yet, as neuroglancer's own server sends them."""
        server = self.server
        asked = parse_qs(urlsplit(self.path).query)
        client, known = asked.get("c", [""])[0], asked.get("gs", [""])[0]
        self.send_response(HTTPStatus.OK)
        for name, value in {**_HEADERS, "Content-Type": "text/event-stream", "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while not server.closing:
            with server.changed:
                state, generation = server.state, server.generation
            if generation != known and not generation.startswith(f"{client}/"):
                message = json.dumps({"k": "s", "s": state, "g": generation})
                self.wfile.write(f"data: {message}\n\n".encode())
            else:
                self.wfile.write(b":\n\n")  # fails where nobody listens any more
            known = generation
            with server.changed:
                if not server.closing and server.generation == known:
                    server.changed.wait(_SIGN_OF_LIFE)

    def _state(self, body: bytes) -> None:
        """Keep the state of a page, so that it is the same when the page is loaded again."""
        server = self.server
        try:
            told = json.loads(body)
            state, before, after = told["s"], told["pg"], f"{told['c']}/{told['g']}"
        except (ValueError, KeyError, TypeError):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        with server.changed:
            if before != server.generation:
                self._refuse(HTTPStatus.PRECONDITION_FAILED)  # another page was faster
                return
            server.state, server.generation = state, after
            server.changed.notify_all()
        server.tell_drawn()
        self._send(json.dumps({"g": after}).encode(), "application/json")


def _exists(path: str) -> bool:
    folder, name = folder_of(path)
    return folder.identity(name) is not None
