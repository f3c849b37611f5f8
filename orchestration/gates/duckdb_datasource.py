"""A Great Expectations data source for DuckDB; import it inside `lean_import()`.

GX ships none, and its generic SQL data source fails on DuckDB for three reasons, each answered
below: it reads results after the connection went back to the pool, whose rollback drops what DuckDB
has not handed out yet; it has no regular expressions for the dialect (and would take PostgreSQL's
`~`, which in DuckDB must match the whole value); and it opens two engines on one file.
The SQLAlchemy dialect is duckdb-sqlalchemy's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, Literal, cast

import duckdb
import sqlalchemy
from duckdb_sqlalchemy import ConnectionWrapper, datatypes
from great_expectations.datasource.fluent.sql_datasource import SQLDatasource
from great_expectations.execution_engine.sqlalchemy_execution_engine import (
    SqlAlchemyExecutionEngine,
)
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.query_metric_provider import QueryMetricProvider
from sqlalchemy import types as sqltypes

SHOWN_REASONS = 5

# Named here because a data source has a field `type`, which hides the built-in in its class body.
_EngineType = type[SqlAlchemyExecutionEngine]

# GX looks here for the types that an expectation names (`type_: VARCHAR`), and for the marker of a
# dialect. The marker is Dremio's: the only one for which GX writes REGEXP_MATCHES(column, pattern).
# duckdb-sqlalchemy reads time zones away: TIMESTAMP stands for both kinds.
DIALECT_MODULE = SimpleNamespace(
    __name__="duckdb",
    DremioDialect=True,
    VARCHAR=sqltypes.String,
    BOOLEAN=sqltypes.BOOLEAN,
    TINYINT=datatypes.TinyInteger,
    SMALLINT=sqltypes.SMALLINT,
    INTEGER=sqltypes.INTEGER,
    BIGINT=sqltypes.BIGINT,
    HUGEINT=datatypes.HugeInteger,
    UTINYINT=datatypes.UTinyInteger,
    USMALLINT=datatypes.USmallInteger,
    UINTEGER=datatypes.UInteger,
    UBIGINT=datatypes.UBigInteger,
    FLOAT=sqltypes.REAL,
    DOUBLE=sqltypes.DOUBLE,
    DECIMAL=sqltypes.Numeric,
    DATE=sqltypes.DATE,
    TIME=sqltypes.TIME,
    TIMESTAMP=sqltypes.TIMESTAMP,
    UUID=sqltypes.Uuid,
    BLOB=sqltypes.LargeBinary,
)


class DuckDBExecutionEngine(SqlAlchemyExecutionEngine):
    """Runs every metric as SQL on one held connection, so no result is dropped unread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dialect_module = cast(ModuleType, DIALECT_MODULE)

    @contextmanager
    def get_connection(self) -> Iterator[sqlalchemy.Connection]:
        """Yield the one connection; GX would return it to the pool after every query."""
        if self._connection is None:
            self._connection = self.engine.connect()
        yield self._connection


class DuckDBDatasource(SQLDatasource):
    """The DuckDB database that this process has open, be it encrypted: another connection to it.

    connection_string: names what `duckdb.connect` opened, as `DatabaseFile.instance` tells it.
    searched: SQL that sets the search path. With it `schema.table` finds a table without naming
    the catalog, so suites and SQL read the same whichever file holds a table. options: what it was
    opened with.
    """

    type: Literal["duckdb"] = "duckdb"  # type: ignore[assignment]
    searched: str = ""
    options: dict[str, str | int] = {}  # noqa: RUF012 - a pydantic field, copied per object

    _EXTRA_EXCLUDED_EXEC_ENG_ARGS: ClassVar[set[str]] = {"searched", "options"}

    @property
    def execution_engine_type(self) -> _EngineType:
        """The engine that GX builds for this data source."""
        return DuckDBExecutionEngine

    def _create_engine(self) -> sqlalchemy.Engine:
        instance = sqlalchemy.make_url(str(self.connection_string)).database or ""
        is_in_memory = instance.startswith(":memory:")

        def connect() -> ConnectionWrapper:
            # The dialect's own adds its name to the settings, and DuckDB wants those to be equal.
            connection = duckdb.connect(
                instance,
                read_only=not is_in_memory,
                config={} if is_in_memory else dict(self.options),
            )
            if self.searched:
                connection.execute(self.searched)
            return ConnectionWrapper(connection)

        # A static pool: one DuckDB connection for both of GX's engines, and one close for both.
        return sqlalchemy.create_engine(
            "duckdb://",
            creator=connect,
            poolclass=sqlalchemy.StaticPool,
            pool_reset_on_return=None,
            # Readers need no transaction; two users of one connection could not both begin one.
            isolation_level="AUTOCOMMIT",
        )

    def get_execution_engine(self) -> SqlAlchemyExecutionEngine:
        """Return the engine; GX would build a second SQLAlchemy engine for it."""
        if self._execution_engine is None:
            # Without the second argument GX copies every table into a temporary one first: 2.7 s
            # and 1 GB for each suite on 5M rows.
            self._execution_engine = DuckDBExecutionEngine(
                engine=self.get_engine(), create_temp_table=False
            )
        return self._execution_engine

    def close(self) -> None:
        """Give the files back: no lock is held after this."""
        if self._execution_engine is not None:
            self._execution_engine.close()
        if self._engine is not None:
            self._engine.dispose()


class RowsOfQuery(QueryMetricProvider):
    """How many rows a query returns and, from its column `reason` if it has one, why.

    GX's own expectation for this runs the query twice and fetches 200 whole rows. Here it runs once
    as a count; a second time, limited, only after it found something.
    """

    metric_name = "rows_of_query.verdict"
    value_keys = ("query",)

    @metric_value(engine=DuckDBExecutionEngine)
    def _duckdb(
        cls,  # noqa: N805 - the decorator makes it a class method
        execution_engine: DuckDBExecutionEngine,
        metric_domain_kwargs: dict[str, Any],  # noqa: ARG002
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],  # noqa: ARG002
        runtime_configuration: dict[str, Any],  # noqa: ARG002
    ) -> dict[str, Any]:
        query = metric_value_kwargs["query"]
        with execution_engine.get_connection() as connection:
            counted = f"select count(*) from (\n{query}\n) as found"
            # exec_driver_sql: a colon in the SQL is not a parameter
            row_count: int = connection.exec_driver_sql(counted).scalar_one()
            reasons: list[str] = []
            if row_count:
                limited = f"select * from (\n{query}\n) as found limit {SHOWN_REASONS}"
                rows = connection.exec_driver_sql(limited).mappings().all()
                reasons = [str(row["reason"]) for row in rows if row.get("reason") is not None]
        return {"row_count": row_count, "reasons": reasons}


class ExpectQueryToReturnNoRows(BatchExpectation):
    """Fails when the SQL in `query` finds rows: each is one broken rule."""

    query: str

    metric_dependencies: ClassVar[tuple[str, ...]] = (RowsOfQuery.metric_name,)
    success_keys: ClassVar[tuple[str, ...]] = ("query",)
    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,  # noqa: ARG002
        execution_engine: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        verdict = metrics[RowsOfQuery.metric_name]
        return {
            "success": verdict["row_count"] == 0,
            "result": {
                "observed_value": verdict["row_count"],
                "unexpected_count": verdict["row_count"],
                "details": {"reasons": verdict["reasons"]},
            },
        }
