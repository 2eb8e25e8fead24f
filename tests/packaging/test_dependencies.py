"""Packages that are declared are used, and packages that are imported are declared."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = {"zoo", "sdk", "tests", "docs", "build_backend"}
OF_PYTHON = sys.stdlib_module_names | {"tomllib"}  # which Python 3.10 lacks
USED_WITHOUT_IMPORT = {
    "onnxscript": "torch.onnx.export imports it (zoo/artifacts/graph.py)",
    "jinja2": "huggingface_hub renders cards with it (zoo/artifacts/card.py)",
    "ray": "Ray Data calls a BatchPredictor (sdk/batch_predictor.py)",
    "tensorboard": "accelerate's tracker imports it (zoo/training/trackers.py)",
    "wandb": "accelerate's tracker imports it (zoo/training/trackers.py)",
}
"""Packages that only other packages import, and the module of ours that makes them do it."""
TOOLS = {
    "abi3audit", "auditwheel", "clang-format", "cmake", "import-linter", "ipykernel", "mypy", "nanobind", "ninja",
    "mkdocs-material", "mkdocstrings", "pre-commit", "pytest-xdist", "ruff", "setuptools", "types-pyyaml",
}  # fmt: skip
"""Packages of the extra ``dev`` that are run rather than imported."""


@cache
def names(table: str | None) -> frozenset[str]:
    """The packages of an extra, or of the base install."""
    project = PROJECT["project"]
    lines = project["dependencies"] if table is None else project["optional-dependencies"][table]
    return frozenset(Requirement(line).name.lower() for line in lines)


@cache
def distributions() -> dict[str, list[str]]:
    """The distributions that bring each top-level module. (Python 3.10's own function reads top_level.txt alone.)"""
    found = {module: list(names) for module, names in importlib.metadata.packages_distributions().items()}
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or []:
            if len(file.parts) > 1 and file.name == "__init__.py":
                found.setdefault(file.parts[0], []).append(distribution.metadata["Name"])
    return found


@cache
def package_of(module: str) -> str:
    """The distribution that brings a top-level module."""
    parts = {"pydantic_core": "pydantic", "mlflow": "mlflow-skinny"}  # the package that we declare for a module
    if module in parts:
        return parts[module]
    known = distributions().get(module, [module])
    return known[0].lower().replace("_", "-")


@cache
def imports(top: str) -> dict[str, list[str]]:
    """The modules of others that the files below ``top`` import, each with those files."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / top).rglob("*.py")):
        for node in _run_nodes(ast.parse(path.read_text())):
            for module in {name.partition(".")[0] for name in _imported(node)} - OF_PYTHON - OURS:
                found.setdefault(module, []).append(str(path.relative_to(ROOT)))
    return found


def _imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports, or a call of pytest.importorskip."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case ast.Call(func=ast.Attribute(attr="importorskip"), args=[ast.Constant(value=str(module)), *_]):
            return [module]
    return []


def _run_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below ``node`` that run, without those that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run_nodes(child)


def undeclared(top: str, *extras: str | None) -> dict[str, list[str]]:
    declared = frozenset().union(*map(names, extras))
    return {module: files for module, files in imports(top).items() if package_of(module) not in declared}


def test_sdk_imports_what_a_base_install_declares() -> None:
    """Four packages aside, which a call needs and names to a user who lacks them."""
    assert set(undeclared("sdk", None)) == {"matplotlib", "pyarrow", "sklearn", "torch"}


def test_zoo_imports_what_the_training_side_declares() -> None:
    assert undeclared("zoo", None, "train", "parquet", "track") == {}


@pytest.mark.parametrize(("top", "skipping"), [("tests", {"polars", "ray"}), ("examples", set()), ("csrc", set())])
def test_tests_and_examples_import_what_is_declared(top: str, skipping: set[str]) -> None:
    """Apart from packages without which their tests skip."""
    assert set(undeclared(top, None, "train", "dev")) == skipping


@pytest.mark.parametrize("extra", [None, *PROJECT["project"]["optional-dependencies"]])
def test_every_declared_package_is_used(extra: str | None) -> None:
    imported = {package_of(module) for top in ("sdk", "zoo", "tests", "examples", "csrc") for module in imports(top)}
    assert names(extra) - imported - set(USED_WITHOUT_IMPORT) - TOOLS == set()


def test_every_declared_package_has_a_lower_bound() -> None:
    project = PROJECT["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    assert [line for line in lines if ">=" not in line] == []


@pytest.mark.parametrize("reason", USED_WITHOUT_IMPORT.values())
def test_the_module_that_needs_a_package_through_another_exists(reason: str) -> None:
    assert Path(ROOT / reason.partition("(")[2].rstrip(")")).is_file()
