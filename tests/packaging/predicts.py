"""Predict with an installed cellzoo, for the checks of wheels: ``python predicts.py BACKEND...``.

``kernels`` stands for the compiled module itself. Needs nothing but the base install, and no checkout around it.
"""

from __future__ import annotations

import sys

import numpy as np

import sdk

for name in sys.argv[1:]:
    if name == "kernels":
        from sdk import _kernels

        print(f"kernels: {_kernels.current_isa()} of {', '.join(_kernels.usable_isas())}, {_kernels.__file__}")
    else:
        model = sdk.load("gridnet-digits", backend=name)
        label = model.predict(np.eye(8))
        if label not in model.labels:
            sys.exit(f"{name}: found {label!r}, allowed {model.labels}")
        print(f"{name}: {label}")
