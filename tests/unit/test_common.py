"""Settings, times, errors and workspaces."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from common.clock import parse_moment, utc
from common.errors import InputError, NotFoundError, SalienceError, shorten
from common.settings import Settings
from common.telemetry import QUIET
from common.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def environment_names(model: type[BaseModel], prefix: str = "SALIENCE_") -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            names |= environment_names(nested, f"{prefix}{name.upper()}__")
        else:
            names.add(f"{prefix}{name.upper()}")
    return names


def test_env_example_documents_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    documented = {line.lstrip("# ").split("=")[0] for line in lines if "SALIENCE_" in line and "=" in line}
    assert documented == environment_names(Settings)


def test_env_example_holds_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SALIENCE_HOME", "SALIENCE_MLRUNS"):
        monkeypatch.delenv(name)
    from_example = Settings(_env_file=ROOT / ".env.example")
    assert from_example == Settings(_env_file=None)


def test_every_setting_has_a_sentence() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_profile_changes_defaults_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALIENCE_PROFILE", "production")
    assert Settings(_env_file=None).online_store.kind == "redis"
    monkeypatch.setenv("SALIENCE_ONLINE_STORE__KIND", "sqlite")
    assert Settings(_env_file=None).online_store.kind == "sqlite"


def test_settings_are_frozen_and_refuse_unknown_names() -> None:
    with pytest.raises(ValidationError):
        Settings(_env_file=None).profile = "production"
    with pytest.raises(ValidationError, match="worksapce"):
        Settings(_env_file=None, worksapce="x")


def test_moments_are_read_as_utc() -> None:
    assert parse_moment("2025-03-31") == datetime(2025, 3, 31, tzinfo=UTC)
    assert parse_moment("2025-03-31T02:00:00+02:00") == datetime(2025, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["31.3.2025", "yesterday", "", "2025-13-01"])
def test_an_unreadable_moment_says_what_is_expected(text: str) -> None:
    with pytest.raises(InputError, match="ISO 8601"):
        parse_moment(text)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InputError, match="no time zone"):
        utc(datetime(2025, 3, 31))


def test_errors_say_what_expected_got_and_next() -> None:
    error = NotFoundError("Lead L-9 does not exist", expected="a known id", got="L-9", next_step="salience score leads")
    assert str(error) == "Lead L-9 does not exist. Expected: a known id. Got: L-9. Next: salience score leads."
    assert (error.http_status, isinstance(error, SalienceError)) == (404, True)


def test_at_most_five_ids_are_named() -> None:
    assert shorten(range(8)) == "0, 1, 2, 3, 4 and 3 more"


def test_workspaces_do_not_share_folders() -> None:
    one, other = (Workspace(name=name, home=Path("home")) for name in ("olist", "bpic2012"))
    assert one.model_name("lead") == "olist-lead"
    assert not {one.warehouse, one.features, one.reports} & {other.warehouse, other.features, other.reports}


def test_telemetry_is_off_in_this_process() -> None:
    import os

    assert {name: os.environ.get(name) for name in QUIET} == QUIET
