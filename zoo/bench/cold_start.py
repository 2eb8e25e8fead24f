"""``python -m zoo.bench.cold_start NAME BACKEND BATCH...``: time one prediction in a fresh process, as JSON on stdout.

prediction.py starts the process. Only the standard library is imported before the clock starts.
"""

import sys
import time


def main(name: str, backend: str, batches: list[int]) -> None:
    """Print the seconds of import, load and first prediction, and the peak memory after it and after each batch."""
    started = time.perf_counter()
    import sdk

    imported = time.perf_counter()
    model = sdk.load(name, backend=backend)
    loaded = time.perf_counter()
    shape = model.input_spec.shape
    import numpy as np

    # Zeros are valid values for every kind of input.
    model.predict(np.zeros((1, *shape), np.float32))
    predicted = time.perf_counter()

    import json

    from zoo.bench.memory import peak_memory

    figures = {
        "import_seconds": imported - started,
        "load_seconds": loaded - imported,
        "first_predict_seconds": predicted - loaded,
        "peak_bytes": peak_memory(),
    }
    peaks = {}
    for batch in batches:
        model.predict(np.zeros((batch, *shape), np.float32), batch_size=batch)
        peaks[str(batch)] = peak_memory()
    print(json.dumps({**figures, "peak_bytes_by_batch": peaks}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(batch) for batch in sys.argv[3:]])
