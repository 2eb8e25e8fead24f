"""Files of an artifact that it can do without: a failure costs the file, and never the trained weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.utils.errors import CardError, IncompleteArtifactError
from zoo.utils.signals import check_stopped


class Extras:
    """Tries to write extra files into a folder, and collects the failures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed: dict[str, str] = {}
        """The reason by the name of the missing file or folder."""

    @contextmanager
    def trying(self, *names: str) -> Iterator[None]:
        """Write the files or folders of these names; if that fails, remove them and record the reason.

        Errors of the disk and of hand-written notes are raised, because they concern the whole artifact.
        """
        try:
            yield
        except (OSError, CardError):
            raise
        except Exception as error:  # whatever a family, onnxruntime or matplotlib raises
            check_stopped()  # an import that a signal ends raises an ImportError
            for name in names:
                _remove(self.folder / name)
            reason = " ".join(str(error).split()) or type(error).__name__
            self.failed[names[0]] = reason

    def check(self, name: str, out: Path) -> None:
        """Raise IncompleteArtifactError if a file is missing from the finished artifact at ``out``."""
        if self.failed:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in self.failed.items())
            raise IncompleteArtifactError(
                f"{name} was written to {out} without {', '.join(self.failed)} ({reasons}); the weights are complete"
            )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
