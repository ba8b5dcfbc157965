"""Pages on a phone, on paper, with a keyboard alone, and read aloud."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page
from pymatgen.core import Lattice, Structure

from gatgnn_jax import embed, explain, report
from tests.accessibility import PHONE, axe_violations, driven_browser
from tests.commands import write_source

PEROVSKITE = Structure.from_spacegroup(
    "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
)
"""SrTiO3: an octahedron of oxygen around titanium; strontium is in a packing of twelve."""


@pytest.fixture(scope="module")
def pages(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page, by its name."""
    folder = tmp_path_factory.mktemp("pages")
    PEROVSKITE.to(str(folder / "SrTiO3.cif"))
    arguments = [run, folder / "SrTiO3.cif", "--out", folder, "--quiet"]
    assert explain.main([*map(str, arguments)]) == 0
    crystals = write_source(folder / "crystals.jsonl", 12, lambda number, old: old)
    arguments = [run, crystals, "--out", folder / "vectors.csv", "--quiet"]
    assert embed.main([*map(str, arguments)]) == 0
    twin = shutil.copytree(run, folder / "twin", ignore=shutil.ignore_patterns("checkpoints"))
    arguments = [run, twin, "--out", folder / "comparison.html", "--quiet"]
    assert report.main([*map(str, arguments)]) == 0
    return {
        "report": run / "report.html",
        "explain": folder / "explain.html",
        "map": folder / "vectors.html",
        "comparison": folder / "comparison.html",
    }


@pytest.fixture(scope="module")
def browser(pages: dict[str, Path]) -> Iterator[Browser]:
    with driven_browser() as own:
        yield own


def opened(browser: Browser, path: Path, width: int = 1400) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, has_touch=width == PHONE)
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelector('canvas').width > 0")
    return page


@pytest.mark.parametrize("kind", ["report", "explain", "map", "comparison"])
@pytest.mark.slow
def test_everybody_can_read_a_page(kind: str, pages: dict[str, Path], browser: Browser) -> None:
    """Nothing for axe at level AA, no error, and nothing asked of anybody else."""
    noted: list[str] = []

    def use(page: Page) -> None:
        page.on("console", lambda message: noted.append(message.text))
        page.on("pageerror", lambda error: noted.append(str(error)))
        page.on("request", lambda request: noted.append(request.url))
        page.reload()
        page.wait_for_function("document.querySelector('canvas').width > 0")

    assert axe_violations(browser, pages[kind], use) == []
    assert set(noted) == {pages[kind].as_uri()}


@pytest.mark.parametrize("kind", ["report", "explain", "map", "comparison"])
def test_nothing_is_cut_off_on_a_phone(kind: str, pages: dict[str, Path], browser: Browser) -> None:
    page = opened(browser, pages[kind], PHONE)
    wide = """[...document.querySelectorAll('.pad, .scroll, .legend, .keys, html')]
        .filter(box => box.scrollWidth > box.clientWidth).map(box => box.textContent)"""
    assert page.evaluate(wide) == []
    # A finger that moves up or down scrolls the page, on whatever picture it lies.
    how = "[...document.querySelectorAll('canvas')].map(own => getComputedStyle(own).touchAction)"
    assert set(page.evaluate(how)) == {"pan-y pinch-zoom"}
    page.close()


def test_elements_tell_their_numbers_on_a_tap(run: Path, pages: dict, browser: Browser) -> None:
    page = opened(browser, pages["report"], PHONE)
    cell = page.locator(".cell.known", has_text="Al").first
    assert not cell.locator("small").is_visible()
    cell.tap()
    told = page.locator(".told").text_content() or ""
    row = page.locator("table.elements tr", has=page.locator("td[data-value='Al']"))
    tested, trained, error = row.locator("td").evaluate_all(
        "cells => cells.slice(1).map(cell => +cell.dataset.value)"
    )
    words = f"over {tested} test crystals; {trained} training crystals"
    assert told == f"Al: MAE {error:.3g} log10(GPa) {words}"
    page.close()


def test_points_and_worst_predictions_by_keyboard(run: Path, pages: dict, browser: Browser) -> None:
    """From the leftmost crystal to the right with arrows, Enter keeps it; then down the worst."""
    table = pd.read_csv(run / "predictions.csv")
    tested = table[table.subset == "test"].sort_values("target", kind="stable")
    page = opened(browser, pages["report"])
    chart = page.locator(".panel.test [role=slider]")
    chart.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    said = chart.get_attribute("aria-valuetext") or ""
    second = tested.iloc[1]
    assert f"· {second.id}, true {second.target_gpa:.3g}" in said
    assert page.locator("table.pinned .pick").count() == 1

    worst = page.locator("table.worst")
    worst.locator("th button").last.focus()
    for key in ("Tab", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    ids = worst.locator("td:first-child").evaluate_all("all => all.map(own => own.dataset.value)")
    assert ids[1] in (page.locator(".structure .title").text_content() or "")
    assert worst.locator("[aria-pressed=true]").count() == 1
    page.close()


def test_pictures_are_told_in_numbers(run: Path, pages: dict, browser: Browser) -> None:
    page = opened(browser, pages["report"])
    labels = page.locator("canvas[role=img]").evaluate_all(
        "all => all.map(own => own.getAttribute('aria-label'))"
    )
    epochs = pd.read_csv(run / "metrics.csv")
    best = epochs.val_mae.idxmin()
    words = f"best {epochs.val_mae[best]:.4g} in epoch {epochs.epoch[best]}"
    assert labels[0].startswith("learning curves: training from") and words in labels[0]
    assert all(any(letter.isdigit() for letter in label) for label in labels)
    page.close()


def test_settings_that_differ_come_first(pages: dict, browser: Browser) -> None:
    page = opened(browser, pages["report"])
    changed = page.locator("table.settings tbody tr").evaluate_all(
        "rows => rows.map(row => row.className === 'changed')"
    )
    assert changed == sorted(changed, reverse=True)
    assert {*changed} == {True, False}
    page.close()


def test_paper_shows_whole_tables(pages: dict, browser: Browser) -> None:
    """Also of a reader who has it dark: paper is white."""
    page = opened(browser, pages["report"])
    page.emulate_media(media="print", color_scheme="dark")
    hidden = """[...document.querySelectorAll('.scroll')].filter(
        box => box.scrollHeight > box.clientHeight + 1).length"""
    assert page.evaluate(hidden) == 0
    for name in ("learning rate", "seed"):
        assert page.locator("table.settings td", has_text=name).first.is_visible()
    style = "name => getComputedStyle(document.querySelector(name)).%s"
    assert page.evaluate(style % "printColorAdjust", ".meter i") == "exact"
    assert page.evaluate(style % "objectFit", "canvas") == "contain"
    assert page.evaluate(style % "backgroundColor", ".tile") == "rgb(255, 255, 255)"
    page.close()


def test_neighbours_beyond_the_cell_and_polyhedra(pages: dict, browser: Browser) -> None:
    page = opened(browser, pages["explain"])
    beyond, solids = page.locator(".choices input").all()
    drawn = "[...['atoms', 'polyhedra']].map(k => +document.querySelector('canvas').dataset[k])"
    page.wait_for_function("document.querySelector('canvas').dataset.polyhedra")  # once drawn
    # Eight corners of Sr, Ti in the middle, six faces of O; each O has one more Ti beyond.
    assert page.evaluate(drawn) == [8 + 1 + 6 + 6, 0]
    beyond.uncheck()
    page.wait_for_function("document.querySelector('canvas').dataset.atoms === '15'")
    solids.check()
    page.wait_for_function("document.querySelector('canvas').dataset.polyhedra === '1'")
    corners = """hullFaces([-1, 1].flatMap(a => [-1, 1].flatMap(b => [-1, 1].map(
        c => [a, b, c])))).map(face => face.length)"""
    assert page.evaluate(corners) == [4] * 6
    around = """hullFaces([0, 1, 2].flatMap(k => [-1, 1].map(
        x => [0, 1, 2].map(n => n === k ? x : 0)))).map(face => face.length)"""
    assert page.evaluate(around) == [3] * 8
    page.close()
