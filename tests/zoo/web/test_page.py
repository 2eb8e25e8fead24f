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
NO_ANSWER = "\N{EN DASH}"
STROKES = {
    "1": [[(0.5, 0.15), (0.5, 0.85)]],
    "7": [[(0.25, 0.2), (0.75, 0.2), (0.45, 0.85)]],
    "0": [[(0.5 + 0.2 * np.sin(t), 0.5 - 0.33 * np.cos(t)) for t in np.linspace(0, 2 * np.pi, 17)]],
}


def draw(page: Any, strokes: list[list[tuple[float, float]]]) -> None:
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        for number, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=2)
            if number == 0:
                page.mouse.down()
        page.mouse.up()


def answer(page: Any) -> str:
    return str(page.inner_text("#answer"))


def wait_for_answer(page: Any, label: str) -> None:
    wait(page, f"document.querySelector('#answer').textContent === {json.dumps(label)}")


def test_digits_drawn_with_the_mouse_are_read_and_can_be_cleared(page: SitePage) -> None:
    tab = page.open("gridnet-mnist")
    for digit, strokes in STROKES.items():
        tab.get_by_role("button", name="Clear").click()
        draw(tab, strokes)
        wait_for_answer(tab, digit)
        assert "Test sample" not in tab.inner_text("#stage")
    tab.evaluate("""() => {
      document.querySelector('.strip button').click();
      [...document.querySelectorAll('button')].find((one) => one.textContent === 'Clear').click();
    }""")  # while the answer is being computed
    tab.get_by_role("button", name="Erase the left half").click()
    tab.wait_for_timeout(200)
    assert (answer(tab), tab.inner_text("#verdict")) == (NO_ANSWER, "")
    tab.focus(".strip button")
    tab.keyboard.press("End")
    tab.keyboard.press("Enter")
    wait(tab, "document.querySelector('.strip button:last-child').ariaPressed === 'true'")
    assert tab.locator(".strip button[tabindex='0']").count() == 1
    wait(tab, "document.querySelector('#verdict').textContent.includes('cells were erased')")


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
    step = "[...document.querySelectorAll('button')].find((one) => one.textContent === 'One epoch')"

    def run(epochs: int) -> float:
        done = int(tab.inner_text("#epoch").split()[1])
        tab.evaluate(f"const step = {step}; for (let i = 0; i < {epochs}; i++) step.click()")  # they run in turn
        wait(tab, f"document.querySelector('#epoch').textContent.startsWith('After {done + epochs} ')")
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
    "metrics of another type": (lambda f: change_config(f, metrics=None), "config.json: metrics must be an object"),
}  # fmt: skip


def test_what_is_wrong_with_files_is_said_in_a_sentence(page: SitePage, tmp_path: Path) -> None:
    tab = page.open("nca-iris")
    for number, (fault, (harm, message)) in enumerate(FAULTS.items()):
        folder = Path(shutil.copytree(bundled_models()["gridnet-digits"], tmp_path / str(number)))
        harm(folder)
        tab.evaluate("document.querySelector('#problem').textContent = ''")
        tab.set_input_files("#own-files", files_of_model(folder))
        wait(tab, "document.querySelector('#problem').textContent.endsWith('.')")
        assert message in tab.inner_text("#problem"), fault
        assert tab.inner_text("#status") == ""
    tab.set_input_files("#own-folder", tmp_path)
    wait(tab, f"document.querySelector('#problem').textContent.startsWith('Found {len(FAULTS)} files config.json')")
    assert tab.input_value("#model") == "nca-iris"  # which is still shown
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


REPLACED = "const own = GPUDevice.prototype.createShaderModule; GPUDevice.prototype.createShaderModule = function"
WITHOUT = {
    "no WebGPU": ("Object.defineProperty(navigator, 'gpu', {value: undefined})", "This browser has no WebGPU."),
    "no device": (
        "GPUAdapter.prototype.requestDevice = async () => { throw new DOMException('busy', 'OperationError'); }",
        "WebGPU gives no device: busy",
    ),
    "a shader that does not compile": (
        REPLACED + " ({code}) { return own.call(this, {code: code.replace('fn activate', 'fn other')}); }",
        "WebGPU refuses the kernels: ",
    ),
    "another result": (
        REPLACED + " ({code}) { return own.call(this, {code: code.replace('* activate(', '* 5.0 * activate(')}); }",
        "WebGPU gave other numbers than WebAssembly.",
    ),
    "a buffer that fails": (
        "const own = GPUDevice.prototype.createBuffer; GPUDevice.prototype.createBuffer = function (wanted) { "
        "return own.call(this, wanted.usage & GPUBufferUsage.COPY_SRC ? {...wanted, size: 2 ** 40} : wanted); }",
        "WebGPU refuses the kernels: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", WITHOUT)
def test_where_webgpu_fails_webassembly_answers_and_the_page_says_so(page: SitePage, site: Path, fault: str) -> None:
    script, reason = WITHOUT[fault]
    page.page.add_init_script(script)
    tab = page.open("gridnet-digits")
    shown = tab.inner_text("#backend")
    assert "the answer by WebAssembly" in shown
    assert reason in shown
    assert "Computed by WebAssembly" in tab.inner_text("#stage")
    assert tab.is_hidden("#problem")


def test_a_graphics_adapter_that_is_lost_leaves_the_answers(page: SitePage) -> None:
    page.page.add_init_script("""const own = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (wanted) {
        return (globalThis.device = await own.call(this, wanted));
      }""")
    tab = page.open("gridnet-digits")
    assert "WebGPU, with kernels" in tab.inner_text("#backend")
    tab.evaluate("device.destroy()")
    tab.locator(".strip button").nth(1).click()
    wait(tab, "document.querySelector('#backend').textContent.includes('The graphics adapter was lost')")
    wait(tab, "document.querySelector('#stage').textContent.includes('Computed by WebAssembly')")
    assert tab.is_hidden("#problem")


def test_of_models_chosen_at_once_the_last_is_shown_and_the_way_back_leads_to_the_first(page: SitePage) -> None:
    tab = page.open("nca-iris")
    held: list[Any] = []
    tab.route("**/models/cellnet-digits/model.safetensors", lambda route: held.append(route))  # its inside comes late
    tab.route("**/models/normnet-digits/model.onnx", lambda route: route.fulfill(status=500))
    tab.select_option("#model", "cellnet-digits")
    wait(tab, "document.querySelector('h1').textContent === 'cellnet-digits'")
    tab.select_option("#model", "normnet-digits")  # which fails, but is not waited for
    tab.select_option("#model", "snapshots-digits")
    wait(tab, "document.querySelector('h1').textContent === 'snapshots-digits'")
    for route in held:
        route.continue_()
    wait(tab, "document.querySelector('#status').textContent.startsWith('snapshots-digits')")
    tab.wait_for_timeout(200)
    assert tab.title().startswith("snapshots-digits ")
    assert tab.locator("#stage section.wide").count() == 1
    assert tab.is_hidden("#problem")
    for _ in range(3):
        tab.go_back()
    wait(tab, "document.querySelector('#status').textContent.startsWith('nca-iris')")
    assert tab.input_value("#model") == "nca-iris"
    page.problems.clear()  # the console tells the answer 500


def test_a_cell_that_the_model_does_not_take_has_no_answer(page: SitePage) -> None:
    tab = page.open("nca-iris")
    cell = tab.locator(".fields input").first
    assert "Test sample 1" in tab.inner_text("#stage")
    cell.fill("1,5")
    assert answer(tab) == NO_ANSWER
    tab.get_by_role("button", name="Grow").click()
    wait(tab, "document.querySelector('#epoch').textContent.startsWith('After 2 ')")
    assert "found 1,5, allowed a finite number with a decimal point" in tab.inner_text("#problem")  # still
    cell.fill("5.1")
    wait(tab, f"document.querySelector('#answer').textContent !== {json.dumps(NO_ANSWER)}")
    assert "Test sample" not in tab.inner_text("#stage")
    assert tab.is_hidden("#problem")


def test_a_page_without_its_script_says_why_it_is_empty(chromium: Any, site: Path) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto((site / "index.html").as_uri())
    assert "opened as a file" in tab.inner_text("#stage")
    context.close()


UNNAMED = """() => [...document.querySelectorAll('button, input, select, canvas, a')].filter((one) => {
  if (one.closest('button')?.ariaLabel && one.tagName === 'CANVAS') return false;
  return !(one.ariaLabel || one.textContent.trim() || one.labels?.length);
}).map((one) => one.outerHTML)"""


@pytest.mark.parametrize("name", [*FAMILIES, "bench"])
def test_the_page_fits_a_phone_and_names_what_can_be_used_for_screen_readers(
    chromium: Any, site_url: str, name: str
) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    context.add_init_script("localStorage.setItem('theme', 'system')")  # of another site of the same host
    shown = SitePage(context.new_page(), site_url)
    tab = shown.open(name)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate(UNNAMED) == []
    assert tab.get_attribute("html", "data-theme") is None
    context.close()
    assert shown.problems == []


def test_a_finger_scrolls_the_page_up_and_down_and_erases_sideways(chromium: Any, site_url: str) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 500}, has_touch=True, is_mobile=True)
    tab = SitePage(context.new_page(), site_url).open("gridnet-digits")
    device = context.new_cdp_session(tab)

    def swipe(right: int, down: int) -> None:
        box = tab.locator(".faces canvas").nth(2).bounding_box()
        points = [{"x": box["x"] + 20 + right * i, "y": box["y"] + 40 + down * i} for i in range(8)]
        for kind, touched in [("touchStart", points[:1]), *[("touchMove", [one]) for one in points], ("touchEnd", [])]:
            device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    tab.locator(".faces canvas").nth(2).scroll_into_view_if_needed()
    before = tab.evaluate("scrollY")
    swipe(0, 12)
    wait(tab, f"scrollY < {before}")
    assert tab.inner_text("#verdict") == ""
    swipe(6, 0)
    wait(tab, "document.querySelector('#verdict').textContent.includes('cells were erased')")
    context.close()


def test_a_picture_dropped_on_a_table_and_other_files_are_said(page: SitePage) -> None:
    tab = page.open("nca-iris")
    drop = """(name) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["x"], name, {type: name.endsWith("png") ? "image/png" : "text/csv"}));
      document.body.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
    }"""
    for name, message in (
        ("a.png", "nca-iris takes rows of a table, found the image a.png."),
        ("a.csv", "your files: found no config.json, so it is not a cellzoo model."),
    ):
        tab.evaluate(drop, name)
        wait(tab, f"document.querySelector('#problem').textContent === {json.dumps(message)}")


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
