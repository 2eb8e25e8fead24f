from __future__ import annotations

import pytest

from zoo.config.data import IrisConfig
from zoo.data import load_data
from zoo.data.split import Data


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(IrisConfig(name="iris"))
