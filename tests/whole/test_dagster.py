"""The only door: what Dagster sees, and that a broken gate is a closed one."""

import functools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import networkx
import pytest

from orchestration.activation import declarations
from orchestration.definitions import JOB_NAME, build_definitions, defs
from orchestration.gates import LAYERS, checks, gate, open_landing, passed_gates
from orchestration.landing import FEEDS
from orchestration.landing.assets import feed_key
from orchestration.operations.ledger import RunRecord, read_ledger
from orchestration.operations.migrations import MIGRATIONS, schema_version
from orchestration.release.assets import RELEASE_KEY
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.sql import rows
from orchestration.transform.audiences import AUDIENCES_FILE
from tests.conftest import SAMPLE_AS_OF, Installation
from tests.operations.test_migrations import make_version_1


@pytest.fixture(scope="module")
def definitions(parsed_project: Path) -> dg.Definitions:
    return build_definitions(Settings(home=parsed_project.parent))


def specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return [
        spec
        for spec in definitions.resolve_all_asset_specs()
        if spec.key.path[0] != "state"  # the release's own ids, read from it
    ]


def test_the_code_location_loads_as_dagster_dev_loads_it(
    parsed_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_HOME", str(parsed_project.parent))
    loaded = defs()
    assert loaded.resolve_job_def(JOB_NAME).name == JOB_NAME


def test_every_asset_has_an_owner_a_group_a_kind_and_a_description(
    definitions: dg.Definitions,
) -> None:
    for spec in specs(definitions):
        assert spec.owners, spec.key
        assert spec.group_name in {
            "landing",
            "reference",
            "staging",
            "identity",
            "marts",
            "release",
            "activation",
        }, spec.key
        assert spec.kinds, spec.key
        assert spec.description, spec.key


def test_the_lineage_of_assets_and_of_their_groups_has_no_circle(
    definitions: dg.Definitions,
) -> None:
    """The UI draws neither of them otherwise."""
    graph = definitions.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    edges = [(graph.get(parent), node) for node in nodes for parent in node.parent_keys]
    assert len(edges) > 300
    assets = networkx.DiGraph((parent.key, node.key) for parent, node in edges)
    groups = networkx.DiGraph(
        (parent.group_name, node.group_name)
        for parent, node in edges
        if parent.group_name != node.group_name
    )
    for lineage in (assets, groups):
        assert list(networkx.simple_cycles(lineage)) == []


def test_every_feed_is_an_asset_and_a_source_of_dbt(definitions: dg.Definitions) -> None:
    by_key = {spec.key: spec for spec in specs(definitions)}
    for feed in FEEDS:
        assert feed_key(feed) in by_key
        readers = [s for s in by_key.values() if feed_key(feed) in {d.asset_key for d in s.deps}]
        names = [spec.key.path[-1] for spec in readers]
        assert f"stg_{feed.table}" in names
        # only its own room reads it: what comes later reads what was staged
        assert all(name.startswith(f"stg_{feed.source}__") for name in names)


def test_every_table_between_landing_and_release_has_a_blocking_gate(
    definitions: dg.Definitions,
) -> None:
    guarded = {
        spec.asset_key
        for assets in definitions.asset_checks or []
        for spec in assets.check_specs
        if spec.blocking
    }
    wanted = {
        spec.key
        for spec in specs(definitions)
        if spec.key.path[0] in ("raw", "staging", "identity", "marts")
    }
    assert guarded == wanted


def test_a_schedule_and_a_sensor_start_the_job(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert repository.get_schedule_def("every_morning").job_name == JOB_NAME
    assert repository.get_sensor_def("news").job_name == JOB_NAME


def test_the_sensor_waits_until_files_have_settled_and_asks_once(
    definitions: dg.Definitions, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_LANDING", str(installation.landing))
    monkeypatch.setenv("WAREHOUSE_HOME", str(installation.home))
    sensor = definitions.get_repository_def().get_sensor_def("news")
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1"}])
    waiting = sensor(dg.build_sensor_context())
    assert isinstance(waiting, dg.SkipReason)
    assert waiting.skip_message == "crm/contacts/a.csv has not settled yet."
    an_hour_ago = time.time() - 3600
    os.utime(installation.landing / "crm" / "contacts" / "a.csv", (an_hour_ago, an_hour_ago))
    context = dg.build_sensor_context()
    assert isinstance(sensor(context), dg.RunRequest)
    again = sensor(dg.build_sensor_context(cursor=context.cursor))
    assert isinstance(again, dg.SkipReason)
    tomorrow = time.time() + 86400  # stamped by a wrong clock: it need not be waited for
    os.utime(installation.landing / "crm" / "contacts" / "a.csv", (tomorrow, tomorrow))
    assert isinstance(sensor(dg.build_sensor_context(cursor=context.cursor)), dg.RunRequest)


@pytest.mark.parametrize(
    "journal", ["decisions", "rectifications", "withdrawals", "corrections", "overrides"]
)
def test_the_sensor_asks_for_a_run_when_people_have_decided_something(
    journal: str,
    definitions: dg.Definitions,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAREHOUSE_LANDING", str(installation.landing))
    monkeypatch.setenv("WAREHOUSE_HOME", str(installation.home))
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1"}])
    an_hour_ago = time.time() - 3600
    os.utime(installation.landing / "crm" / "contacts" / "a.csv", (an_hour_ago, an_hour_ago))
    sensor = definitions.get_repository_def().get_sensor_def("news")
    context = dg.build_sensor_context()
    assert isinstance(sensor(context), dg.RunRequest)
    assert isinstance(sensor(dg.build_sensor_context(cursor=context.cursor)), dg.SkipReason)
    getattr(installation.settings, journal).write_text("decided\n")
    assert isinstance(sensor(dg.build_sensor_context(cursor=context.cursor)), dg.RunRequest)


def test_a_gate_that_breaks_stops_the_run_like_one_that_fails(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = tmp_path / "expectations"
    shutil.copytree(PROJECT_ROOT / "expectations", suites)
    staging = suites / "staging.yml"
    staging.write_text(
        staging.read_text().replace("expect_key_to_be_unique", "expect_key_to_be_uniqe", 1)
    )
    monkeypatch.setattr(checks, "run_gate", functools.partial(gate.run_gate, suites=suites))
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1", "email": "a@x.test"}])
    outcome = installation.warehouse("run")
    assert outcome.exit_code == 1
    assert "expect_key_to_be_uniqe" in outcome.output
    assert "identity ..." not in outcome.output
    assert not (installation.home / "current").exists()


@pytest.fixture(scope="module")
def backfilled(new_installation: Callable[[], Installation]) -> Installation:
    """Two days released by a backfill; every test works on a copy."""
    installation = new_installation()
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1", "email": "a@x.test"}])
    outcome = installation.warehouse("backfill", "--from", "2026-06-29", "--to", SAMPLE_AS_OF)
    assert outcome.exit_code == 0, outcome.output
    return installation


@pytest.fixture
def copy(backfilled: Installation, tmp_path: Path) -> Installation:
    return backfilled.copy_to(tmp_path)


class Ui:
    """Starts parts of the job as the UI does: chosen assets, with their checks or without."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._job: dg.JobDefinition | None = None

    def materialize(
        self, *keys: dg.AssetKey, checks: bool = True, as_of: str = SAMPLE_AS_OF
    ) -> RunRecord:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WAREHOUSE_LANDING", str(self.installation.landing))
            patch.setenv("WAREHOUSE_HOME", str(self.installation.home))
            patch.setenv("WAREHOUSE_AS_OF", as_of)
            if self._job is None:
                self._job = build_definitions(Settings()).resolve_job_def(JOB_NAME)
            part = self._job.get_subset(
                asset_selection=set(keys), asset_check_selection=None if checks else set()
            )
            part.execute_in_process(raise_on_error=False)
        return read_ledger(self.installation.settings)[0][0]


def keys_of(definitions: dg.Definitions, layer: str) -> list[dg.AssetKey]:
    return [spec.key for spec in specs(definitions) if spec.key.path[0] == layer]


def test_a_backfill_releases_each_day_once_and_goes_on_where_it_stopped(
    backfilled: Installation, copy: Installation
) -> None:
    days = [record.as_of for record in read_ledger(backfilled.settings)[0]]
    assert days == ["2026-06-30", "2026-06-29"]
    outcome = copy.warehouse("backfill", "--from", "2026-06-29", "--to", SAMPLE_AS_OF)
    assert outcome.exit_code == 0, outcome.output
    assert "day 1 of 2, 2026-06-29: released before from the same inputs" in outcome.output
    assert "day 2 of 2, 2026-06-30: unchanged" in outcome.output
    (copy.landing / "crm" / "contacts" / "b.csv").write_text("name\nJane\n")
    stopped = copy.warehouse("backfill", "--from", "2026-06-28", "--to", "2026-06-29")
    assert stopped.exit_code == 1
    assert "b.csv" in stopped.output
    # readers see the 30th, so it comes again at the end
    assert "Stopped at day 1 of 3, 2026-06-28." in stopped.output
    assert copy.query("select count(*) from marts.customers") == [(1,)]


def test_a_backfill_exports_nothing_and_an_export_can_be_made_by_itself(
    backfilled: Installation, copy: Installation
) -> None:
    """The consents of a day that is past are no consents of today."""
    assert not (backfilled.home / "exports").exists()
    record = Ui(copy).materialize(dg.AssetKey(["exports", "newsletter"]))
    assert (record.outcome, record.exports_behind) == ("built", "")
    assert "newsletter" in record.exports
    assert (copy.home / "exports" / "newsletter" / "latest" / "members.csv").exists()
    before = (copy.home / "exports" / "newsletter" / "latest").readlink()
    again = copy.warehouse("export")
    assert again.exit_code == 0
    assert "was exported before, unchanged" in again.output
    assert (copy.home / "exports" / "newsletter" / "latest").readlink() == before


def test_an_export_that_cannot_be_written_fails_the_run_after_its_release_and_the_next_run_makes_it(
    copy: Installation,
) -> None:
    copy.write("crm/contacts", "b.csv", [{"contact_id": "2", "email": "b@x.test"}])
    in_the_way = copy.home / "exports" / "win_back"
    in_the_way.parent.mkdir()
    in_the_way.write_text("a file")
    outcome = copy.warehouse("run")
    assert outcome.exit_code == 1
    assert "is current; but the run failed after that" in " ".join(outcome.output.split())
    assert "Export win_back could not be written" in " ".join(outcome.output.split())
    record = read_ledger(copy.settings)[0][0]
    assert record.outcome == "released"
    assert set(record.exports) == {"newsletter", "lookalikes_meta", "lookalikes_google"}
    assert "Exports do not show the release" in " ".join(copy.warehouse("status").output.split())
    in_the_way.unlink()
    # nothing is new, so the release stands and its export is made up for
    copy.run()
    record = read_ledger(copy.settings)[0][0]
    assert (record.outcome, list(record.exports)) == ("unchanged", ["win_back"])


def test_declarations_that_cannot_be_used_stop_a_run_before_anything_is_landed(
    copy: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "exports.yml"
    broken.write_text("exports: {list: {audience: Newsleter}}")
    monkeypatch.setattr(declarations.read_exports, "__defaults__", (broken, AUDIENCES_FILE))
    landed = copy.settings.working_database.stat().st_mtime_ns
    outcome = copy.warehouse("run")
    assert outcome.exit_code == 2
    assert "export 'list', identifier is missing" in " ".join(outcome.output.split())
    assert copy.settings.working_database.stat().st_mtime_ns == landed
    outcome = copy.warehouse("export")
    assert outcome.exit_code == 2
    assert not any(
        key.path[0] == "exports"
        for key in build_definitions(copy.settings).resolve_asset_graph().get_all_asset_keys()
    )


def test_a_home_of_the_version_before_is_brought_up_and_keeps_its_content_hash(
    copy: Installation,
) -> None:
    before = (copy.home / "current").readlink()
    with duckdb.connect(str(copy.settings.working_database)) as connection:
        kept = {
            table: rows(connection, f"from raw.{table}")
            for table in ("files", "rejects", "crm__contacts")
        }
    copy.settings.working_database.unlink()
    with duckdb.connect(str(copy.settings.working_database)) as connection:
        make_version_1(connection)
        for table, landed in kept.items():
            columns = [name for name, *_ in connection.execute(f"describe raw.{table}").fetchall()]
            for row in landed:
                connection.execute(
                    f"insert into raw.{table} values ({', '.join('?' * len(columns))})",
                    [row[name] for name in columns],
                )
    outcome = copy.run()
    assert f"brought up to schema version {MIGRATIONS[-1].version}" in outcome.output
    # the same landed state, so the same inputs: the release stands, its hashes read again
    assert "unchanged" in outcome.output
    assert (copy.home / "current").readlink() == before
    with duckdb.connect(str(copy.settings.working_database)) as connection:
        assert schema_version(connection) == MIGRATIONS[-1].version


def test_a_release_alone_does_not_pass_marts_of_one_day_off_as_those_of_another(
    copy: Installation,
) -> None:
    before = (copy.home / "current").readlink()
    refused = Ui(copy).materialize(RELEASE_KEY, as_of="2026-07-01")
    assert refused.outcome == "stopped"
    assert "was built from other inputs than this run has" in refused.reason
    assert (copy.home / "current").readlink() == before


def test_nothing_is_built_on_a_landing_that_nobody_judged(
    copy: Installation, definitions: dg.Definitions
) -> None:
    before = (copy.home / "current").readlink()
    ui = Ui(copy)
    copy.write("crm/contacts", "b.csv", [{"contact_id": "2", "email": "b@x.test"}])
    landed = ui.materialize(*keys_of(definitions, "raw"), checks=False)
    assert landed.outcome == "built"
    for keys in (
        keys_of(definitions, "staging"),
        [dg.AssetKey(["marts", "customers"])],
        [RELEASE_KEY],
    ):
        refused = ui.materialize(*keys)
        assert refused.outcome == "stopped", keys
        assert "the landing gate has not passed" in refused.reason or keys == [RELEASE_KEY]
    whole = ui.materialize(
        *keys_of(definitions, "raw"), *keys_of(definitions, "staging"), checks=False
    )
    assert whole.outcome == "stopped"
    assert "The staging layer was not built: the landing gate has not passed" in whole.reason
    assert (copy.home / "current").readlink() == before


def test_a_landing_that_was_killed_half_way_holds_up_every_later_stage(copy: Installation) -> None:
    with duckdb.connect(str(copy.settings.working_database)) as connection:
        open_landing(connection)  # and then the process was gone
    refused = Ui(copy).materialize(RELEASE_KEY)
    assert refused.outcome == "stopped"
    assert "the landing layer was built from other inputs" in refused.reason


def test_a_staging_rebuilt_alone_is_not_released_and_nothing_skips_a_layer(
    copy: Installation, definitions: dg.Definitions
) -> None:
    before = (copy.home / "current").readlink()
    ui = Ui(copy)
    assert ui.materialize(*keys_of(definitions, "staging")).outcome == "built"
    refused = ui.materialize(RELEASE_KEY)
    assert "the identity and the marts gate has not passed" in refused.reason
    skipped = ui.materialize(dg.AssetKey(["marts", "customers"]))
    assert "The marts layer was not built: the identity layer is not whole" in skipped.reason
    assert (copy.home / "current").readlink() == before


def test_one_mart_can_be_built_anew_and_is_judged_with_the_rest(copy: Installation) -> None:
    ui = Ui(copy)
    assert ui.materialize(dg.AssetKey(["marts", "customers"])).outcome == "built"
    with duckdb.connect(str(copy.settings.working_database)) as connection:
        assert passed_gates(connection) == LAYERS
    assert ui.materialize(RELEASE_KEY).outcome == "released"
