"""Who is refused, and logged: no key, wrong key, expired, other territory, too low a role, too often."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from serving_stand_ins import Client, Stand, stand

from common.errors import InputError, NotFoundError, UnavailableError
from common.settings import AccessSettings, ServingSettings, Settings
from serving.access import RIGHTS, Caller, Role, Territories
from serving.boundary import Boundary, RealPath
from serving.guard import Buckets, Guard
from serving.keys import KeyFile
from serving.rights import right_of
from serving.routes import paths_of
from serving.run import require_known_callers
from serving.tokens import TokenReader

ISSUER = "https://login.example.org"


@pytest.fixture
def served(tmp_path: Path) -> Stand:
    return stand(tmp_path)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def guarded(served: Stand, keys: KeyFile, **settings: Any) -> tuple[Client, Guard]:
    """A client of the stand behind a guard that wants keys. Ada and Cleo work in the north, Ben in the south."""
    access = AccessSettings(mode="required", keys_file=keys.path, **settings.pop("access", {}))
    guard = Guard(Settings(access=access, **settings), Territories({"ada": "north", "cleo": "north", "ben": "south"}))
    app = served.app
    return Client(Boundary(RealPath(app), paths=paths_of(app), state=app.state, guard=guard)), guard


def sent(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["next_step"]
    return found


def test_no_key_wrong_key_and_no_key_at_all_are_refused_and_logged(
    served: Stand, keys: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    good = keys.add("app", role="application")
    client, _ = guarded(served, keys)
    bad = {
        "no key": {},
        "unknown key": sent("sal_000000000000_wrong"),
        "wrong secret": sent(good[:-1] + ("A" if good[-1] != "A" else "B")),
        "other scheme": {"Authorization": "Basic YTpi"},
        "no scheme": {"Authorization": good},
        "empty": sent(""),
        "no issuer": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
    }
    with caplog.at_level(logging.WARNING):
        for name, headers in bad.items():
            answer = client.post("/api/v1/leads/a/score", headers=headers)
            refused(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer"), name
    assert len([record for record in caplog.records if "refused" in record.message]) == len(bad)
    assert good not in caplog.text
    assert client.post("/api/v1/leads/a/score", headers=sent(good)).status_code == 200
    assert client.post("/api/v1/leads/a/score", headers={"Authorization": f"Bearer {good}"}).status_code == 200


def test_expired_and_revoked_keys_are_refused(served: Stand, keys: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    expired, revoked = keys.add("old", role="application", days=0), keys.add("gone", role="application")
    keys.revoke(revoked.split("_")[1])
    client, _ = guarded(served, keys)
    for key in (expired, revoked):
        refused(client.post("/api/v1/leads/a/score", headers=sent(key)), 401)
    assert "has expired" in caplog.text
    assert "is revoked" in caplog.text


def test_a_key_is_kept_as_a_hash_in_a_file_of_its_owner(keys: KeyFile) -> None:
    secret = keys.add("app", role="application").split("_", 2)[2]
    assert secret not in keys.path.read_text()
    assert keys.path.stat().st_mode & 0o077 == 0


def test_a_revoked_key_ends_in_a_running_service(served: Stand, keys: KeyFile) -> None:
    key = keys.add("app", role="application")
    client, _ = guarded(served, keys)
    assert client.post("/api/v1/leads/a/score", headers=sent(key)).status_code == 200
    KeyFile(keys.path).revoke(key.split("_")[1])
    refused(client.post("/api/v1/leads/a/score", headers=sent(key)), 401)


def test_a_broken_file_of_keys_lets_nobody_in(served: Stand, keys: KeyFile) -> None:
    key = keys.add("app", role="admin")
    client, _ = guarded(served, keys)
    keys.path.write_text("[{}]")
    assert client.post("/api/v1/leads/a/score", headers=sent(key)).status_code == 503
    with pytest.raises(UnavailableError, match="not a file of keys"):
        KeyFile(keys.path).all()


def test_unusable_keys_are_not_made(keys: KeyFile) -> None:
    role: Any = "king"
    with pytest.raises(InputError, match="no role 'king'"):
        keys.add("x", role=role)
    with pytest.raises(InputError, match="--territory or --rep"):
        keys.add("x", role="rep")
    with pytest.raises(NotFoundError, match="no key 'abc'"):
        keys.revoke("abc")


@pytest.mark.parametrize(
    ("who", "sees"),
    [({"territories": ["north"]}, "ab"), ({"territories": ["south"]}, "c"), ({"reps": ["ben"]}, "c")],
)
def test_a_rep_sees_the_own_territory_alone(served: Stand, keys: KeyFile, who: dict[str, Any], sees: str) -> None:
    key = sent(keys.add("rep", role="rep", **who))
    client, _ = guarded(served, keys)
    for identifier in "abc":
        for method, path in (("POST", "score"), ("GET", "explain")):
            answer = client.request(method, f"/api/v1/leads/{identifier}/{path}", headers=key)
            assert answer.status_code == (200 if identifier in sees else 403), answer.text
        answer = client.request("PUT", f"/api/v1/leads/{identifier}/qualify", headers=key)
        assert answer.status_code == (200 if identifier in sees else 403)
    batch = client.post("/api/v1/deals/probabilities/batch", json={"ids": list("abc")}, headers=key).json()
    assert "".join(row["opportunity_id"] for row in batch["probabilities"]) == sees
    assert sorted(batch["not_found"]) == sorted(set("abc") - set(sees))


def test_a_score_made_for_one_territory_is_not_given_to_another(served: Stand, keys: KeyFile) -> None:
    north, south = (sent(keys.add(name, role="rep", territories=[name])) for name in ("north", "south"))
    client, _ = guarded(served, keys)
    assert client.post("/api/v1/leads/a/score", headers=north).status_code == 200
    refused(client.post("/api/v1/leads/a/score", headers=south), 403)
    assert client.post("/api/v1/leads/a/score", headers=north).json()["is_cached"] is True


def test_a_rep_describes_own_leads_alone(served: Stand, keys: KeyFile) -> None:
    key = sent(keys.add("ada", role="rep", reps=["ada"]))
    client, _ = guarded(served, keys)

    def status(identifier: str, rep: str | None) -> int:
        lead = {"lead_created_at": "2025-01-01T00:00:00Z", "rep_id": rep}
        return client.post(f"/api/v1/leads/{identifier}/score", json={"lead": lead}, headers=key).status_code

    assert status("new", "ada") == 200
    assert status("a", "ada") == 200
    assert status("new", "ben") == 403
    assert status("new", None) == 403
    assert status("c", "ada") == 403


def test_a_rep_is_told_the_forecast_of_own_reps_alone(served: Stand, keys: KeyFile) -> None:
    client, _ = guarded(served, keys)
    key = sent(keys.add("ada", role="rep", reps=["ada"]))
    question = {"level": "company", "period": "2025Q2"}
    refused(client.post("/api/v1/forecasts/revenue/generate", json=question, headers=key), 403)
    refused(client.get("/api/v1/forecasts/20250331T000000Z-0123456789", headers=key), 403)


@pytest.mark.parametrize(
    ("role", "method", "path", "body"),
    [
        ("application", "PUT", "/api/v1/leads/a/qualify", None),
        ("application", "GET", "/metrics", None),
        ("application", "GET", "/health", None),
        ("operator", "POST", "/api/v1/leads/a/score", None),
        ("rep", "POST", "/api/v1/events", []),
        ("rep", "PUT", "/api/v1/forecasts/x/adjust", {"value": 1.0, "justification": "because I say so"}),
        ("manager", "POST", "/api/v1/jobs?task=lead", None),
    ],
)
def test_too_low_a_role_is_refused(served: Stand, keys: KeyFile, role: Role, method: str, path: str, body: Any) -> None:
    client, _ = guarded(served, keys)
    scope = {"territories": ["north"]} if role in ("rep", "manager") else {}
    key = sent(keys.add("x", role=role, **scope))
    found = refused(client.request(method, path, headers=key, **({} if body is None else {"json": body})), 403)
    assert role in found["detail"]


def test_every_path_needs_a_right_and_one_that_is_not_listed_is_the_operators(served: Stand) -> None:
    for path, methods in served.app.openapi()["paths"].items():
        for method in methods:
            if path != "/ready":
                assert right_of(method.upper(), path) in RIGHTS["admin"]
    assert right_of("POST", "/api/v1/something/new") == "observe"
    for path in served.app.openapi()["paths"]:
        if path not in ("/health", "/ready"):
            listed = {right_of(method.upper(), path) for method in served.app.openapi()["paths"][path]}
            assert listed != {"observe"}, f"{path} is not in serving/rights.py"


def test_probes_and_documentation_need_no_key(served: Stand, keys: KeyFile) -> None:
    client, _ = guarded(served, keys)
    for path in ("/ready", "/", "/openapi.json"):
        assert client.get(path).status_code == 200, path
    assert client.get("/nowhere").status_code == 404


def test_a_client_that_asks_too_often_is_told_to_wait(served: Stand, keys: KeyFile) -> None:
    one, other = keys.add("one", role="application"), keys.add("other", role="application")
    client, _ = guarded(served, keys, serving=ServingSettings(rate_per_minute=5))
    statuses = [client.post("/api/v1/leads/a/score", headers=sent(one)).status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    response = client.post("/api/v1/leads/a/score", headers=sent(one))
    assert response.headers["retry-after"]
    assert client.post("/api/v1/leads/a/score", headers=sent(other)).status_code == 200


def test_guessing_keys_is_slowed_down(served: Stand, keys: KeyFile) -> None:
    client, _ = guarded(served, keys)
    statuses = [client.post("/api/v1/leads/a/score", headers=sent("sal_x_y")).status_code for _ in range(65)]
    assert statuses.count(401) == 60
    assert statuses[-1] == 429


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("serving.guard.time.monotonic", lambda: now[0])
    bucket = Buckets(60)
    assert [bucket.take("a") for _ in range(61)] == [True] * 60 + [False]
    now[0] = 2.0
    assert [bucket.take("a") for _ in range(3)] == [True, True, False]
    assert all(Buckets(0).take("a") for _ in range(100))


@pytest.mark.parametrize(
    ("host", "is_free"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.7", False), ("crm", False)],  # noqa: S104
)
def test_local_access_is_for_this_machine_alone(host: str, is_free: bool) -> None:
    settings = Settings(serving=ServingSettings(host=host))
    if is_free:
        require_known_callers(settings)
    else:
        with pytest.raises(InputError, match="ACCESS__MODE=required"):
            require_known_callers(settings)
    require_known_callers(settings.model_copy(update={"access": AccessSettings(mode="required")}))


# Tokens


@pytest.fixture(scope="module")
def signing() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


Make = Callable[..., str]


@pytest.fixture
def token(signing: rsa.RSAPrivateKey) -> Make:
    def make(
        *, headers: dict[str, Any] | None = None, key: Any = signing, algorithm: str = "RS256", **claims: Any
    ) -> str:
        now = datetime.now(UTC)
        whole = {
            "iss": ISSUER,
            "aud": "salience",
            "sub": "u-1",
            "iat": now,
            "exp": now + timedelta(minutes=5),
            "salience_role": "rep",
            "salience_territories": ["north"],
            **claims,
        }
        given = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(given, key, algorithm=algorithm, headers={"kid": "k1", **(headers or {})})

    return make


@pytest.fixture
def reader(signing: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> TokenReader:
    described = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(signing.public_key()))
    pages = {
        f"{ISSUER}/.well-known/openid-configuration": {"jwks_uri": f"{ISSUER}/keys"},
        f"{ISSUER}/keys": {"keys": [{**described, "kid": "k1", "use": "sig", "alg": "RS256"}]},
    }
    monkeypatch.setattr(
        "httpx.get", lambda url, timeout: httpx.Response(200, json=pages[url], request=httpx.Request("GET", url))
    )
    reader = TokenReader(AccessSettings(mode="required", issuer=ISSUER))
    reader.refresh()
    return reader


def test_a_good_token_names_its_caller(reader: TokenReader, token: Make) -> None:
    caller, _ = reader.caller(token())
    assert caller == Caller(name="u-1", role="rep", territories=frozenset({"north"}))
    again, _ = reader.caller(token(salience_territories="north", salience_reps=["ada", 7]))
    assert again == Caller(name="u-1", role="rep", territories=frozenset({"north"}), reps=frozenset({"ada"}))


def test_unusable_tokens_are_refused(reader: TokenReader, token: Make, signing: rsa.RSAPrivateKey) -> None:
    from cryptography.hazmat.primitives import serialization

    past = datetime.now(UTC) - timedelta(minutes=10)
    public = signing.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    import base64

    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"k1"}').rstrip(b"=").decode()
    good = token()
    import hashlib
    import hmac

    body = good.split(".")[1]
    forged = hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()
    bad = {
        "expired": token(iat=past, exp=past + timedelta(minutes=1)),
        "other audience": token(aud="else"),
        "other issuer": token(iss="https://evil.example.org"),
        "no end": token(exp=None),
        "no subject": token(sub=None),
        "no role": token(salience_role=None),
        "made-up role": token(salience_role="king"),
        "not yet": token(nbf=datetime.now(UTC) + timedelta(minutes=5)),
        "other key": token(key=other),
        "unknown key": token(headers={"kid": "k2"}),
        "no algorithm": jwt.encode({"sub": "x"}, "", algorithm="none", headers={"kid": "k1"}),
        "public key as secret": f"{head}.{body}.{base64.urlsafe_b64encode(forged).rstrip(b'=').decode()}",
        "cut": good[:-4],
        "nonsense": "a.b.c",
    }
    for name, each in bad.items():
        assert reader.caller(each)[0] is None, name
        assert reader.caller(each)[1], name


def test_a_token_that_was_good_ends_when_it_says(
    reader: TokenReader, token: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = token()
    assert reader.caller(given)[0] is not None
    later = datetime.now(UTC) + timedelta(minutes=10)
    monkeypatch.setattr("serving.tokens.time.time", later.timestamp)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return later

    monkeypatch.setattr("jwt.api_jwt.datetime", Later)
    assert reader.caller(given)[0] is None


def test_the_issuer_away_leaves_the_keys_known(
    reader: TokenReader, token: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(url: str, timeout: float) -> httpx.Response:
        raise httpx.ConnectError("away")

    monkeypatch.setattr("httpx.get", away)
    monkeypatch.setattr("serving.tokens._REFRESH_SECONDS", 0.0)
    reader.refresh()
    assert reader.caller(token())[0] is not None


def test_a_token_opens_what_its_role_may(served: Stand, keys: KeyFile, reader: TokenReader, token: Make) -> None:
    client, guard = guarded(served, keys, access={"issuer": ISSUER})
    guard.tokens = reader
    headers = {"Authorization": f"Bearer {token()}"}
    assert client.post("/api/v1/leads/a/score", headers=headers).status_code == 200
    refused(client.post("/api/v1/leads/c/score", headers=headers), 403)
    refused(client.post("/api/v1/events", json=[], headers=headers), 403)


@given(st.text(max_size=300), st.sampled_from(["X-API-Key", "Authorization"]))
def test_no_text_is_a_key(text: str, header: str) -> None:
    file = KeyFile(Path("/nonexistent/keys.json"))
    assert file.caller(text, at=datetime.now(UTC))[0] is None
    reader = TokenReader(AccessSettings(mode="required", issuer=ISSUER))
    assert reader.caller(text)[0] is None
