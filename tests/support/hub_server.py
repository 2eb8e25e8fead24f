"""A Hub on loopback for tests: repos in memory, the protocol of huggingface_hub's client, and faults on demand.

``HubServer`` runs in a thread; a test looks at and changes its ``repos`` directly. Large files go through LFS, whose
downloads are redirected to another origin, as the real Hub does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

LFS_SUFFIXES = (".onnx", ".safetensors", ".png")
WRITER, READER, STRANGER = "hf_alice", "hf_alice_read", "hf_bob"
_USERS = {WRITER: "alice", READER: "alice", STRANGER: "bob"}
_METHODS = ["GET", "HEAD", "POST", "PUT"]


@dataclass(frozen=True)
class Stored:
    """One file of a commit."""

    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """Git's name of it: of the content, or of the pointer that stands for a large file."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        content = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        lfs = {"lfs": {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}} if self.lfs else {}
        return {"type": "file", "oid": self.oid, "size": len(self.content), "path": path, **lfs}


@dataclass
class Repo:
    """A model repo; ``commits`` are whole trees."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Stored]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    """``refs/heads/main``, ``refs/tags/v1``, ``refs/pr/1`` -> commit."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Uploaded large files by sha256."""

    def __post_init__(self) -> None:
        self.commit("refs/heads/main", {".gitattributes": Stored(b"*.onnx filter=lfs\n", lfs=False)}, "initial commit")

    def commit(self, ref: str, files: dict[str, Stored], message: str) -> str:
        serial = f"{ref} {message} {len(self.commits)} {sorted((path, file.oid) for path, file in files.items())}"
        oid = hashlib.sha1(serial.encode()).hexdigest()
        self.commits[oid], self.messages[oid], self.refs[ref] = files, message, oid
        return oid

    def find(self, revision: str) -> str | None:
        """The commit that a branch, a tag, a full ref or a commit means."""
        if revision in self.commits:
            return revision
        refs = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        return next((self.refs[ref] for ref in refs if ref in self.refs), None)

    @property
    def main(self) -> str:
        return self.refs["refs/heads/main"]

    @property
    def files(self) -> dict[str, bytes]:
        """What main holds, less what every repo begins with."""
        return {path: file.content for path, file in self.commits[self.main].items() if path != ".gitattributes"}

    def put(self, files: dict[str, bytes | None], message: str = "change") -> str:
        """Commit to main from within: contents by path, None to delete."""
        tree = dict(self.commits[self.main])
        for path, content in files.items():
            tree.pop(path, None)
            if content is not None:
                tree[path] = Stored(content, path.endswith(LFS_SUFFIXES))
        return self.commit("refs/heads/main", tree, message)


@dataclass
class Fault:
    """What happens to requests whose ``METHOD /path`` matches: refused, held up, or cut after half an answer."""

    pattern: str
    status: int | None = None
    delay: float = 0.0
    cut: bool = False
    alter: Callable[[bytes], bytes] | None = None
    """Changes the body of an answer."""
    times: int = 10**9


class _Error(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        named = {"X-Error-Code": code, "X-Error-Message": message}
        self.response = JSONResponse(
            {"error": message or code}, status, {key: value for key, value in {**named, **headers}.items() if value}
        )


class _Cut(Response):
    """Announces its whole body, sends half of it and hangs up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


class HubServer:
    """Use as a context manager: ``with HubServer() as hub: ... hub.endpoint``."""

    def __init__(self, page_size: int = 3) -> None:
        self.repos: dict[str, Repo] = {}
        self.log: list[str] = []
        """``METHOD /path`` of every request."""
        self.faults: list[Fault] = []
        self.page_size = page_size
        routes = [Route("/{path:path}", self._serve, methods=_METHODS)]
        config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            assert self._thread.is_alive(), "the server did not start"
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    def reset(self) -> None:
        self.repos.clear()
        self.log.clear()
        self.faults.clear()

    def fail(self, pattern: str, **what: Any) -> Fault:
        self.faults.append(Fault(pattern, **what))
        return self.faults[-1]

    def requests(self, pattern: str) -> list[str]:
        return [line for line in self.log if re.search(pattern, line)]

    async def _serve(self, request: Request) -> Response:
        path = unquote(request.scope["raw_path"].decode().replace("%2F", "\0"))  # a revision's slash stays apart
        line = f"{request.method} {path.replace(chr(0), '/')}"
        self.log.append(line)
        fault = next((fault for fault in self.faults if fault.times > 0 and re.search(fault.pattern, line)), None)
        body = await request.body()
        if fault is not None:
            fault.times -= 1
            await asyncio.sleep(fault.delay)
            if fault.status is not None:
                return JSONResponse({"error": "as the test asked"}, fault.status)
            if fault.cut and request.method != "GET":  # never carried out
                return _Cut(b"{}")
        try:
            response = self._answer(request, path, body)
        except _Error as error:
            return error.response
        if fault is None or request.method == "HEAD":
            return response
        content = fault.alter(bytes(response.body)) if fault.alter else bytes(response.body)
        headers = {key: value for key, value in response.headers.items() if key != "content-length"}
        return (_Cut if fault.cut else Response)(content, response.status_code, headers)

    def _answer(self, request: Request, path: str, body: bytes) -> Response:
        handlers: list[tuple[str, str, Callable[..., Response]]] = [
            ("POST", "/api/repos/create", self._create),
            ("POST", "/api/validate-yaml", self._validate_yaml),
            ("GET", "/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", self._info),
            ("GET", "/api/models/([^/]+/[^/]+)/refs", self._refs),
            ("GET", "/api/models/([^/]+/[^/]+)/tree/([^/]+)", self._tree),
            ("POST", "/api/models/([^/]+/[^/]+)/preupload/([^/]+)", self._preupload),
            ("POST", "/api/models/([^/]+/[^/]+)/commit/([^/]+)", self._commit),
            ("POST", "/api/models/([^/]+/[^/]+)/(branch|tag)/([^/]+)", self._make_ref),
            ("POST", "/([^/]+/[^/]+).git/info/lfs/objects/batch", self._lfs_batch),
            ("PUT", "/lfs/([^/]+/[^/]+)/([0-9a-f]{64})", self._lfs_upload),
            ("POST", "/lfs/([^/]+/[^/]+)/([0-9a-f]{64})/verify", self._lfs_verify),
            ("GET", "/lfs/([^/]+/[^/]+)/([0-9a-f]{64})", self._lfs_download),
            ("GET", "/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
        ]
        method = "GET" if request.method == "HEAD" else request.method
        for verb, pattern, handler in handlers:
            match = re.fullmatch(pattern, path)
            if match and verb == method:
                parts = [part and part.replace("\0", "/") for part in match.groups()]
                return handler(request, body, *parts)
        raise _Error(404, message=f"no such page: {path}")

    # Who may do what

    def _user(self, request: Request) -> str | None:
        given = request.headers.get("authorization")
        if given is None:
            return None
        token = given.removeprefix("Bearer ")
        if token not in _USERS:
            raise _Error(401, message="Invalid credentials in Authorization header")
        return _USERS[token]

    def _check_write(self, request: Request, namespace: str) -> None:
        if self._user(request) is None:
            raise _Error(401, message="Invalid username or password.")
        token = request.headers["authorization"].removeprefix("Bearer ")
        if token == READER or _USERS[token] != namespace:
            raise _Error(403, message=f"You don't have the rights to write to {namespace}")

    def _repo(self, request: Request, repo_id: str, write: bool = False) -> Repo:
        user, namespace = self._user(request), repo_id.split("/")[0]
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and user != namespace):
            raise _Error(404 if user else 401, "RepoNotFound", "Repository not found")
        if write:
            self._check_write(request, namespace)
        return repo

    def _tree_of(self, repo: Repo, revision: str) -> tuple[str, dict[str, Stored]]:
        commit = repo.find(revision)
        if commit is None:
            raise _Error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, repo.commits[commit]

    # Reading

    def _info(self, request: Request, body: bytes, repo_id: str, revision: str | None) -> Response:
        repo = self._repo(request, repo_id)
        commit, files = self._tree_of(repo, revision or "main")
        siblings = [{"rfilename": path} for path in sorted(files)]
        return JSONResponse(
            {"id": repo_id, "sha": commit, "private": repo.private, "siblings": siblings, "tags": [], "cardData": {}}
        )

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
            raise _Error(403 if self._user(request) else 401, "GatedRepo", f"Access to model {repo_id} is restricted")
        commit, files = self._tree_of(repo, revision)
        if path not in files:
            raise _Error(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
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

    # Writing

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
            raise _Error(400, message="the content has another hash")
        self.repos[repo_id].objects[sha256] = body
        return Response()

    def _lfs_verify(self, request: Request, body: bytes, repo_id: str, sha256: str) -> Response:
        stored = self.repos[repo_id].objects.get(sha256)
        if stored is None or len(stored) != json.loads(body)["size"]:
            raise _Error(404, message="no such object")
        return Response()

    def _commit(self, request: Request, body: bytes, repo_id: str, revision: str) -> Response:
        repo = self._repo(request, repo_id, write=True)
        parent, files = self._tree_of(repo, revision)
        operations = [json.loads(line) for line in body.splitlines()]
        header = operations[0]["value"]
        if header.get("parentCommit", parent) != parent:
            raise _Error(412, message="A commit has happened since. Please refresh and try again.")
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
                raise _Error(400, message=f"unknown operation {kind}")
        ref, extra = f"refs/heads/{revision}", {}
        if request.query_params.get("create_pr"):
            number = next(n for n in itertools.count(1) if f"refs/pr/{n}" not in repo.refs)
            ref, extra = f"refs/pr/{number}", {"pullRequestUrl": f"{self.endpoint}/{repo_id}/discussions/{number}"}
        elif ref not in repo.refs:
            raise _Error(400, message=f"{revision} is no branch")
        oid = repo.commit(ref, tree, header["summary"])
        return JSONResponse({"commitOid": oid, "commitUrl": f"{self.endpoint}/{repo_id}/commit/{oid}", **extra})

    def _make_ref(self, request: Request, body: bytes, repo_id: str, kind: str, name: str) -> Response:
        repo, asked = self._repo(request, repo_id, write=True), json.loads(body)
        if kind == "branch":
            ref, target = f"refs/heads/{name}", asked.get("startingPoint", "main")
        else:  # the path names what is tagged
            ref, target = f"refs/tags/{asked['tag']}", name
        if ref in repo.refs:
            raise _Error(409, message=f"{ref} exists already")
        repo.refs[ref] = self._tree_of(repo, target)[0]
        return Response()


def _content(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    """A file, or the rest of it when a download goes on where it was cut."""
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    if wanted is None or int(wanted[1]) == 0:
        return Response(content, headers=headers)
    start = int(wanted[1])
    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Response(content[start:], 206, {**headers, "Content-Range": span})
