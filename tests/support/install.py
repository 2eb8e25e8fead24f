"""Builds wheels of the working tree and installs them as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from tests.support.paths import ROOT

PIP = (sys.executable, "-m", "pip")
PREDICT = """
import importlib.util, json, numpy as np, sdk
model = sdk.load("gridnet-digits"{options})
label = model.predict(np.eye(8))
print(json.dumps([model.backend, label in model.labels, importlib.util.find_spec("torch") is not None, sdk.__file__]))
"""
"""Prints the backend of a model, whether it predicts, whether torch is installed, and the file of sdk."""


def run(
    *command: object, cwd: Path, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command without the variables that choose how these tests' own environment runs and was built."""
    own = ("PYTHON", "ZOO_COMPILE", "ZOO_CUDA")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env={**inherited, **(environment or {})}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if check:
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result


def copy_source(folder: Path, exports: str = "*") -> Path:
    """Copy the files that git knows, and of exports only those that match, so that the working tree stays clean."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        path = Path(name)
        if (ROOT / path).is_file() and (path.parts[0] != "exports" or fnmatch(path.parts[1], exports)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / path)
    return folder


def build_wheel(source: Path, out: Path, *settings: str, environment: Mapping[str, str] | None = None) -> Path:
    """Build a wheel with the build tools of this environment and return its path."""
    options = [part for setting in settings for part in ("--config-settings", setting)]
    command = (*PIP, "wheel", ".", "--no-deps", "--no-build-isolation", *options, "--wheel-dir", out)
    run(*command, cwd=source, environment=environment)
    [built] = out.glob("*.whl")
    return built


def make_venv(folder: Path, python: str = sys.executable) -> Path:
    """Make a virtual environment and return its python."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def path_without_compilers(folder: Path) -> str:
    """Fill a folder with links to what a build needs besides compilers, for use as PATH."""
    folder.mkdir(exist_ok=True)
    beside = str(Path(sys.executable).parent)
    for tool in ("cmake", "ninja", "git", "sh", "uname", "env"):
        found = shutil.which(tool, path=os.pathsep.join((beside, os.environ["PATH"])))
        if found:
            (folder / tool).symlink_to(found)
    return str(folder)


def find_python(minor: int) -> str | None:
    """Return a Python 3.``minor`` of this machine: this one, one on the PATH or one of pyenv's; None without one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = [str(path / "bin" / "python") for path in sorted(pyenv.glob(f"3.{minor}.*"), reverse=True)]
    for candidate in (sys.executable, shutil.which(f"python3.{minor}"), *installed):
        if candidate is not None:
            probe = [candidate, "-c", "import sys; print(sys.version_info[1])"]
            found = subprocess.run(probe, capture_output=True, text=True, check=False)
            if found.returncode == 0 and found.stdout.strip() == str(minor):
                return candidate
    return None
