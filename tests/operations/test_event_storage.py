"""Dagster's event log with open files: what it holds and what it leaves open."""

import os
from pathlib import Path

import dagster as dg
import pytest
import yaml

from orchestration.operations.event_storage import OpenEventLogStorage
from orchestration.settings import PROJECT_ROOT

FOUND = dg.AssetKey("found")


@dg.asset(key=FOUND)
def found() -> int:
    """An asset that leaves events."""
    return 1


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dagster as the project configures it, in a folder of its own."""
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT_ROOT))
    monkeypatch.setenv("WAREHOUSE_DAGSTER_STORAGE", str(tmp_path))
    return tmp_path


def run(instance: dg.DagsterInstance) -> str:
    result = dg.materialize([found], instance=instance)
    assert result.success
    return result.run_id


def open_files(folder: Path) -> list[str]:
    handles = list(Path("/proc/self/fd").iterdir())
    targets = [str(handle.readlink()) for handle in handles if handle.is_symlink()]
    return [target for target in targets if target.startswith(str(folder))]


def test_the_project_keeps_its_events_in_it() -> None:
    configured = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())["storage"]["custom"]
    assert configured["module"] == OpenEventLogStorage.__module__


@pytest.mark.usefixtures("storage")
def test_another_instance_reads_the_events_of_a_run_at_once() -> None:
    with dg.DagsterInstance.get() as writer, dg.DagsterInstance.get() as reader:
        run_id = run(writer)

        assert isinstance(writer.event_log_storage, OpenEventLogStorage)
        latest = reader.get_latest_materialization_event(FOUND)
        assert latest is not None
        assert latest.run_id == run_id
        assert len(reader.all_logs(run_id)) == len(writer.all_logs(run_id)) > 5


def test_few_files_stay_open_and_none_when_the_instance_is_left(storage: Path) -> None:
    with dg.DagsterInstance.get() as instance:
        for _ in range(5):
            run(instance)
        events = {name for name in open_files(storage) if name.endswith(".db")}
        assert len(events) <= 3
    assert open_files(storage) == []


@pytest.mark.usefixtures("storage")
def test_a_deleted_run_leaves_the_others() -> None:
    with dg.DagsterInstance.get() as instance:
        first, second = run(instance), run(instance)
        instance.delete_run(first)
        assert instance.all_logs(first) == []
        assert len(instance.all_logs(second)) > 5


@pytest.mark.usefixtures("storage")
def test_a_child_process_opens_files_of_its_own() -> None:
    with dg.DagsterInstance.get() as instance:
        run_id = run(instance)
        child = os.fork()
        if child == 0:
            os._exit(0 if len(instance.all_logs(run_id)) > 5 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert len(instance.all_logs(run_id)) > 5
