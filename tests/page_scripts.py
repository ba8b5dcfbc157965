"""What tests do in the pages, as scripts for `tests.browser.open_page`."""

from pathlib import Path

FOLDER = Path(__file__).parent / "scripts"


def script(name: str, end: str = "return result;") -> str:
    """`scripts/NAME.js`, after the helpers that all share; `end` stands for its last statement."""
    helpers, own = ((FOLDER / f"{file}.js").read_text() for file in ("helpers", name))
    return helpers + own.replace("return result;", end)
