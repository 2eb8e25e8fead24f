"""The Hub's HTTP API, as huggingface_hub's client uses it, on repos in memory.

Large files go through LFS, whose downloads are redirected to another origin, as on the real Hub.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.support.hub_repo import LFS_SUFFIXES, Repo, Stored

WRITER, READER, STRANGER = "hf_alice", "hf_alice_read", "hf_bob"
"""The tokens of alice, one that may only read, and of another user."""
_USERS = {WRITER: "alice", READER: "alice", STRANGER: "bob"}


class ApiError(Exception):
    """An error that the Hub answers with, in ``response``."""

    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message}
        self.response = JSONResponse(
            {"error": message or code}, status, {key: value for key, value in {**named, **headers}.items() if value}
        )


class HubApi:
    """Answers the requests of clients by reading and changing ``repos``; trees are listed in pages."""

    def __init__(self, repos: dict[str, Repo], page_size: int) -> None:
        self.repos = repos
        self.page_size = page_size
        self.port = 0
        """The port of the server, which URLs in answers name."""

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: Request, path: str, body: bytes) -> Response:
        """Carry out a request; raises ApiError. A "\\0" in the path stands for an encoded slash."""
        handlers: list[tuple[str, str, Callable[..., Response]]] = [
            ("POST", "/api/repos/create", self._create),
            ("POST", "/api/validate-yaml", self._validate_yaml),
            ("GET", "/api/models", self._list),
            ("GET", "/api/(?:models|datasets|spaces)/([^/]+/[^/]+)(?:/revision/([^/]+))?", self._info),
            ("GET", "/api/(?:models|spaces)/([^/]+/[^/]+)/refs", self._refs),
            ("GET", "/api/(?:models|datasets|spaces)/([^/]+/[^/]+)/tree/([^/]+)", self._tree),
            ("POST", "/api/(?:models|spaces)/([^/]+/[^/]+)/preupload/([^/]+)", self._preupload),
            ("POST", "/api/(?:models|spaces)/([^/]+/[^/]+)/commit/([^/]+)", self._commit),
            ("POST", "/api/(?:models|spaces)/([^/]+/[^/]+)/(branch|tag)/([^/]+)", self._make_ref),
            ("POST", "/(?:spaces/)?([^/]+/[^/]+).git/info/lfs/objects/batch", self._lfs_batch),
            ("PUT", "/lfs/([^/]+/[^/]+)/([0-9a-f]{64})", self._lfs_upload),
            ("POST", "/lfs/([^/]+/[^/]+)/([0-9a-f]{64})/verify", self._lfs_verify),
            ("GET", "/lfs/([^/]+/[^/]+)/([0-9a-f]{64})", self._lfs_download),
            ("GET", "/(?:datasets/|spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
        ]
        method = "GET" if request.method == "HEAD" else request.method
        for verb, pattern, handler in handlers:
            match = re.fullmatch(pattern, path)
            if match and verb == method:
                parts = [part and part.replace("\0", "/") for part in match.groups()]
                return handler(request, body, *parts)
        raise ApiError(404, message=f"no such page: {path}")

    def _user(self, request: Request) -> str | None:
        given = request.headers.get("authorization")
        if given is None:
            return None
        token = given.removeprefix("Bearer ")
        if token not in _USERS:
            raise ApiError(401, message="Invalid credentials in Authorization header")
        return _USERS[token]

    def _check_write(self, request: Request, namespace: str) -> None:
        if self._user(request) is None:
            raise ApiError(401, message="Invalid username or password.")
        token = request.headers["authorization"].removeprefix("Bearer ")
        if token == READER or _USERS[token] != namespace:
            raise ApiError(403, message=f"You don't have the rights to write to {namespace}")

    def _repo(self, request: Request, repo_id: str, write: bool = False) -> Repo:
        user, namespace = self._user(request), repo_id.split("/")[0]
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and user != namespace):
            raise ApiError(404 if user else 401, "RepoNotFound", "Repository not found")
        if write:
            self._check_write(request, namespace)
        return repo

    def _tree_of(self, repo: Repo, revision: str) -> tuple[str, dict[str, Stored]]:
        commit = repo.find(revision)
        if commit is None:
            raise ApiError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, repo.commits[commit]

    def _info(self, request: Request, body: bytes, repo_id: str, revision: str | None) -> Response:
        repo = self._repo(request, repo_id)
        commit, files = self._tree_of(repo, revision or "main")
        siblings = [{"rfilename": path} for path in sorted(files)]
        return JSONResponse(
            {"id": repo_id, "sha": commit, "private": repo.private, "siblings": siblings, "tags": [], "cardData": {}}
        )

    def _list(self, request: Request, body: bytes) -> Response:
        asked = request.query_params
        found = []
        for repo_id, repo in sorted(self.repos.items()):
            card = self._tree_of(repo, "main")[1].get("README.md")
            named = asked.get("author") in (None, repo_id.split("/")[0]) and asked.get("search", "") in repo_id
            tagged = card is not None and f"- {asked['filter']}\n".encode() in card.content
            if named and tagged and not repo.private:
                entry = {"id": repo_id, "modelId": repo_id, "tags": [asked["filter"]], "downloads": 3, "likes": 1}
                found.append({**entry, "lastModified": "2026-11-29T10:00:00.000Z", "private": False, "siblings": []})
        return JSONResponse(found[: int(asked.get("limit", 1000))])

    def _refs(self, request: Request, body: bytes, repo_id: str) -> Response:
        refs = self._repo(request, repo_id).refs
        kinds = {"branches": "refs/heads/", "tags": "refs/tags/"}
        listed = {
            kind: [
                {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": commit}
                for ref, commit in refs.items()
                if ref.startswith(prefix)
            ]
            for kind, prefix in kinds.items()
        }
        return JSONResponse({**listed, "converts": []})

    def _tree(self, request: Request, body: bytes, repo_id: str, revision: str) -> Response:
        _, files = self._tree_of(self._repo(request, repo_id), revision)
        entries = [file.entry(path) for path, file in sorted(files.items())]
        start = int(request.query_params.get("cursor", 0))
        end = start + self.page_size
        following = request.url.include_query_params(cursor=end)
        headers = {"Link": f'<{following}>; rel="next"'} if end < len(entries) else {}
        return JSONResponse(entries[start:end], headers=headers)

    def _resolve(self, request: Request, body: bytes, repo_id: str, revision: str, path: str) -> Response:
        repo = self._repo(request, repo_id)
        if repo.gated and self._user(request) != repo_id.split("/")[0]:
            raise ApiError(403 if self._user(request) else 401, "GatedRepo", f"Access to model {repo_id} is restricted")
        commit, files = self._tree_of(repo, revision)
        if path not in files:
            raise ApiError(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
        file = files[path]
        if not file.lfs:
            return _content(request, file.content, {"X-Repo-Commit": commit, "ETag": f'"{file.oid}"'})
        repo.objects[file.sha256] = file.content
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-ETag": f'"{file.sha256}"',
            "X-Linked-Size": str(len(file.content)),
            "Location": f"http://localhost:{self.port}/lfs/{repo_id}/{file.sha256}",
        }
        return Response(status_code=302, headers=headers)

    def _lfs_download(self, request: Request, body: bytes, repo_id: str, sha256: str) -> Response:
        assert "authorization" not in request.headers, "the token was sent to another origin"
        return _content(request, self.repos[repo_id].objects[sha256], {"ETag": f'"{sha256}"'})

    def _create(self, request: Request, body: bytes) -> Response:
        asked = json.loads(body)
        namespace = asked.get("organization") or self._user(request)
        self._check_write(request, namespace)
        repo_id = f"{namespace}/{asked['name']}"
        url = f"{self.endpoint}/{repo_id}"
        if repo_id in self.repos:
            return JSONResponse({"error": "You already created this model repo", "url": url}, 409)
        self.repos[repo_id] = Repo(private=asked.get("visibility") == "private" or asked.get("private") is True)
        return JSONResponse({"url": url, "name": repo_id})

    def _validate_yaml(self, request: Request, body: bytes) -> Response:
        content = json.loads(body)["content"]
        block = re.match(r"\s*---\n(.*?)\n---", content, re.DOTALL)
        try:
            metadata = yaml.safe_load(block[1]) if block else {}
        except yaml.YAMLError as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        missing = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
        return JSONResponse({"errors": [], "warnings": missing})

    def _preupload(self, request: Request, body: bytes, repo_id: str, revision: str) -> Response:
        _, files = self._tree_of(self._repo(request, repo_id, write=True), revision)
        answers = []
        for asked in json.loads(body)["files"]:
            lfs = asked["path"].endswith(LFS_SUFFIXES) or asked["size"] > 10 * 2**20
            known = files.get(asked["path"])
            oid = {"oid": known.sha256 if known.lfs else known.oid} if known else {}
            mode = "lfs" if lfs else "regular"
            answers.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, **oid})
        return JSONResponse({"files": answers})

    def _lfs_batch(self, request: Request, body: bytes, repo_id: str) -> Response:
        repo, objects = self._repo(request, repo_id, write=True), []
        for asked in json.loads(body)["objects"]:
            href = f"{self.endpoint}/lfs/{repo_id}/{asked['oid']}"
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            stored = asked["oid"] in repo.objects
            objects.append({"oid": asked["oid"], "size": asked["size"], **({} if stored else {"actions": actions})})
        return JSONResponse({"transfer": "basic", "objects": objects})

    def _lfs_upload(self, request: Request, body: bytes, repo_id: str, sha256: str) -> Response:
        if hashlib.sha256(body).hexdigest() != sha256:
            raise ApiError(400, message="the content has another hash")
        self.repos[repo_id].objects[sha256] = body
        return Response()

    def _lfs_verify(self, request: Request, body: bytes, repo_id: str, sha256: str) -> Response:
        stored = self.repos[repo_id].objects.get(sha256)
        if stored is None or len(stored) != json.loads(body)["size"]:
            raise ApiError(404, message="no such object")
        return Response()

    def _commit(self, request: Request, body: bytes, repo_id: str, revision: str) -> Response:
        repo = self._repo(request, repo_id, write=True)
        parent, files = self._tree_of(repo, revision)
        operations = [json.loads(line) for line in body.splitlines()]
        header = operations[0]["value"]
        if header.get("parentCommit", parent) != parent:
            raise ApiError(412, message="A commit has happened since. Please refresh and try again.")
        tree = dict(files)
        for operation in operations[1:]:
            kind, value = operation["key"], operation["value"]
            if kind == "file":
                tree[value["path"]] = Stored(base64.b64decode(value["content"]), lfs=False)
            elif kind == "lfsFile":
                tree[value["path"]] = Stored(repo.objects[value["oid"]], lfs=True)
            elif kind == "deletedFile":
                del tree[value["path"]]
            else:
                raise ApiError(400, message=f"unknown operation {kind}")
        ref, extra = f"refs/heads/{revision}", {}
        if request.query_params.get("create_pr"):
            number = next(n for n in itertools.count(1) if f"refs/pr/{n}" not in repo.refs)
            ref, extra = f"refs/pr/{number}", {"pullRequestUrl": f"{self.endpoint}/{repo_id}/discussions/{number}"}
        elif ref not in repo.refs:
            raise ApiError(400, message=f"{revision} is no branch")
        oid = repo.commit(ref, tree, header["summary"])
        return JSONResponse({"commitOid": oid, "commitUrl": f"{self.endpoint}/{repo_id}/commit/{oid}", **extra})

    def _make_ref(self, request: Request, body: bytes, repo_id: str, kind: str, name: str) -> Response:
        repo, asked = self._repo(request, repo_id, write=True), json.loads(body)
        if kind == "branch":
            ref, target = f"refs/heads/{name}", asked.get("startingPoint", "main")
        else:  # the path names what is tagged
            ref, target = f"refs/tags/{asked['tag']}", name
        if ref in repo.refs:
            raise ApiError(409, message=f"{ref} exists already")
        repo.refs[ref] = self._tree_of(repo, target)[0]
        return Response()


def _content(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    """Answer with a file, or with its rest if the client continues an interrupted download."""
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    if wanted is None or int(wanted[1]) == 0:
        return Response(content, headers=headers)
    start = int(wanted[1])
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Response(content[start:], 206, {**headers, "Content-Range": span})
