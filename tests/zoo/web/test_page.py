"""The page as a visitor uses it: drawing, uploads, own models, faults, and the inside of every family."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.catalog import bundled_models
from tests.support.browser import SitePage, wait

FAMILIES = ["gridnet-mnist", "cellnet-mnist", "nca-iris", "snapshots-mnist", "normnet-mnist-conv"]
STROKES = {
    "1": [[(0.5, 0.15), (0.5, 0.85)]],
    "7": [[(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)]],
    "0": [[(0.5 + 0.2 * np.sin(t), 0.5 - 0.33 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 25)]],
}


def draw(page: Any, strokes: list[list[tuple[float, float]]]) -> None:
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        for number, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            if number == 0:
                page.mouse.down()
        page.mouse.up()


def answer(page: Any) -> str:
    return str(page.inner_text("#answer"))


def wait_for_answer(page: Any, label: str) -> None:
    wait(page, f"document.querySelector('#answer').textContent === {json.dumps(label)}")


@pytest.mark.parametrize("digit", sorted(STROKES))
def test_a_digit_drawn_with_the_mouse_is_read(page: SitePage, digit: str) -> None:
    tab = page.open("gridnet-mnist")
    tab.get_by_role("button", name="Clear").click()
    draw(tab, STROKES[digit])
    wait_for_answer(tab, digit)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_shows_its_inside_in_dark_and_light_without_a_fault(page: SitePage, name: str) -> None:
    tab = page.open(name)
    assert tab.is_hidden("#problem")
    assert answer(tab) in sdk.load(str(bundled_models()[name])).labels
    assert tab.locator("#stage section.wide").count() == 1
    tab.click("#theme")
    assert tab.get_attribute("html", "data-theme") in ("dark", "light")


def test_uploaded_images_give_the_label_of_the_sdk(page: SitePage, tmp_path: Path) -> None:
    tab = page.open("gridnet-mnist")
    image = Image.new("L", (90, 120), 240)
    for y in range(15, 105):
        image.paste(20, (41, y, 51, y + 1))
    file = tmp_path / "one.png"
    image.save(file)
    with pytest.warns(sdk.InvertedInputWarning):
        expected = sdk.load(str(bundled_models()["gridnet-mnist"])).predict(file)
    tab.get_by_role("button", name="Clear").click()
    tab.set_input_files("#upload", file)
    wait_for_answer(tab, expected)
    (tmp_path / "text.png").write_text("not an image")
    tab.set_input_files("#upload", tmp_path / "text.png")
    tab.wait_for_selector("#problem:not([hidden])")
    assert tab.inner_text("#problem") == "text.png is not an image that this browser reads; use PNG or JPEG."


def test_a_grid_can_be_scrubbed_wounded_and_healed(page: SitePage) -> None:
    tab = page.open("gridnet-mnist")
    assert "WebGPU" in tab.inner_text("#backend")
    whole = answer(tab)
    last = tab.evaluate("document.querySelector('.faces canvas').toDataURL()")
    tab.focus("#step")
    tab.keyboard.press("Home")
    assert tab.evaluate("document.querySelector('.faces canvas').toDataURL()") != last
    tab.get_by_role("button", name="Erase the left half").click()
    wait(tab, "document.querySelector('#verdict').textContent.includes('4096 cells were erased')")
    tab.locator(".faces canvas").last.click()
    tab.get_by_role("button", name="Heal").click()
    wait(tab, "document.querySelector('#verdict').textContent === ''")
    assert answer(tab) == whole


def test_a_cellnet_runs_further_steps_without_input(page: SitePage) -> None:
    tab = page.open("cellnet-mnist")
    assert tab.locator("tbody tr").count() == 12
    tab.focus("#step")
    tab.keyboard.press("End")
    assert "without input" in tab.inner_text("output[for=step]")


def test_damaged_weights_of_nca_iris_heal(page: SitePage) -> None:
    tab = page.open("nca-iris")
    step = tab.get_by_role("button", name="One epoch")

    def run(epochs: int) -> float:
        for _ in range(epochs):
            done = int(tab.inner_text("#epoch").split()[1])
            step.click()
            wait(tab, f"document.querySelector('#epoch').textContent.startsWith('After {done + 1} ')")
        return float(tab.inner_text("#accuracy").split()[0])

    assert run(40) > 93
    tab.get_by_role("button", name="Delete 90 %").click()
    assert run(40) > 93
    tab.locator("#stage section.wide canvas").first.click()
    assert run(20) > 93


def test_the_edges_of_each_snapshot_are_drawn(page: SitePage) -> None:
    tab = page.open("snapshots-mnist")
    assert "was sure enough" in tab.inner_text("#verdict")
    last = tab.evaluate("document.querySelector('#edges').toDataURL()")
    tab.focus("#snapshot")
    tab.keyboard.press("Home")
    assert tab.evaluate("document.querySelector('#edges').toDataURL()") != last
    assert "phase coarse" in tab.inner_text("output[for=snapshot]")


def test_weights_are_pruned_with_a_slider(page: SitePage) -> None:
    tab = page.open("normnet-mnist-conv")
    measured = "document.querySelector('#accuracy').textContent.includes('right')"
    wait(tab, measured)
    whole = float(tab.inner_text("#accuracy").split()[0])
    assert whole > 90
    tab.focus("#prune")
    tab.keyboard.press("End")
    wait(tab, f"parseFloat(document.querySelector('#accuracy').textContent) < {whole - 30}")


def files_of_model(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("config.json", "model.onnx", "model.safetensors")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled_models()["gridnet-digits"], tmp_path / "mine"))


def test_files_of_an_artifact_run_when_they_are_chosen(page: SitePage, copy: Path) -> None:
    tab = page.open("nca-iris")
    tab.set_input_files("#own-files", files_of_model(copy))
    tab.wait_for_selector("#pad")
    assert tab.inner_text("h1") == "gridnet-digits"
    draw(tab, STROKES["1"])
    wait(
        tab,
        "document.querySelector('#answer').textContent.length === 1 && document.querySelector('.bars').children.length",
    )
    tab.set_input_files("#own-folder", copy)
    wait(tab, "document.querySelector('#status').textContent.includes('your files')")


def damage_onnx(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def change_config(folder: Path, **changes: Any) -> None:
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**data, **changes}))


FAULTS = {
    "a changed byte": (damage_onnx, "model.onnx was altered or damaged: its hash is"),
    "a cut file": (lambda f: (f / "model.onnx").write_bytes(b"x"), "was altered or cut short: it has 1 bytes"),
    "another format": (lambda f: change_config(f, format_version=2), "found format_version 2, this page reads 1"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not valid JSON"),
    "another file": (lambda f: (f / "config.json").write_text("[]"), "so it is not a cellzoo model"),
    "no labels": (lambda f: change_config(f, labels=[]), "labels must be a list of names"),
    "an input without std": (
        lambda f: change_config(f, input={"kind": "image", "shape": [1, 8, 8], "mean": [0]}), "input std must have",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_files_is_said_in_a_sentence(page: SitePage, copy: Path, fault: str) -> None:
    harm, message = FAULTS[fault]
    harm(copy)
    tab = page.open("nca-iris")
    tab.set_input_files("#own-files", files_of_model(copy))
    tab.wait_for_selector("#problem:not([hidden])")
    assert message in tab.inner_text("#problem")
    assert tab.inner_text("#problem").endswith(".")
    tab.select_option("#model", "normnet-digits")  # the page goes on
    wait(tab, "document.querySelector('h1').textContent === 'normnet-digits'")
    assert tab.is_hidden("#problem")


def test_missing_weights_leave_the_answers(page: SitePage, copy: Path) -> None:
    tab = page.open("nca-iris")
    tab.set_input_files("#own-files", files_of_model(copy)[:2])
    missing = "model.safetensors of gridnet-digits is missing"
    wait(tab, f"document.querySelector('#stage').textContent.includes({json.dumps(missing)})")
    draw(tab, STROKES["0"])
    wait(
        tab,
        "document.querySelector('#answer').textContent.length === 1 && document.querySelector('.bars').children.length",
    )


def test_a_model_on_the_hub_runs_by_its_name(chromium: Any, site_url: str, copy: Path) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    asked: list[str] = []

    def answer_as_hub(route: Any) -> None:
        path = route.request.url.partition("/alice/mine/resolve/v1/")[2]
        asked.append(path)
        found = copy / path
        route.fulfill(status=200 if found.is_file() else 404, body=found.read_bytes() if found.is_file() else b"",
                      headers={"Access-Control-Allow-Origin": "*"})  # fmt: skip

    tab.route("https://huggingface.co/**", answer_as_hub)
    tab.goto(f"{site_url}?model=alice/mine@v1")
    tab.wait_for_selector("#stage section.wide")
    assert tab.inner_text("h1") == "gridnet-digits"
    assert set(asked) == {"config.json", "model.onnx", "model.safetensors"}
    tab.goto(f"{site_url}?model=alice/none")
    tab.wait_for_selector("#problem:not([hidden])")
    assert tab.inner_text("#problem") == "alice/none: found no config.json, so it is not a cellzoo model."
    tab.goto(f"{site_url}?model=nonsense")
    tab.wait_for_selector("#problem:not([hidden])")
    assert "expected user/name" in tab.inner_text("#problem")
    context.close()


def test_a_download_that_breaks_off_is_said_and_can_be_repeated(chromium: Any, site_url: str) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.route("**/models/normnet-digits/model.onnx", lambda route: route.abort())
    tab.goto(f"{site_url}#normnet-digits")
    tab.wait_for_selector("#problem:not([hidden])")
    assert tab.inner_text("#problem") == (
        "model.onnx cannot be downloaded from this site; check the connection and try again."
    )
    tab.unroute("**/models/normnet-digits/model.onnx")
    tab.reload()
    wait(tab, "document.querySelector('#answer')?.textContent.length === 1")
    context.close()


def test_without_webgpu_webassembly_answers_and_the_page_says_so(site_url: str, chromium: Any) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.add_init_script("Object.defineProperty(navigator, 'gpu', {value: undefined})")
    tab.goto(f"{site_url}#gridnet-mnist")
    wait(tab, "document.querySelector('#answer')?.textContent.length === 1")
    shown = tab.inner_text("#backend")
    assert "WebAssembly" in shown
    assert "This browser has no WebGPU." in shown
    context.close()


@pytest.mark.parametrize("name", [*FAMILIES, "bench"])
def test_the_page_fits_a_phone(chromium: Any, site_url: str, name: str) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    shown = SitePage(context.new_page(), site_url)
    tab = shown.open(name)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
    assert shown.problems == []


@pytest.mark.parametrize("name", [*FAMILIES, "bench"])
def test_everything_to_use_has_a_name_for_screen_readers(page: SitePage, name: str) -> None:
    tab = page.open(name)
    unnamed = tab.evaluate("""() => [...document.querySelectorAll('button, input, select, canvas, a')].filter((one) => {
      if (one.closest('button')?.ariaLabel && one.tagName === 'CANVAS') return false;
      return !(one.ariaLabel || one.textContent.trim() || one.labels?.length);
    }).map((one) => one.outerHTML)""")
    assert unnamed == []


def test_the_bench_page_measures_webgpu_beside_webassembly(page: SitePage, site: Path) -> None:
    index = json.loads((site / "models.json").read_text())
    only = [entry for entry in index["models"] if entry["name"] == "gridnet-digits"]
    page.page.route("**/models.json", lambda route: route.fulfill(json={**index, "models": only}))
    tab = page.open("bench")
    tab.get_by_role("button", name="Measure").click()
    tab.wait_for_selector("#bench tbody tr:nth-child(1)")
    cells = tab.locator("#bench tbody tr").first.locator("td").all_inner_texts()
    assert all(cell.endswith(" ms") for cell in cells[1:])
    tab.wait_for_selector("button:not([disabled]):has-text('Measure')")


def test_a_name_that_the_site_does_not_have_is_said(page: SitePage) -> None:
    page.page.goto(f"{page.url}#nothing")
    page.page.wait_for_selector("#problem:not([hidden])")
    assert page.page.inner_text("#problem") == "This site has no model nothing; choose one from the list."
