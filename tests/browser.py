"""Pages in a real browser, Debian's Chromium without a window or a network."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

OPTIONS = (
    "--headless",
    "--no-sandbox",  # needed by root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1300,1000",
    "--virtual-time-budget=20000",
    "--enable-logging=stderr",
    "--dump-dom",
)

# Time is virtual, so that nothing waits. Frames of the screen, and with them the reports of sizes,
# would come in real time: too late, on a busy machine.
VIRTUAL_FRAMES = """
    requestAnimationFrame = paint => setTimeout(paint, 16);
    ResizeObserver = class {
        constructor(report) { this.report = report; }
        observe(box) {
            let known = "";
            setInterval(() => {
                const size = `${box.clientWidth} ${box.clientHeight}`;
                if (size !== known) this.report();
                known = size;
            }, 16);
        }
    };
"""


class Opened(NamedTuple):
    """A page after it was opened and used."""

    dom: str
    console: list[str]
    """everything it wrote there, errors among them"""
    result: Any
    """what the script returned"""


def chromium() -> str:
    """Where Chromium is; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


def open_page(page: Path, tmp_path: Path, script: str = "") -> Opened:
    """Open a page and run a script in it, the body of an async function that uses the page.

    `await frame()` waits until the page is painted.

    Skips the test where there is no Chromium.
    """
    clock = f"<body><script>{VIRTUAL_FRAMES}</script>"
    driver = f"""<output id="result"></output><script>
        const frame = () => new Promise(done => setTimeout(done, 50));
        (async () => {{ {script} }})().then(
            value => document.getElementById("result").textContent = JSON.stringify(value ?? null),
            error => console.error(error.stack))
    </script></body>"""
    used = tmp_path / "used.html"
    text = page.read_text().replace("<body>", clock).replace("</body>", driver)
    used.write_text(text)
    done = subprocess.run(
        [chromium(), *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", used.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    found = re.search(r'<output id="result">(.*?)</output>', done.stdout, re.DOTALL)
    result = json.loads(html.unescape(found[1])) if found and found[1] else None
    return Opened(done.stdout, console, result)
