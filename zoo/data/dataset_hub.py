"""Downloads data sets from the Hub into the cache that the Hugging Face libraries share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from sdk.errors import HubError, HubUnreachableError, OfflineWarning, give_warning
from sdk.hub.errors import hub_errors
from zoo.data.dataset_card import CARD_FILES, CardConfigs, read_configs
from zoo.data.image_files import EXTENSIONS
from zoo.utils.errors import DataError

DATA_SUFFIXES = (".parquet", ".csv", ".tsv", ".json", ".jsonl")
"""Suffixes of data files, in lower case."""


def fetch_dataset(repo_id: str, revision: str, config: str | None) -> Path:
    """Download the card, and the data files and images of a configuration; return the folder of the commit.

    Other files are not downloaded. With HF_HUB_OFFLINE set, only the cache is used. Raises DataError for a data set
    that does not exist, may not be read or needs a loading script, and if the Hub cannot be reached.
    """
    shown = not are_progress_bars_disabled()
    disable_progress_bars()  # they would interleave with those of the training
    try:
        reached = not constants.HF_HUB_OFFLINE and _reaches(repo_id, revision)
        with hub_errors(repo_id, revision, kind="data set"):
            patterns = _patterns(repo_id, revision, config, reached)
            return Path(snapshot_download(repo_id, allow_patterns=patterns, **_options(revision, reached)))
    except HubError as error:
        raise DataError(str(error)) from None
    finally:
        if shown:
            enable_progress_bars()


def _reaches(repo_id: str, revision: str) -> bool:
    """Return False, with a warning, if the Hub cannot be reached; raises DataError for a repo with a script."""
    try:
        with hub_errors(repo_id, revision, kind="data set"):
            _refuse_scripts(repo_id, revision)
    except HubUnreachableError as error:
        give_warning(OfflineWarning(f"{error}; using the cached files of {repo_id}, if there are any"))
        return False
    return True


def _refuse_scripts(repo_id: str, revision: str) -> None:
    """Raise DataError for a data set that a script of its own reads."""
    script = f"{repo_id.split('/')[-1]}.py"
    try:
        get_hf_file_metadata(hf_hub_url(repo_id, script, repo_type="dataset", revision=revision))
    except EntryNotFoundError:
        return
    raise DataError(
        f"{repo_id}: found the loading script {script}, which is never executed; allowed are data files "
        f"({', '.join(DATA_SUFFIXES)}) and images; data.revision: refs/convert/parquet may have them"
    )


def _options(revision: str, reached: bool) -> dict[str, Any]:
    return {"repo_type": "dataset", "revision": revision, "local_files_only": not reached}


def _patterns(repo_id: str, revision: str, config: str | None, reached: bool) -> list[str]:
    """Return the patterns of the files to download, from the card, which is downloaded first."""
    folder: Path | None = None
    for name in CARD_FILES:
        try:
            folder = Path(hf_hub_download(repo_id, name, **_options(revision, reached))).parent
        except LocalEntryNotFoundError:
            if reached:
                raise
        except EntryNotFoundError:
            continue
    configs = CardConfigs({}, None) if folder is None else read_configs(folder, f"{repo_id}@{revision}")
    chosen = configs.patterns.get(config or configs.default or "", [])
    suffixes = (*DATA_SUFFIXES, *EXTENSIONS)
    every_case = [suffix for name in suffixes for suffix in (name, name.upper())]
    wanted = [f"{pattern.removeprefix('./').rstrip('/')}*" for pattern in chosen] or [f"*{end}" for end in every_case]
    return [*CARD_FILES, "dataset_infos.json", *wanted]
