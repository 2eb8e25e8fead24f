"""Figure files, as :mod:`sdk.plot` writes them, for training, probes and reports."""

from sdk.plot.files import save_gif, save_png

__all__ = ["save_gif", "save_png"]
