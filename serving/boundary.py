"""The outermost layer of a service: who may ask, one shape for all errors, the fast lane, and what is counted.

BentoML and Starlette answer an unknown path, a wrong method, a timeout and a crash in four shapes of their own, and
BentoML labels its metrics with the raw path, so that each lead ever asked for would become a time series. This layer
stands around BentoML's application and repairs both. What has no room or no right is turned away before any work.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import SalienceError
from common.settings import Settings
from serving.asgi import Application, Message, Receive, Scope, Send
from serving.fast_lane import TEMPLATES, FastLane
from serving.guard import Guard, OverloadError, TooManyRequestsError
from serving.metrics import ServiceMetrics
from serving.problems import MEDIA_TYPE, Problem, headers_of, problem, problem_of
from serving.rights import FILE_PATHS, MAX_BODY_BYTES, right_of

OTHER_PATH = "/{other}"
BODY_SECONDS = 15.0
"""A body that has not come whole by then is given up; of a file, so long may pass between two pieces."""
_REAL_PATH = "salience.path"
_GIVEN_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")
_SUPPLIED = ("/static_content", "/livez", "/readyz", "/healthz", "/schema.json", "/docs.json")
_UNCOUNTED = frozenset({"/metrics", "/livez", "/readyz", "/healthz"})

logger = logging.getLogger(__name__)


class BodyTooLargeError(SalienceError):
    """A body has more bytes than are read."""

    http_status = 413
    title = "Content too large"


class BodyTooSlowError(SalienceError):
    """A body did not come in time."""

    http_status = 408
    title = "Request timeout"


class Boundary:
    """Wraps a whole BentoML application.

    Args:
        app: The application.
        paths: Path templates of the product's routes, such as `/api/v1/leads/{lead_id}/score`.
        state: The inner application's state: `engine`, once it is loaded, answers in the fast lane.
        guard: Who may ask; by default whoever is on this machine.
        metrics: What is counted.
        files: The application for paths that take or give files, which BentoML's timeout would cut off.
    """

    def __init__(
        self,
        app: Application,
        *,
        paths: Sequence[str],
        state: Any = None,
        guard: Guard | None = None,
        metrics: ServiceMetrics | None = None,
        files: Application | None = None,
    ) -> None:
        self.app = app
        self.guard = guard or Guard(Settings())
        self.metrics = metrics or ServiceMetrics()
        self._files = files
        self._state = state
        self._lane: FastLane | None = None
        self._ids = RequestIds()
        self._patterns = [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "/?"), path) for path in paths]

    def label(self, path: str) -> str:
        """Path template that `path` belongs to; `OTHER_PATH` for any that no route has."""
        if path == "/metrics" or path.startswith(_SUPPLIED):
            return path if path.count("/") == 1 else "/" + path.split("/")[1]
        for pattern, template in self._patterns:
            if pattern.fullmatch(path):
                return template
        return OTHER_PATH

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other traffic (start and stop of the server) passes unchanged."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._ids)
        asked = self._fast_lane(scope) if not exchange.has_body else None
        label = TEMPLATES[asked[0]] if asked is not None else self.label(scope["path"])
        try:
            await self._answer(scope, receive, exchange, label, asked)
        except SalienceError as error:
            if isinstance(error, TooManyRequestsError | OverloadError):
                self.metrics.refuse(error.title)
            await exchange.fail_with(error)
        except Exception as error:  # noqa: BLE001 - the edge of the program: whatever escaped is logged once and answered
            exchange.log(error, route=label)
            if not exchange.answered:
                await exchange.fail(500, "This request met a defect of the service.")
        finally:
            if label not in _UNCOUNTED:
                self.metrics.count(label, exchange.status, time.perf_counter() - exchange.started)

    async def _answer(
        self, scope: Scope, receive: Receive, exchange: _Exchange, label: str, asked: tuple[str, str] | None
    ) -> None:
        guard = self.guard
        if label not in _UNCOUNTED:
            guard.require_room()
        right = right_of(scope["method"], label)
        caller = guard.admit(label, exchange.headers, client=exchange.client, right=right)
        if asked is not None and caller is not None and self._lane is not None:
            body = await self._lane.answer(asked, exchange, caller, guard.territories)
            await exchange.answer(body)
            return
        is_file = self._files is not None and label in FILE_PATHS
        receive = _by_pieces(receive, exchange) if is_file else await _whole(receive, exchange, guard)
        # BentoML's metrics read `path`, its router comes later: `RealPath` puts the real one back in between.
        inner = {**scope, "path": label, _REAL_PATH: scope["path"]}
        inner["state"] = {
            **scope.get("state", {}),
            "request_id": exchange.request_id,
            "started": exchange.started,
            "caller": caller,
            "territories": guard.territories,
        }
        guard.waiting += 1
        try:
            if self._files is not None and is_file:
                await self._files({**inner, "path": scope["path"]}, receive, exchange.send)
            else:
                await self.app(inner, receive, exchange.send)
        finally:
            guard.waiting -= 1

    def _fast_lane(self, scope: Scope) -> tuple[str, str] | None:
        if self._lane is None:
            engine = getattr(self._state, "engine", None)
            if engine is None:
                return None
            self._lane = FastLane(engine)
        return self._lane.asked(scope)


async def _whole(receive: Receive, exchange: _Exchange, guard: Guard) -> Receive:
    """A `receive` that gives the whole body at once: who sends slowly keeps nobody else waiting.

    Raises:
        BodyTooLargeError: if it has more bytes than are read.
        BodyTooSlowError: if it does not come in time.
        OverloadError: if too many bytes of bodies are held already.
    """
    if not exchange.has_body:
        return receive
    if exchange.body_bytes > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"The body has {exchange.body_bytes} bytes; at most {MAX_BODY_BYTES} are read")
    pieces: list[bytes] = []
    got, until, is_more = 0, time.monotonic() + BODY_SECONDS, True
    try:
        while is_more:
            message = await _in_time(receive, max(0.001, until - time.monotonic()))
            if message["type"] == "http.disconnect":
                raise BodyTooSlowError("The client went before its body was whole")
            piece = message.get("body", b"")
            is_more = message.get("more_body", False)
            pieces.append(piece)
            got += len(piece)
            guard.hold(len(piece))
            if got > MAX_BODY_BYTES:
                raise BodyTooLargeError(f"The body has more than {MAX_BODY_BYTES} bytes")
    finally:
        guard.hold(-got)
    body: Message | None = {"type": "http.request", "body": b"".join(pieces), "more_body": False}

    async def given() -> Message:
        nonlocal body
        told, body = body, None
        # After the body the application waits for the client to go, however long that takes.
        return await receive() if told is None else told

    return given


def _by_pieces(receive: Receive, exchange: _Exchange) -> Receive:
    """A `receive` for a file, of any size: no two pieces may lie too far apart."""

    async def given() -> Message:
        return await _in_time(receive, BODY_SECONDS) if exchange.has_body and not exchange.answered else await receive()

    return given


async def _in_time(receive: Receive, seconds: float) -> Message:
    try:
        return await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        raise BodyTooSlowError(f"The body did not come whole within {BODY_SECONDS:.0f} seconds") from None


class RealPath:
    """BentoML middleware that gives the router the path that the client sent."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its real path."""
        if _REAL_PATH in scope:
            scope = {**scope, "path": scope[_REAL_PATH]}
        await self.app(scope, receive, send)


class RequestIds:
    """Ids that no other request has, in this process or another: what was drawn once, and a number."""

    def __init__(self) -> None:
        self._drawn = secrets.token_hex(10)
        self._numbers = itertools.count()

    def __next__(self) -> str:
        """The next id, 32 hexadecimal digits."""
        return f"{self._drawn}{next(self._numbers):012x}"


class _Exchange:
    """One request and the state of its answer."""

    def __init__(self, scope: Scope, send: Send, ids: RequestIds) -> None:
        self.started = time.perf_counter()
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _GIVEN_ID.fullmatch(given) else next(ids)
        length = self.headers.get(b"content-length", b"0")
        self.body_bytes = int(length) if length.isdigit() else 0
        self.has_body = self.body_bytes > 0 or b"transfer-encoding" in self.headers
        self.answered = False
        self.status = 500
        self._scope = scope
        self._send = send
        self._replaced: tuple[int, dict[str, str]] | None = None

    @property
    def client(self) -> str:
        """Address that the request came from."""
        client = self._scope.get("client")
        return client[0] if client else "unknown"

    async def answer(self, body: bytes) -> None:
        """Answer 200 with JSON."""
        self.answered, self.status = True, 200
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", self.request_id.encode()),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def send(self, message: Message) -> None:
        """Pass a message on; an error that is not yet a problem becomes one."""
        if message["type"] == "http.response.start":
            headers = {key.decode().lower(): value.decode("latin-1") for key, value in message["headers"]}
            self.status = message["status"]
            is_problem = headers.get("content-type", "").startswith(MEDIA_TYPE)
            if message["status"] >= 400 and not is_problem:
                kept = {key: value for key, value in headers.items() if key == "allow"}
                self._replaced = (message["status"], kept)
                return
            message = {**message, "headers": [*message["headers"], (b"x-request-id", self.request_id.encode())]}
        elif self._replaced is not None:
            if not message.get("more_body", False):
                status, headers = self._replaced
                self._replaced = None
                await self.fail(status, self._words(status, headers), headers=headers)
            return
        self.answered = True
        await self._send(message)

    async def fail(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        """Answer with a problem."""
        await self._fail(problem(status, request_id=self.request_id, detail=detail), headers or {})

    async def fail_with(self, error: SalienceError) -> None:
        """Answer with the problem that an error is; nothing where an answer is on its way already."""
        if not self.answered:
            await self._fail(problem_of(error, request_id=self.request_id), {})

    async def _fail(self, found: Problem, headers: dict[str, str]) -> None:
        self.answered, self.status = True, found.status
        body = found.model_dump_json().encode()
        named = {
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": self.request_id,
            **headers_of(found.status),
            **headers,
        }
        encoded = [(key.lower().encode(), value.encode("latin-1")) for key, value in named.items()]
        await self._send({"type": "http.response.start", "status": found.status, "headers": encoded})
        await self._send({"type": "http.response.body", "body": body})

    def log(self, error: Exception, *, route: str) -> None:
        """Say where it broke, without the message, which may hold a person's data."""
        frames = "".join(traceback.format_tb(error.__traceback__)[-6:])
        name = type(error).__name__
        logger.error("%s in %s %s (request %s):\n%s", name, self._scope["method"], route, self.request_id, frames)

    def _words(self, status: int, headers: dict[str, str]) -> str:
        method, path = self._scope["method"], self._scope["path"]
        if status == 404:
            return f"There is no {path} here."
        if status == 405:
            return f"{path} does not take {method}; it takes {headers.get('allow', 'another method')}."
        if status == 504:
            return f"{method} {path} took too long and was given up."
        if status >= 500:
            return "This request met a defect of the service." if status == 500 else "The service cannot answer now."
        return f"{method} {path} cannot be answered."
