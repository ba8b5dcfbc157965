"""The pictures of the page of `serve`, made again (needs Chromium and the extra `test`).

python docs/serve_screenshots.py
"""

import sys
import threading
from pathlib import Path

from gatgnn_jax import Predictor
from gatgnn_jax.jobs import serve
from gatgnn_jax.runs.ready_made import ready_made_names
from gatgnn_jax.serving.answers import Models

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.accessibility import PHONE, driven_browser

IMAGES = Path(__file__).parent / "images"
SIZES = {"serve.png": (1250, 1730), "serve_phone.png": (PHONE, 1730)}
"""Of the windows, in CSS pixels."""


def main() -> None:
    """Write the page with an example, on a desktop and on a phone."""
    models = Models({name: Predictor.load(name) for name in ready_made_names()})
    with serve.open_server(models, "127.0.0.1", 0) as server, driven_browser() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, (width, height) in SIZES.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, device_scale_factor=0.75)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            page.get_by_role("button", name="Rutile").click()
            page.locator(".values input").nth(1).check()
            page.evaluate("() => scrollTo(0, 0)")
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / name)
        server.shutdown()


if __name__ == "__main__":
    main()
