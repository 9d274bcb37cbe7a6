"""JSON Web Tokens of an OpenID Connect issuer: signature, issuer, audience, times, and the claims that say who asks."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from serving.access import RIGHTS, Caller

if TYPE_CHECKING:
    from common.settings import AccessSettings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
"""Asymmetric ones alone: a token can be checked here but not made here, and `none` is no algorithm."""
_LEEWAY_SECONDS = 30
_REFRESH_SECONDS = 300.0
_LEAST_SECONDS = 10.0
"""Keys are asked for no more often than this, however many tokens name an unknown one."""
_KNOWN_TOKENS = 2_000
_TIMEOUT_SECONDS = 5.0

logger = logging.getLogger(__name__)


class TokenReader:
    """Reads tokens.

    The issuer's keys are fetched by `refresh`, which a thread calls, so that no request waits for the issuer; while it
    is away the keys known last go on being used.

    Args:
        access: Issuer, audience and the names of the claims.
    """

    def __init__(self, access: AccessSettings) -> None:
        self._access = access
        self._keys: dict[str, Any] = {}
        self._fetched_at: float | None = None
        self._is_wanted = False
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Fetch the issuer's keys when they are old, or when a token named one that is not known."""
        if self._access.issuer is None:
            return
        since = None if self._fetched_at is None else time.monotonic() - self._fetched_at
        if since is not None and since < (_LEAST_SECONDS if self._is_wanted else _REFRESH_SECONDS):
            return
        import httpx
        import jwt

        try:
            address = self._access.jwks_url or self._discovered(httpx)
            found = jwt.PyJWKSet.from_dict(httpx.get(address, timeout=_TIMEOUT_SECONDS).raise_for_status().json())
        except (httpx.HTTPError, ValueError, KeyError, jwt.PyJWTError) as error:
            logger.warning("The issuer's keys cannot be read (%s); those known last go on", type(error).__name__)
        else:
            self._keys = {key.key_id or "": key for key in found.keys}
            with self._lock:
                # A key that was taken back ends the tokens signed with it, too.
                self._known.clear()
            self._is_wanted = False
        self._fetched_at = time.monotonic()

    def caller(self, token: str) -> tuple[Caller | None, str]:
        """Who the token names, or None and the reason for the log."""
        known = self._known.get(token)
        if known is not None and time.time() < known[0]:
            return known[1], ""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(str(header.get("kid", "")))
            if key is None:
                self._is_wanted = True
                return None, "token signed with an unknown key"
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._access.audience,
                issuer=self._access.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            return None, f"token refused: {type(error).__name__}"
        caller = self._named(claims)
        if caller is None:
            return None, "token without a role of this service"
        with self._lock:
            self._known[token] = (float(claims["exp"]), caller)
            while len(self._known) > _KNOWN_TOKENS:
                self._known.popitem(last=False)
        return caller, ""

    def _named(self, claims: Mapping[str, Any]) -> Caller | None:
        access = self._access
        role = next((role for role in RIGHTS if role == claims.get(access.role_claim)), None)
        if role is None:
            return None
        territories = _texts(claims.get(access.territories_claim))
        return Caller(
            name=str(claims["sub"]), role=role, territories=territories, reps=_texts(claims.get(access.reps_claim))
        )

    def _discovered(self, httpx: Any) -> str:
        issuer = str(self._access.issuer).rstrip("/")
        answer = httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=_TIMEOUT_SECONDS).raise_for_status()
        return str(answer.json()["jwks_uri"])


def _texts(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()
