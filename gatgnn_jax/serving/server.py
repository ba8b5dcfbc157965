"""The page over HTTP, on this machine alone unless the user says otherwise.

The standard library's server: one person asks a few times a minute, the whole is shorter than this
project's glue to a framework would be, and `serve` works wherever the package does, without more to
install. What a framework would not do either is here: a limit of time for the whole of a
connection, of size before anything is read, and senders that are other pages turned away. Files
stay in memory and are forgotten with the answer.
"""

import ipaddress
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qs, urlsplit

from data_prep.errors import UserError, one_line

PATIENCE = 10.0
"""Seconds to wait for the next byte from or to a browser."""

LONGEST = 120.0
"""Seconds of a connection, with the answer and what had to be compiled for it."""

MAX_THREADS = 64
"""Further connections are closed at once."""

HEADERS = {
    # Scripts and styles of this server's files alone, data from here alone, in no other's frame.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Answer = Callable[[str, bytes, Sequence[str]], Mapping[str, Any]]
"""Name and content of a file, names of models → what JSON can hold; a UserError says why not."""


class File(NamedTuple):
    """What is sent under a path."""

    type: str
    content: bytes


class Refused(Exception):
    """A request that is not answered: HTTP status and reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


class PageServer(ThreadingHTTPServer):
    """Serves some files, and answers what is posted to `/predict`."""

    daemon_threads = True

    def __init__(
        self,
        host: str,
        port: int,
        files: Mapping[str, File],
        answer: Answer,
        max_bytes: int,
        names: Collection[str] = (),
    ):
        """`files` by path; `names` of this machine besides addresses and localhost.

        Raises:
            OSError: the port is taken, or there is no such address here.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.files, self.answer, self.max_bytes = files, answer, max_bytes
        self.names = {"localhost", *names}
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Without a question to the network, of what this machine is called."""
        socketserver.TCPServer.server_bind(self)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more."""
        return threading.active_count() < MAX_THREADS


class Handler(BaseHTTPRequestHandler):
    """One connection, which is closed after its answer."""

    server: PageServer
    timeout = PATIENCE
    server_version, sys_version = "gatgnn_jax", ""

    def handle(self) -> None:
        """Answer within the limit of time."""
        end = threading.Timer(LONGEST, self.connection.shutdown, [socket.SHUT_RDWR])
        end.daemon = True
        end.start()
        try:
            super().handle()
        except OSError:
            pass  # gone, or too slow
        finally:
            end.cancel()

    def do_GET(self) -> None:
        """A file."""
        try:
            self._check_host()
            file = self.server.files.get(_parts(self.path).path)
            if file is None:
                raise Refused(404, "there is nothing here: go to /")
            self._reply(200, file)
        except Refused as error:
            self._refuse(error)

    def do_POST(self) -> None:
        """The answer to a file."""
        try:
            self._check_host()
            if self.headers.get("Origin") not in (None, f"http://{self.headers['Host']}"):
                raise Refused(403, "only the page of this server may ask it")
            name, models = self._query()
            found = _json(self.server.answer(name, self._body(), models))
        except Refused as error:
            self._refuse(error)
        except UserError as error:
            self._refuse(Refused(422, str(error)))
        except ConnectionError:
            raise
        except Exception as error:  # whatever it is, the next file is another
            self._refuse(Refused(500, f"{type(error).__name__}: {one_line(error)}"))
        else:
            self._reply(200, found)

    def _check_host(self) -> None:
        """A name that its owner points at this machine must not become one of its names."""
        name = _parts(f"//{self.headers.get('Host', '')}").hostname or ""
        if name not in self.server.names and not _is_address(name):
            raise Refused(403, f"{name or 'no name'} is none of this server's names")

    def _query(self) -> tuple[str, list[str]]:
        parts = _parts(self.path)
        if parts.path != "/predict":
            raise Refused(404, "there is nothing here: post to /predict")
        try:
            query = parse_qs(parts.query, max_num_fields=100)
        except ValueError:
            raise Refused(400, "more models than there can be") from None
        return query.get("name", ["pasted"])[0], query.get("model", [])

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(411, "the length of the file is not given")
        if int(length[:20]) > self.server.max_bytes:
            limit = self.server.max_bytes // 1_000_000
            raise Refused(413, f"the file is larger than {limit} MB: is it a structure?")
        try:
            body = self.rfile.read(int(length))
        except TimeoutError:
            body = b""
        if len(body) < int(length):
            raise Refused(408, "the file did not come whole")
        return body

    def _refuse(self, error: Refused) -> None:
        self._reply(error.status, _json({"error": str(error)}))
        if self.command == "POST":  # a browser reads the reason only when it has sent everything
            self.connection.shutdown(socket.SHUT_WR)
            while self.rfile.read1(1 << 16):
                pass

    def _reply(self, status: int, file: File) -> None:
        self.send_response(status)
        self.send_header("Content-Type", file.type)
        self.send_header("Content-Length", str(len(file.content)))
        self.end_headers()
        self.wfile.write(file.content)

    def end_headers(self) -> None:
        """Ours are with every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the user's."""


def _json(content: Mapping[str, Any]) -> File:
    return File("application/json", json.dumps(content, allow_nan=False).encode())


def _parts(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        raise Refused(400, "the address cannot be read") from None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
