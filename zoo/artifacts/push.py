"""Push an artifact to a repo on the Hub: checked, compared with the repo, uploaded as one commit, tagged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import (
    CommitOperation,
    CommitOperationAdd,
    CommitOperationDelete,
    GitRefs,
    HfApi,
    constants,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from sdk.artifact import CONFIG_FILE, Artifact
from sdk.errors import ArtifactError, HubError
from sdk.hub.download import fetch_config
from sdk.hub.errors import LOGIN, hub_errors
from sdk.hub.reference import HubReference
from zoo.artifacts.check import check_artifact
from zoo.artifacts.hub_results import RESULTS_FILE, evaluation_results


@dataclass(frozen=True)
class Push:
    """The outcome of a push, or with ``dry_run`` of the push that would follow."""

    url: str
    """The page of the repo, or of the pull request."""
    commit: str | None
    """The commit that now holds the artifact; None if the repo has no commit yet."""
    creates: bool
    """True if the repo did not exist."""
    uploads: tuple[str, ...]
    """Files that are new or have changed."""
    deletes: tuple[str, ...]
    """Files that an earlier push uploaded, and that the model no longer has."""
    tag: str
    """``v`` and the artifact's version."""
    tagged: str | None
    """The commit that carries the tag; None without such a commit."""
    dry_run: bool

    def report(self) -> list[str]:
        """Return the outcome as lines to print; the last line is the URL."""
        verbs = ("would create", "would upload", "would delete") if self.dry_run else ("created", "uploaded", "deleted")
        lines = [f"{verbs[0]} the repo"] if self.creates else []
        for verb, paths in zip(verbs[1:], (self.uploads, self.deletes), strict=True):
            lines += [f"{verb} {', '.join(paths)}"] if paths else []
        changed = bool(self.uploads or self.deletes)
        if not changed:
            lines.append("nothing to upload: the repo already has these files")
        if self.commit is not None and not (self.dry_run and changed):
            lines.append(f"commit: {self.commit}")
        if self.tagged is not None and self.tagged == self.commit:
            lines.append(f"tag: {self.tag}")
        elif self.tagged is not None and changed:
            lines.append(
                f"note: {self.tag} stays at commit {self.tagged}, because a tag never moves; to tag this content, "
                f"raise version in {CONFIG_FILE} and push again"
            )
        return [*lines, self.url]


@dataclass(frozen=True)
class _Repo:
    """The state of a repo: its refs, and the files of the branch to push to."""

    parent: str | None
    files: dict[str, str]
    """The sha256 of each large file and git's sha1 of each small one, by path."""
    branches: dict[str, str]
    tags: dict[str, str]


_EMPTY = _Repo(None, {}, {}, {})


def push_artifact(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str = "main",
    create_pr: bool = False,
    message: str | None = None,
    dry_run: bool = False,
) -> Push:
    """Bring the branch ``revision`` of a repo to exactly the artifact's files, with one commit or none.

    :func:`zoo.artifacts.check.check_artifact` runs first. A missing repo is created, ``private`` or public, and a
    missing branch is created from main. The commit is tagged with the version in config.json, unless it belongs to a
    pull request (``create_pr``); a tag never moves. Files in the repo that came from no artifact stay. Raises
    ArtifactError, ExportError and HubError; the repo does not change before the commit.
    """
    if repo_id.count("/") != 1:
        raise HubError(f"repo id: found {repo_id!r}, expected 'user/name'")
    artifact = check_artifact(folder)
    token = get_token()
    if token is None:
        raise HubError(f"pushing to {constants.ENDPOINT} needs a token: {LOGIN}")
    api = HfApi(token=token)
    tag = f"v{artifact.config.version}"
    with hub_errors(repo_id, revision):
        found = _read_repo(api, repo_id, revision, private)
        repo = found or _EMPTY
        if not dry_run:
            repo = found or _create_repo(api, repo_id, revision, private)
            if repo.branches and revision not in repo.branches:
                api.create_branch(repo_id, branch=revision, revision=repo.parent)
        results = evaluation_results(api, artifact)
        uploads, deletes = _differences(artifact, results, repo, repo_id)
        url, commit = f"{constants.ENDPOINT}/{repo_id}", repo.parent
        if (uploads or deletes) and not dry_run:
            info = api.create_commit(
                repo_id,
                _operations(artifact, results, uploads, deletes),
                commit_message=message or f"Upload {artifact.config.name} {artifact.config.version}",
                revision=revision,
                create_pr=create_pr,
                parent_commit=repo.parent,
            )
            url, commit = info.pr_url or url, info.oid
        tagged = repo.tags.get(tag)
        if tagged is None and commit is not None and not (dry_run or create_pr):
            tagged = _tag(api, repo_id, tag, commit)
    return Push(url, commit, found is None, tuple(uploads), tuple(deletes), tag, tagged, dry_run)


def _read_repo(api: HfApi, repo_id: str, revision: str, private: bool) -> _Repo | None:
    """Return the repo's state, None if it does not exist; raises HubError if the push is not possible as requested."""
    try:
        info = api.repo_info(repo_id, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        return None
    if private and not info.private:
        raise HubError(
            f"{repo_id} exists and is public, and --private applies to new repos only; "
            f"make it private at {constants.ENDPOINT}/{repo_id}/settings first"
        )
    refs = api.list_repo_refs(repo_id)
    branches, tags = _targets(refs)
    if revision in tags:
        raise HubError(f"{revision!r} is a tag of {repo_id}, and a tag never moves; push to a branch")
    parent = branches.get(revision, branches.get("main"))
    files = {} if parent is None else _list_files(api, repo_id, parent)
    return _Repo(parent, files, branches, tags)


def _targets(refs: GitRefs) -> tuple[dict[str, str], dict[str, str]]:
    branches = {branch.name: branch.target_commit for branch in refs.branches}
    return branches, {tag.name: tag.target_commit for tag in refs.tags}


def _list_files(api: HfApi, repo_id: str, commit: str) -> dict[str, str]:
    entries = api.list_repo_tree(repo_id, recursive=True, revision=commit)
    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    return {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files}


def _create_repo(api: HfApi, repo_id: str, revision: str, private: bool) -> _Repo:
    try:
        api.create_repo(repo_id, private=private)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        raise HubError(f"{repo_id} exists, but this token cannot see it; {LOGIN} with a token that can") from error
    return _read_repo(api, repo_id, revision, private) or _EMPTY


def _differences(artifact: Artifact, results: bytes | None, repo: _Repo, repo_id: str) -> tuple[list[str], list[str]]:
    """Return the files to upload and the files to delete; raises HubError for a repo that holds no cellzoo model."""
    local = [CONFIG_FILE, *artifact.config.files]
    uploads = [path for path in local if repo.files.get(path) not in digests((artifact.folder / path).read_bytes())]
    if results is not None and repo.files.get(RESULTS_FILE) not in digests(results):
        uploads.append(RESULTS_FILE)
    if CONFIG_FILE not in repo.files or repo.parent is None:
        return uploads, []
    try:
        old = fetch_config(HubReference(repo_id, repo.parent))
    except ArtifactError as error:
        raise HubError(f"{error}; it is not overwritten: give another --repo-id") from error
    gone = {RESULTS_FILE} & repo.files.keys() if results is None else set()
    return uploads, sorted(gone | ((old.files.keys() & repo.files.keys()) - set(local)))


def digests(content: bytes) -> tuple[str, str]:
    """Return the two hashes by which the Hub may know a file: its sha256 and git's sha1."""
    return hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _operations(
    artifact: Artifact, results: bytes | None, uploads: list[str], deletes: list[str]
) -> list[CommitOperation]:
    additions = [
        CommitOperationAdd(path, results if path == RESULTS_FILE and results else artifact.folder / path)
        for path in uploads
    ]
    return [*additions, *(CommitOperationDelete(path, is_folder=False) for path in deletes)]


def _tag(api: HfApi, repo_id: str, tag: str, commit: str) -> str:
    try:
        api.create_tag(repo_id, tag=tag, revision=commit)
    except HfHubHTTPError as error:
        raise HubError(
            f"commit {commit} was pushed to {repo_id}, but could not be tagged {tag} "
            f"({error.response.status_code}); push again to tag it"
        ) from error
    return commit
