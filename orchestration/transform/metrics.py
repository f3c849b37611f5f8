"""Metrics: dbt's semantic layer, answered by MetricFlow's SQL over the current release.

Metrics and dimensions are declared in `dbt_project/models/marts/_metrics.yml`. MetricFlow only
writes the SQL; it is run here, read-only, on what was published and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from orchestration.database import DatabaseFile
from orchestration.settings import Settings
from orchestration.transform.dbt import parse, target_folder

if TYPE_CHECKING:
    from metricflow.engine.metricflow_engine import MetricFlowEngine


class MetricError(Exception):
    """The question cannot be answered; one sentence that says what to ask instead."""


@dataclass(frozen=True)
class Answer:
    """Columns and rows of a metric query, and the SQL that gave them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    sql: str


@dataclass(frozen=True)
class Metric:
    """A metric with its description and the dimensions that it can be grouped by."""

    name: str
    description: str
    dimensions: tuple[str, ...]


def list_metrics(settings: Settings) -> list[Metric]:
    """Return every metric of the project, by name."""
    engine = _engine(settings)
    return sorted(
        (
            Metric(
                metric.name,
                metric.description or "",
                tuple(
                    sorted(
                        {
                            dimension.dunder_name
                            for dimension in engine.simple_dimensions_for_metrics([metric.name])
                        }
                    )
                ),
            )
            for metric in engine.list_metrics()
        ),
        key=lambda metric: metric.name,
    )


def query_metrics(
    settings: Settings,
    release: DatabaseFile,
    metrics: Sequence[str],
    *,
    group_by: Sequence[str] = (),
    where: str | None = None,
    order_by: Sequence[str] = (),
    limit: int | None = None,
) -> Answer:
    """Answer metrics from a release.

    release: its marts. group_by: for example `metric_time__month` or
    `order__channel`. where: MetricFlow's, for example `{{ Dimension('order__channel') }} = 'pos'`.
    Raises MetricError when there is no such metric or dimension, or the release lacks its mart.
    """
    from metricflow.engine.metricflow_engine import (  # noqa: PLC0415 - 1 s
        MetricFlowQueryRequest,
    )

    engine = _engine(settings)
    known = sorted(metric.name for metric in engine.list_metrics())
    unknown = [name for name in metrics if name not in known]
    if unknown or not metrics:
        asked = f"There is no metric {', '.join(unknown)}" if unknown else "No metric was asked for"
        raise MetricError(f"{asked}; there are {', '.join(known)}.")
    request = MetricFlowQueryRequest.create(
        metric_names=list(metrics),
        group_by_names=list(group_by) or None,
        where_constraints=[where] if where else None,
        order_by_names=list(order_by) or None,
        limit=limit,
    )
    try:
        sql = engine.explain(request).sql_statement.sql
    except Exception as error:
        # MetricFlow explains itself at length in exceptions of many kinds.
        reason = " ".join(str(error).split())[:400]
        raise MetricError(
            f"MetricFlow cannot answer {', '.join(metrics)} by {', '.join(group_by) or 'nothing'}: "
            f"{reason} `warehouse metrics` lists what each metric can be grouped by."
        ) from error
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        # the marts bear the name of the file that dbt writes them to
        release.attach(connection, "release_candidate")
        # A filter is SQL that somebody typed: it can read the release and nothing else.
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        try:
            if len(connection.extract_statements(sql)) != 1:
                raise MetricError("A filter is one condition; it holds more than one statement.")
            cursor = connection.execute(sql)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise MetricError(f"{release.path} cannot answer: {reason}") from error
        columns = tuple(column[0] for column in cursor.description or ())
        return Answer(columns, tuple(cursor.fetchall()), sql)


class _SqlWriter:
    """What MetricFlow wants to know of a database in order to write SQL for it."""

    def __init__(self) -> None:
        from metricflow.protocols.sql_client import SqlEngine  # noqa: PLC0415
        from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer  # noqa: PLC0415

        self.sql_engine_type = SqlEngine.DUCKDB
        self.sql_plan_renderer = DuckDbSqlPlanRenderer()


def _engine(settings: Settings) -> "MetricFlowEngine":
    """MetricFlow on the semantic models as they are now; 0.5 s when nothing has changed."""
    from metricflow.engine.metricflow_engine import MetricFlowEngine  # noqa: PLC0415 - 1 s
    from metricflow_semantics.model.dbt_manifest_parser import (  # noqa: PLC0415
        parse_manifest_from_dbt_generated_manifest,
    )
    from metricflow_semantics.model.semantic_manifest_lookup import (  # noqa: PLC0415
        SemanticManifestLookup,
    )

    parse(settings)
    manifest = target_folder(settings) / "semantic_manifest.json"
    lookup = SemanticManifestLookup(
        parse_manifest_from_dbt_generated_manifest(manifest.read_text(encoding="utf-8"))
    )
    return MetricFlowEngine(lookup, _SqlWriter())  # type: ignore[arg-type]
