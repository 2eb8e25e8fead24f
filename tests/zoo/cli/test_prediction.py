from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from tests.support.command import QUICK, fails, run
from tests.support.paths import ROOT


def test_predict_shows_the_most_likely_labels_of_images(digit_files: list[tuple[str, str]]) -> None:
    result = run("predict", "gridnet-digits", "--top", "2", *(path for path, _ in digit_files))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    right = sum(line.startswith(f"{path}: {label} (") for line, (path, label) in zip(lines, digit_files, strict=True))
    assert right >= 7
    assert all(line.count("%") == 2 for line in lines)


def test_eval_fails_if_the_recorded_accuracy_is_not_reproduced(tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert run("train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "r")).exit_code == 0
    config = json.loads((out / "config.json").read_text())
    config["metrics"]["test_correct"] += 1
    (out / "config.json").write_text(json.dumps(config))
    result = run("eval", str(out))
    assert result.exit_code == 1
    assert "DIFFERENT" in result.output


def test_a_bad_file_among_many_gets_an_error_and_the_others_their_labels(
    tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    text, missing = tmp_path / "notes.txt", str(tmp_path / "missing.png")
    text.write_text("not an image")
    good = [path for path, _ in digit_files]
    mixed = [*good[:3], str(text), *good[3:], missing]
    result = run("predict", "gridnet-digits", *mixed)
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == good
    assert result.stdout == run("predict", "gridnet-digits", *good).stdout
    first, second = result.stderr.splitlines()
    assert first.startswith(f"zoo: error: '{text}' is not a readable image; allowed formats: PNG, JPEG, ")
    assert second == f"zoo: error: no such file: '{missing}'"
    parsed = json.loads(run("predict", "gridnet-digits", *mixed, "--json").stdout)
    assert list(parsed) == mixed
    assert parsed[missing] == {"error": f"no such file: '{missing}'"}
    assert all(sum(parsed[path].values()) > 0 for path in good)


def test_a_folder_and_a_pattern_mean_the_images_in_them(tmp_path: Path, digit_files: list[tuple[str, str]]) -> None:
    good = [path for path, _ in digit_files]
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    expected = run("predict", "gridnet-digits", *good).stdout
    assert run("predict", "gridnet-digits", str(tmp_path)).stdout == expected
    assert run("predict", "gridnet-digits", str(tmp_path / "digit-?.png")).stdout == expected
    (tmp_path / "empty").mkdir()
    assert "empty: no images in this folder" in fails(1, "predict", "gridnet-digits", str(tmp_path / "empty"))
    assert "*.jpg: no file matches this pattern" in fails(1, "predict", "gridnet-digits", str(tmp_path / "*.jpg"))


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(
    tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    odd = tmp_path / "digit-[0].png"
    odd.write_bytes(Path(digit_files[0][0]).read_bytes())
    assert run("predict", "gridnet-digits", str(odd)).stdout.startswith(f"{odd}: {digit_files[0][1]} (")


@pytest.mark.parametrize("name", ["bundled:gridnet-digits", "exports/gridnet-digits"])
def test_predict_takes_explicit_spellings(
    name: str, digit_files: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run("predict", name, digit_files[0][0]).exit_code == 0


def test_inverted_images_are_recognised_with_one_note(tmp_path: Path, digit_files: list[tuple[str, str]]) -> None:
    negatives = []
    for number in range(70):  # more than one batch
        source, _ = digit_files[number % len(digit_files)]
        negatives.append(str(tmp_path / f"negative-{number:02}.png"))
        ImageOps.invert(Image.open(source).convert("L")).save(negatives[-1])
    plain = run("predict", "gridnet-digits", *(digit_files[n % len(digit_files)][0] for n in range(70)))
    assert plain.stderr == ""
    found = run("predict", "gridnet-digits", *negatives, digit_files[0][0], "missing.png")
    first, second = found.stderr.splitlines()
    assert first == (
        "zoo: note: inverted 70 of 71 images: they show dark strokes on a light background, and gridnet-digits was "
        "trained on light strokes on a dark background; --invert no uses images as they are"
    )
    assert second == "zoo: error: no such file: 'missing.png'"
    answers = [line.split(": ", 1)[1] for line in plain.stdout.splitlines()]
    assert [line.split(": ", 1)[1] for line in found.stdout.splitlines()] == [*answers, answers[0]]
    forced = run("predict", "gridnet-digits", *negatives, "--invert", "yes")
    assert [line.split(": ", 1)[1] for line in forced.stdout.splitlines()] == answers
    ignored = run("predict", "gridnet-digits", *negatives, "--invert", "no")
    assert (forced.stderr, ignored.stderr) == ("", "")
    assert [line.split(": ", 1)[1] for line in ignored.stdout.splitlines()] != answers
    assert "allowed tables that end with .csv" in fails(1, "predict", "nca-iris", digit_files[0][0])


def test_a_bad_folder_or_pattern_does_not_discard_the_other_inputs(
    tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "classes" / "a").mkdir(parents=True)
    inputs = [str(tmp_path / "empty"), digit_files[0][0], str(tmp_path / "classes"), str(tmp_path / "*.jpg")]
    result = run("predict", "gridnet-digits", *inputs)
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [digit_files[0][0]]
    assert "empty: no images in this folder" in result.stderr
    assert f"for those in its subfolders give '{tmp_path}/classes/*/*'" in result.stderr
    assert "*.jpg: no file matches this pattern" in result.stderr


def test_errors_are_listed_under_the_argument_even_if_it_contains_a_colon(
    tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    folders = [tmp_path / "scan: 1", tmp_path / "scan: 2"]
    for folder in folders:
        folder.mkdir()
    result = run("predict", "gridnet-digits", str(folders[0]), digit_files[0][0], str(folders[1]), "--json")
    assert result.exit_code == 1
    assert list(json.loads(result.stdout)) == [str(folders[0]), digit_files[0][0], str(folders[1])]


def test_a_folder_that_cannot_be_read_does_not_discard_the_other_inputs(
    tmp_path: Path, digit_files: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, usual = tmp_path / "locked", Path.iterdir
    locked.mkdir()

    def iterdir(path: Path) -> Iterator[Path]:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    result = run("predict", "gridnet-digits", str(locked), digit_files[0][0])
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [digit_files[0][0]]
    assert f"zoo: error: {locked}: cannot be read: Permission denied" in result.stderr


def test_a_model_of_tables_says_how_it_is_asked() -> None:
    assert "5.1: found '.1', allowed tables that end with .csv" in fails(1, "predict", "nca-iris", "5.1")
