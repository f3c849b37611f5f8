"""The models of consent and audiences, compiled by dbt once and run by DuckDB in memory."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import literal
from orchestration.transform.dbt import _invoke, _variables, parse

COMPILED_AS_OF = date(2001, 2, 3)
# In the order in which they are built.
MODELS = {
    "stg_crm__opt_ins": "staging",
    "int_consent_events_unioned": "identity",
    "int_suppression_events_unioned": "identity",
    "int_customer_subjects_listed": "intermediate",
    "int_subject_consents_dated": "intermediate",
    "customer_consent": "release_candidate.marts",
    "customer_suppressions": "release_candidate.marts",
    "int_audience_candidates_judged": "intermediate",
    "audience_members": "release_candidate.marts",
}
INPUTS = {
    "lab.as_of": "day date",
    "raw.crm__contacts": (
        "contact_id varchar, marketing_opt_in varchar, updated_at varchar, _loaded_at timestamp,"
        " _source_file varchar, _row_hash uhugeint"
    ),
    "staging.stg_crm__contacts": "contact_id varchar, is_deleted boolean",
    "staging.stg_mailing__consents": (
        "consent_id varchar, email varchar, phone varchar, purpose varchar, status varchar,"
        " legal_basis varchar, occurred_at timestamp"
    ),
    "staging.stg_mailing__subscribers": "subscriber_id varchar, email varchar",
    "staging.stg_mailing__deliveries": (
        "source_record_id varchar, subscriber_id varchar, delivery_id varchar, event_type varchar,"
        " occurred_at timestamp"
    ),
    "staging.stg_mailing__suppressions": (
        "suppression_id varchar, email varchar, phone varchar, reason varchar,"
        " occurred_at timestamp"
    ),
    "identity.int_records_normalised": (
        "record_key varchar, source_record_id varchar, email varchar, match_phone varchar"
    ),
    "identity.int_rectifications_applied": (
        "record_key varchar, field varchar, delivered_value varchar"
    ),
    "identity.int_customer_sources_resolved": "record_key varchar, customer_id varchar",
    "intermediate.int_segment_candidates_judged": (
        "customer_id varchar, segment varchar, verdict varchar"
    ),
    "release_candidate.marts.customers": "customer_id varchar, email varchar, phone varchar",
}
SEEDS = ("consent_purposes", "suppression_reasons", "audiences", "phone_plans")

Row = Sequence[object]


def compiled(parsed_project: Path, home: Path) -> dict[str, str]:
    """Compile the models. home: a folder for dbt, which gets a copy of a parse of the project."""
    shutil.copytree(parsed_project, home / "dbt")
    settings = Settings(home=home, as_of=COMPILED_AS_OF)
    manifest: Any = parse(settings)
    command = ["compile", "--no-introspect", "--no-populate-cache", "--select", *MODELS]
    result: Any = _invoke(settings, command, manifest, _variables(settings))
    assert result.success, result.exception
    today = "(select day from work.lab.as_of)"
    return {
        outcome.node.name: outcome.node.compiled_code.strip().replace(
            f"cast('{COMPILED_AS_OF}' as date)", today
        )
        for outcome in result.result.results
        if outcome.node.resource_type == "model"
    }


class Lab:
    """A warehouse of consents alone, in memory. models: compiled SQL by name."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self.models = models
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute(
            "attach ':memory:' as work; attach ':memory:' as release_candidate;"
            " use work; set timezone = 'UTC'; create schema release_candidate.marts"
        )
        for schema in ("lab", "raw", "staging", "identity", "intermediate", "reference"):
            self.connection.execute(f"create schema {schema}")
        for table, columns in INPUTS.items():
            self.connection.execute(f"create table {table} ({columns})")
        for seed in SEEDS:
            path = PROJECT_ROOT / "seeds" / "reference" / f"{seed}.csv"
            self.connection.execute(
                f"create table reference.{seed} as"
                f" from read_csv({literal(str(path))}, header = true, all_varchar = true)"
            )
        for length in ("min_length", "max_length"):
            self.connection.execute(f"alter table reference.phone_plans alter {length} type bigint")

    def build(self, as_of: date, inputs: Mapping[str, Iterable[Row]]) -> None:
        """Build everything of these rows; inputs that are not named are empty."""
        for table in INPUTS:
            self._fill(table, list(inputs.get(table, ())))
        self._fill("lab.as_of", [(as_of,)])
        for name, schema in MODELS.items():
            self.connection.execute(
                f"create or replace table {schema}.{name} as {self.models[name]}"
            )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def _fill(self, table: str, rows: Sequence[Row]) -> None:
        """Replace the rows; as literals, because parameters cost more than the models."""
        statement = f"delete from {table};"
        if rows:
            written = ", ".join(
                f"({', '.join('null' if cell is None else literal(str(cell)) for cell in row)})"
                for row in rows
            )
            statement += f"insert into {table} values {written}"
        self.connection.execute(statement)
