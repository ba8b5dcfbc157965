"""The page of `python -m gatgnn_jax.serve`: three files, as nothing in it may be inline."""

from collections.abc import Mapping, Sequence
from typing import Any

from gatgnn_jax.pages import explain_page
from gatgnn_jax.pages.assemble import web_text, with_data

STYLES = ("style.css", "serve.css")
SCRIPTS = (*explain_page.SCRIPTS, "evidence.js", "serve.js")


def serve_page(
    models: Mapping[str, Sequence[str]], examples: Mapping[str, str], **settings: Any
) -> dict[str, tuple[str, str]]:
    """Type and text of each file by path.

    Args:
        models: the properties of each, by name.
        examples: texts of crystals to try, by name.
        settings: what `serve.js` asks for besides.
    """
    data = {
        **explain_page.explain_data([], []),
        "models": [[name, list(properties)] for name, properties in models.items()],
        "examples": [list(pair) for pair in examples.items()],
        **settings,
    }
    start = '"use strict";\nconst DATA = JSON.parse(document.getElementById("data").textContent);\n'
    return {
        "/": ("text/html; charset=utf-8", with_data(web_text(["serve.html"]), data)),
        "/page.css": ("text/css; charset=utf-8", web_text(STYLES)),
        "/page.js": ("text/javascript; charset=utf-8", start + web_text(SCRIPTS)),
    }
