"""The only door: what Dagster sees, and that a broken gate is a closed one."""

import functools
import os
import shutil
import time
from pathlib import Path

import dagster as dg
import duckdb
import networkx
import pytest

from orchestration.definitions import JOB_NAME, build_definitions, defs
from orchestration.gates import LAYERS, checks, gate, passed_gates, void_gates
from orchestration.landing import FEEDS
from orchestration.landing.assets import feed_key
from orchestration.release.assets import RELEASE_KEY
from orchestration.settings import PROJECT_ROOT, Settings
from tests.conftest import Installation


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
        assert [s.key.path[-1] for s in readers] == [f"stg_{feed.table}"]


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
    assert repository.get_sensor_def("new_files_landed").job_name == JOB_NAME


def test_the_sensor_waits_until_files_have_settled_and_asks_once(
    definitions: dg.Definitions, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_LANDING", str(installation.landing))
    sensor = definitions.get_repository_def().get_sensor_def("new_files_landed")
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1"}])
    waiting = sensor(dg.build_sensor_context())
    assert isinstance(waiting, dg.SkipReason)
    assert waiting.skip_message == "The newest file has not settled yet."
    an_hour_ago = time.time() - 3600
    os.utime(installation.landing / "crm" / "contacts" / "a.csv", (an_hour_ago, an_hour_ago))
    context = dg.build_sensor_context()
    assert isinstance(sensor(context), dg.RunRequest)
    again = sensor(dg.build_sensor_context(cursor=context.cursor))
    assert isinstance(again, dg.SkipReason)
    tomorrow = time.time() + 86400  # stamped by a wrong clock: it need not be waited for
    os.utime(installation.landing / "crm" / "contacts" / "a.csv", (tomorrow, tomorrow))
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


def test_a_release_without_passed_gates_is_refused(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody materializes only the release in the UI while a layer is being rebuilt."""
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1", "email": "a@x.test"}])
    installation.run()
    before = (installation.home / "current").readlink()
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        void_gates(connection, "marts")
    monkeypatch.setenv("WAREHOUSE_LANDING", str(installation.landing))
    monkeypatch.setenv("WAREHOUSE_HOME", str(installation.home))
    job = build_definitions(Settings()).resolve_job_def(JOB_NAME)
    refused = job.execute_in_process(asset_selection=[RELEASE_KEY], raise_on_error=False)
    assert not refused.success
    failure = next(event for event in refused.all_events if event.is_step_failure)
    description = failure.step_failure_data.user_failure_data
    assert description is not None
    assert "the marts gate has not passed" in str(description.description)
    assert (installation.home / "current").readlink() == before


def test_one_mart_can_be_built_anew_and_is_judged_with_the_rest(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.write("crm/contacts", "a.csv", [{"contact_id": "1", "email": "a@x.test"}])
    installation.run()
    monkeypatch.setenv("WAREHOUSE_LANDING", str(installation.landing))
    monkeypatch.setenv("WAREHOUSE_HOME", str(installation.home))
    monkeypatch.setenv("WAREHOUSE_AS_OF", "2026-06-30")
    job = build_definitions(Settings()).resolve_job_def(JOB_NAME)
    mart = dg.AssetKey(["marts", "customers"])
    assert job.execute_in_process(asset_selection=[mart], raise_on_error=False).success
    with duckdb.connect(str(installation.settings.working_database)) as connection:
        assert passed_gates(connection) == LAYERS
