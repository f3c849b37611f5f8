"""docs/bi.md, block by block as it stands: only the place of the warehouse is another one."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.release import current_release
from orchestration.release.postgres import send_release
from orchestration.release.roles import read_roles
from orchestration.settings import PROJECT_ROOT, Settings
from tests.postgres_server import PASSWORD, running_server

PAGE = (PROJECT_ROOT / "docs" / "bi.md").read_text(encoding="utf-8")
WAREHOUSE = ".warehouse/"
CONNECTION = "host=127.0.0.1 port=5432 dbname=warehouse user=anna"
KEY = "<64 hex digits>"
ROLE_FILES = ("analyst", "dashboard", "marketing")


def blocks(section: str) -> list[tuple[str, str]]:
    """Language and text of every code block under a heading of the page."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def followed(section: str, *changes: tuple[str, str]) -> list[str]:
    """Do what the blocks of a section say, each alone; what each printed."""
    printed = []
    for language, block in blocks(section):
        text = block
        for old, new in changes:
            text = text.replace(old, new)
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, f"docs/bi.md, {section}", "exec"), {})
            printed.append(out.getvalue())
        else:
            assert language == "sh"
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-euc", text],
                env=os.environ | {"PATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
    return printed


def asked(file: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def here(sample_release: Path) -> tuple[str, str]:
    return WAREHOUSE, f"{sample_release.parents[1]}/"


def test_every_block_of_the_page_belongs_to_a_section_that_is_followed() -> None:
    tested = {
        "DuckDB from Python": 1,
        "The `duckdb` program": 1,
        "Parquet": 2,
        "An encrypted file": 1,
        "Postgres": 2,
        "When a release is switched": 1,
    }
    assert {section: len(blocks(section)) for section in tested} == tested
    assert PAGE.count("\n```") == 2 * sum(tested.values())


def test_the_python_recipe_shows_the_purchases_of_the_dashboard(
    sample_release: Path, here: tuple[str, str]
) -> None:
    (printed,) = followed("DuckDB from Python", here)
    ((month, purchases),) = asked(
        sample_release.parent / "dashboard.duckdb",
        "select month, sum(purchase_count) from marts.purchases_by_month"
        " group by month order by month limit 1",
    )
    assert re.search(rf"{month}\D+{purchases}\b", printed), printed


def test_the_sandbox_of_the_page_lets_nobody_read_other_files_or_out_again(
    sample_release: Path,
) -> None:
    ((_, text),) = blocks("DuckDB from Python")
    sandbox = re.search(r"^SANDBOX = (.*)$", text, re.MULTILINE)
    assert sandbox
    with duckdb.connect(
        str(sample_release.parent / "dashboard.duckdb"), read_only=True, config=eval(sandbox[1])
    ) as connection:
        for escape in (
            "select * from read_text('/etc/passwd')",
            f"attach '{sample_release}' as steward (read_only)",
            "copy (select 1) to '/tmp/bi-canary.csv'",
            "load httpfs",
        ):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(escape)
        for escape in ("set enable_external_access = true", "set lock_configuration = false"):
            with pytest.raises(duckdb.InvalidInputException):
                connection.execute(escape)
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            connection.execute("create table marts.mine (x integer)")


def test_the_program_recipe_counts_the_customers_of_the_analyst(
    sample_release: Path, here: tuple[str, str]
) -> None:
    (printed,) = followed("The `duckdb` program", here)
    counts = [int(line.rpartition(",")[2]) for line in printed.splitlines()[1:]]
    ((customers,),) = asked(sample_release, "select count(*) from marts.customer_segments")
    assert sum(counts) == customers


def test_files_of_roles_are_of_a_format_that_old_drivers_read(sample_release: Path) -> None:
    for role in ("warehouse", *ROLE_FILES):
        ((version,),) = asked(
            sample_release.parent / f"{role}.duckdb",
            "select tags['storage_version'] from duckdb_databases()"
            " where database_name = current_database()",
        )
        assert str(version).startswith("v1.0.0"), role


def test_the_parquet_recipes_read_what_the_database_holds(
    sample_release: Path, here: tuple[str, str]
) -> None:
    orders, countries = followed("Parquet", here)
    assert [(int(orders),)] == asked(sample_release, "select count(*) from marts.orders")
    ((country, count),) = asked(
        sample_release,
        "select country, count(*) from marts.customers where country is not null"
        " group by 1 order by 2 desc, 1 limit 1",
    )
    assert re.search(rf"^{country}\s+{count}$", countries, re.MULTILINE), countries


def test_the_recipe_for_encrypted_files_opens_one_with_its_key_and_not_with_another(
    sample_release: Path, tmp_path: Path
) -> None:
    key = "5e" * 32
    sealed = tmp_path / "current" / "dashboard.duckdb"
    sealed.parent.mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"attach '{sample_release.parent / sealed.name}' as plain (read_only)")
        connection.execute("load httpfs")
        connection.execute(f"attach '{sealed}' as sealed (encryption_key '{key}')")
        connection.execute("copy from database plain to sealed")
    (printed,) = followed("An encrypted file", (WAREHOUSE, f"{tmp_path}/"), (KEY, key))
    assert "rfm_segment" in printed
    with pytest.raises(duckdb.InvalidInputException, match="Wrong encryption key"):
        followed("An encrypted file", (WAREHOUSE, f"{tmp_path}/"), (KEY, "00" * 32))


def test_one_release_is_read_to_its_end_and_the_next_by_the_next_connection(
    sample_release: Path, here: tuple[str, str], tmp_path: Path
) -> None:
    (printed,) = followed("When a release is switched", here)
    assert sample_release.parent.resolve().name in printed

    for name, marker in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        with duckdb.connect(str(tmp_path / name / "dashboard.duckdb")) as connection:
            connection.execute(f"create table release as select {marker} as marker")
    current = tmp_path / "current"
    current.symlink_to("one")
    file = str(current / "dashboard.duckdb")
    query = "select marker from release"
    with duckdb.connect(file, read_only=True) as held:
        following = tmp_path / ".current.next"
        following.symlink_to("two")
        following.replace(current)
        shutil.rmtree(tmp_path / "one")
        assert held.execute(query).fetchall() == [(1,)]
    with duckdb.connect(file, read_only=True) as connected_anew:
        assert connected_anew.execute(query).fetchall() == [(2,)]


@pytest.fixture(scope="module")
def connection(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sample's release in a server, and how a user of role dashboard connects."""
    home = tmp_path_factory.mktemp("sent")
    shutil.copytree(sample_release.parents[1] / "releases", home / "releases")
    shutil.copy(sample_release.parents[1] / "erasure.key", home)
    (home / "current").symlink_to((sample_release.parents[1] / "current").readlink())
    with running_server() as server, pytest.MonkeyPatch.context() as patch:
        passwords = home / "pgpass"
        passwords.write_text(f"127.0.0.1:{server.port}:*:*:{PASSWORD}\n")
        passwords.chmod(0o600)
        patch.setenv("PGPASSFILE", str(passwords))
        settings = Settings(home=home, postgres=server.new_database("recipes"))
        release = current_release(settings)
        assert release is not None
        only = [role for role in read_roles() if role.name == "dashboard"]
        send_release(settings, release, only)
        server.new_user("anna", "recipes_dashboard")
        yield server.conninfo("anna", "recipes")


def test_a_user_of_the_group_of_dashboards_reads_postgres_as_the_page_says(
    sample_release: Path, connection: str
) -> None:
    stages, release = followed("Postgres", (CONNECTION, connection))
    expected = asked(
        sample_release.parent / "dashboard.duckdb",
        "select lifecycle_stage, sum(customer_count)::bigint from marts.customers_by_stage"
        " group by 1",
    )
    shown = {tuple(line.split(",")) for line in stages.splitlines()[1:]}
    assert shown == {(str(stage), str(count)) for stage, count in expected}
    assert sample_release.parent.resolve().name in release
