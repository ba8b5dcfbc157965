"""The README's pictures of pages and of a map, made again (needs Chromium and the font Inter).

python -m gatgnn_jax.train
python docs/screenshots.py runs/bulk_modulus-001
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from data_prep.cache import BUNDLED
from data_prep.lookup import find_structures
from gatgnn_jax import embed, explain

IMAGES = Path(__file__).parent / "images"
CRYSTAL = "mp-10746"
"""Mg2Cu3Si: three elements, small, with weights that differ."""

POINT_AT_TWO_CHARTS = """
const point = (selector, x, y) => {
  const canvas = document.querySelector(`${selector} canvas:last-of-type`);
  const box = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new PointerEvent("pointermove",
    { clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true }));
};
document.querySelectorAll("main > .row").forEach(row => row.remove());
setTimeout(() => { point(".learning", 0.62, 0.5); point(".panel.test", 0.66, 0.4); }, 500);
"""


def main() -> None:
    """Write report.png, explain.png and embed.png."""
    run = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        find_structures(None, {CRYSTAL})[CRYSTAL].to(str(folder / f"{CRYSTAL}.cif"))
        explain.main([str(run), str(folder / f"{CRYSTAL}.cif"), "--out", name, "--quiet"])
        embed.main(["bulk_modulus", str(BUNDLED), "--out", str(folder / "embed.csv"), "--quiet"])
        shutil.copyfile(folder / "embed.png", IMAGES / "embed.png")
        photograph(run / "report.html", "report.png", (1230, 2280), POINT_AT_TWO_CHARTS)
        photograph(folder / "explain.html", "explain.png", (1250, 1095))


def photograph(page: Path, name: str, size: tuple[int, int], script: str = "") -> None:
    """A picture of a page in a window of some size, after a script has run in it."""
    with tempfile.TemporaryDirectory() as folder:
        used = Path(folder) / page.name
        driver = f"<script>{script}</script></body>"
        used.write_text(page.read_text().replace("</body>", driver))
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",  # needed by root, as in a container
                "--disable-gpu",
                "--hide-scrollbars",
                "--force-device-scale-factor=0.75",
                "--virtual-time-budget=5000",
                f"--window-size={size[0]},{size[1]}",
                f"--user-data-dir={folder}/profile",
                f"--screenshot={IMAGES / name}",
                used.as_uri(),
            ],
            check=True,
            capture_output=True,
        )


if __name__ == "__main__":
    main()
