"""A pytest plugin: the kernels of the build in ZOO_SANITIZED_KERNELS instead of the installed ones."""

from __future__ import annotations

import importlib.util
import os
import sys

_spec = importlib.util.spec_from_file_location("sdk._kernels", os.environ["ZOO_SANITIZED_KERNELS"])
assert _spec is not None
assert _spec.loader is not None
sys.modules["sdk._kernels"] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
