"""Push a site to a static Space on the Hub: compared with the Space, uploaded as one commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from sdk.errors import HubError
from sdk.hub.errors import LOGIN, hub_errors
from zoo.artifacts.push import digests
from zoo.web.site import INDEX_FILE, SiteError, is_site

_KIND = "space"
_KEPT = (".gitattributes",)
"""Files that the Hub itself writes."""


@dataclass(frozen=True)
class SpacePush:
    """The outcome of a push, or with ``dry_run`` of the push that would follow."""

    url: str
    commit: str | None
    creates: bool
    uploads: tuple[str, ...]
    deletes: tuple[str, ...]
    dry_run: bool

    def report(self) -> list[str]:
        """Return the outcome as lines to print; the last line is the URL."""
        verbs = ("would create", "would upload", "would delete") if self.dry_run else ("created", "uploaded", "deleted")
        lines = [f"{verbs[0]} the Space"] if self.creates else []
        for verb, paths in zip(verbs[1:], (self.uploads, self.deletes), strict=True):
            lines += [f"{verb} {len(paths)} files: {_few(paths)}"] if paths else []
        if not (self.uploads or self.deletes):
            lines.append("nothing to upload: the Space already has these files")
        if self.commit is not None and not (self.dry_run and (self.uploads or self.deletes)):
            lines.append(f"commit: {self.commit}")
        return [*lines, self.url]


def push_space(
    site: Path, repo_id: str, *, private: bool = False, message: str | None = None, dry_run: bool = False
) -> SpacePush:
    """Bring a static Space to exactly the files of a site, with one commit or none.

    A missing Space is created, ``private`` or public. Raises SiteError for a folder that is no site, and HubError, also
    for a Space that holds something else than a site; it does not change before the commit.
    """
    if repo_id.count("/") != 1:
        raise HubError(f"repo id: found {repo_id!r}, expected 'user/name'")
    if not is_site(site):
        raise SiteError(f"{site}: found no site in it; write one with `zoo web NAME... --out {site}`")
    token = get_token()
    if token is None:
        raise HubError(f"pushing to {constants.ENDPOINT} needs a token: {LOGIN}")
    api = HfApi(token=token)
    local = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*")) if path.is_file()}
    with hub_errors(repo_id, "main", kind=_KIND):
        found = _read_space(api, repo_id, private)
        parent, files = found or (None, {})
        if found is None and not dry_run:
            parent, files = _create_space(api, repo_id, private)
        _check_contents(repo_id, files)
        uploads = [name for name, path in local.items() if files.get(name) not in digests(path.read_bytes())]
        deletes = sorted(files.keys() - local.keys() - set(_KEPT))
        commit = parent
        if (uploads or deletes) and not dry_run:
            additions = [CommitOperationAdd(name, local[name]) for name in uploads]
            removals = [CommitOperationDelete(name, is_folder=False) for name in deletes]
            commit = api.create_commit(
                repo_id,
                [*additions, *removals],
                commit_message=message or "Upload the site",
                repo_type=_KIND,
                parent_commit=parent,
            ).oid
    url = f"{constants.ENDPOINT}/spaces/{repo_id}"
    return SpacePush(url, commit, found is None, tuple(uploads), tuple(deletes), dry_run)


def _read_space(api: HfApi, repo_id: str, private: bool) -> tuple[str | None, dict[str, str]] | None:
    """Return the head commit and the hashes of all files, or None if there is no such Space."""
    try:
        info = api.repo_info(repo_id, repo_type=_KIND, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        return None
    if private and not info.private:
        raise HubError(
            f"{repo_id} exists and is public, and --private applies to new Spaces only; "
            f"make it private at {constants.ENDPOINT}/spaces/{repo_id}/settings first"
        )
    entries = api.list_repo_tree(repo_id, repo_type=_KIND, recursive=True, revision=info.sha)
    files = {
        entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in entries if isinstance(entry, RepoFile)
    }
    return info.sha, files


def _create_space(api: HfApi, repo_id: str, private: bool) -> tuple[str | None, dict[str, str]]:
    try:
        api.create_repo(repo_id, repo_type=_KIND, space_sdk="static", private=private)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        raise HubError(f"{repo_id} exists, but this token cannot see it; {LOGIN} with a token that can") from error
    parent, files = _read_space(api, repo_id, private) or (None, {})
    # A new static Space holds the Hub's own first page, which the site replaces.
    return parent, dict.fromkeys(files, "") if INDEX_FILE not in files else files


def _check_contents(repo_id: str, files: dict[str, str]) -> None:
    """Raise HubError for a Space whose files are those of something else than a site."""
    if any(files.values()) and INDEX_FILE not in files and set(files) - {*_KEPT, "README.md"}:
        raise HubError(f"{repo_id} holds no site of cellzoo; it is not overwritten: give another --repo-id")


def _few(paths: tuple[str, ...]) -> str:
    shown = ", ".join(paths[:5])
    return shown if len(paths) <= 5 else f"{shown} and {len(paths) - 5} more"
