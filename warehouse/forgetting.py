"""The rights of a person: everything that is held about one, and erasing one for good.

`forget` follows the person's e-mail address to ids, and the ids to every table. Whole files that hold a trace are
written anew without it (see erasures.py for what a row becomes), older versions of the files are deleted, and the
quarantine loses the person's rows. Then every file below the warehouse is searched, byte by byte and value by value,
and only if nothing is found a proof is written. It is safe to kill at any moment: the list of the forgotten is written
first, and the same command continues from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError, NotFoundError, SalienceError, shorten
from warehouse.contracts import CONTRACTS, Contract
from warehouse.delta_tables import AppendOnlyTable
from warehouse.erasures import Erasures
from warehouse.quarantine import Quarantine
from warehouse.search import find_traces
from warehouse.store import Warehouse
from warehouse.views import create_view, first_row, open_connection, parquet_relation, quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

_LEAST_ID = 6
"""Ids shorter than this are not searched for in files: `17` stands everywhere."""


class ErasureError(SalienceError):
    """Something of a person is left after erasing."""

    title = "Erasure incomplete"


@dataclass(frozen=True, kw_only=True)
class Person:
    """What the warehouse calls a person.

    Args:
        email: E-mail address, lower case.
        lead_ids: Leads with that address in any of their versions.
        contact_ids: Contacts with that address in any of their versions.
        names: Full names of those contacts.
    """

    email: str
    lead_ids: tuple[str, ...]
    contact_ids: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """Kind and value of everything that names the person."""
        ids = [("lead", value) for value in self.lead_ids] + [("contact", value) for value in self.contact_ids]
        return (("email", self.email), *ids)

    @property
    def searched(self) -> tuple[str, ...]:
        """Texts that must stand nowhere once the person is erased."""
        return (self.email, *(text for text in (*self.lead_ids, *self.contact_ids) if len(text) >= _LEAST_ID))


@dataclass(frozen=True, kw_only=True)
class Proof:
    """That a person was erased; it names nobody.

    Args:
        person_digest: Salted digest of the address: who knows the address can recompute it with the warehouse's salt.
        erased_at: When it was finished, UTC.
        rows: Rows changed, by table.
        files: Files written anew, by table.
        quarantined: Rows taken out of the quarantine.
        files_searched: Files searched afterwards, byte by byte and, for Parquet, value by value.
        bytes_searched: Their size.
        traces: What was found of the person: 0.
    """

    person_digest: str
    erased_at: datetime
    rows: dict[str, int]
    files: dict[str, int]
    quarantined: int
    files_searched: int
    bytes_searched: int
    traces: int

    def as_json(self) -> str:
        """The proof as JSON."""
        return json.dumps(asdict(self) | {"erased_at": self.erased_at.isoformat()}, indent=2)


def find_person(warehouse: Warehouse, email: str) -> Person:
    """The ids that go with an e-mail address, in any version of any lead or contact; none where it is unknown.

    Raises:
        InputError: if the text is no e-mail address.
    """
    address = email.strip().lower()
    if address.count("@") != 1 or not all(address.split("@")):
        raise InputError(f"'{email}' is no e-mail address", expected="a text such as jo@example.org", field="contact")
    with warehouse.duckdb() as connection:
        found = {
            column: tuple(
                str(value)
                for (value,) in connection.execute(
                    f"SELECT DISTINCT {column} FROM {table} WHERE lower(trim(email)) = ? AND {column} IS NOT NULL"  # noqa: S608
                    " ORDER BY 1",
                    [address],
                ).fetchall()
            )
            for table, column in (("leads", "lead_id"), ("contacts", "contact_id"), ("contacts", "name"))
        }
    return Person(email=address, lead_ids=found["lead_id"], contact_ids=found["contact_id"], names=found["name"])


def export_person(warehouse: Warehouse, email: str) -> dict[str, pa.Table]:
    """All rows about a person, by table, and those in quarantine under `quarantine`; tables without any are left out.

    Raises:
        InputError: if the text is no e-mail address.
        NotFoundError: if nothing is held about the address.
    """
    person = find_person(warehouse, email)
    matches = _matches(person)
    held: dict[str, pa.Table] = {}
    with warehouse.duckdb() as connection:
        for table in warehouse.tables():
            condition = matches.matches_sql(warehouse.contract(table))
            rows = connection.sql(f"SELECT * FROM {quoted(table)} WHERE {condition} ORDER BY ALL").to_arrow_table()  # noqa: S608
            if rows.num_rows:
                held[table] = rows
    with open_connection() as connection:
        connection.register("kept", warehouse.quarantine.rows(include_released=True))
        condition = matches.json_matches_sql("row")
        rows = connection.sql(f"SELECT * FROM kept WHERE {condition}").to_arrow_table()  # noqa: S608
    if rows.num_rows:
        held["quarantine"] = rows
    if not held:
        raise NotFoundError(
            f"Nothing is held about {person.email}", next_step="check the address; ids are found through it"
        )
    return held


def forget(warehouse: Warehouse, email: str, *, progress: Callable[[str, int, int], None] | None = None) -> Proof:
    """Erase a person from every file of the warehouse, and prove it.

    Counts, rates and sums over all rows stay what they were. Readers that are in the middle of a table fail and must
    read again.

    Args:
        warehouse: The warehouse.
        email: The person's e-mail address.
        progress: Called with what is being done, tables done, and tables in all.

    Raises:
        InputError: if the text is no e-mail address.
        NotFoundError: if nothing is held about the address.
        ErasureError: if something is left; the same command tries again.
    """
    person = find_person(warehouse, email)
    known = Erasures.of(warehouse.root)
    if not known.digests or known.digest("email", person.email) not in known.digests:
        export_person(warehouse, email)  # refuses an address that nothing is held about
    erasures = Erasures.add(warehouse.root, person.identities)
    rows: dict[str, int] = {}
    files: dict[str, int] = {}
    for done, table in enumerate(CONTRACTS):
        if progress is not None:
            progress(f"erase from {table}", done, len(CONTRACTS))
        contract = warehouse.contract(table)
        changed = _rewrite(AppendOnlyTable(warehouse.root / table, contract), erasures)
        if changed:
            files[table], rows[table] = len(changed), sum(changed)
    quarantined = _clear_quarantine(warehouse.quarantine, erasures)
    if progress is not None:
        progress("search every file", len(CONTRACTS), len(CONTRACTS))
    search = find_traces(warehouse.root, person.searched)
    if search.traces:
        raise ErasureError(
            f"{len(search.traces)} files still hold something of the person: {shorten(search.traces)}",
            next_step="run the same command again; if it stays, delete these files",
        )
    return Proof(
        person_digest=erasures.digest("email", person.email),
        erased_at=datetime.now(UTC),
        rows=rows,
        files=files,
        quarantined=quarantined,
        files_searched=search.files,
        bytes_searched=search.bytes,
        traces=0,
    )


def _matches(person: Person) -> Erasures:
    """The person as a list of one: matches what would be erased, without erasing it."""
    own = Erasures(salt="", digests=frozenset())
    return Erasures(salt="", digests=frozenset(own.digest(kind, value) for kind, value in person.identities))


def _rewrite(table: AppendOnlyTable, erasures: Erasures) -> list[int]:
    """Write the files that hold a trace anew; returns the changed rows of each. Older versions go in any case."""
    with table.lock():
        delta = table.open()
        if delta is None:
            return []
        condition = erasures.matches_sql(table.contract)
        rewritten: dict[str, pa.Table] = {}
        changed: list[int] = []
        for uri in delta.file_uris():
            matched = _matching(uri, table.contract, condition)
            if matched:
                changed.append(matched)
                rewritten[Path(uri).name] = _anonymised(uri, table.contract, erasures)
        table.replace_files(rewritten, origin="forget")
        table.sweep()
    return changed


def _matching(uri: str, contract: Contract, condition: str) -> int:
    with _opened(uri, contract) as connection:
        found = f"SELECT count(*) FROM {quoted(contract.table)} WHERE {condition}"  # noqa: S608
        return int(first_row(connection, found)[0])


def _anonymised(uri: str, contract: Contract, erasures: Erasures) -> pa.Table:
    with _opened(uri, contract) as connection:
        query = f"SELECT {erasures.select_sql(contract)} FROM {quoted(contract.table)}"  # noqa: S608
        return connection.sql(query).to_arrow_table().cast(contract.arrow_schema)


def _opened(uri: str, contract: Contract) -> DuckDBPyConnection:
    """A connection that shows one file of a table."""
    connection = open_connection()
    relation = parquet_relation([uri])
    present = [name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]  # noqa: S608
    create_view(connection, contract, relation, present)
    return connection


def _clear_quarantine(quarantine: Quarantine, erasures: Erasures) -> int:
    """Take the person's rows out of the quarantine, released ones too; returns how many they were."""
    condition = f"({erasures.json_matches_sql('row')})"
    table, removed = quarantine.table, 0
    with table.lock():
        delta = table.open()
        if delta is None:
            return 0
        rewritten: dict[str, pa.Table] = {}
        for uri in delta.file_uris():
            matched = _matching(uri, table.contract, condition)
            if matched:
                removed += matched
                with _opened(uri, table.contract) as connection:
                    kept = f"SELECT * FROM {quoted(table.contract.table)} WHERE NOT {condition}"  # noqa: S608
                    rewritten[Path(uri).name] = connection.sql(kept).to_arrow_table().cast(table.contract.arrow_schema)
        table.replace_files(rewritten, origin="forget")
        table.sweep()
    return removed
