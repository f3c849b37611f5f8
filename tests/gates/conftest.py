"""One small world, landed and built once; every test gets its own copy of the two files."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from orchestration.identity.state import (
    load_rectifications,
    load_released_ids,
    load_steward_decisions,
)
from orchestration.landing import land
from orchestration.settings import Settings
from orchestration.transform.dbt import LAYERS, build, parse

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

AS_OF = date(2026, 3, 1)

FILES = {
    "crm/contacts/one.csv": """\
contact_id,first_name,last_name,email,phone,birth_date,country,marketing_opt_in,updated_at,is_deleted
C1,Anna,Berg,anna@x.test,+447700900001,1980-02-03,GB,yes,2026-01-01T10:00:00Z,
C2,Peter,Stone,peter@x.test,,1975-05-06,GB,no,2026-01-02T10:00:00Z,
C3,Old,Contact,gone@x.test,,,GB,,2026-01-02T10:00:00Z,true
""",
    "crm/contacts/two.csv": """\
contact_id,first_name,last_name,email,updated_at
C2,Peter,Stone,peter@x.test,2026-02-02T10:00:00Z
""",
    "shop/customers/one.csv": """\
customer_id,first_name,last_name,email,created_at,updated_at
42,Anna,Berg,ANNA@x.test,2025-01-01T00:00:00Z,2025-01-01T00:00:00Z
43,Mia,Field,mia@x.test,2025-01-01T00:00:00Z,2025-01-01T00:00:00Z
""",
    "shop/orders/one.csv": """\
order_id,customer_id,email,ordered_at,status,currency_code,total_amount,refunded_amount,updated_at
1,42,anna@x.test,2026-02-01T10:00:00Z,completed,EUR,100.00,10.00,2026-02-01T10:00:00Z
2,43,mia@x.test,2025-02-01T10:00:00Z,completed,GBP,50.00,,2025-02-01T10:00:00Z
3,,guest@x.test,2026-02-10T10:00:00Z,completed,EUR,25.50,,2026-02-10T10:00:00Z
4,42,anna@x.test,2026-02-11T10:00:00Z,cancelled,EUR,70.00,,2026-02-11T10:00:00Z
""",
    "shop/order_lines/one.csv": """\
order_id,line_number,product_id,quantity,unit_price
1,1,P1,1,60.00
1,2,P2,2,20.00
2,1,P1,1,50.00
""",
    "pos/members/one.csv": """\
member_id,first_name,last_name,email,joined_at,updated_at
M1,Anna,Berg,anna@x.test,2024-01-01T00:00:00Z,2024-01-01T00:00:00Z
""",
    "pos/receipts/one.csv": """\
receipt_id,member_id,store_id,purchased_at,currency_code,total_amount,refunded_amount
R1,M1,S1,2026-02-20T12:00:00Z,GBP,12.34,
R2,,S1,2026-02-21T12:00:00Z,GBP,5.00,
""",
    "web/events/one.jsonl": """\
{"event_id": "E1", "anonymous_id": "V1", "user_id": "42", "event_type": "login", "occurred_at": "2026-02-01T09:00:00Z"}
{"event_id": "E2", "anonymous_id": "V2", "event_type": "page_view", "occurred_at": "2026-02-01T09:00:00Z"}
""",  # noqa: E501 - one JSON object a line
    "support/tickets/one.jsonl": """\
{"ticket_id": "T1", "requester_name": "Mia Field", "requester_email": "mia@x.test", "opened_at": "2026-01-05T09:00:00Z", "updated_at": "2026-01-05T09:00:00Z", "csat_score": "4"}
""",  # noqa: E501
    "mailing/subscribers/one.csv": """\
subscriber_id,email,subscribed_at,updated_at
S1,anna@x.test,2025-06-01T00:00:00Z,2025-06-01T00:00:00Z
""",
    "mailing/deliveries/one.csv": """\
delivery_id,subscriber_id,campaign,event_type,occurred_at
D1,S1,Spring,sent,2026-02-01T08:00:00Z
""",
    "mailing/consents/one.csv": """\
consent_id,email,purpose,status,legal_basis,occurred_at
K1,anna@x.test,email_marketing,granted,consent,2025-06-01T00:00:00Z
""",
    "surveys/responses/one.csv": """\
response_id,email,survey,nps_score,csat_score,responded_at
Q1,mia@x.test,spring,9,5,2026-02-15T00:00:00Z
""",
}


def write_landing(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def land_into(settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.working_database)) as connection:
        land(
            connection,
            settings.landing,
            load_id="run-1",
            loaded_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
        load_released_ids(connection, None)
        load_steward_decisions(connection, settings.decisions)
        load_rectifications(connection, settings.rectifications)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> "Manifest":
    """dbt's project, parsed once."""
    return parse(Settings(home=tmp_path_factory.mktemp("dbt"), as_of=AS_OF))


def build_world(root: Path, manifest: "Manifest", files: dict[str, str]) -> Settings:
    """Land the files and build every layer."""
    settings = Settings(
        landing=write_landing(root / "landing", files), home=root / "home", as_of=AS_OF
    )
    land_into(settings)
    for layer in LAYERS:
        build(settings, manifest, layer)
    return settings


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, manifest: "Manifest") -> Settings:
    """The small world with all layers built; read it, never write to it."""
    return build_world(tmp_path_factory.mktemp("built"), manifest, FILES)


def copy_of(settings: Settings, home: Path) -> Settings:
    """Return the settings of a copy that may be broken."""
    home.mkdir()
    shutil.copy(settings.working_database, home)
    shutil.copy(settings.candidate_database, home)
    return Settings(landing=settings.landing, home=home, as_of=settings.as_of)


@pytest.fixture
def world(built: Settings, tmp_path: Path) -> Settings:
    """A copy of the small world; a test may break it."""
    return copy_of(built, tmp_path / "home")


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    """A working database without tables, for tests that make their own."""
    settings = Settings(home=tmp_path / "home", as_of=AS_OF)
    settings.home.mkdir()
    duckdb.connect(str(settings.working_database)).close()
    return settings
