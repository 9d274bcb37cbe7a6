"""One shape for every error a service answers: RFC 9457 problem details, with the field at fault and the next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from common.errors import SalienceError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
_DOCS_STEP = "open / on this server: it lists every path with its methods and fields"
_NEXT_STEPS = {
    401: "send the header X-API-Key, or Authorization: Bearer …",
    403: "ask whoever runs this service for the right",
    404: _DOCS_STEP,
    408: "send the body at once",
    409: "read the state again and decide anew",
    405: _DOCS_STEP,
    400: "send a body that is valid JSON, with the header Content-Type: application/json",
    413: "send fewer events or ids in one request",
    422: "correct the fields named in `errors` and send the request again",
    429: f"wait {RETRY_AFTER_SECONDS} seconds and try again",
    500: "tell whoever runs this service the request_id; its log has the place",
    503: f"wait {RETRY_AFTER_SECONDS} seconds and try again; GET /health says what is wrong",
    504: "ask for fewer ids at once, or raise SALIENCE_SERVING__TIMEOUT_S",
}


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(description="Path of the field, such as `lead.employee_count` or `events.0.kind`.")
    detail: str = Field(description="What was expected there.")


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="URI that names the kind of problem.")
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What is wrong with this request.")
    field: str | None = Field(None, description="The field at fault, the first of `errors`.")
    errors: list[FieldProblem] = Field(default_factory=list, description="Every field at fault.")
    next_step: str | None = Field(None, description="What to do about it.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


def problem(
    status: int,
    *,
    request_id: str,
    detail: str,
    title: str | None = None,
    errors: Sequence[FieldProblem] = (),
    next_step: str | None = None,
) -> Problem:
    """A problem of HTTP status `status`; title and next step have a default for each status."""
    words = title or HTTPStatus(status).phrase
    return Problem(
        type=f"urn:salience:problem:{words.lower().replace(' ', '-')}",
        title=words,
        status=status,
        detail=detail,
        field=errors[0].field if errors else None,
        errors=list(errors),
        next_step=next_step or _NEXT_STEPS.get(status),
        request_id=request_id,
    )


def problem_of(error: SalienceError, *, request_id: str) -> Problem:
    """The problem that says what `error` says."""
    parts = [error.what.rstrip(".")]
    if error.expected is not None:
        parts.append(f"Expected: {error.expected.rstrip('.')}")
    if error.got is not None:
        parts.append(f"Got: {error.got.rstrip('.')}")
    detail = ". ".join(parts) + "."
    # One way of writing a place in a list, FastAPI's: `events.0.kind`.
    named = re.sub(r"\[(\d+)\]", r".\1", error.field) if error.field else None
    errors = [FieldProblem(field=named, detail=error.what)] if named else []
    return problem(
        error.http_status,
        request_id=request_id,
        detail=detail,
        title=error.title,
        errors=errors,
        next_step=error.next_step,
    )


def headers_of(status: int) -> dict[str, str]:
    """Headers that belong to an error of `status`."""
    if status in (429, 503):
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="salience"'}
    # What is left of a body that nobody reads must not be taken for the next request.
    return {"Connection": "close"} if status in (408, 413) else {}


def response_of(found: Problem, *, headers: dict[str, str] | None = None) -> Response:
    """`found` as a response."""
    from starlette.responses import Response

    return Response(
        found.model_dump_json(),
        status_code=found.status,
        media_type=MEDIA_TYPE,
        headers={**headers_of(found.status), **(headers or {})},
    )


def field_path(location: Sequence[Any]) -> str:
    """Name of a field as its sender knows it: without FastAPI's `body`, `path` or `query` in front.

    Example:
        >>> field_path(("body", "events", 0, "kind"))
        'events.0.kind'
    """
    parts = [str(part) for part in location]
    named = parts[1:] if parts[:1] and parts[0] in ("body", "path", "query", "header") else parts
    return ".".join(named) or "body"


def add_handlers(app: FastAPI) -> None:
    """Make `app` answer every error it knows as a problem."""
    from fastapi.exceptions import RequestValidationError

    app.add_exception_handler(SalienceError, _on_product_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)


async def _on_product_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, SalienceError):
        raise error
    return response_of(problem_of(error, request_id=request.state.request_id))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    from fastapi.exceptions import RequestValidationError

    if not isinstance(error, RequestValidationError):
        raise error
    request_id = request.state.request_id
    found = error.errors()
    broken = next((item for item in found if item["type"] == "json_invalid"), None)
    if broken is not None:
        reason = broken.get("ctx", {}).get("error", "not JSON")
        detail = f"The body is not valid JSON: {reason} at character {broken['loc'][-1]}."
        return response_of(problem(400, request_id=request_id, detail=detail, title="Malformed JSON"))
    errors = [FieldProblem(field=field_path(item["loc"]), detail=_sentence(item)) for item in found]
    named = "; ".join(f"'{item.field}': {item.detail}" for item in errors[:5])
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    return response_of(
        problem(422, request_id=request_id, detail=f"{named}{more}.", title="Invalid input", errors=errors)
    )


def _sentence(item: dict[str, Any]) -> str:
    """Pydantic's message without the sender's value, which may be personal."""
    if item["type"] == "extra_forbidden":
        return "no such field"
    if item["type"] == "missing":
        return "is required"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
