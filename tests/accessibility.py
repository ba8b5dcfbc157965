"""What axe-core finds on pages, on a phone and on a desktop, in light and in dark."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import chromium

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
"""Levels A and AA of the Web Content Accessibility Guidelines."""

PHONE, DESKTOP = 390, 1400
"""Widths in CSS pixels."""


@contextmanager
def driven_browser() -> Iterator[Browser]:
    """Chromium as Playwright drives it: keys, files, emulated screens, and what a page asks for.

    While it is open the thread has a running event loop: train and load models before.
    """
    options = ["--no-sandbox", "--disable-gpu"]  # the first is needed by root, as in a container
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=options)
        yield browser
        browser.close()


def axe_violations(
    browser: Browser, page: Path | str, use: Callable[[Page], object] = lambda page: None
) -> list[str]:
    """What axe-core finds on a page (a file or an address), each with the screen and the element.

    The page is opened anew for each screen, and used as a person would before it is looked at.
    """
    address = page.as_uri() if isinstance(page, Path) else page
    found = []
    for width in (PHONE, DESKTOP):
        for scheme in ("light", "dark"):
            own = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            own.goto(address)
            use(own)
            options = {"runOnly": {"type": "tag", "values": RULES}}
            for violation in Axe().run(own, options=options).response["violations"]:
                where = f"{width} {scheme}: {violation['id']}"
                for node in violation["nodes"]:
                    why = node["failureSummary"].splitlines()[-1].strip()
                    found.append(f"{where}: {node['html'][:200]}: {why}")
            own.close()
    return found
