"""What `serve` does: models loaded and warmed up, and their page over HTTP until Ctrl-C."""

import ipaddress
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.errors import UserError
from data_prep.progress import plain_console
from gatgnn_jax.pages.serve_page import serve_page
from gatgnn_jax.prediction.predictor import Predictor
from gatgnn_jax.runs.ready_made import ready_made_names, short_names
from gatgnn_jax.serving.answers import COLUMNS, MAX_BYTES, Models
from gatgnn_jax.serving.examples import EXAMPLES
from gatgnn_jax.serving.server import File, PageServer

if TYPE_CHECKING:
    from gatgnn_jax.serve import ServeOptions


def serve(options: "ServeOptions") -> int:
    """Serve the page until Ctrl-C; the exit status."""
    check_host(options.host, options.allow_network)
    runs = short_names(options.runs or [Path(name) for name in ready_made_names()])
    models = Models(
        {
            name: Predictor.load(run, device=options.device, trust_code=options.trust_code)
            for name, run in runs.items()
        }
    )
    console = plain_console(quiet=options.quiet)
    with open_server(models, options.host, options.port) as server:
        console.print("compiling, which the first time takes a minute …")
        models.warm_up()
        name = f"[{options.host}]" if ":" in options.host else options.host
        sys.stdout.write(f"open http://{name}:{server.server_address[1]}/ (Ctrl-C ends it)\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("stopped")
    return 0


def open_server(models: Models, host: str, port: int) -> PageServer:
    """A server of the page that listens, and answers as soon as it is told to serve.

    Raises:
        UserError: it cannot listen there.
    """
    properties = {
        name: [p.name for p in predictor.config.properties]
        for name, predictor in models.predictors.items()
    }
    page = serve_page(properties, EXAMPLES, limit=MAX_BYTES, columns=COLUMNS)
    files = {path: File(kind, text.encode()) for path, (kind, text) in page.items()}
    own_names = [] if is_here(host) else [host, socket.gethostname()]
    try:
        return PageServer(host, port, files, models.answer, MAX_BYTES, own_names)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"cannot listen on {host}, port {port}: {error}\n"
            "choose another --port, or --port 0 for any that is free"
        ) from None


def check_host(host: str, allow_network: bool) -> None:
    """Nobody else is let in by mistake.

    Raises:
        UserError: others can reach the address, and nobody has allowed that.
    """
    if not (allow_network or is_here(host)):
        raise UserError(
            f"--host {host}: others could use the page, without a password or encryption; "
            "if that is meant, add --allow-network"
        )


def is_here(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
