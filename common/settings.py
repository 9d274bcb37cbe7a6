"""The product's settings: one frozen tree, read once at each entry point and passed inward.

Every value can be set by an environment variable `SALIENCE_<NAME>` (nested: `SALIENCE_SERVING__PORT`) or in `.env`;
`.env.example` documents all. `SALIENCE_PROFILE` chooses a set of defaults; no code asks which profile it runs in.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

# What a profile changes. Addresses and secrets of a production profile come from the environment.
PROFILES: dict[str, dict[str, Any]] = {
    "embedded": {},
    "production": {
        "online_store": {"kind": "redis"},
        "serving": {"workers": 4},
        "access": {"mode": "required"},
        "clock": "wall",
    },
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OnlineStoreSettings(_Part):
    """Where features are read from when an application asks."""

    kind: Literal["sqlite", "redis"] = Field("sqlite", description="Feast's online store.")
    redis_address: str = Field("localhost:6379", description="Feast connection string of Redis; unused with sqlite.")


class ServingSettings(_Part):
    """The prediction services."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(3000, ge=1, le=65535, description="First port to try; another is taken and said if it is in use.")
    workers: int = Field(1, ge=1, description="Worker processes.")
    timeout_s: float = Field(5.0, gt=0, description="Seconds after which a request is given up.")
    max_waiting: int = Field(256, ge=1, description="Requests in work at once in a worker; more are told to come back.")
    rate_per_minute: int = Field(0, ge=0, description="Requests a minute that one client may make of a worker; 0: any.")
    cached_scores: int = Field(1_000, ge=0, description="Scores a worker keeps for when nothing has changed.")
    scores_ahead: int = Field(
        50_000, ge=0, description="Leads, and deals, that are scored before anybody asks; 0: none."
    )
    keeps_log: bool = Field(True, description="Whether every prediction is kept in the workspace's prediction log.")
    trial: Literal["off", "shadow", "answer"] = Field(
        "off", description="What a challenger does with its share: nothing, score silently, or answer."
    )
    trial_share: float = Field(0.1, ge=0, le=1, description="Share of leads and deals that a challenger on trial gets.")


class AccessSettings(_Part):
    """Who may call the prediction services."""

    mode: Literal["local", "required"] = Field(
        "local", description="local: whoever is on this machine, on 127.0.0.1 alone; required: a key or token."
    )
    keys_file: Path | None = Field(None, description="File of API keys; unset: api-keys.json in `home`.")
    issuer: str | None = Field(None, description="OpenID Connect issuer whose tokens are taken; unset: keys alone.")
    audience: str = Field("salience", description="Audience that a token has to name.")
    jwks_url: str | None = Field(None, description="The issuer's keys; unset: where the issuer says they are.")
    role_claim: str = Field("salience_role", description="Claim with the role.")
    territories_claim: str = Field(
        "salience_territories", description="Claim with the territories of a rep or manager."
    )
    reps_claim: str = Field("salience_reps", description="Claim with the reps that a rep or manager sees.")


class UiSettings(_Part):
    """The local pages that `salience ui` starts."""

    prefect_port: int = Field(4200, ge=1, le=65535, description="Prefect's server and UI.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="MLflow's UI.")
    evidently_port: int = Field(8000, ge=1, le=65535, description="Evidently's UI.")


class MonitoringSettings(_Part):
    """How the models are watched, and what may follow by itself."""

    policy: Path | None = Field(
        None, description="Policy file; unset: monitoring.yaml of the workspace, or the product's."
    )
    acts: bool = Field(
        False, description="Whether a look that says RETRAIN trains at once, in the same run; with a server, events do."
    )


class AlertSettings(_Part):
    """Who is told when a model fails, and how; a channel that is unset is not used."""

    email_to: tuple[str, ...] = Field((), description="Addresses that get an e-mail.")
    email_from: str = Field("salience@localhost", description="Sender of the e-mails.")
    smtp_host: str | None = Field(None, description="Mail server.")
    smtp_port: int = Field(25, ge=1, le=65535, description="Its port.")
    smtp_tls: bool = Field(True, description="Whether to speak STARTTLS.")
    smtp_user: str | None = Field(None, description="User, if the server wants one.")
    smtp_password: SecretStr | None = Field(None, description="Its password.")
    webhook_url: SecretStr | None = Field(None, description="Slack-compatible incoming webhook.")
    pagerduty_key: SecretStr | None = Field(None, description="Routing key of a PagerDuty-compatible Events API v2.")
    pagerduty_url: str = Field("https://events.pagerduty.com/v2/enqueue", description="Its address.")
    quiet_from: str | None = Field(
        None, pattern=r"^\d\d:\d\d$", description="Nothing is sent from then, such as 20:00 ..."
    )
    quiet_until: str = Field("07:00", pattern=r"^\d\d:\d\d$", description="... until then; it is sent afterwards.")
    quiet_zone: str = Field("UTC", description="Time zone of both.")
    link: str | None = Field(None, description="Address under which `home` can be seen, for links; unset: file paths.")


class GateSettings(_Part):
    """What the gate asks of a challenger besides a surely smaller log-loss (docs/adr/0017)."""

    capacity: float = Field(
        0.1,
        gt=0,
        description="Leads or deals a team can work: below 1 a share of those scored, from 1 on a number a week.",
    )
    value_loss: float = Field(
        0.05, ge=0, lt=1, description="Share of the champion's conversions at that capacity which may surely be lost."
    )
    calibration_loss: float = Field(
        0.01, ge=0, lt=1, description="How much larger the calibration error may surely become."
    )
    segment_loss: float = Field(
        0.05, ge=0, description="Share by which the log-loss of any one segment may surely become worse."
    )
    segment_entities: int = Field(
        50, ge=2, description="Leads or deals below which a segment of the newest rows is not judged."
    )
    latency_ms: float = Field(
        50.0, gt=0, description="Milliseconds within which 99 of 100 answers about one row come, reasons included."
    )
    latency_times: float = Field(
        10.0, gt=1, description="How many times the champion's median latency is allowed, beyond a tenth of the budget."
    )


class TrainingSettings(_Part):
    """What every training run shares."""

    threads: int = Field(2, ge=1, description="Threads of a model fit.")
    seed: int = Field(7, description="Seed of every random draw in training. Fixed once, never chosen by its result.")
    trials: int = Field(20, ge=1, description="Optuna trials a study runs unless a command says otherwise.")
    workers: int = Field(1, ge=1, description="Processes that make trials of one study; they share the threads.")
    time_budget_minutes: float | None = Field(
        None, gt=0, description="Minutes after which a study ends, whatever it has reached; unset: after its trials."
    )


class Settings(BaseSettings):
    """All settings of one process."""

    model_config = SettingsConfigDict(
        env_prefix="SALIENCE_",
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        frozen=True,
        extra="forbid",
    )

    profile: Literal["embedded", "production"] = Field("embedded", description="Which set of defaults to start from.")
    home: Path = Field(Path(".salience"), description="Folder for warehouses, features, forecasts and reports.")
    mlruns: Path = Field(Path("mlruns"), description="MLflow's local home: its database, artifacts, promotion log.")
    tracking_uri: str | None = Field(None, description="MLflow server or database; unset: SQLite in `mlruns`.")
    workspace: str = Field(
        "simulated", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Workspace that commands work in."
    )
    clock: Literal["data", "wall"] = Field(
        "data",
        description="What 'now' means: the newest moment the warehouse knows (histories), or the wall clock (live).",
    )
    as_of: datetime | None = Field(None, description="A fixed 'now', to see what would have been said then.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", description="Least severe log record shown."
    )
    online_store: OnlineStoreSettings = Field(OnlineStoreSettings(), description="Online feature store.")
    serving: ServingSettings = Field(ServingSettings(), description="Prediction services.")
    monitoring: MonitoringSettings = Field(MonitoringSettings(), description="Watching the models.")
    alerts: AlertSettings = Field(AlertSettings(), description="Who is told when a model fails.")
    access: AccessSettings = Field(AccessSettings(), description="Who may call the prediction services.")
    ui: UiSettings = Field(UiSettings(), description="Local pages.")
    training: TrainingSettings = Field(TrainingSettings(), description="Training.")
    gate: GateSettings = Field(GateSettings(), description="The gate between challenger and champion.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes it
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - and this
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the profile's defaults behind the environment and before the field defaults."""
        named = {**dotenv_settings(), **env_settings(), **init_settings()}
        profile = named.get("profile", os.environ.get("SALIENCE_PROFILE", "embedded"))

        def profile_defaults() -> dict[str, Any]:
            return PROFILES.get(str(profile), {})

        return (init_settings, env_settings, dotenv_settings, profile_defaults)  # type: ignore[return-value]

    @property
    def mlflow_uri(self) -> str:
        """Tracking and registry address of MLflow."""
        return self.tracking_uri or f"sqlite:///{self.mlruns.resolve() / 'mlflow.db'}"
