"""From an artifact to a repo on the Hub: checked, compared with what is there, uploaded as one commit, tagged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from huggingface_hub import (
    CommitOperation,
    CommitOperationAdd,
    CommitOperationDelete,
    GitRefs,
    HfApi,
    ModelCard,
    constants,
    get_token,
    metadata_load,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from yaml import YAMLError

from sdk.artifact import CARD_FILE, CONFIG_FILE, ONNX_FILE, WEIGHTS_FILE, Artifact, read_artifact
from sdk.backends import backends_of
from sdk.errors import ArtifactError, HubError
from sdk.hub.download import fetch_config
from sdk.hub.errors import LOGIN, hub_errors
from sdk.hub.reference import HubReference
from sdk.loading import open_model
from zoo.artifacts.onnx import check_onnx


@dataclass(frozen=True)
class Push:
    """What a push did, or with ``dry_run`` would do."""

    url: str
    """The repo's page, or the pull request's."""
    commit: str | None
    """The commit that now holds the artifact; None before there is one."""
    creates: bool
    """Whether the repo was not there."""
    uploads: tuple[str, ...]
    """Files that are new or differ."""
    deletes: tuple[str, ...]
    """Files that the repo's config.json lists and the artifact no longer has."""
    tag: str
    """``v`` and the artifact's version."""
    tagged: str | None
    """The commit that has the tag; None when none has."""
    dry_run: bool

    def report(self) -> list[str]:
        """What happened, in lines for people; the last one is the URL."""
        verbs = ("would create", "would upload", "would delete") if self.dry_run else ("created", "uploaded", "deleted")
        lines = [f"{verbs[0]} the repo"] if self.creates else []
        for verb, paths in zip(verbs[1:], (self.uploads, self.deletes), strict=True):
            lines += [f"{verb} {', '.join(paths)}"] if paths else []
        changed = bool(self.uploads or self.deletes)
        if not changed:
            lines.append("nothing to upload: the repo has these files already")
        if self.commit is not None and not (self.dry_run and changed):
            lines.append(f"commit: {self.commit}")
        if self.tagged is not None and self.tagged == self.commit:
            lines.append(f"tag: {self.tag}")
        elif self.tagged is not None and changed:
            lines.append(
                f"note: {self.tag} stays at commit {self.tagged}, for a tag never moves; to tag other content, "
                f"raise version in {CONFIG_FILE} and push again"
            )
        return [*lines, self.url]


@dataclass(frozen=True)
class _Repo:
    """A repo as it is: its refs, and the files of the branch to push to."""

    parent: str | None
    files: dict[str, str]
    """Path -> sha256 of a large file, git's sha1 of a small one."""
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
    """Make the branch ``revision`` of a repo hold exactly the artifact's files, by one commit or none.

    The artifact is checked first (:func:`check_artifact`). A repo that is missing is created, ``private`` or not;
    so is the branch, from main. The commit is tagged with the version in config.json, unless it is a pull
    request's (``create_pr``); a tag never moves. Files of the repo that no artifact brought stay.
    Raises ArtifactError, ExportError and HubError; until the commit the repo is as it was.
    """
    if repo_id.count("/") != 1:
        raise HubError(f"a repo on the Hub is called 'user/name', found {repo_id!r}")
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
        uploads, deletes = _differences(artifact, repo, repo_id)
        url, commit = f"{constants.ENDPOINT}/{repo_id}", repo.parent
        if (uploads or deletes) and not dry_run:
            info = api.create_commit(
                repo_id,
                _operations(artifact, uploads, deletes),
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


def check_artifact(folder: Path) -> Artifact:
    """Verify an artifact as a stranger will find it: every hash, the card, every backend, ONNX against torch.

    Raises ArtifactError, and ExportError when ONNX and torch differ.
    """
    _check_card(folder)
    artifact = read_artifact(folder)
    models = {backend: open_model(artifact, backend) for backend in backends_of(artifact.config)}
    if "torch" not in models:
        raise ArtifactError(f"{folder}: no {WEIGHTS_FILE}, the file a model is shared by")
    if "onnx" in models:
        graph = onnx.load_model_from_string(artifact.file(ONNX_FILE).read_bytes())
        check_onnx(graph, models["torch"].module, artifact.config.input)
    return artifact


def _check_card(folder: Path) -> None:
    """Raise ArtifactError unless there is a card, as it was sealed, whose metadata the Hub can read."""
    try:
        card = read_artifact(folder, files=[CARD_FILE]).file(CARD_FILE)
        if metadata_load(card) is None:
            raise ArtifactError(f"{folder}: {CARD_FILE} does not begin with metadata for the Hub")
        ModelCard(card.read_text(encoding="utf-8"))
    except ArtifactError as error:
        raise ArtifactError(f"{error}; `zoo card` makes the model card anew and keeps its notes") from error
    except (ValueError, YAMLError) as error:
        raise ArtifactError(f"{folder}: {CARD_FILE} is no model card: {' '.join(str(error).split())}") from error


def _read_repo(api: HfApi, repo_id: str, revision: str, private: bool) -> _Repo | None:
    """The repo as it is, None when there is none; raises HubError when it cannot be pushed to as asked."""
    try:
        info = api.repo_info(repo_id, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except RepositoryNotFoundError:
        return None
    if private and not info.private:
        raise HubError(
            f"{repo_id} exists and is public, --private is for new repos; "
            f"make it private at {constants.ENDPOINT}/{repo_id}/settings first"
        )
    refs = api.list_repo_refs(repo_id)
    branches, tags = _targets(refs)
    if revision in tags:
        raise HubError(f"{revision!r} is a tag of {repo_id}, which never moves; push to a branch")
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
        raise HubError(f"{repo_id} exists, and this token cannot see it; {LOGIN} with one that can") from error
    return _read_repo(api, repo_id, revision, private) or _EMPTY


def _differences(artifact: Artifact, repo: _Repo, repo_id: str) -> tuple[list[str], list[str]]:
    """The files to upload and those to delete; raises HubError for a repo that holds something else."""
    local = [CONFIG_FILE, *artifact.config.files]
    uploads = [path for path in local if repo.files.get(path) not in _digests(artifact.folder / path)]
    if CONFIG_FILE not in repo.files or repo.parent is None:
        return uploads, []
    try:
        old = fetch_config(HubReference(repo_id, repo.parent))
    except ArtifactError as error:
        raise HubError(f"{error}; it is not overwritten, give another --repo-id") from error
    return uploads, sorted((old.files.keys() & repo.files.keys()) - set(local))


def _digests(path: Path) -> tuple[str, str]:
    """What the Hub may call a file's content: its sha256, or git's sha1."""
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _operations(artifact: Artifact, uploads: list[str], deletes: list[str]) -> list[CommitOperation]:
    additions = [CommitOperationAdd(path, artifact.folder / path) for path in uploads]
    return [*additions, *(CommitOperationDelete(path, is_folder=False) for path in deletes)]


def _tag(api: HfApi, repo_id: str, tag: str, commit: str) -> str:
    try:
        api.create_tag(repo_id, tag=tag, revision=commit)
    except HfHubHTTPError as error:
        raise HubError(
            f"commit {commit} is on {repo_id}, but it could not be tagged {tag} "
            f"({error.response.status_code}); push again to tag it"
        ) from error
    return commit
