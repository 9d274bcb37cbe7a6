"""Who was forgotten, told by salted digests alone, and how a row is written without saying whose it is.

Erasing and loading share this one function: a source that still delivers a forgotten person gives rows that are
anonymised on their way in, so they equal those that are there already, and the person does not come back.

An id becomes `erased-…`, the same for the same id within a warehouse, so that counts, rates and sums stay what they
were. Personal columns and the source's own text fields become null in every row about the person; so does any text
that holds the person's e-mail address, wherever it stands.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.locks import exclusive
from common.whole_files import write_whole
from warehouse.contracts import Column, Contract
from warehouse.views import all_columns, literal, open_connection, quoted

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "_erased.json"
_LOCK_SECONDS = 60.0
_ADDRESS = r"[^\s@<>(),;:\x22\x27]+@[^\s@<>(),;:\x22\x27]+"
"""What looks like an e-mail address in a text."""


@dataclass(frozen=True)
class Erasures:
    """The people whom a warehouse has forgotten.

    Args:
        salt: Random text of this warehouse; without it a digest cannot be compared with a guess.
        digests: Digests of the e-mail addresses and ids of the forgotten.
    """

    salt: str
    digests: frozenset[str]

    @classmethod
    def of(cls, root: Path) -> Erasures:
        """The people forgotten by the warehouse in `root`; nobody when it has no list."""
        path = root / FILE
        if not path.exists():
            return cls(salt="", digests=frozenset())
        held = json.loads(path.read_text(encoding="utf-8"))
        return cls(salt=held["salt"], digests=frozenset(held["digests"]))

    @classmethod
    def add(cls, root: Path, identities: Iterable[tuple[str, str]]) -> Erasures:
        """Note people for ever, each as (`email`, `lead` or `contact`; address or id); returns the whole list."""
        with exclusive(root / "_locks" / "erased.lock", what=FILE, wait_seconds=_LOCK_SECONDS):
            held = cls.of(root)
            salt = held.salt or secrets.token_hex(16)
            longer = cls(salt=salt, digests=frozenset())
            digests = held.digests | {longer.digest(kind, value) for kind, value in identities}
            write_whole(root / FILE, json.dumps({"salt": salt, "digests": sorted(digests)}))
        return cls(salt=salt, digests=digests)

    def digest(self, kind: str, value: str) -> str:
        """Digest of an address or id."""
        return hashlib.sha256(f"{self.salt}{kind}:{value}".encode()).hexdigest()

    def anonymise(self, rows: pa.Table, contract: Contract) -> pa.Table:
        """`rows` without saying who the forgotten among them were; the same rows where nobody was.

        Args:
            rows: Rows in the contract's schema.
            contract: Their contract.
        """
        if not self.digests or rows.num_rows == 0:
            return rows
        with open_connection() as connection:
            connection.register("offered", rows)
            selected = connection.sql(f"SELECT {self.select_sql(contract)} FROM offered").to_arrow_table()  # noqa: S608
        return selected.cast(rows.schema)

    def without_erased(self, bad: pa.Table) -> pa.Table:
        """Rows for the quarantine (`reason`, `row` as JSON) without those that hold a forgotten address or id."""
        if not self.digests or bad.num_rows == 0:
            return bad
        with open_connection() as connection:
            connection.register("bad", bad)
            kept = connection.sql(f"SELECT * FROM bad WHERE NOT ({self.json_matches_sql('row')})")  # noqa: S608
            return kept.to_arrow_table().cast(bad.schema)

    def matches_sql(self, contract: Contract) -> str:
        """SQL condition: whether a row says anything about a forgotten person."""
        texts = [self._holds_address(column) for column in _texts(contract)]
        return " OR ".join(["false", self._about_sql(contract), *texts])

    def json_matches_sql(self, column: str) -> str:
        """SQL condition: whether a JSON row holds a forgotten address, or a forgotten id as one of its values."""
        values = f"json_extract_string({quoted(column)}, '$.*')"
        kinds = ("lead", "contact")
        ids = [f"list_transform({values}, lambda x: sha256({literal(self.salt + kind + ':')} || x))" for kind in kinds]
        held = [f"coalesce(list_has_any({digests}, {self._list()}), false)" for digests in ids]
        return " OR ".join([self._text_holds_address(quoted(column)), *held])

    def select_sql(self, contract: Contract) -> str:
        """SQL of the columns of an anonymised row."""
        about = self._about_sql(contract)
        return ", ".join(
            f"{self._value(contract, column, about)} AS {quoted(column.name)}" for column in all_columns(contract)
        )

    def _value(self, contract: Contract, column: Column, about: str) -> str:
        name = quoted(column.name)
        if column.person is not None:
            matched = self._id_matches(column)
            if column.name == contract.key:
                matched = f"({matched}) OR ({about})"
            return f"CASE WHEN {matched} THEN {self._token(column.person, name)} ELSE {name} END"
        if column.personal or (column.dtype == "string" and column in contract.extension):
            hidden = f"({about})" + (f" OR ({self._holds_address(column)})" if column.dtype == "string" else "")
            return f"CASE WHEN {hidden} THEN NULL ELSE {name} END"
        if column.name == contract.key:
            # A source's event id may be built from the id of the person.
            built = [f"contains({name}, {quoted(c.name)})" for c in contract.columns if c.person is not None]
            hidden = f"({about}) AND ({' OR '.join(['false', *(f'coalesce({b}, false)' for b in built)])})"
            return f"CASE WHEN {hidden} THEN {self._token('event', name)} ELSE {name} END"
        if column.dtype == "string":
            blank = "'erased'" if column.required else "NULL"
            return f"CASE WHEN {self._holds_address(column)} THEN {blank} ELSE {name} END"
        return name

    def _about_sql(self, contract: Contract) -> str:
        """SQL condition: whether the row is about a forgotten person, by id or by address."""
        parts = ["false", *(self._id_matches(column) for column in contract.columns if column.person is not None)]
        parts += [
            f"coalesce({self._digest_sql('email', f'lower(trim({quoted(column.name)}))')} IN {self._tuple()}, false)"
            for column in contract.columns
            if column.name == "email"
        ]
        return " OR ".join(parts)

    def _id_matches(self, column: Column) -> str:
        digest = self._digest_sql(column.person or "", quoted(column.name))
        return f"coalesce({digest} IN {self._tuple()}, false)"

    def _holds_address(self, column: Column) -> str:
        return self._text_holds_address(quoted(column.name))

    def _text_holds_address(self, name: str) -> str:
        address = "rtrim(lower(x), '.')"
        found = f"regexp_extract_all({name}, {literal(_ADDRESS)})"
        digests = f"list_transform({found}, lambda x: {self._digest_sql('email', address)})"
        return f"coalesce(contains({name}, '@') AND list_has_any({digests}, {self._list()}), false)"

    def _digest_sql(self, kind: str, value: str) -> str:
        return f"sha256({literal(f'{self.salt}{kind}:')} || {value})"

    def _token(self, kind: str, value: str) -> str:
        return f"'erased-' || left({self._digest_sql('token ' + kind, value)}, 16)"

    def _tuple(self) -> str:
        return f"({', '.join(literal(digest) for digest in sorted(self.digests))})"

    def _list(self) -> str:
        return f"[{', '.join(literal(digest) for digest in sorted(self.digests))}]"


def _texts(contract: Contract) -> list[Column]:
    return [column for column in contract.columns if column.dtype == "string" and column.person is None]
