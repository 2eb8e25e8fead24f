"""``make gpu`` on a machine without a GPU: its plan, and the way it runs steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support import gpu, gpu_profile, gpu_tests
from tests.support.gpu import main, markdown, run, run_step
from tests.support.gpu_build import commands
from tests.support.gpu_steps import Step, plan
from tests.support.paths import ROOT
from zoo.cli import cli


def python(code: str, seconds: int = 60, name: str = "step", **options: object) -> Step:
    return Step(name, [sys.executable, "-c", code], seconds, **options)  # type: ignore[arg-type]


def test_a_dry_run_prints_every_step_and_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run"]) == 0
    printed = capsys.readouterr().out
    for name in (
        "machine", "build", "tests", "bench kernels", "bench train", "profile", "bench predict", "memcheck",
        "racecheck", "bench compiled",
    ):  # fmt: skip
        assert f"{name} (at most " in printed


def test_a_dry_run_names_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.gpu_steps.tool", lambda name: None)
    main(["--dry-run", "--only", "build"])
    assert "missing here: cmake, ninja, nvcc" in capsys.readouterr().out


def test_the_plan_fits_the_time_that_it_is_cut_at(tmp_path: Path) -> None:
    assert sum(step.seconds for step in plan(tmp_path)) <= 14 * 60


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_the_command_line_takes_every_benchmark_of_the_plan(tmp_path: Path, device: str) -> None:
    commands = [step.command for step in plan(tmp_path, device=device) if step.name.startswith("bench")]
    assert len(commands) == (4 if device == "cuda" else 3)
    for _, _, program, *words in commands:
        assert program == "zoo"
        group, name, *arguments = words
        command = cli.commands[group].commands[name]  # type: ignore[attr-defined]
        command.make_context(name, arguments)  # parses and validates, without a call


def test_the_plan_runs_every_test_file_with_the_mark(tmp_path: Path) -> None:
    (tests,) = (step for step in plan(tmp_path) if step.name == "tests")
    files = {word for word in tests.command if word.endswith(".py")}
    assert {"tests/zoo/kernels/test_on_gpu.py", "tests/zoo/kernels/gridnet/test_cuda.py"} <= files
    assert all((ROOT / file).is_file() for file in files)


def test_the_marked_tests_need_no_package_that_the_plan_does_not_name(tmp_path: Path) -> None:
    (tests,) = (step for step in plan(tmp_path) if step.name == "tests")
    modules = [word.removesuffix(".py").replace("/", ".") for word in tests.command if word.endswith(".py")]
    lacking = {"datasets", "optuna", "sqlalchemy", "onnxscript", "tensorboard", "playwright", "nbformat", "markdown_it"}
    assert not lacking & set(tests.modules)
    code = f"""
import importlib, importlib.machinery, sys
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {lacking} else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
for name in ["tests.conftest", *{modules}]:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_file_that_hangs_is_killed_and_says_where(tmp_path: Path) -> None:
    mark, file = "pytest.mark" + ".cuda", tmp_path / "test_hanging.py"
    file.write_text(f"import time, pytest\n@{mark}\ndef test_that_hangs(): time.sleep(60)\n")
    code, output = gpu_tests.run_file(str(file), 4)
    assert code == -9
    assert output.strip().splitlines()[-1].startswith("Thread") or "test_that_hangs" in output


def test_the_tests_that_failed_are_named_at_the_end() -> None:
    output = "F..\nFAILED tests/test_a.py::test_b - AssertionError: 1 == 2\n1 failed, 2 passed"
    assert gpu_tests._failures("tests/test_a.py", 1, output) == [
        "FAILED tests/test_a.py::test_b - AssertionError: 1 == 2"
    ]
    assert gpu_tests._failures("tests/test_a.py", -11, "x") == ["tests/test_a.py: exit code -11 after: x"]


def test_a_process_that_a_test_ruins_ruins_no_other_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ruined, sound, unmarked = (tmp_path / f"test_{name}.py" for name in ("ruined", "sound", "unmarked"))
    mark = "pytest.mark" + ".cuda"  # in parts, or the plan would take this file for one with marked tests
    marked = f"import os, pytest\n@{mark}\ndef test_it():\n    "
    ruined.write_text(f"{marked}os.abort()\n")
    sound.write_text(f"{marked}pass\n")
    unmarked.write_text("def test_it(): pass\n")
    assert gpu_tests.main([str(sound)]) == 0
    assert gpu_tests.main([str(ruined), str(sound), str(unmarked)]) == 1
    printed = capsys.readouterr().out
    assert f"2 of 3 files passed: not {ruined}" in printed
    assert printed.count("1 passed") == 2
    assert f"{ruined}: exit code -6 after: " in printed


def test_the_build_is_for_the_architecture_alone_and_without_pip() -> None:
    configure, build = commands("90-real")
    assert "-DZOO_CUDA_ARCHITECTURES=90-real" in configure
    assert "pip" not in [*configure, *build]


def test_a_step_that_fails_is_reported_and_the_next_one_runs(tmp_path: Path) -> None:
    result = tmp_path / "bench.json"
    steps = [
        python("print('bad news'); raise SystemExit(3)", name="first"),
        python(f"open({str(result)!r}, 'w').write('[1]'); print('good news')", name="bench second", result=result),
        python("", name="third", modules=["no_such_module"]),
    ]
    outcomes = run(steps, tmp_path / "out", 1)
    assert [(o.result, o.note) for o in outcomes] == [
        ("failed", "exit code 3: bad news"),
        ("passed", "good news"),
        ("not run", "missing here: no_such_module"),
    ]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["bench-second.json", "log.txt", "report.json", "report.md"]
    assert [o["result"] for o in json.loads((tmp_path / "out" / "report.json").read_text())] == [
        "failed", "passed", "not run",
    ]  # fmt: skip
    assert "| first | failed |" in (tmp_path / "out" / "report.md").read_text()
    assert "bad news" in (tmp_path / "out" / "log.txt").read_text()


SPAWN = "import subprocess, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"


def test_a_step_that_exceeds_its_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("w") as log:
        outcome = run_step(python(SPAWN, seconds=2), 60, log)
    assert outcome.result == "timed out"
    assert_ends(Path("/proc") / outcome.output.strip())
    assert outcome.output.strip() in (tmp_path / "log.txt").read_text()


def test_a_run_that_is_told_to_end_kills_its_step_and_has_its_output(tmp_path: Path) -> None:
    before, path = signal.signal(signal.SIGTERM, gpu._stop), tmp_path / "log.txt"

    def stop() -> None:
        while not path.read_text().strip().splitlines()[-1].isdigit():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        with path.open("w") as log:
            print("a header", file=log, flush=True)
            threading.Thread(target=stop).start()
            with pytest.raises(SystemExit):
                run_step(python(SPAWN), 60, log)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert_ends(Path("/proc") / path.read_text().strip().splitlines()[-1])


def assert_ends(child: Path) -> None:
    for _ in range(100):  # the kernel may take a moment
        if not child.exists() or "Z (zombie)" in (child / "status").read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the child is still running")


def test_a_profile_tells_how_long_the_device_was_busy_and_what_took_longest() -> None:
    spans = [gpu_profile.Span(*span) for span in (("a", 0, 10), ("b", 5, 20), ("a", 30, 40), ("c", 32, 34))]
    first, *kernels = gpu_profile.report(spans, 2)
    assert first.startswith("  20 us per step, device busy 75 %, 2 kernels and copies per step, longest gaps 10 us")
    assert [line.split(": ")[1] for line in kernels] == ["a", "b", "c"]
    assert gpu_profile.report([], 2) == ["  nothing ran on the device"]


def test_clocks_are_watched_where_there_is_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho $1\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(gpu, "tool", lambda name: str(program))
    run([python("import time; time.sleep(0.3)")], tmp_path / "out", 1)
    assert "clocks.sm" in (tmp_path / "out" / "clocks.csv").read_text()


def test_no_step_starts_when_the_time_is_used_up(tmp_path: Path) -> None:
    (outcome,) = run([python("raise SystemExit('ran')")], tmp_path / "out", 0)
    assert (outcome.result, outcome.note) == ("not run", "no time was left")


def test_an_unknown_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "tset"])
    assert "the steps are machine, build, tests" in capsys.readouterr().err


def test_the_exit_code_says_whether_all_passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for code in (0, 4):
        monkeypatch.setattr(gpu, "plan", lambda *_, code=code: [python(f"raise SystemExit({code})")])
        assert main(["--out", str(tmp_path / "out")]) == int(code != 0)


def test_a_bar_in_a_note_does_not_break_the_table() -> None:
    assert "| a/b |" in markdown([gpu.Outcome("s", "passed", 1.0, "a|b", "")])


@pytest.mark.slow
def test_a_rehearsal_on_the_cpu_passes(tmp_path: Path) -> None:
    assert main(["--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "bench-kernels.json", "bench-predict.json", "bench-train.json", "log.txt", "report.json", "report.md",
    ]  # fmt: skip
