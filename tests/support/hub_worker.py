"""A process that runs the real client with HF_ENDPOINT set, and answers one request per line of its input.

One process serves many calls, because importing torch takes seconds. Each call has its own token, cache and working
directory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT


class HubClient:
    """The process, as a test uses it."""

    def __init__(self, endpoint: str, home: Path, **variables: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "ZOO_HUB"))}
        self.environment = {
            **environment,
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_ETAG_TIMEOUT": "2",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.hub_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment, cwd=ROOT, text=True,
        )  # fmt: skip

    def zoo(self, *arguments: object, **settings: Any) -> dict[str, Any]:
        """Run a ``zoo`` command and return its ``code``, ``out`` and ``err``.

        Settings are token, cache, offline, cwd and namespace.
        """
        return self._call(zoo=[str(argument) for argument in arguments], **settings)

    def load(self, name: str, options: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        """Run ``sdk.load``; return origin, backend, logits of fixed inputs (in hex) and warnings, or error and message.

        Settings are those of :meth:`zoo`. The backend is onnx unless ``options`` name another.
        """
        return self._call(load=name, options={"backend": "onnx", **(options or {})}, **settings)

    def list(self, user: str, **settings: Any) -> dict[str, Any]:
        """Run ``sdk.list_models(hub=user)``; return its rows and warnings, or error and message."""
        return self._call(list=user, **settings)

    def _call(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({key: _plain(value) for key, value in request.items()}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=30)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def logits_of(model: Any) -> str:
    """Return a model's logits for fixed inputs, bit for bit, in hex."""
    import numpy as np

    noise = np.random.default_rng(0)
    shape = (3, *model.input_spec.shape)
    inputs = noise.integers(0, 256, shape, np.uint8) if model.input_spec.kind == "image" else noise.normal(size=shape)
    return str(model.logits(inputs).tobytes().hex())


def _load(name: str, options: dict[str, Any]) -> dict[str, Any]:
    import sdk

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = sdk.load(name, **options)
        except sdk.CellzooError as error:
            return {"error": type(error).__name__, "message": str(error)}
    messages = [str(warning.message) for warning in caught]
    return {"origin": model.origin, "backend": model.backend, "logits": logits_of(model), "warnings": messages}


def _list(user: str) -> dict[str, Any]:
    import sdk

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = sdk.list_models(hub=user)
        except sdk.CellzooError as error:
            return {"error": type(error).__name__, "message": str(error)}
    rows = [[info.name, info.family, info.where, info.size_bytes, list(info.backends)] for info in found]
    return {"rows": rows, "table": repr(found), "warnings": [str(warning.message) for warning in caught]}


def _zoo(arguments: list[str]) -> dict[str, Any]:
    from click.testing import CliRunner

    from zoo.cli import cli

    result = CliRunner().invoke(cli, arguments, prog_name="zoo")
    return {"code": result.exit_code, "out": result.stdout, "err": result.stderr}


def _serve() -> None:
    from huggingface_hub import constants

    default, offline = constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE
    for line in sys.stdin:
        request = json.loads(line)
        for variable, setting in (("HF_TOKEN", "token"), ("ZOO_HUB_NAMESPACE", "namespace")):
            os.environ.pop(variable, None)
            if request.get(setting):
                os.environ[variable] = request[setting]
        constants.HF_HUB_CACHE = request.get("cache", default)
        constants.HF_HUB_OFFLINE = request.get("offline", offline)
        os.chdir(request.get("cwd", ROOT))
        if "list" in request:
            print(json.dumps(_list(request["list"])), flush=True)
            continue
        answer = _zoo(request["zoo"]) if "zoo" in request else _load(request["load"], request["options"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
