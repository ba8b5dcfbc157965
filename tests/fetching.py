"""Crystals and a server for the tests of `data_prep.fetch`."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pymatgen.core import Structure

from tests.commands import bundled_rows

ROWS = bundled_rows(11)
STRUCTURES = {row["id"]: Structure.from_dict(row["structure"]) for row in ROWS}


def serve(answer: Callable[[str, dict[str, str]], tuple[int, bytes, int]]) -> ThreadingHTTPServer:
    """A server on this machine: (path, headers) -> (status, body, stated length)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, length = answer(self.path, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server
