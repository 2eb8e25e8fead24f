"""``python examples/read_digits.py FOLDER``: load a digits model through the SDK and let it read unseen digits."""

from __future__ import annotations

import sys

import sdk
from zoo.config.data import DigitsConfig
from zoo.data import load_data

_SHADES = " .:-=+*#%@"


def main(folder: str, count: int = 5) -> None:
    """Draw the first held-out digits beside what the model says they are, then its score on all of them."""
    model = sdk.load(folder)
    test = load_data(DigitsConfig(name="digits")).test
    images, labels = test.inputs[:, 0].numpy(), test.labels.tolist()  # type: ignore[attr-defined]
    predictions = model.predict(images)
    for image, label, prediction in list(zip(images, labels, predictions, strict=True))[:count]:
        drawing = ["".join(_SHADES[int(value * 9)] * 2 for value in row) for row in image]
        drawing[3] += f"    truth {label}, {model.name} says {prediction}"
        print("\n".join(drawing), end="\n\n")
    right = sum(str(label) == prediction for label, prediction in zip(labels, predictions, strict=True))
    print(f"{right} of {len(labels)} held-out digits read correctly ({right / len(labels):.2%})")


if __name__ == "__main__":
    main(sys.argv[1])
