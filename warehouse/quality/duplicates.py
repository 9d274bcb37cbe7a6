"""Duplicate candidates: leads, accounts and contacts that may be one and the same.

Things are compared only within blocks (records that share a cheap key, such as a mail address or the first letters of
a name), so that the work grows with the number of records; a block of more than 100 is left out, and counted. Names
are compared by Jaro-Winkler similarity (Winkler 1990) after lower case, without accents, punctuation and legal forms.
All of it runs inside DuckDB. Pairs are reported by id only.
"""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.quality.reading import MOST_EXAMPLES, Reading
from warehouse.quality.results import DuplicatePair, DuplicateSearch, Found
from warehouse.quality.weights import penalty

_BLOCK_CAP = 100
_MOST_PAIRS = 50
_LEGAL_FORMS = (
    "ab|ag|as|bv|co|company|corp|corporation|gmbh|inc|incorporated|kg|limited|llc|llp|ltd"
    "|nv|oy|plc|pty|sa|sarl|sas|spa|srl"
)


def _plain(column: str) -> str:
    """Lower case, no accents, only letters and digits with single spaces between words, missing if nothing is left."""
    words = f"regexp_replace(lower(strip_accents({column})), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g')"
    return f"nullif(trim({words}), '')"


def _company(column: str) -> str:
    """A plain name without the legal form at its end."""
    return (
        f"coalesce(nullif(trim(regexp_replace({_plain(column)}, '( ({_LEGAL_FORMS}))+$', '')), ''), {_plain(column)})"
    )


_EMAIL = "nullif(regexp_replace(lower(trim(email)), '\\+[^@]*@', '@'), '')"
_LOCAL = "split_part(mail, '@', 1)"
_DOMAIN = "nullif(split_part(mail, '@', 2), '')"


@dataclass(frozen=True)
class _Recipe:
    """How duplicates of a table are looked for.

    Args:
        prepared: SQL list of what is compared, from the newest versions; `id` is the key.
        blocks: SQL expressions over the prepared columns; things with an equal value are compared.
        confidence: SQL over `a` and `b`, 0 to 1.
        threshold: Least confidence that counts.
        why: SQL text over `a`, `b` and `similarity`.
    """

    prepared: str
    blocks: tuple[str, ...]
    confidence: str
    threshold: float
    why: str


_ALIKE = "jaro_winkler_similarity"
_PERCENT = "round(100 * {})::INTEGER || ' % alike'"
_NAMES = f"{_ALIKE}(a.name, b.name)"
_LOCALS = f"{_ALIKE}(a.local, b.local)"
_COMPANIES = f"coalesce({_ALIKE}(a.company, b.company), 0.9)"
_SAME_MAIL = "(a.mail IS NOT NULL AND a.mail IS NOT DISTINCT FROM b.mail)"
_MAILS_SAY = f"CASE WHEN {_SAME_MAIL} THEN 'same e-mail address' ELSE 'same mail domain, addresses ' || "
_RECIPES: dict[str, _Recipe] = {
    "accounts": _Recipe(
        prepared=f"{_company('name')} AS name, lower(country) AS country, {_plain('industry')} AS industry",
        blocks=("name", "left(name, 8)", "right(name, 8)", "left(name, 3) || '/' || country || '/' || industry"),
        confidence=f"{_NAMES} * CASE WHEN a.country <> b.country THEN 0.9 ELSE 1 END"
        f" * CASE WHEN {_ALIKE}(a.industry, b.industry) < 0.85 THEN 0.94"
        " WHEN a.industry = b.industry THEN 1 ELSE 0.98 END",
        threshold=0.95,
        why=f"CASE WHEN a.name = b.name THEN 'same name' ELSE 'names ' || {_PERCENT.format(_NAMES)} END"
        " || CASE WHEN a.country = b.country THEN ', same country' WHEN a.country <> b.country"
        " THEN ', other country' ELSE '' END"
        " || CASE WHEN a.industry = b.industry THEN ', same industry' ELSE '' END",
    ),
    "contacts": _Recipe(
        prepared=f"{_plain('name')} AS name, {_EMAIL} AS mail, account_id, {_LOCAL} AS local, {_DOMAIN} AS domain",
        blocks=("mail", "account_id || '/' || left(name, 2)", "domain || '/' || left(local, 3)", "name"),
        confidence=f"CASE WHEN {_SAME_MAIL} THEN 0.8 + 0.2 * coalesce({_NAMES}, 0.5)"
        " WHEN a.account_id = b.account_id OR a.domain = b.domain"
        f" THEN 0.6 * coalesce({_NAMES}, 0) + 0.4 * coalesce({_LOCALS}, {_NAMES}, 0)"
        f" ELSE 0.85 * coalesce({_NAMES}, 0) END",
        threshold=0.93,
        why=f"{_MAILS_SAY} coalesce({_PERCENT.format(_LOCALS)}, 'missing') END || ', names '"
        f" || coalesce({_PERCENT.format(_NAMES)}, 'missing')"
        " || CASE WHEN a.account_id = b.account_id THEN ', same account' ELSE '' END",
    ),
    "leads": _Recipe(
        prepared=f"{_company('company_name')} AS company, {_EMAIL} AS mail, {_LOCAL} AS local, {_DOMAIN} AS domain",
        blocks=("mail", "domain || '/' || left(local, 3)"),
        confidence=f"CASE WHEN {_SAME_MAIL} THEN 0.9 + 0.1 * {_COMPANIES} WHEN a.domain = b.domain"
        f" THEN 0.8 * {_LOCALS} + 0.2 * {_COMPANIES} ELSE 0 END",
        threshold=0.95,
        why=f"{_MAILS_SAY} {_PERCENT.format(_LOCALS)} END"
        " || CASE WHEN a.company = b.company THEN ', same company' ELSE '' END",
    ),
}


def searchable(reading: Reading) -> tuple[str, ...]:
    """Tables among those with rows in which duplicates are looked for."""
    return tuple(table for table in _RECIPES if table in reading.tables)


def search_duplicates(reading: Reading, table: str) -> DuplicateSearch:
    """Candidates among the newest versions of a table's things."""
    recipe = _RECIPES[table]
    _prepare(reading, table, recipe)
    searched = reading.row("SELECT count(*) FROM prepared")[0]
    capped_blocks, capped_things = reading.row(
        f"SELECT count(*), coalesce(sum(size), 0) FROM blocks WHERE size > {_BLOCK_CAP}"  # noqa: S608
    )
    reading.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE pairs AS
            SELECT a.id AS first, b.id AS second, {recipe.confidence} AS confidence, {recipe.why} AS why
            FROM (SELECT DISTINCT x.number AS one, y.number AS other
                  FROM members x JOIN members y ON x.mark = y.mark AND x.number < y.number
                  SEMI JOIN (SELECT mark FROM blocks WHERE size <= {_BLOCK_CAP}) kept ON x.mark = kept.mark) candidates
            JOIN prepared a ON a.number = one JOIN prepared b ON b.number = other
            WHERE {recipe.confidence} >= {recipe.threshold}"""  # noqa: S608
    )
    pairs, things = reading.row(
        "SELECT (SELECT count(*) FROM pairs), count(DISTINCT id) FROM "
        "(SELECT first AS id FROM pairs UNION ALL SELECT second FROM pairs)"
    )
    top = reading.all(f"SELECT * FROM pairs ORDER BY confidence DESC, first, second LIMIT {_MOST_PAIRS}")  # noqa: S608
    return DuplicateSearch(
        table=table,
        searched=searched,
        pairs=pairs,
        things=things,
        threshold=recipe.threshold,
        top=tuple(DuplicatePair(first=a, second=b, confidence=round(c, 3), why=why) for a, b, c, why in top),
        capped_blocks=capped_blocks,
        capped_things=int(capped_things),
    )


def _prepare(reading: Reading, table: str, recipe: _Recipe) -> None:
    """Temporary tables: `prepared` (a number and what is compared), `members` (number and block), `blocks` (sizes)."""
    state, key = reading.state_of(table), reading.key_of(table)
    # Smaller id first, so that a pair always reads the same way round.
    reading.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE prepared AS
            SELECT {key} AS id, row_number() OVER (ORDER BY {key}) AS number, {recipe.prepared} FROM {state}"""  # noqa: S608
    )
    marks = " UNION ALL ".join(
        f"SELECT number, hash({place}, {block}) AS mark FROM prepared WHERE {block} IS NOT NULL"  # noqa: S608
        for place, block in enumerate(recipe.blocks)
    )
    reading.connection.execute(f"CREATE OR REPLACE TEMP TABLE members AS {marks}")
    reading.connection.execute(
        """CREATE OR REPLACE TEMP TABLE blocks AS
           SELECT mark, count(*) AS size FROM members GROUP BY mark HAVING size > 1"""
    )


def duplicate_findings(search: DuplicateSearch) -> list[Found]:
    """One finding for a table's candidates, and one if blocks were too large to compare."""
    found = []
    if search.pairs:
        found.append(
            Found(
                check="duplicates.candidates",
                table=search.table,
                dimension="uniqueness",
                what=f"{search.pairs:,} pairs among {search.searched:,} {search.table} may be the same thing twice "
                f"({search.things:,} {search.table} are in one)",
                advice="Go through the list below, most confident first, and merge in the CRM; the merge comes in with "
                "the next load.",
                count=search.things,
                of=search.searched,
                penalty=penalty("duplicate_candidates", search.things, of=search.searched),
                examples=tuple(f"{pair.first} = {pair.second}" for pair in search.top[:MOST_EXAMPLES]),
            )
        )
    if search.capped_blocks:
        found.append(
            Found(
                check="duplicates.capped",
                table=search.table,
                what=f"{search.capped_blocks:,} groups of more than {_BLOCK_CAP} {search.table} that look alike at "
                f"first sight were not compared ({search.capped_things:,} memberships)",
                advice="Often a shared address or a placeholder (info@, test, unknown): map such words to missing.",
                count=search.capped_blocks,
            )
        )
    return found
