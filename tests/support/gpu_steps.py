"""The steps of ``make gpu``: their commands, time limits, and what each needs. Imports the standard library only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.paths import ROOT

TOOLKIT = Path("/usr/local/cuda/bin")
"""The folder of CUDA's tools if they are not on the PATH."""
_ZOO = ("torch", "numpy", "click", "rich", "pydantic", "yaml", "safetensors", "accelerate", "sklearn", "torchvision")
_BENCH = (*_ZOO, "matplotlib", "PIL", "onnxruntime")
_TESTS = (*_ZOO, "pytest", "hypothesis")


@dataclass(frozen=True)
class Step:
    """One command in a process of its own. A step that fails does not keep the next ones from running."""

    name: str
    command: Sequence[str]
    seconds: int
    """Limit after which the process is killed."""
    modules: Sequence[str] = ()
    """Python modules that it imports."""
    tools: Sequence[str] = ()
    """Programs that it runs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    result: Path | None = None
    """The file that it writes for the report."""

    def missing(self) -> list[str]:
        """Return the modules and programs that this machine lacks."""
        modules = [name for name in self.modules if importlib.util.find_spec(name) is None]
        return [*modules, *(name for name in self.tools if tool(name) is None)]


def tool(name: str) -> str | None:
    """Return the path of a program: beside this Python, on the PATH, or in CUDA's folder."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), str(TOOLKIT)]
    return shutil.which(name, path=os.pathsep.join(places))


def plan(work: Path, recipe: str = "gridnet-digits", model: str = "gridnet-mnist", device: str = "cuda") -> list[Step]:
    """Return all steps, in the order in which they run; ``work`` takes the files that they write.

    With ``device`` cpu, those that need no GPU run on tiny shapes and measure nothing: a rehearsal. It has five times
    the time, because a machine without a GPU may be a slow one.
    """
    python = [sys.executable, "-m"]
    quick, cpu = (["--quick"], True) if device == "cpu" else ([], False)

    def bench(kind: str, *arguments: str, seconds: int, name: str = "") -> Step:
        out = work / f"bench-{name or kind}"
        command = [*python, "zoo", "bench", kind, *arguments, "--device", device, "--out", str(out)]
        return Step(f"bench {name or kind}", command, seconds, _BENCH, result=out / "bench.json")

    def sanitizer(checker: str, *options: str, seconds: int) -> Step:
        # Every allocation is one of CUDA's own, or the checker would not see the end of a tensor.
        environment = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        checked = [tool("compute-sanitizer") or "compute-sanitizer", "--tool", checker, "--error-exitcode", "86",
                   "--kernel-name", "kernel_substring=zoo", *options]  # fmt: skip
        command = [*([] if cpu else checked), *python, "tests.support.gpu_passes", device]
        return Step(checker, command, seconds, _TESTS, () if cpu else ("compute-sanitizer",), environment)

    marked = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py"))
              if "mark.cuda" in path.read_text(encoding="utf-8")]  # fmt: skip
    machine = Step("machine", [*python, "tests.support.gpu_machine", device], 30, ("torch",))
    build = Step("build", [*python, "tests.support.gpu_build"], 180, ("nanobind", "torch"), ("cmake", "ninja", "nvcc"))
    tests = Step("tests", [*python, "tests.support.gpu_tests", *marked], 160, _TESTS)
    profile = Step("profile", [*python, "tests.support.gpu_profile", device], 60, _ZOO)
    steps = 2 if cpu else 50
    chosen = [
        machine,
        *([] if cpu else [build, tests]),
        bench("kernels", *quick, "--no-compile", seconds=75),
        bench("train", recipe, "--steps", str(steps), "--reference-steps", "1" if cpu else "2", seconds=60),
        profile,
        bench("predict", model, *quick, "--seconds", "1" if cpu else "2", seconds=55),
        # torch looks for functions that a driver may lack, which is no error of a kernel.
        sanitizer("memcheck", "--report-api-errors", "no", seconds=70),
        *([] if cpu else [sanitizer("racecheck", seconds=60), bench("kernels", seconds=90, name="compiled")]),
    ]
    return [replace(step, seconds=5 * step.seconds) for step in chosen] if cpu else chosen
