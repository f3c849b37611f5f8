"""What dbt does around the models of sessions in an increment: only changed days are replaced."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transform.dbt import build, parse, target_folder

CUT = [
    "int_event_days_changed",
    "int_event_days_fingerprinted",
    "int_visitors_changed",
    "int_session_fragments_cut",
]
JOINED = "int_sessions_joined"

EVENTS = """
    select
        'e' || i as event_id, 'v' || i % 3 as anonymous_id, null::varchar as account_id,
        'page_view' as event_type, null::varchar as page_url, null::varchar as referrer,
        null::varchar as utm_source, null::varchar as utm_medium, null::varchar as utm_campaign,
        null::varchar as order_id,
        timestamp '2026-01-01 23:50:00' + interval (i // 3 * 17) hour as occurred_at,
        i::uhugeint as _row_hash
    from range(60) as numbers (i)
"""


@pytest.fixture
def settings(parsed_project: Path, tmp_path: Path) -> Settings:
    """A working database with staged events and nothing else."""
    settings = Settings(home=tmp_path / "home", as_of=date(2026, 6, 30))
    settings.home.mkdir()
    target_folder(settings).symlink_to(parsed_project, target_is_directory=True)
    with duckdb.connect(str(settings.working_database)) as connection:
        for schema in ("staging", "reference"):
            connection.execute(f"create schema {schema}")
        kinds = PROJECT_ROOT / "seeds" / "reference" / "event_kinds.csv"
        connection.execute(f"create table reference.event_kinds as from read_csv('{kinds}')")
        connection.execute(f"create table staging.stg_web__events as {EVENTS}")
    return settings


def tables(settings: Settings) -> list[list[tuple[Any, ...]]]:
    with duckdb.connect(str(settings.working_database)) as connection:
        return [
            connection.execute(f"from intermediate.{model} order by all").fetchall()
            for model in (CUT[1], *CUT[3:], JOINED)
        ]


def changed_days(settings: Settings) -> list[tuple[str, int]]:
    with duckdb.connect(str(settings.working_database)) as connection:
        return connection.execute(
            "select event_date::varchar, event_count from intermediate.int_event_days_changed"
            " order by all"
        ).fetchall()


def test_a_late_event_a_changed_one_and_an_empty_day_are_replaced_and_nothing_else(
    settings: Settings,
) -> None:
    manifest = parse(settings)
    build(settings, manifest, "marts", [*CUT, JOINED])
    with duckdb.connect(str(settings.working_database)) as connection:
        connection.execute(
            "delete from staging.stg_web__events where occurred_at::date = '2026-01-03'"
        )
        connection.execute(
            "insert into staging.stg_web__events by name select * replace ('late' as event_id,"
            " occurred_at + interval 20 minute as occurred_at)"
            " from staging.stg_web__events where event_id = 'e0'"
        )
        connection.execute(
            "update staging.stg_web__events set anonymous_id = 'v9', _row_hash = 99"
            " where event_id = 'e59'"
        )
        # told apart from what is made anew
        connection.execute(
            "update intermediate.int_session_fragments_cut set landing_page_url = 'as it was'"
        )
    build(settings, manifest, "marts", [*CUT, JOINED], increment=True)
    days = changed_days(settings)
    assert ("2026-01-03", 0) in days
    assert len(days) == 3
    with duckdb.connect(str(settings.working_database)) as connection:
        anew = connection.execute(
            "select distinct event_date::varchar from intermediate.int_session_fragments_cut"
            " where landing_page_url is null order by all"
        ).fetchall()
        connection.execute(
            "update intermediate.int_session_fragments_cut set landing_page_url = null"
        )
        connection.execute("update intermediate.int_sessions_joined set landing_page_url = null")
    assert anew == [(day,) for day, count in days if count]

    grown = tables(settings)
    build(settings, manifest, "marts", [*CUT, JOINED])
    full = tables(settings)
    assert grown == full


def test_another_as_of_day_adds_and_takes_away_days(settings: Settings) -> None:
    manifest = parse(settings)
    build(settings, manifest, "marts", [*CUT, JOINED])
    earlier = settings.model_copy(update={"as_of": date(2026, 1, 4)})
    build(earlier, manifest, "marts", [*CUT, JOINED], increment=True)
    grown = tables(earlier)
    build(earlier, manifest, "marts", [*CUT, JOINED])
    assert grown == tables(earlier)
