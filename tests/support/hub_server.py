"""A Hub on loopback for tests: repos in memory, the protocol of huggingface_hub's client, and faults on demand.

``HubServer`` runs in a thread; a test may read and change its ``repos`` directly.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.support.hub_api import READER, STRANGER, WRITER, ApiError, HubApi
from tests.support.hub_repo import Repo

__all__ = ["READER", "STRANGER", "WRITER", "Fault", "HubServer", "Repo"]

_METHODS = ["GET", "HEAD", "POST", "PUT"]


@dataclass
class Fault:
    """A fault of requests whose ``METHOD /path`` matches: refused, delayed, or cut off in the middle of the answer."""

    pattern: str
    status: int | None = None
    delay: float = 0.0
    cut: bool = False
    alter: Callable[[bytes], bytes] | None = None
    """Changes the body of the answer."""
    headers: dict[str, str] | None = None
    """Headers of the answer that are replaced."""
    times: int = 10**9
    """The number of requests that it affects."""


class _Cut(Response):
    """A response that announces its whole body, sends half and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


class HubServer:
    """A Hub in a thread of this process: ``with HubServer() as hub: ... hub.endpoint``."""

    def __init__(self, page_size: int = 3) -> None:
        self.repos: dict[str, Repo] = {}
        self.log: list[str] = []
        """``METHOD /path`` of every request."""
        self.faults: list[Fault] = []
        self._api = HubApi(self.repos, page_size)
        routes = [Route("/{path:path}", self._serve, methods=_METHODS)]
        config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            assert self._thread.is_alive(), "the server did not start"
        self._api.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    @property
    def endpoint(self) -> str:
        """The URL that HF_ENDPOINT should name."""
        return self._api.endpoint

    def reset(self) -> None:
        """Remove all repos, faults and logged requests."""
        self.repos.clear()
        self.log.clear()
        self.faults.clear()

    def fail(self, pattern: str, **settings: Any) -> Fault:
        """Add a :class:`Fault`."""
        self.faults.append(Fault(pattern, **settings))
        return self.faults[-1]

    def requests(self, pattern: str) -> list[str]:
        """Return the logged requests that match."""
        return [line for line in self.log if re.search(pattern, line)]

    async def _serve(self, request: Request) -> Response:
        path = unquote(request.scope["raw_path"].decode().replace("%2F", "\0"))  # keeps a slash in a revision apart
        line = f"{request.method} {path.replace(chr(0), '/')}"
        if path == "/api/agent-harnesses":  # the client's own, at most once a day
            return Response(status_code=404)
        self.log.append(line)
        fault = next((fault for fault in self.faults if fault.times > 0 and re.search(fault.pattern, line)), None)
        body = await request.body()
        if fault is not None:
            fault.times -= 1
            await asyncio.sleep(fault.delay)
            if fault.status is not None:
                return JSONResponse({"error": "as the test asked"}, fault.status)
            if fault.cut and request.method != "GET":  # the request is not carried out
                return _Cut(b"{}")
        try:
            response = self._api.answer(request, path, body)
        except ApiError as error:
            return error.response
        for key, value in (fault.headers or {}).items() if fault else ():
            response.headers[key] = value
        if fault is None or request.method == "HEAD":
            return response
        content = fault.alter(bytes(response.body)) if fault.alter else bytes(response.body)
        headers = {key: value for key, value in response.headers.items() if key != "content-length"}
        return (_Cut if fault.cut else Response)(content, response.status_code, headers)
