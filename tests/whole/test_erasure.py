"""A person is forgotten: no byte of them is left, nothing brings them back, others stay right."""

import json
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.activation.declarations import read_exports
from orchestration.activation.identifiers import Identifier, Platform, identifier_sql
from orchestration.database import DatabaseFile
from orchestration.landing import FEEDS
from orchestration.privacy.certificates import certificates, pending
from orchestration.privacy.identifiers import record_sql
from orchestration.privacy.people import People, Registry
from orchestration.privacy.scanning import Scanner
from orchestration.release import list_releases, read_manifest, verify_release
from tests.conftest import SAMPLE, Installation

BY = ("--by", "Eva Lind", "--why", "case 17")


def people_of(installation: Installation, *identifiers: str) -> People:
    """Everything by which these people could be found again."""
    current = installation.home / "current" / "warehouse.duckdb"
    with duckdb.connect(str(installation.home / "work.duckdb"), read_only=True) as connection:
        registry = Registry(connection, DatabaseFile(current.resolve()))
        return registry.people([registry.find(one)[0] for one in identifiers])


def naive_search(folder: Path, needles: list[str]) -> Iterator[str]:
    """Another search than the one that is judged: plain Python, cell by cell and file by file."""
    words = re.compile(
        "|".join(rf"(?<![A-Za-z0-9]){re.escape(n)}(?![A-Za-z0-9])" for n in needles), re.I
    )
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if content[8:12] == b"DUCK":
            with duckdb.connect(str(path), read_only=True) as connection:
                for schema, table in connection.execute(
                    "select schema_name, table_name from duckdb_tables()"
                ).fetchall():
                    rows = connection.execute(f'select * from "{schema}"."{table}"').fetchall()
                    if any(words.search(cell) for row in rows for cell in row if type(cell) is str):
                        yield f"{path.name}: {schema}.{table}"
        elif content[:4] == b"PAR1":
            rows = duckdb.connect().execute(f"select * from '{path}'").fetchall()
            if any(words.search(cell) for row in rows for cell in row if type(cell) is str):
                yield path.name
        elif content.startswith(b"SQLite format 3"):
            with sqlite3.connect(path) as connection:
                for line in connection.iterdump():
                    if words.search(line):
                        yield path.name
        elif words.search(content.decode("utf-8", "replace")):
            yield path.name


def without(landing: Path, raw: Path, records: set[str], folder: Path) -> None:
    """Write a landing as if some records, and what hangs on them, had never been.

    Not by tombstones: rows are left out by the ids of their records, orders and visitors.
    """
    with duckdb.connect(str(raw), read_only=True) as connection:
        connection.execute("create temp table gone (record varchar)")
        connection.execute("insert into temp.gone select unnest($records)", {"records": [*records]})
        for feed in FEEDS:
            columns = ", ".join(f'"{column.name}"' for column in feed.columns)
            is_gone = {
                "shop/order_lines": "'shop:order:' || order_id in (from temp.gone)",
                "web/events": (
                    "coalesce('shop:' || user_id in (from temp.gone), false)"
                    " or coalesce('web:' || anonymous_id in (from temp.gone), false)"
                    " or coalesce('shop:order:' || order_id in (from temp.gone), false)"
                ),
                **dict.fromkeys(
                    ("mailing/consents", "mailing/suppressions"),
                    "coalesce(lower(trim(email)) in (from temp.gone), false)"
                    " or coalesce(phone in (from temp.gone), false)",
                ),
            }.get(feed.name, f"coalesce({record_sql(feed)} in (from temp.gone), false)")
            (folder / feed.name).mkdir(parents=True)
            connection.execute(
                f"copy (select {columns} from raw.{feed.table} where not ({is_gone})"
                f" order by _loaded_at, _source_file)"
                f" to '{folder / feed.name / 'all.csv'}' (header, force_quote *)"
            )


@pytest.fixture(scope="module")
def bridging(sample_release: Path) -> str:
    """A customer of many sources whose leaving changes how others are compared.

    Somebody else was compared with them and bears a value that they bear too.
    """
    with duckdb.connect(str(sample_release), read_only=True) as connection:
        ((customer,),) = connection.execute(
            """
            with touched as (
                select customer_id from marts.customer_matches
                where customer_id <> other_customer_id and contains(shared_contacts, 'household')
                union
                select other_customer_id from marts.customer_matches
                where customer_id <> other_customer_id and contains(shared_contacts, 'household')
            )
            select customer_id from marts.customer_sources
            where customer_id in (select customer_id from touched)
            group by customer_id
            order by count(distinct source) desc, count(*) desc, customer_id
            limit 1
            """
        ).fetchall()
    return str(customer)


@pytest.fixture(scope="module")
def forgotten(
    sample_release: Path, bridging: str, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    """The sample with three releases, a decision about the person and a failed run; then erased."""
    folder = tmp_path_factory.mktemp("forgotten")
    Installation(SAMPLE, sample_release.resolve().parents[2]).copy_to(folder)
    installation = Installation(folder / "landing", folder / "home")
    people = people_of(installation, bridging)
    contact = next(record for record in people.records if record.count(":") == 1)
    other = installation.query(
        "select min(source_record_id) from marts.customer_sources"
        f" where customer_id <> '{bridging}' and record_type = 'contact'"
    )[0][0]
    installation.warehouse("decide", "not-same", contact, other, *BY)
    installation.run(as_of="2026-07-01")
    installation.run(as_of="2026-07-02")
    broken = installation.landing / "crm" / "contacts" / "2026-07-03.csv"
    broken.write_text("no,such\n1,2\n", encoding="utf-8")
    failed = installation.warehouse("run", as_of="2026-07-02")
    assert failed.exit_code == 1
    broken.unlink()
    assert installation.warehouse("make-key", "backup").exit_code == 0
    made = installation.warehouse("backup", as_of="2026-07-02")
    assert made.exit_code == 0, made.output
    (backup,) = (installation.home / "backups").iterdir()
    shutil.copyfile(backup, folder / "kept-elsewhere.whb")
    before = {
        release.id: read_manifest(release) for release in list_releases(installation.settings)
    }
    work = folder / "before.duckdb"
    shutil.copyfile(installation.home / "work.duckdb", work)
    people = people_of(installation, bridging)
    dry = installation.warehouse("forget", bridging, as_of="2026-07-02")
    untouched = Scanner(people.needles).folder(installation.home).places
    outcome = installation.warehouse("forget", bridging, "--confirm", *BY, as_of="2026-07-02")
    return {
        "installation": installation,
        "people": people,
        "before": before,
        "work": work,
        "dry": dry,
        "untouched": untouched,
        "outcome": outcome,
        "folder": folder,
        "backup": backup,
    }


def test_a_dry_run_says_what_would_go_and_changes_nothing(forgotten: Mapping[str, Any]) -> None:
    dry = forgotten["dry"]
    assert dry.exit_code == 0
    assert "Nothing was changed" in dry.output
    assert "crm/contacts" in dry.output
    assert len(forgotten["untouched"]) > 100


def test_no_byte_of_the_person_is_left(forgotten: Mapping[str, Any]) -> None:
    installation, people = forgotten["installation"], forgotten["people"]
    assert forgotten["outcome"].exit_code == 0, forgotten["outcome"].output
    assert len(people.needles) > 40
    assert list(naive_search(installation.home, [*people.needles])) == []
    findings = Scanner(people.needles, people.keys).folder(installation.home)
    assert findings.places == []
    assert findings.cell_count > 1_000_000


def test_exports_are_of_the_last_release_only_and_an_erasure_knows_every_hash_in_them(
    forgotten: Mapping[str, Any],
) -> None:
    """The person was in none; so the hashes of those who are handed to a platform are looked at."""
    installation = forgotten["installation"]
    (current,) = list_releases(installation.settings)[-1:]
    exports = read_exports()
    assert len(exports) > 2
    for one in exports:
        (version,) = (installation.home / "exports" / one.name).glob("2*")
        assert version.name.endswith(current.id)
        manifest = json.loads((version / "manifest.json").read_text())
        assert manifest["mode"] == ("replace" if one.mode == "full" else "delta"), one.name
    members = installation.query(
        "select customer_id, address from marts.audience_members"
        " where audience = 'Partner Lookalikes' order by 1"
    )
    known = set(people_of(installation, *(customer for customer, _ in members)).needles)
    # an address that others bear too is not theirs alone, and stays
    own = [address for _, address in members if address in known]
    assert own
    for platform, name in (
        (Platform.META, "lookalikes_meta/latest/members.csv"),
        (Platform.GOOGLE, "lookalikes_google/latest/members.parquet"),
    ):
        exported = duckdb.execute(f"from '{installation.home / 'exports' / name}'").fetchall()
        hashing = identifier_sql(Identifier.EMAIL_SHA256, platform)
        hashes = duckdb.execute(
            f"select {hashing} from (select unnest(?) as address)", [own]
        ).fetchall()
        assert {*hashes} <= {*exported}
        assert {text for (text,) in hashes} <= known


def test_a_backup_without_the_person_takes_the_place_of_older_ones(
    forgotten: Mapping[str, Any],
) -> None:
    installation = forgotten["installation"]
    (certificate,) = certificates(installation.settings)
    assert certificate.backups_deleted == (forgotten["backup"].name,)
    (fresh,) = (installation.home / "backups").iterdir()
    assert fresh.name != forgotten["backup"].name
    assert installation.warehouse("verify-backup", "--all").exit_code == 0


def test_a_backup_from_before_the_erasure_brings_nobody_back(
    forgotten: Mapping[str, Any], tmp_path: Path
) -> None:
    """One that was copied elsewhere, into a home of its own."""
    installation, people = forgotten["installation"], forgotten["people"]
    kept, home = str(forgotten["folder"] / "kept-elsewhere.whb"), tmp_path / "restored"
    outcome = installation.warehouse("restore", kept, "--into", str(home), "--confirm", *BY)
    assert outcome.exit_code == 0, outcome.output
    assert list(naive_search(home, [*people.needles])) == []
    assert Scanner(people.needles, people.keys).folder(home).places == []
    restored = Installation(installation.landing, home)
    first, again = certificates(restored.settings)
    assert (again.requested_by, again.found) == ("restore", 0)
    assert first.erasure_id in again.reason
    assert again.rows == first.rows
    # the release is the one that the erasure itself had written anew
    (release,) = list_releases(restored.settings)
    assert release.id in first.releases.values()


def test_the_certificate_tells_what_was_done_and_names_nobody(
    forgotten: Mapping[str, Any],
) -> None:
    installation, people = forgotten["installation"], forgotten["people"]
    (certificate,) = certificates(installation.settings)
    assert pending(installation.settings) == []
    assert certificate.customer_count == 1
    assert certificate.found == 0
    assert certificate.decisions_removed == 1
    assert len(certificate.releases) == 3
    assert certificate.rows["crm/contacts"]["deleted"] >= 1
    text = (
        installation.home / "erasures" / certificate.erasure_id / "certificate.json"
    ).read_text()
    assert not list(Scanner(people.needles).in_bytes(text.encode()))
    listed = installation.warehouse("erasures")
    assert listed.exit_code == 0
    assert certificate.erasure_id in listed.output
    key = installation.home / "erasure.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_certificate_that_was_changed_is_noticed(
    forgotten: Mapping[str, Any], tmp_path: Path
) -> None:
    copy = Installation(tmp_path, tmp_path / "home")
    shutil.copytree(forgotten["installation"].home / "erasures", copy.home / "erasures")
    shutil.copy(forgotten["installation"].home / "erasure.key", copy.home / "erasure.key")
    (path,) = copy.home.glob("erasures/*/certificate.json")
    path.write_text(path.read_text().replace('"customer_count": 1', '"customer_count": 2'))
    outcome = copy.warehouse("erasures")
    assert outcome.exit_code == 1
    assert "is not as it was written" in outcome.output


def test_every_release_is_whole_and_keeps_its_money(forgotten: Mapping[str, Any]) -> None:
    installation, before = forgotten["installation"], forgotten["before"]
    (certificate,) = certificates(installation.settings)
    assert set(certificate.releases) == set(before)
    releases = {release.id: release for release in list_releases(installation.settings)}
    for old, new in certificate.releases.items():
        verify_release(releases[new])
        assert new[:16] == old[:16]
        manifest = read_manifest(releases[new])
        assert manifest.erasures == (certificate.erasure_id,)
        rows = {name: table.row_count for name, table in manifest.tables.items()}
        assert rows["customers"] == before[old].tables["customers"].row_count - 1
        for kept in ("orders", "order_lines", "cohort_retention", "channel_performance"):
            assert rows[kept] == before[old].tables[kept].row_count, kept


def test_a_release_that_was_written_anew_has_the_orders_of_one_that_was_built_anew(
    forgotten: Mapping[str, Any],
) -> None:
    installation = forgotten["installation"]
    *_, rewritten, built = list_releases(installation.settings)
    tables = read_manifest(rewritten).tables, read_manifest(built).tables
    for name in ("orders", "order_lines", "customer_sources", "customer_purchases"):
        assert tables[0][name] == tables[1][name], name


def test_a_rollback_does_not_bring_the_person_back(
    forgotten: Mapping[str, Any], tmp_path: Path
) -> None:
    copy = forgotten["installation"].copy_to(tmp_path)
    assert copy.warehouse("rollback").exit_code == 0
    people = forgotten["people"]
    assert people.customers[0] not in set(copy.customers().values())


def test_files_that_land_again_do_not_bring_the_person_back(
    forgotten: Mapping[str, Any], tmp_path: Path
) -> None:
    """The same content under other names, with a changed line, and a lost working database."""
    copy = forgotten["installation"].copy_to(tmp_path)
    hash_before = read_manifest(list_releases(copy.settings)[-1]).content_hash
    again = copy.landing / "crm" / "contacts" / "2026-03-31.csv"
    shutil.copyfile(again, again.with_name("2026-07-02-again.csv"))
    (copy.home / "work.duckdb").unlink()
    outcome = copy.run(as_of="2026-07-02")
    people = forgotten["people"]
    assert Scanner(people.needles, people.keys).folder(copy.home).places == []
    assert read_manifest(list_releases(copy.settings)[-1]).content_hash == hash_before, outcome
    with duckdb.connect(str(copy.home / "work.duckdb"), read_only=True) as connection:
        ((lines, told),) = connection.execute(
            "select sum(line_count), sum(loaded_count + rejected_count + forgotten_count)"
            " from raw.files"
        ).fetchall()
    assert lines == told


def test_the_clusters_of_others_are_those_of_a_landing_in_which_the_person_never_was(
    forgotten: Mapping[str, Any],
    new_installation: Callable[[], Installation],
) -> None:
    people = forgotten["people"]
    installation = new_installation()
    gone = {*people.records, *(one for one in people.identifiers if one.startswith("shop:order:"))}
    gone |= {one.removeprefix("email:") for one in people.identifiers if one.startswith("email:")}
    with duckdb.connect(str(forgotten["work"]), read_only=True) as connection:
        phones = {one for one in people.identifiers if one.startswith("phone:")}
        gone |= {
            str(phone)
            for (phone,) in connection.execute(
                "select phone from raw.mailing__consents where phone is not null union"
                " select phone from raw.mailing__suppressions where phone is not null"
            ).fetchall()
            if f"phone:{re.sub('[^0-9]', '', phone).lstrip('0')[-9:]}" in phones
        }
    shutil.rmtree(installation.landing)
    without(SAMPLE, forgotten["work"], gone, installation.landing)
    installation.run(as_of="2026-07-02")

    def clusters(customers: Mapping[str, str]) -> set[frozenset[str]]:
        members: dict[str, set[str]] = {}
        for record, customer in customers.items():
            members.setdefault(customer, set()).add(record)
        return {frozenset(records) for records in members.values()}

    survivors = clusters(forgotten["installation"].customers())
    assert survivors == clusters(installation.customers())
    assert len(survivors) > 2000
