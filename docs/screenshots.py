"""The documentation's pictures of pages and of a map, made again.

Needs Chromium, the font Inter and the extra `test`, whose Playwright drives it.

python -m gatgnn_jax.train
python docs/screenshots.py runs/bulk_modulus-001 [ANOTHER_RUN]
"""

import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from data_prep.cache import BUNDLED
from data_prep.lookup import find_structures
from gatgnn_jax import embed, explain, report

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.accessibility import PHONE, driven_browser

IMAGES = Path(__file__).parent / "images"
CRYSTAL = "mp-5229"
"""SrTiO3: three elements, small, and an octahedron."""

PAPER = 718
"""The width of an A4 sheet between its margins, in CSS pixels."""

SCALE = 0.75
"""Pictures have so many pixels for each of the page's."""


def main() -> None:
    """Write the pictures."""
    run, other = Path(sys.argv[1]), Path(sys.argv[-1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (find_structures(None, {CRYSTAL}) or {})[CRYSTAL].to(str(folder / f"{CRYSTAL}.cif"))
        explain.main([str(run), str(folder / f"{CRYSTAL}.cif"), "--out", name, "--quiet"])
        embed.main(["bulk_modulus", str(BUNDLED), "--out", str(folder / "embed.csv"), "--quiet"])
        shutil.copyfile(folder / "embed.png", IMAGES / "embed.png")
        compared = folder / "comparison.html"
        report.main([str(run), str(other), "--out", str(compared), "--quiet"])
        with driven_browser() as browser:
            for page, picture, size, use in (
                (run / "report.html", "report", (1230, 2310), point_at_two_charts),
                (folder / "explain.html", "explain", (1250, 1010), draw_polyhedra),
                (folder / "embed.html", "map", (1250, 880), find_a_crystal),
                (compared, "comparison", (1250, 1500), do_nothing),
            ):
                save(photograph(browser, page, size, use), picture)
            phone = [
                photograph(browser, run / "report.html", (PHONE, 1500), tap_an_element),
                photograph(browser, folder / "explain.html", (PHONE, 1500), do_nothing),
            ]
            save(side_by_side(phone), "phone")
            save(photograph(browser, run / "report.html", (PAPER, 1900), print_it), "print")


def photograph(
    browser: Browser, page: Path, size: tuple[int, int], use: Callable[[Page], object]
) -> Image.Image:
    """A picture of a page on a screen of some size, after it was used."""
    own = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, device_scale_factor=SCALE, has_touch=True
    )
    own.goto(page.as_uri())
    own.wait_for_timeout(500)
    use(own)
    own.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(own.screenshot()))
    own.close()
    return picture


def save(picture: Image.Image, name: str) -> None:
    """Write a picture as small as it can be without a loss."""
    picture.convert("RGB").save(IMAGES / f"{name}.png", optimize=True)


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """One picture of several of the same size."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (len(pictures) * (width + 24) - 24, height), "white")
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (k * (width + 24), 0))
    return sheet


def do_nothing(page: Page) -> None:
    """As it opens."""


def point_at_two_charts(page: Page) -> None:
    """The learning curve and a test crystal tell their numbers at once, which no mouse can do."""
    page.evaluate("""() => {
        document.querySelectorAll("main > .row").forEach(row => row.remove());
        for (const [box, x, y] of [[".learning", 0.62, 0.5], [".panel.test", 0.66, 0.4]]) {
            const canvas = document.querySelector(`${box} canvas:last-of-type`);
            const place = canvas.getBoundingClientRect();
            canvas.dispatchEvent(new PointerEvent("pointermove", { bubbles: true,
                clientX: place.left + x * place.width, clientY: place.top + y * place.height }));
        }
    }""")


def draw_polyhedra(page: Page) -> None:
    """With all that can be switched on."""
    page.locator(".choices input").last.check()
    page.evaluate("scrollTo(0, 0)")


def find_a_crystal(page: Page) -> None:
    """Its numbers and neighbours are shown."""
    page.locator(".controls input").fill("MgO")
    page.keyboard.press("Enter")


def tap_an_element(page: Page) -> None:
    """The card of the periodic table, with what an element tells."""
    card = page.locator(".card", has=page.locator(".periodic"))
    card.evaluate("card => card.previousElementSibling.scrollIntoView()")
    card.locator(".cell.known").first.tap()


def print_it(page: Page) -> None:
    """From the worst predictions on, as on paper."""
    page.emulate_media(media="print")
    page.locator(".card", has=page.locator("table.worst")).evaluate(
        "card => { while (card.previousElementSibling) card.previousElementSibling.remove(); }"
    )


if __name__ == "__main__":
    main()
