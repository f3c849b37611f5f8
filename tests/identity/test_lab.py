"""The laboratory and dbt give the same tables, or the laws would hold of the laboratory alone."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.identity.decisions import Decision
from orchestration.identity.rectifications import Rectification
from orchestration.identity.state import (
    _DECISION_COLUMNS,
    _RECTIFICATION_COLUMNS,
    _rectification_row,
    _row,
    close_build,
    load_released_ids,
    open_build,
)
from orchestration.settings import Settings
from orchestration.transform import dbt
from tests.conftest import Installation
from tests.identity.lab import (
    AS_OF,
    INPUTS,
    RECORD,
    VERIFIED,
    VISITOR,
    Lab,
    Model,
    Rows,
    decision,
    differences,
    record,
    rectification,
)
from tests.identity.world import HOMES, PEOPLE

Records = Mapping[str, Mapping[str, Any]]


def of(person: str, slot: str, **values: Any) -> dict[str, Any]:
    known: dict[str, Any] = dict(PEOPLE[person])
    return record(slot, **(known | dict(HOMES[known.pop("home")]) | values))


BEFORE: Records = {
    "crm:1": of("Anna", "crm:1"),
    "shop:2": of("Anna", "shop:2", birth_date=None, email="family.berg@y.test"),
    "crm:3": of("Peter", "crm:3", email="family.berg@y.test"),
    "pos:4": of("John", "pos:4"),
    "crm:5": of("John junior", "crm:5"),
    "shop:6": record("shop:6", first_name="John", last_name="Smith", phone="0161 496 0321"),
    "crm:7": of("William", "crm:7"),
    "mailing:8": record("mailing:8", first_name="Bill", last_name="Oakley",
                        email="woakley66@x.test"),
}  # fmt: skip
AFTER: Records = {name: values for name, values in BEFORE.items() if name != "mailing:8"} | {
    "crm:3": of("Peter", "crm:3"),
    "support:9": record("support:9", email="anna.berg80@x.test"),
}
DECISIONS = (decision("not_same", "crm:1", "shop:2"), decision("same", "crm:7", "pos:4"))
RECTIFICATIONS = (
    rectification("crm:5", "birth_date", "1990-09-09"),
    rectification("shop:6", "email", "new@x.test"),
    rectification("pos:4", "phone"),
)


def test_a_history_gives_in_the_laboratory_what_it_gives_through_dbt(
    new_installation: Callable[[], Installation], compiled_models: Sequence[Model]
) -> None:
    lab = Lab(compiled_models, size=len(BEFORE))
    lab.build(BEFORE.values())
    assert len(lab.partition().groups) < len(BEFORE)
    lab.release()
    lab.build(AFTER.values(), DECISIONS, rectifications=RECTIFICATIONS)
    assert lab.was_increment
    assert len(lab.query("from identity.int_rectifications_applied")) == len(RECTIFICATIONS)
    through_dbt = _through_dbt(new_installation().settings, lab)
    assert differences(lab.tables(), through_dbt) == {}


def _through_dbt(settings: Settings, lab: Lab) -> dict[str, Rows]:
    settings = settings.model_copy(update={"as_of": AS_OF})
    manifest: Any = dbt.parse(settings)
    seeds = [node.name for node in manifest.nodes.values() if node.resource_type == "seed"]
    with duckdb.connect(str(settings.working_database)) as connection:
        load_released_ids(connection, None)
        connection.execute("create schema identity")
    dbt.build(settings, manifest, "identity", seeds)
    for records, decisions, rectifications, increment in (
        (BEFORE, (), (), False),
        (AFTER, DECISIONS, RECTIFICATIONS, True),
    ):
        _land(settings, records, decisions, rectifications)
        with duckdb.connect(str(settings.working_database)) as connection:
            assert open_build(connection, "laboratory") == increment
        lasting = dbt.lasting_models(manifest, "identity") if increment else []
        left = [*INPUTS, *(node.name for node in lasting), *seeds]
        dbt.build(settings, manifest, "identity", excluding=left, increment=increment)
        with duckdb.connect(str(settings.working_database)) as connection:
            close_build(connection)
            if not increment:
                _release(connection)
    with duckdb.connect(str(settings.working_database), read_only=True) as connection:
        return {
            name: Counter(connection.execute(f"from identity.{name}").fetchall())
            for name in lab.lasting()
        }


def _release(connection: duckdb.DuckDBPyConnection) -> None:
    """Lay what was built where the run lays what was released."""
    connection.execute(
        "insert into state.customer_sources by name select source_record_id, customer_id,"
        " record_key from identity.int_customer_sources_resolved where record_key is not null"
    )
    connection.execute(
        "insert into state.customer_redirects by name from identity.int_customer_redirects_resolved"
    )
    connection.execute(
        "insert into state.customer_id_history by name from identity.int_customer_ids_recorded"
    )


def _land(
    settings: Settings,
    records: Records,
    decisions: Sequence[Decision],
    rectifications: Sequence[Rectification],
) -> None:
    with duckdb.connect(str(settings.working_database)) as connection:
        for table, schema, rows in (
            ("int_records_unioned", RECORD, [dict(values) for values in records.values()]),
            ("int_visitors_linked", VISITOR, []),
            ("int_emails_verified", VERIFIED, []),
        ):
            landed = pa.Table.from_pylist(rows, schema)  # noqa: F841 - read by its name
            connection.execute(f"create or replace table identity.{table} as from landed")
        connection.execute(f"create or replace table state.steward_decisions ({_DECISION_COLUMNS})")
        for line in decisions:
            connection.execute(f"insert into state.steward_decisions values {_row(line)}")
        connection.execute(
            f"create or replace table state.rectifications ({_RECTIFICATION_COLUMNS})"
        )
        for correction in rectifications:
            connection.execute(
                f"insert into state.rectifications values {_rectification_row(correction)}"
            )
