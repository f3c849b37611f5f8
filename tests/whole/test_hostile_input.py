"""SQL, shell, templates and paths in every place where a text comes in: refused, or only a text."""

import argparse
import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.cli import build_parser, main
from orchestration.landing import FEEDS
from orchestration.landing.feeds import ColumnType, Feed
from orchestration.settings import Settings
from tests.conftest import SAMPLE_AS_OF, Installation, Outcome

CANARY = "canary-of-hostile-input"
HOSTILE = (
    "'; drop schema raw cascade; --",
    f"\"; copy (select 1) to '/tmp/{CANARY}'; --",
    "x' union select content from read_text('/etc/passwd') where '1'='1",
    f"')); attach '/tmp/{CANARY}.duckdb' as c; create table c.t as select (('1",
    f"$(touch /tmp/{CANARY})`touch /tmp/{CANARY}`",
    "{{ env_var('HOME') }}{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    f"../../../../../../tmp/{CANARY}",
    f"/tmp/{CANARY}",
    "%s%n{0}\\..\\..",
    "\u202e[bold]x[/bold]\r\n\x1b[31m",
)
BY = ("--by", "Eva Lind", "--why", "a test")
# What stands in some columns of a line that is as it should be.
USUAL = {
    "email": "p{}@x.test",
    "requester_email": "p{}@x.test",
    "phone": "+442079460{:03}",
    "requester_phone": "+442079460{:03}",
    "postcode": "SW1A 1AA",
    "first_name": "Jane",
    "purpose": "email_marketing",
    "legal_basis": "consent",
}

Attempt = Callable[[str], list[str]]

# Every argument of every verb that takes a text, with the verb's other arguments as they should be.
ATTEMPTS: dict[str, Attempt] = {
    "audit release": lambda text: ["audit", text],
    "audit against": lambda text: ["audit", f"--against={text}"],
    "rollback to": lambda text: ["rollback", f"--to={text}"],
    "export name": lambda text: ["export", text],
    "metrics metric": lambda text: ["metrics", text],
    "metrics by": lambda text: ["metrics", "purchases", "--by", text],
    "metrics where": lambda text: ["metrics", "purchases", f"--where={text}"],
    "metrics order": lambda text: ["metrics", "purchases", "--order", text],
    "metrics limit": lambda text: ["metrics", "purchases", f"--limit={text}"],
    "quarantine show entry": lambda text: ["quarantine", "show", text],
    "quarantine show by": lambda text: ["quarantine", "show", f"--by={text}", "q-1"],
    "quarantine show why": lambda text: ["quarantine", "show", f"--why={text}", "q-1"],
    "quarantine readmit entry": lambda text: ["quarantine", "readmit", *BY, text],
    "quarantine readmit by": lambda text: ["quarantine", "readmit", f"--by={text}", *BY[2:], "q-1"],
    "quarantine readmit why": lambda text: ["quarantine", "readmit", f"--why={text}", *BY[:2], "q"],
    "quarantine repair entry": lambda text: ["quarantine", "repair", *BY, text, "email=x"],
    "quarantine repair changes": lambda text: [
        "quarantine",
        "repair",
        *BY,
        "q-1",
        f"{text}={text}",
    ],
    "quarantine repair by": lambda text: [
        "quarantine",
        "repair",
        f"--by={text}",
        *BY[2:],
        "q",
        "a=",
    ],
    "quarantine repair why": lambda text: [
        *("quarantine", "repair", f"--why={text}", *BY[:2], "q", "a=")
    ],
    "withdraw file": lambda text: ["withdraw", *BY, text],
    "withdraw version": lambda text: ["withdraw", *BY, f"--version={text}", "crm/contacts/a.csv"],
    "withdraw by": lambda text: ["withdraw", f"--by={text}", *BY[2:], "crm/contacts/none.csv"],
    "withdraw why": lambda text: ["withdraw", f"--why={text}", *BY[:2], "crm/contacts/none.csv"],
    "quality check": lambda text: ["quality", f"--check={text}"],
    "override check": lambda text: ["override", *BY, text],
    "override by": lambda text: ["override", f"--by={text}", *BY[2:], "no/such_check"],
    "override why": lambda text: ["override", f"--why={text}", *BY[:2], "no/such_check"],
    "decide verdict": lambda text: ["decide", *BY, text, "crm:C1", "crm:C2"],
    "decide record": lambda text: ["decide", *BY, "not-same", text, "crm:C2"],
    "decide other": lambda text: ["decide", *BY, "not-same", "crm:C1", text],
    "decide by": lambda text: ["decide", f"--by={text}", *BY[2:], "not-same", "crm:C1", "crm:no"],
    "decide why": lambda text: ["decide", f"--why={text}", *BY[:2], "not-same", "crm:C1", "crm:no"],
    "rectify record": lambda text: ["rectify", *BY, text, "email", "a@x.test"],
    "rectify field": lambda text: ["rectify", *BY, "crm:C1", text, "a@x.test"],
    "rectify value": lambda text: ["rectify", *BY, "crm:C1", "city", f" {text}"],
    "rectify by": lambda text: ["rectify", f"--by={text}", *BY[2:], "crm:C1", "city", "York"],
    "rectify why": lambda text: ["rectify", f"--why={text}", *BY[:2], "crm:C1", "city", "York"],
    "rectifications by": lambda text: ["rectifications", f"--by={text}"],
    "rectifications why": lambda text: ["rectifications", f"--why={text}"],
    "revoke decision_id": lambda text: ["revoke", *BY, text],
    "revoke by": lambda text: ["revoke", f"--by={text}", *BY[2:], "d-1"],
    "revoke why": lambda text: ["revoke", f"--why={text}", *BY[:2], "d-1"],
    "train out": lambda text: ["train", "--dry-run", f"--out={text}"],
    "train min_count": lambda text: ["train", "--dry-run", f"--min-count={text}"],
    "explain reference": lambda text: ["explain", text],
    "explain by": lambda text: ["explain", f"--by={text}", "crm:C1"],
    "explain why": lambda text: ["explain", f"--why={text}", "crm:C1"],
    "preview parameters": lambda text: ["preview", f"--parameters={text}"],
    "preview limit": lambda text: ["preview", f"--limit={text}"],
    "backfill first": lambda text: ["backfill", f"--from={text}", "--to=2026-06-30"],
    "backfill last": lambda text: ["backfill", "--from=2026-06-30", f"--to={text}"],
    "new-source name": lambda text: ["new-source", text],
    "new-source sample": lambda text: ["new-source", "loyalty/members", f"--from={text}"],
    "segments rules": lambda text: ["segments", f"--rules={text}"],
    "dev port": lambda text: ["dev", f"--port={text}"],
    "dashboard port": lambda text: ["dashboard", f"--port={text}"],
    "dashboard role": lambda text: ["dashboard", f"--role={text}"],
    "dashboard address": lambda text: ["dashboard", f"--address={text}"],
    "dashboard certificate": lambda text: ["dashboard", f"--certificate={text}", "--key=none"],
    "dashboard key": lambda text: ["dashboard", "--certificate=/etc/hostname", f"--key={text}"],
    "dashboard user_header": lambda text: ["dashboard", f"--user-header={text}"],
    "dashboard-users set name": lambda text: [
        *("dashboard-users", "set", "--role=viewer", "--no-password", text)
    ],
    "dashboard-users set role": lambda text: ["dashboard-users", "set", f"--role={text}", "Eva"],
    "dashboard-users remove name": lambda text: ["dashboard-users", "remove", text],
    "forget identifier": lambda text: ["forget", text],
    "forget file": lambda text: ["forget", f"--file={text}"],
    "forget by": lambda text: ["forget", f"--by={text}", *BY[2:], "--confirm", "crm:no"],
    "forget why": lambda text: ["forget", f"--why={text}", *BY[:2], "--confirm", "crm:no"],
    "subject-report identifier": lambda text: ["subject-report", *BY, text],
    "subject-report by": lambda text: ["subject-report", f"--by={text}", *BY[2:], "crm:C1"],
    "subject-report why": lambda text: ["subject-report", f"--why={text}", *BY[:2], "crm:C1"],
    "subject-report out": lambda text: ["subject-report", *BY, f"--out={text}", "crm:no"],
    "retention confirm": lambda text: ["retention", *BY, f"--confirm={text}"],
    "retention by": lambda text: ["retention", f"--by={text}", *BY[2:], "--confirm=web/events"],
    "retention why": lambda text: ["retention", f"--why={text}", *BY[:2], "--confirm=web/events"],
    "hold what": lambda text: ["hold", *BY, text],
    "hold by": lambda text: ["hold", f"--by={text}", *BY[2:], "crm:no"],
    "hold why": lambda text: ["hold", f"--why={text}", *BY[:2], "crm:no"],
    "hold until": lambda text: ["hold", *BY, f"--until={text}", "web/events"],
    "hold release": lambda text: ["hold", *BY, f"--release={text}"],
    "access-log of": lambda text: ["access-log", f"--of={text}"],
    "make-key name": lambda text: ["make-key", text],
    "backup to": lambda text: ["backup", f"--to={text}"],
    "backup by": lambda text: ["backup", f"--by={text}"],
    "backup why": lambda text: ["backup", f"--why={text}"],
    "verify-backup file": lambda text: ["verify-backup", text],
    "restore file": lambda text: ["restore", "--confirm", text],
    "restore into": lambda text: ["restore", f"--into={text}", "--confirm", "none.whb"],
    "restore erasures": lambda text: ["restore", f"--erasures={text}", "--confirm", "none.whb"],
    "restore by": lambda text: ["restore", f"--by={text}", "--confirm", "none.whb"],
    "restore why": lambda text: ["restore", f"--why={text}", "--confirm", "none.whb"],
}
# A second each, in libraries that other attempts go through as well.
SLOW = {"metrics where", "metrics by", "metrics order", "train out", "preview parameters"}


# States and currencies that are none stop a run: tests/gates/test_shipped_suites.py.
GATED = {"status", "currency_code"}


def texts_of(feed: Feed) -> list[str]:
    """Columns of a feed in which any text may stand."""
    return [
        column.name
        for column in feed.columns
        if column.type is ColumnType.TEXT and column.name not in {*feed.key, *GATED}
    ]


def _text_arguments(parser: argparse.ArgumentParser, verb: str = "") -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from _text_arguments(sub, f"{verb} {name}".strip())
        elif action.nargs != 0:
            yield f"{verb} {action.dest}"


def test_every_argument_of_every_verb_is_tried() -> None:
    assert set(_text_arguments(build_parser())) == set(ATTEMPTS)


@pytest.fixture(scope="module")
def hostile(parsed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Hostile names of folders and files, hostile cells in every text column of every feed."""
    folder = tmp_path_factory.mktemp("it's; drop schema raw--{{ 1 }} $(id) %s")
    installation = Installation(folder / 'landing "x" [a]*', folder / "home ' x")
    installation.home.mkdir()
    (installation.home / "dbt").symlink_to(parsed_project, target_is_directory=True)
    for feed in FEEDS:
        rows = []
        # Among lines as they should be, or the gate of the landing would stop them all at once.
        for number, text in enumerate([*HOSTILE, *[""] * 3 * len(HOSTILE)]):
            line = text.replace("\r\n", " ").replace("\x1b", "")
            row = {
                column: line or USUAL.get(column, "").format(number) for column in texts_of(feed)
            }
            row |= {key: f"{number}{'' if key == 'line_number' else 'k'}" for key in feed.key}
            rows.append(row)
        installation.write(feed.name, "a'; drop table raw.files; --[{x}]*.csv", rows)
    installation.write("crm/contacts", "a.csv", [{"contact_id": "C1"}, {"contact_id": "C2"}])
    return installation


@pytest.fixture(scope="module")
def released(hostile: Installation) -> Installation:
    outcome = hostile.warehouse("run")
    assert outcome.exit_code == 0, outcome.output
    return hostile


def tried(installation: Installation, arguments: list[str]) -> Outcome:
    """Give a command; what argparse refuses ends like any other refusal."""
    try:
        return installation.warehouse(*arguments)
    except SystemExit as end:
        return Outcome(int(end.code or 0), "")


def state(installation: Installation) -> str:
    """Of everything that no attempt may change; and no file may have been made."""
    for place in (Path("/tmp"), Path.cwd(), installation.home, installation.landing):
        assert not list(place.glob(f"{CANARY}*")), place
    with duckdb.connect(str(installation.home / "work.duckdb"), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, table_name, estimated_size from duckdb_tables() order by all"
        ).fetchall()
    files = {
        str(path): path.stat().st_mtime_ns
        for folder in (installation.landing, installation.home / "releases")
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }
    current = str((installation.home / "current").readlink())
    return hashlib.sha256(json.dumps([tables, files, current]).encode()).hexdigest()


def test_hostile_names_and_cells_are_only_texts(released: Installation) -> None:
    state(released)
    with duckdb.connect(str(released.home / "work.duckdb"), read_only=True) as connection:
        for feed in FEEDS:
            texts = texts_of(feed)
            ((count, first),) = connection.execute(
                f'select count(*), any_value("{texts[-1]}") filter (where starts_with('
                f"\"{texts[-1]}\", $start)) from raw.{feed.table} where _source_file like '%drop%'",
                {"start": HOSTILE[0]},
            ).fetchall()
            assert (count, first) == (4 * len(HOSTILE), HOSTILE[0]), feed.name
    names = {name for (name,) in released.query("select first_name from marts.customers")}
    assert HOSTILE[0] in names


@pytest.mark.parametrize("where", ATTEMPTS)
def test_a_hostile_argument_is_refused_or_only_a_text(released: Installation, where: str) -> None:
    before = state(released)
    for text in HOSTILE[:4] if where in SLOW else HOSTILE:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            outcome = tried(released, ATTEMPTS[where](text))
        assert outcome.exit_code in {0, 1, 2}, text
        assert "Traceback" not in outcome.output + errors.getvalue()
        assert "root:x:" not in outcome.output
        assert state(released) == before, text


@pytest.mark.parametrize(
    "filter_",
    [
        "(select count(*) from read_text('/etc/passwd')) > 0",
        "(select count(*) from read_csv('/etc/passwd')) > 0",
        f"1 = 1); copy (select 1) to '/tmp/{CANARY}'; select (1",
        "getenv('HOME') is not null",
    ],
)
def test_a_filter_of_metrics_reads_the_release_and_nothing_else(
    released: Installation, filter_: str
) -> None:
    before = state(released)
    outcome = released.warehouse("metrics", "purchases", f"--where={filter_}")
    assert outcome.exit_code == 1, outcome.output
    assert "root:x:" not in outcome.output
    assert state(released) == before


PATHS = ("decisions", "erasure_key", "keys", "backups", "exports")


@pytest.mark.parametrize(
    "setting", sorted({*Settings.model_fields} - {"landing", "home", "postgres", *PATHS})
)
def test_a_hostile_setting_is_refused(
    released: Installation, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    for text in HOSTILE:
        monkeypatch.setenv("WAREHOUSE_LANDING", str(released.landing))
        monkeypatch.setenv("WAREHOUSE_HOME", str(released.home))
        monkeypatch.setenv("WAREHOUSE_AS_OF", SAMPLE_AS_OF)
        monkeypatch.setenv(f"WAREHOUSE_{setting.upper()}", text.replace("\0", ""))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert main(["releases"]) == 2
        assert f"WAREHOUSE_{setting.upper()}" in printed.getvalue()


@pytest.mark.parametrize("setting", ["postgres", *PATHS])
def test_a_hostile_path_or_database_is_only_a_name(
    released: Installation, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    before = state(released)
    verbs = (["send"], ["doctor"]) if setting == "postgres" else (["doctor"], ["decisions"])
    for text in HOSTILE:
        monkeypatch.setenv(f"WAREHOUSE_{setting.upper()}", text)
        for verb in verbs:
            outcome = released.warehouse(*verb)
            assert outcome.exit_code in {0, 1, 2}, outcome.output
            assert "Traceback" not in outcome.output
            assert "root:x:" not in outcome.output
        assert state(released) == before, text
    assert setting != "postgres" or "is no connection string" in outcome.output


def test_hostile_files_beside_the_landing_are_refused_by_their_line(
    released: Installation, tmp_path: Path
) -> None:
    """Rules of segments and journals: what people may write by hand."""
    before = state(released)
    for number, text in enumerate(HOSTILE):
        rules = tmp_path / f"{number}.csv"
        rules.write_text(
            "segment,segment_group,purpose,owner,predicate,priority,required_consent,description\n"
            f'"s","g","p","o","{text.replace(chr(34), chr(34) * 2)}","","","d"\n',
            encoding="utf-8",
        )
        outcome = released.warehouse("segments", "--rules", str(rules))
        assert outcome.exit_code in {1, 2}, outcome.output
        journal = released.home / "overrides.csv"
        journal.write_text(f"check_id,{text}\n", encoding="utf-8")
        listed = released.warehouse("overrides")
        assert listed.exit_code == 1
        assert "Traceback" not in listed.output
        journal.unlink()
    assert state(released) == before
