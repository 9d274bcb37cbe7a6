"""API keys: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.errors import InputError, NotFoundError, UnavailableError
from common.whole_files import write_whole
from serving.access import RIGHTS, SCOPED, Caller, Role

PREFIX = "sal"
_ID_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A key as it is kept: without its secret.

    Args:
        id: Public part of the key, by which it is found.
        name: Whose key.
        role: What it may do.
        territories: Territories it sees, for roles that see a part.
        reps: Reps it sees, likewise.
        digest: SHA-256 of the secret. The secret is 256 random bits, so that nothing slower is needed.
        created_at: When it was made, ISO 8601 UTC.
        expires_at: When it ends, ISO 8601 UTC.
        revoked_at: When it was taken back; None while it holds.
    """

    id: str
    name: str
    role: Role
    territories: tuple[str, ...] = ()
    reps: tuple[str, ...] = ()
    digest: str
    created_at: str
    expires_at: str
    revoked_at: str | None = None


class KeyFile:
    """Keys in a JSON file, read again when it changes.

    Args:
        path: The file; readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, StoredKey] = {}
        self._seen: tuple[int, int] | None = None

    def add(
        self, name: str, *, role: Role, territories: Sequence[str] = (), reps: Sequence[str] = (), days: int = 90
    ) -> str:
        """Make a key and give it out, for the only time.

        Args:
            name: Whose key; it is written to logs and audits.
            role: What it may do.
            territories: Territories it sees.
            reps: Reps it sees.
            days: Days until it ends.

        Raises:
            InputError: if the role is unknown, or a role that sees a part is given none.
        """
        if role not in RIGHTS:
            raise InputError(f"There is no role '{role}'", expected=", ".join(RIGHTS), field="role")
        if role in SCOPED and not (territories or reps):
            raise InputError(
                f"A {role} sees a part of all leads and deals", expected="--territory or --rep", field="territories"
            )
        identifier, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        now = datetime.now(UTC)
        key = StoredKey(
            id=identifier,
            name=name,
            role=role,
            territories=tuple(territories),
            reps=tuple(reps),
            digest=_digest(secret),
            created_at=now.isoformat(),
            expires_at=(now + timedelta(days=days)).isoformat(),
        )
        self._write({**self.all(), identifier: key})
        return f"{PREFIX}_{identifier}_{secret}"

    def revoke(self, identifier: str) -> None:
        """Take a key back.

        Raises:
            NotFoundError: if there is none of that id.
        """
        keys = self.all()
        if identifier not in keys:
            raise NotFoundError(f"There is no key '{identifier}'", next_step="see: salience keys list")
        self._write({**keys, identifier: replace(keys[identifier], revoked_at=datetime.now(UTC).isoformat())})

    def all(self) -> dict[str, StoredKey]:
        """The keys by their ids.

        Raises:
            UnavailableError: if the file is not one of keys. Then nobody is let in.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        if self._seen != (found.st_mtime_ns, found.st_ino):
            try:
                entries = json.loads(self.path.read_text(encoding="utf-8"))
                self._keys = {
                    entry["id"]: StoredKey(
                        **{**entry, "territories": tuple(entry["territories"]), "reps": tuple(entry["reps"])}
                    )
                    for entry in entries
                }
            except (ValueError, KeyError, TypeError) as error:
                raise UnavailableError(
                    f"{self.path} is not a file of keys", got=type(error).__name__, next_step="restore it from a backup"
                ) from error
            self._seen = (found.st_mtime_ns, found.st_ino)
        return self._keys

    def caller(self, given: str, *, at: datetime) -> tuple[Caller | None, str]:
        """Whose key this is, or None and the reason for the log.

        Args:
            given: The whole key as it was sent.
            at: Now, UTC.
        """
        prefix, _, rest = given.partition("_")
        identifier, _, secret = rest.partition("_")
        key = self.all().get(identifier) if prefix == PREFIX else None
        # An unknown id takes as long as a wrong secret.
        is_right = hmac.compare_digest(_digest(secret), key.digest if key is not None else _digest("nobody's"))
        if key is None or not is_right:
            return None, "unknown key"
        if key.revoked_at is not None:
            return None, f"key {identifier} is revoked"
        if at >= datetime.fromisoformat(key.expires_at):
            return None, f"key {identifier} has expired"
        territories, reps = frozenset(key.territories), frozenset(key.reps)
        return Caller(name=key.name, role=key.role, territories=territories, reps=reps), ""

    def _write(self, keys: dict[str, StoredKey]) -> None:
        write_whole(self.path, json.dumps([asdict(key) for key in keys.values()], indent=1) + "\n")
        self.path.chmod(0o600)
        self._seen = None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
