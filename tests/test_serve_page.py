"""The page of `python -m gatgnn_jax.serve` in a real browser."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from gatgnn_jax import Predictor
from gatgnn_jax.jobs.serve import open_server
from gatgnn_jax.presets import PRESETS
from gatgnn_jax.serving.answers import MAX_BYTES, Models
from gatgnn_jax.serving.examples import EXAMPLES
from tests.accessibility import axe_violations, driven_browser
from tests.commands import untrained_run
from tests.crystals import NACL

DROP = """([name, text]) => {
    const files = new DataTransfer();
    files.items.add(new File([text], name));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
}"""
"""A file let go over the page."""


@pytest.fixture(scope="module")
def models(tmp_path_factory, cache):
    """A ready-made ensemble, and a network without attention."""
    folder = tmp_path_factory.mktemp("runs")
    sizes = asdict(PRESETS["paper-cgcnn"].sizes_for("cgcnn"))
    cgcnn = untrained_run(folder / "<b>cgcnn", **sizes | {"num_layers": 1})
    found = {"bulk_modulus": "bulk_modulus", cgcnn.name: cgcnn}
    return Models({name: Predictor.load(run, batch_size=8) for name, run in found.items()})


@pytest.fixture(scope="module")
def server(models):
    for text in EXAMPLES.values():  # compiled before the browser waits for it
        models.answer("x", text.encode(), [])
    with open_server(models, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}/"


@pytest.fixture(scope="module")
def browser(server):
    with driven_browser() as browser:
        yield browser


@contextlib.contextmanager
def opened(browser, address) -> Iterator:
    """The page, which writes no errors and asks nobody else for anything."""
    said, asked = [], []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    page.wait_for_load_state("networkidle")
    assert said == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    page.close()


# ---- what it is for ----------------------------------------------------------------------------


def test_a_dropped_file_is_predicted(browser, address, models, tmp_path):
    """Values, interval and evidence on the page and in its table are those of `predict`."""
    (tmp_path / "salt.cif").write_text(NACL)
    predicted = models.predictors["bulk_modulus"].predict(tmp_path / "salt.cif")
    with opened(browser, address) as page:
        page.evaluate(DROP, ["salt.cif", NACL])
        page.wait_for_selector(".answer canvas")
        name, value, interval, *_ = page.locator(".values label").first.inner_text().split("\n")
        networks = page.locator(".networks td:nth-child(2)").all_inner_texts()
        nearest = page.locator(".nearest tbody tr").first.inner_text().split()
        atoms = page.locator("table.atoms tbody tr").count()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        table = pd.read_csv(download.value.path()).set_index("model")

    expected = predicted.to_dataframe().iloc[0]
    assert name == "bulk modulus"
    assert value.split()[1] == "GPa"
    assert float(value.split()[0]) == pytest.approx(expected.prediction_gpa, rel=1e-3)
    low, high = map(float, interval.removeprefix("90 %: ").removesuffix(" GPa").split(" to "))
    assert [low, high] == pytest.approx([expected.lower_gpa, expected.upper_gpa], rel=1e-3)
    assert len(networks) == 5
    assert np.log10([*map(float, networks)]).mean() == pytest.approx(expected.prediction, abs=1e-3)
    assert nearest[0] == expected.nearest
    assert atoms == 2
    row = table.loc["bulk_modulus"]
    assert [row.id, row.unit, row.nearest] == ["salt", "GPa", expected.nearest]
    for column, own in [("value", "prediction"), ("lower", "lower"), ("upper", "upper")]:
        assert row[column] == pytest.approx(expected[f"{own}_gpa"], rel=1e-4)


def test_with_the_keyboard_alone(browser, address):
    """Paste, predict, look at the network without attention, turn the other's crystal."""
    with opened(browser, address) as page:
        page.get_by_label("Or paste one").focus()
        page.keyboard.insert_text(NACL)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer canvas")
        assert page.evaluate("document.activeElement.textContent") == "NaCl"  # read out
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        assert "has no attention to show" in page.locator(".answer").inner_text()
        page.keyboard.press("ArrowLeft")
        canvas = page.locator(".answer canvas")
        page.wait_for_selector("canvas[data-atoms]")
        before = canvas.evaluate("own => own.toDataURL()")
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "CANVAS":
                break
        page.keyboard.press("ArrowLeft")
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        assert canvas.evaluate("own => own.toDataURL()") != before


def test_examples_and_the_choice_of_models(browser, address, models):
    with opened(browser, address) as page:
        page.get_by_label("bulk_modulus").uncheck()
        page.get_by_role("button", name="Rutile").click()
        page.wait_for_selector(".answer")
        assert page.locator(".values label").count() == 1
        assert page.locator(".values .name").inner_text().endswith("· <b>cgcnn")
        assert page.locator(".answer h2").first.inner_text() == "TiO2"
        page.get_by_role("button", name="Clear").click()
        assert page.locator(".answer").count() == 0


@pytest.mark.slow
def test_nothing_that_axe_finds(browser, address):
    """Before and after a prediction, with a warning and a refusal."""

    def use(page):
        page.evaluate(DROP, ["neon.vasp", EXAMPLES["Silicon"].replace("Si", "He")])
        page.wait_for_selector(".answer canvas")
        page.evaluate(DROP, ["no.cif", "nothing"])
        page.wait_for_selector(".refused")
        assert page.locator(".warning").count() > 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    assert axe_violations(browser, address) == []
    assert axe_violations(browser, address, use) == []


def test_scripts_in_names_are_text(browser, address):
    """In a file's name, in atoms' labels, in an id, in a formula, in a reason."""
    script = "<script>document.title='hacked'</script>"
    image = "<img src=x onerror=document.title='hacked'>"
    labels = NACL.replace("Na0", script).replace("'Na1 Cl1'", f'"{script}"')
    rows = [{"id": image, "cif": labels}, {"id": script, "cif": image}]
    files = [(f"{image}.cif", labels), ("rows.json", json.dumps(rows)), (f"{image}.vasp", script)]
    with opened(browser, address) as page:
        for name, text in files:
            page.evaluate(DROP, [name, text])
            page.locator("#status", has_text="predicted").wait_for()
            page.locator("#status").evaluate("own => { own.textContent = ''; }")
        said = page.locator("main").inner_text()
        assert page.locator("main img, main script").count() == 0
        assert page.title() == "Predict crystals – gatgnn_jax"
    assert said.count(image) >= 3
    assert said.count(script) >= 3


def test_a_large_file_is_refused_before_it_is_sent(browser, address):
    large = {"name": "large.cif", "mimeType": "", "buffer": b"x" * (MAX_BYTES + 1)}
    with opened(browser, address) as page:
        page.get_by_label("Files").set_input_files([large])
        page.wait_for_selector(".refused")
        assert "large.cif is refused" in page.locator(".refused").inner_text()
        assert "larger than 10 MB" in page.locator(".refused").inner_text()
