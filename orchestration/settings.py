"""Settings of an installation, read from `WAREHOUSE_*` environment variables when asked for."""

import os
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestration.alerts.addresses import (
    check_password,
    check_webhook,
    parse_addresses,
    parse_server,
)

PROJECT_ROOT = Path(__file__).resolve().parent.parent

# What is given for these is not shown, not even when it is wrong.
SECRETS = frozenset({"alert_webhook", "alert_smtp", "alert_password"})


class Settings(BaseSettings):
    """Where the warehouse reads, where it works, and as of which day it speaks.

    Raises pydantic.ValidationError naming the variable that does not fit; its text shows no value,
    for some are secrets.
    """

    model_config = SettingsConfigDict(
        env_prefix="WAREHOUSE_", frozen=True, validate_default=True, hide_input_in_errors=True
    )

    landing: Path = Field(
        default=PROJECT_ROOT / "seeds" / "landing",
        description="Folder of source extracts, `<source>/<things>/*.csv|jsonl|parquet[.gz]`.",
    )
    home: Path = Field(
        default=PROJECT_ROOT / ".warehouse",
        description="Folder of the working database, state and releases.",
    )
    decisions: Path = Field(
        default_factory=lambda settings: settings["home"] / "decisions.csv",
        description="What stewards decided, one line each; nothing else can make it again.",
    )
    erasure_key: Path = Field(
        default_factory=lambda settings: settings["home"] / "erasure.key",
        description="Key of the hashes by which forgotten people are known again; keep it secret.",
    )
    keys: Path = Field(
        default_factory=lambda settings: settings["home"] / "keys",
        description="Folder of the keys by which files are encrypted, `<name>.key`.",
    )
    backups: Path = Field(
        default_factory=lambda settings: settings["home"] / "backups",
        description="Folder of the backups of this home, and of no other.",
    )
    exports: Path = Field(
        default_factory=lambda settings: settings["home"] / "exports",
        description="Folder of the exports of audiences, `<export>/<version>/`.",
    )
    postgres: str = Field(
        default="",
        description="Database that releases are sent to as well, `host=… dbname=… user=…`.",
    )
    as_of: date = Field(
        default_factory=date.today,
        description="The day the marts speak of, `YYYY-MM-DD`.",
    )
    memory_limit: str = Field(
        default="8GiB",
        description="Most memory DuckDB may take before it spills to disk, for example `8GiB`.",
    )
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 2,
        ge=1,
        le=256,
        description="Threads that DuckDB may use; all cores unless set.",
    )
    keep_releases: int = Field(
        default=7, ge=2, description="How many releases stay on disk, the current one included."
    )
    keep_backups: int = Field(
        default=7, ge=1, description="How many backups stay in a folder, the newest ones."
    )

    keep_runs: int = Field(
        default=50,
        ge=2,
        description="How many runs the ledger, the logs and Dagster's storage remember.",
    )
    keep_rejects_days: int = Field(
        default=90,
        ge=1,
        description="Days that rejected lines are kept after their file has left the landing.",
    )
    run_timeout: timedelta = Field(
        default=timedelta(hours=6),
        description="How long a run may take before it is stopped, for example `6h`, `90m`, `30s`.",
    )
    alert_webhook: SecretStr = Field(
        default=SecretStr(""),
        description="URL that takes alerts as Slack does, or `@<file>` that holds it; a secret.",
    )
    alert_to: str = Field(
        default="", description="Who gets alerts by e-mail, addresses with commas between them."
    )
    alert_from: str = Field(
        default="", description="Who e-mails of alerts are from; the first recipient unless set."
    )
    alert_smtp: str = Field(
        default="", description="Mail server that alerts are sent through, `smtp://user@host:587`."
    )
    alert_password: SecretStr = Field(
        default=SecretStr(""),
        description="Password of the user of that server, or `@<file>` that holds it; a secret.",
    )

    @field_validator("run_timeout", mode="before")
    @classmethod
    def _duration(cls, given: Any) -> timedelta:
        if isinstance(given, timedelta):
            return given
        match = re.fullmatch(r"([1-9][0-9]{0,6})\s?([smhd])", str(given))
        if match is None:
            raise ValueError("expected a time with its unit, for example 6h, 90m or 30s")
        seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
        return timedelta(seconds=int(match[1]) * seconds)

    @field_validator("alert_webhook", mode="after")
    @classmethod
    def _webhook(cls, url: SecretStr) -> SecretStr:
        return SecretStr(check_webhook(url.get_secret_value())) if url.get_secret_value() else url

    @field_validator("alert_to", "alert_from", mode="after")
    @classmethod
    def _addresses(cls, text: str, info: ValidationInfo) -> str:
        if text and len(parse_addresses(text)) > 1 and info.field_name == "alert_from":
            raise ValueError("expected one e-mail address")
        return text

    @field_validator("alert_smtp", mode="after")
    @classmethod
    def _mail_server(cls, text: str, info: ValidationInfo) -> str:
        if text:
            parse_server(text)
        if bool(text) != bool(info.data.get("alert_to", text)):
            raise ValueError("it and WAREHOUSE_ALERT_TO mean nothing without each other: set both")
        return text

    @field_validator("alert_password", mode="after")
    @classmethod
    def _mail_password(cls, password: SecretStr, info: ValidationInfo) -> SecretStr:
        check_password(password.get_secret_value())
        if (server := info.data.get("alert_smtp")) is None:
            return password  # that is wrong already
        user = parse_server(server).user if server else ""
        if bool(user) != bool(password.get_secret_value()):
            raise ValueError("it and the user in WAREHOUSE_ALERT_SMTP need each other: set both")
        return password

    @field_validator("memory_limit", mode="after")
    @classmethod
    def _memory_size(cls, text: str) -> str:
        if not re.fullmatch(r"[1-9][0-9]*(\.[0-9]+)?\s?[KMGT]i?B", text):
            raise ValueError("expected a size with its unit, for example 8GiB or 500MB")
        return text

    @field_validator(
        *("landing", "home", "decisions", "erasure_key", "keys", "backups", "exports"), mode="after"
    )
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @property
    def working_database(self) -> Path:
        """Raw, staging, identity and state; only the run opens it."""
        return self.home / "work.duckdb"

    @property
    def quality_history(self) -> Path:
        """What the gates of every run found; no run reads it to go on."""
        return self.home / "quality_history.duckdb"

    @property
    def arrivals(self) -> Path:
        """When which file landed: the order in which a lost working database is made again."""
        return self.home / "arrivals.csv"

    @property
    def withdrawals(self) -> Path:
        """Which files people have withdrawn, one line each."""
        return self.home / "withdrawals.csv"

    @property
    def corrections(self) -> Path:
        """What people decided about rows in quarantine, one line each."""
        return self.home / "quarantine.csv"

    @property
    def rectifications(self) -> Path:
        """What stewards corrected in what a source holds of a person, one line each."""
        return self.home / "rectifications.csv"

    @property
    def overrides(self) -> Path:
        """Which checks people have overridden, one line each."""
        return self.home / "overrides.csv"

    @property
    def holds(self) -> Path:
        """Whose records, or which feeds, must not expire or be erased, one line each."""
        return self.home / "holds.csv"

    @property
    def retention_confirmations(self) -> Path:
        """What people let expire though it is much of a feed, one line each."""
        return self.home / "retention_confirmations.csv"

    @property
    def retention_log(self) -> Path:
        """What has expired, a line for each run and feed; written by runs."""
        return self.home / "retention_log.csv"

    @property
    def postgres_targets(self) -> Path:
        """Databases that a release was ever sent to."""
        return self.home / "postgres.json"

    @property
    def exported_to(self) -> Path:
        """Folders outside of the home that audiences were ever exported to, one a line."""
        return self.home / "exported_to.txt"

    @property
    def data_docs(self) -> Path:
        """What the gates of the last run asked and found, as pages."""
        return self.home / "data_docs"

    @property
    def docs(self) -> Path:
        """The documentation as pages, written by `warehouse docs`."""
        return self.home / "docs"

    @property
    def erasures(self) -> Path:
        """A folder for each erasure: its tombstones, its certificate, its plan while under way."""
        return self.home / "erasures"

    @property
    def access_log(self) -> Path:
        """Who looked at whom, one line each, chained by hash."""
        return self.home / "access.jsonl"

    @property
    def dashboard_users(self) -> Path:
        """Who signs in to the dashboard, in which role; without it nobody does."""
        return self.home / "dashboard_users.csv"

    @property
    def reports(self) -> Path:
        """What people were told is held of them, until it is handed over."""
        return self.home / "reports"

    @property
    def requests(self) -> Path:
        """Folder of the landing in which people ask to be forgotten."""
        return self.landing / "privacy" / "erasures"

    @property
    def alerts(self) -> Path:
        """What was told to whom by alerts and still stands, for each channel."""
        return self.home / "alerts.json"

    @property
    def sends_alerts(self) -> bool:
        """Whether alerts have anywhere to go; a copy to try something in sends none."""
        return bool(self.alert_webhook.get_secret_value() or self.alert_smtp) and (
            not self.is_scratch
        )

    @property
    def is_scratch(self) -> bool:
        """Whether this is a copy to try something in, whose releases are another's."""
        return (self.home / ".scratch").exists()

    @property
    def journals(self) -> Mapping[str, Path]:
        """The files of what people decided and the next run follows, by what they decided."""
        return {
            "decisions of stewards": self.decisions,
            "rectifications of people": self.rectifications,
            "withdrawals of files": self.withdrawals,
            "corrections of rows": self.corrections,
            "overrides of checks": self.overrides,
            "legal holds": self.holds,
            "confirmations of what expires": self.retention_confirmations,
        }

    @property
    def candidate_database(self) -> Path:
        """The marts of the run under way; copied into the release when the gates have passed."""
        return self.home / "release_candidate.duckdb"

    @property
    def releases(self) -> Path:
        """Folder of the releases, oldest name first."""
        return self.home / "releases"

    @property
    def current(self) -> Path:
        """Link to the release that readers see."""
        return self.home / "current"
