"""Mutation test of the gates: break one thing in the last day of a good history, see who notices.

    make bench-data-faults PEOPLE=40000 [SEED=11]
    make bench-data-faults PEOPLE=600 CLEAN_DAYS=900

Generates a retailer that delivers every feed daily for two months (once per size), lands all but
the last day, and then, for each fault, lands a last day in which one thing is broken. Prints which
check of the landing gate stopped it or warned of it, and then judges the last 30 clean days, each
against the days before it: the false alarms. With `--all-gates` the faults that the landing gate
let pass go through a whole run. With `--clean-days` there are no faults: that many clean days are
judged.

A clean last day goes first, and what the gate says of it counts for no fault.
"""

import argparse
import csv
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.landings import generate
from orchestration.gates import Severity
from orchestration.gates.drift import accept_deliveries, judge_all, judge_deliveries
from orchestration.gates.gate import SUITES, suite_parameters
from orchestration.gates.lean_import import lean_import
from orchestration.gates.suites import QUERY, Catalogue, load_layer
from orchestration.landing import land
from orchestration.settings import PROJECT_ROOT, Settings

LAST_DAY = date(2026, 6, 30)
CLEAN_DAYS = 30
HISTORY_DAYS = 60

Row = dict[str, Any]
Break = Callable[["Day"], None]


@dataclass
class Day:
    """The files of one day, as rows that a fault may change.

    before: the rows of the day before. texts: what a fault writes in place of the rows of a feed;
    None takes the file away.
    """

    rows: dict[str, list[Row]]
    before: dict[str, list[Row]]
    rng: random.Random
    texts: dict[str, bytes | None] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)

    def each(self, feed: str, change: Callable[[Row], None]) -> None:
        """Change every row of a feed."""
        for row in self.rows[feed]:
            change(row)

    def put(self, feed: str, column: str, value: Callable[[Row], Any]) -> None:
        """Give every filled value of a column another one."""
        for row in self.rows[feed]:
            if row[column] not in (None, ""):
                row[column] = value(row)

    def swap(self, feed: str, one: str, other: str) -> None:
        """Exchange two columns."""
        for row in self.rows[feed]:
            row[one], row[other] = row[other], row[one]

    def slip(self, feed: str, *columns: str) -> None:
        """Move columns down by one row against the others."""
        for column in columns:
            values = [row[column] for row in self.rows[feed]]
            for row, value in zip(self.rows[feed], [values[-1], *values[:-1]], strict=True):
                row[column] = value

    def half(self, feed: str) -> list[Row]:
        """A random half of the rows."""
        return self.rng.sample(self.rows[feed], len(self.rows[feed]) // 2)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong at a source or on the way."""

    feed: str
    name: str
    apply: Break


def file_of(landing: Path, feed: str, day: date) -> Path:
    """The file of a feed and a day."""
    (path,) = (landing / feed).glob(f"{day}.*")
    return path


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV or JSON lines file."""
    with path.open(encoding="utf-8", newline="") as stream:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in stream]
        return list(csv.DictReader(stream))


def as_bytes(rows: list[Row], columns: list[str], suffix: str) -> bytes:
    """The rows as such a file."""
    if suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="raise", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def moved(text: str, **shift: float) -> str:
    """A moment as text, moved; its spelling stays."""
    moment = datetime.fromisoformat(text[:19]) + timedelta(**shift)
    return moment.isoformat() + text[19:]


def wrong_code_page(value: Any) -> Any:
    """UTF-8 read as Windows-1252, as a spreadsheet does."""
    return value.encode().decode("cp1252", "replace") if isinstance(value, str) else value


def money(value: Any, factor: float) -> str:
    """An amount times a factor."""
    return f"{float(value) * factor:.2f}"


# Written before the bands were tried on any of them.
def faults() -> tuple[Fault, ...]:  # noqa: PLR0915 - one line a fault
    """Every fault, in the order of the report."""
    found: list[Fault] = []

    def fault(feed: str, name: str) -> Callable[[Break], Break]:
        def add(apply: Break) -> Break:
            found.append(Fault(feed, name, apply))
            return apply

        return add

    def simple(feed: str, name: str, apply: Break) -> None:
        found.append(Fault(feed, name, apply))

    def column(feed: str, name: str, column: str, value: Callable[[Row], Any]) -> None:
        found.append(Fault(feed, name, lambda day: day.put(feed, column, value)))

    # --- the file -------------------------------------------------------------------------------
    simple("shop/orders", "empty file", lambda d: d.texts.update({"shop/orders": b""}))
    simple("shop/orders", "header only", lambda d: d.rows["shop/orders"].clear())
    simple("web/events", "empty file of JSON lines", lambda d: d.texts.update({"web/events": b""}))
    simple("shop/orders", "file missing", lambda d: d.texts.update({"shop/orders": None}))

    @fault("shop/orders", "half of the rows")
    def _(day: Day) -> None:
        del day.rows["shop/orders"][len(day.rows["shop/orders"]) // 2 :]

    @fault("pos/receipts", "a fifth of the rows")
    def _(day: Day) -> None:
        del day.rows["pos/receipts"][len(day.rows["pos/receipts"]) // 5 :]

    @fault("web/events", "file cut off in the middle")
    def _(day: Day) -> None:
        whole = as_bytes(day.rows["web/events"], [], ".jsonl")
        day.texts["web/events"] = whole[: len(whole) // 2]

    @fault("shop/orders", "yesterday's file again")
    def _(day: Day) -> None:
        day.rows["shop/orders"] = day.before["shop/orders"]

    @fault("all feeds", "yesterday's files again")
    def _(day: Day) -> None:
        day.rows = day.before

    @fault("shop/orders", "rows doubled")
    def _(day: Day) -> None:
        day.rows["shop/orders"] *= 2

    @fault("shop/orders", "the receipts in the folder of the orders")
    def _(day: Day) -> None:
        day.rows["shop/orders"] = day.rows["pos/receipts"]
        day.columns["shop/orders"] = day.columns["pos/receipts"]

    @fault("shop/orders", "the order lines in the folder of the orders")
    def _(day: Day) -> None:
        day.rows["shop/orders"] = day.rows["shop/order_lines"]
        day.columns["shop/orders"] = day.columns["shop/order_lines"]

    @fault("shop/customers", "another shop's export")
    def _(day: Day) -> None:
        for number, row in enumerate(day.rows["shop/customers"]):
            row["customer_id"] = f"NL{number:07}"
            row["country"], row["city"], row["postcode"] = "NL", "Utrecht", "3511 AB"

    @fault("web/events", "robots: twenty times the events")
    def _(day: Day) -> None:
        copies = []
        for number, row in enumerate(day.rows["web/events"] * 20):
            copies.append(row | {"event_id": f"r{number}", "anonymous_id": f"bot{number % 7}"})
        day.rows["web/events"] += copies

    @fault("shop/customers", "a load test's 500 accounts")
    def _(day: Day) -> None:
        first = day.rows["shop/customers"][0]
        for number in range(500):
            mail = f"loadtest+{number}@example.com"
            names = {"first_name": "Load", "last_name": f"Test{number}"}
            day.rows["shop/customers"].append(
                first | names | {"customer_id": f"9{number:05}", "email": mail}
            )

    for feed in ("crm/contacts", "shop/customers", "support/tickets"):

        def damage(day: Day, feed: str = feed) -> None:
            for row in day.rows[feed]:
                row.update({key: wrong_code_page(value) for key, value in row.items()})

        simple(feed, "UTF-8 read as Windows-1252", damage)

    @fault("shop/customers", "written as Latin-1")
    def _(day: Day) -> None:
        whole = as_bytes(day.rows["shop/customers"], day.columns["shop/customers"], ".csv")
        day.texts["shop/customers"] = whole.decode().encode("latin-1", "replace")

    @fault("shop/customers", "letters beyond ASCII became question marks")
    def _(day: Day) -> None:
        for row in day.rows["shop/customers"]:
            row.update({k: v.encode("ascii", "replace").decode() for k, v in row.items()})

    # --- keys -----------------------------------------------------------------------------------
    @fault("shop/orders", "a third of the rows with the key of another")
    def _(day: Day) -> None:
        rows = day.rows["shop/orders"]
        for row in rows[: len(rows) // 3]:
            row["order_id"] = rows[-1]["order_id"]

    column("shop/customers", "one key for all", "customer_id", lambda _: "1")

    @fault("shop/orders", "order numbers start again from the first")
    def _(day: Day) -> None:
        for number, row in enumerate(day.rows["shop/orders"]):
            row["order_id"] = str(500_001 + number)

    @fault("pos/receipts", "receipt numbers start again from the first")
    def _(day: Day) -> None:
        for number, row in enumerate(day.rows["pos/receipts"]):
            row["receipt_id"] = f"R{30_000_001 + number}"

    column(
        "shop/orders",
        "customers named by the CRM's ids",
        "customer_id",
        lambda row: f"C{int(row['customer_id']) + 90_000}",
    )
    column(
        "pos/receipts",
        "member ids without their letter",
        "member_id",
        lambda row: row["member_id"].removeprefix("M"),
    )
    column(
        "shop/orders",
        "ids in exponent notation",
        "customer_id",
        lambda row: f"{float(row['customer_id']):.2E}",
    )
    simple(
        "shop/orders",
        "customer ids one row further",
        lambda d: d.slip("shop/orders", "customer_id"),
    )
    column(
        "shop/order_lines",
        "lines of unknown orders",
        "order_id",
        lambda row: str(int(row["order_id"]) + 1_000_000),
    )

    @fault("shop/order_lines", "orders without lines")
    def _(day: Day) -> None:
        day.rows["shop/order_lines"] = day.rows["shop/order_lines"][:20]

    column(
        "mailing/deliveries",
        "mails of unknown subscribers",
        "subscriber_id",
        lambda row: f"{row['subscriber_id']}0",
    )
    column("web/events", "everybody is one account", "user_id", lambda _: "10001")
    column("web/events", "one cookie for all", "anonymous_id", lambda _: "undefined")

    # --- time -----------------------------------------------------------------------------------
    for feed, moment in (("shop/orders", "ordered_at"), ("web/events", "occurred_at")):
        for text, days in (
            ("a year early", -365),
            ("a week early", -7),
            ("a day early", -1),
            ("a year late", 365),
        ):
            column(
                feed,
                f"{moment} {text}",
                moment,
                lambda row, m=moment, d=days: moved(row[m], days=d),  # type: ignore[misc]
            )
    column(
        "web/events",
        "clocks eight hours off",
        "occurred_at",
        lambda row: moved(row["occurred_at"], hours=-8),
    )
    column(
        "pos/receipts",
        "clocks five hours off",
        "purchased_at",
        lambda row: moved(row["purchased_at"], hours=5),
    )

    @fault("pos/receipts", "day and month exchanged")
    def _(day: Day) -> None:
        # of the thirtieth no month can be made, so those lines are rejected
        day.put(
            "pos/receipts",
            "purchased_at",
            lambda row: re.sub(r"-(\d\d)-(\d\d)", r"-\2-\1", row["purchased_at"], count=1),
        )

    column("shop/orders", "times cut to the day", "ordered_at", lambda row: row["ordered_at"][:10])
    column("shop/orders", "the beginning of 1970", "ordered_at", lambda _: "1970-01-01T00:00:00Z")
    column("crm/contacts", "one updated_at for all", "updated_at", lambda _: "2026-06-30T03:00:00Z")
    column("pos/members", "birth dates of 1900-01-01", "birth_date", lambda _: "1900-01-01")
    column("crm/contacts", "birth dates of today", "birth_date", lambda _: "2026-06-30")
    column("pos/members", "no birth dates", "birth_date", lambda _: "")

    # --- money ----------------------------------------------------------------------------------
    for feed in ("shop/orders", "pos/receipts"):
        column(
            feed,
            "amounts in cents",
            "total_amount",
            lambda row: money(row["total_amount"], 100),
        )
    column(
        "shop/order_lines",
        "prices in cents",
        "unit_price",
        lambda row: money(row["unit_price"], 100),
    )
    column(
        "shop/orders",
        "amounts in thousands",
        "total_amount",
        lambda row: money(row["total_amount"], 0.001),
    )
    column(
        "shop/orders",
        "amounts below zero",
        "total_amount",
        lambda row: money(row["total_amount"], -1),
    )
    column("shop/orders", "amounts of zero", "total_amount", lambda _: "0.00")
    column("shop/orders", "all in dollars", "currency_code", lambda _: "USD")
    column("pos/receipts", "no currency", "currency_code", lambda _: "")
    simple(
        "shop/orders",
        "total and discount exchanged",
        lambda d: d.swap("shop/orders", "total_amount", "discount_amount"),
    )
    simple(
        "shop/order_lines",
        "quantity and price exchanged",
        lambda d: d.swap("shop/order_lines", "quantity", "unit_price"),
    )
    for feed in ("shop/orders", "pos/receipts"):

        @fault(feed, "everything refunded")
        def _(day: Day, feed: str = feed) -> None:
            day.each(feed, lambda row: row.update(refunded_amount=row["total_amount"]))

    # --- people ---------------------------------------------------------------------------------
    column("shop/customers", "one e-mail for all", "email", lambda _: "info@shop.example")
    column("crm/contacts", "one e-mail for all", "email", lambda _: "crm@shop.example")
    column(
        "support/tickets", "the agent's e-mail", "requester_email", lambda _: "desk@shop.example"
    )
    column("shop/customers", "placeholder phones", "phone", lambda _: "000000000")
    column("crm/contacts", "one first name for all", "first_name", lambda _: "Customer")
    for feed in ("shop/customers", "crm/contacts", "mailing/subscribers"):
        simple(
            feed,
            "first and last names exchanged",
            lambda d, feed=feed: d.swap(feed, "first_name", "last_name"),  # type: ignore[misc]
        )
    simple(
        "shop/customers",
        "e-mail and phone exchanged",
        lambda d: d.swap("shop/customers", "email", "phone"),
    )
    simple(
        "crm/contacts",
        "street and city exchanged",
        lambda d: d.swap("crm/contacts", "street", "city"),
    )
    for feed in ("shop/customers", "crm/contacts", "mailing/subscribers"):
        simple(feed, "e-mails one row further", lambda d, feed=feed: d.slip(feed, "email"))  # type: ignore[misc]
    simple(
        "shop/customers",
        "postcodes one row further",
        lambda d: d.slip("shop/customers", "postcode"),
    )
    simple("crm/contacts", "phones one row further", lambda d: d.slip("crm/contacts", "phone"))

    @fault("shop/customers", "a third of the rows one column further")
    def _(day: Day) -> None:
        rows = day.rows["shop/customers"]
        names = day.columns["shop/customers"][1:9]
        for row in rows[: len(rows) // 3]:
            values = [row[name] for name in names]
            row.update(dict(zip(names, [values[-1], *values[:-1]], strict=True)))

    @fault("shop/customers", "names in capital letters")
    def _(day: Day) -> None:
        for name in ("first_name", "last_name"):
            day.put("shop/customers", name, lambda row, name=name: row[name].upper())  # type: ignore[misc]

    column(
        "crm/contacts", "names with blanks around", "last_name", lambda r: f" {r['last_name']}  "
    )
    column(
        "shop/customers", "e-mails cut to ten characters", "email", lambda row: row["email"][:10]
    )
    column(
        "shop/customers",
        "e-mails masked",
        "email",
        lambda row: re.sub(r"^(.).*@", r"\1***@", row["email"]),
    )
    column("shop/customers", "no e-mails", "email", lambda _: "")

    @fault("shop/orders", "half of the e-mails lost")
    def _(day: Day) -> None:
        for row in day.half("shop/orders"):
            row["email"] = ""

    @fault("shop/orders", "no customer ids: everybody a guest")
    def _(day: Day) -> None:
        day.each("shop/orders", lambda row: row.update(customer_id=""))

    column("crm/contacts", "all in one country", "country", lambda _: "US")
    simple(
        "crm/contacts",
        "everybody deleted",
        lambda d: d.each("crm/contacts", lambda row: row.update(is_deleted="true")),
    )
    column(
        "crm/contacts",
        "opt-in turned round",
        "marketing_opt_in",
        lambda row: "false" if row["marketing_opt_in"] == "true" else "true",
    )
    simple(
        "crm/contacts",
        "everybody opted in",
        lambda d: d.each("crm/contacts", lambda row: row.update(marketing_opt_in="true")),
    )
    column("mailing/consents", "all withdrawn", "status", lambda _: "withdrawn")
    column("mailing/consents", "granted and withdrawn as 1 and 0", "status", lambda _: "1")

    # --- words and scales -----------------------------------------------------------------------
    column("shop/orders", "one new status for all", "status", lambda _: "DONE")
    column("shop/orders", "statuses in another language", "status", lambda r: f"z_{r['status']}")
    column("web/events", "every event a page view", "event_type", lambda _: "page_view")

    @fault("web/events", "campaigns lost")
    def _(day: Day) -> None:
        lost = dict.fromkeys(("utm_source", "utm_medium", "utm_campaign", "referrer"))
        day.each("web/events", lambda row: row.update(lost))

    column("mailing/deliveries", "every mail opened", "event_type", lambda _: "open")
    column(
        "surveys/responses", "scores from 0 to 100", "nps_score", lambda r: int(r["nps_score"]) * 10
    )
    column(
        "surveys/responses", "scale turned round", "nps_score", lambda r: 10 - int(r["nps_score"])
    )
    column("support/tickets", "everybody content", "csat_score", lambda _: 5)
    column("support/tickets", "texts cut to ten characters", "body", lambda row: row["body"][:10])
    column("shop/order_lines", "one product for all", "product_id", lambda _: "SKU-1000")
    return tuple(found)


@dataclass(frozen=True)
class Verdict:
    """What the gate said of a fault. stopped, warned: the first sentence of either."""

    fault: Fault
    stopped: str | None
    warned: str | None

    @property
    def line(self) -> str:
        """A row of the table."""
        level = Severity.CRITICAL if self.stopped else Severity.WARNING if self.warned else "-"
        said = (self.stopped or self.warned or "").replace("|", "/")[:160]
        return f"| {self.fault.feed}: {self.fault.name} | {level} | {said} |"


class Trial:
    """A history that has passed, beside a landing in which the last day can be broken.

    The queries of the landing suites are asked directly, on one connection that stays open: what
    they find is what Great Expectations would, at a tenth of the time.
    """

    def __init__(self, generated: Path, folder: Path) -> None:
        self.generated = generated
        self.landing = folder / "landing"
        self.settings = Settings(landing=self.landing, home=folder / "home", as_of=LAST_DAY)
        shutil.rmtree(folder, ignore_errors=True)
        self.settings.home.mkdir(parents=True)
        self.feeds = sorted(
            f"{path.parent.name}/{path.name}" for path in generated.glob("*/*") if path.is_dir()
        )
        for feed in self.feeds:
            (self.landing / feed).mkdir(parents=True)
            for path in (generated / feed).iterdir():
                if not path.name.startswith(str(LAST_DAY)):
                    (self.landing / feed / path.name).symlink_to(path.resolve())
        self.connection = duckdb.connect(
            str(self.settings.working_database),
            config={"storage_compatibility_version": "latest"},
        )
        self.land("history")
        judge_all(self.connection, [], LAST_DAY)
        accept_deliveries(self.connection)
        with lean_import():
            from orchestration.gates import asking  # noqa: PLC0415 - imports Great Expectations
        self.suites = load_layer(
            SUITES,
            "landing",
            Catalogue(self.connection),
            suite_parameters(self.settings),
            asking.expectation_types(),
        )

    def day(self, seed: str) -> Day:
        """The last day, unbroken."""
        before = LAST_DAY - timedelta(days=1)
        rows = {feed: read_rows(file_of(self.generated, feed, LAST_DAY)) for feed in self.feeds}
        return Day(
            rows,
            {feed: read_rows(file_of(self.generated, feed, before)) for feed in self.feeds},
            random.Random(seed),  # noqa: S311 - the same faults every time
            columns={feed: list(rows[feed][0]) for feed in self.feeds},
        )

    def deliver(self, day: Day) -> None:
        """Write the files of the day in place of those that lay there."""
        for feed in self.feeds:
            suffix = file_of(self.generated, feed, LAST_DAY).suffix
            path = self.landing / feed / f"{LAST_DAY}{suffix}"
            path.unlink(missing_ok=True)
            text = day.texts.get(feed, as_bytes(day.rows[feed], day.columns[feed], suffix))
            if text is not None:
                path.write_bytes(text)
                # older than a copy under way, which would wait for the next run
                os.utime(path, (time.time() - 3600,) * 2)

    def judge(self) -> tuple[list[str], list[str]]:
        """Land the day on the history and ask the landing suites: failures and warnings."""
        try:
            self.land("day")
            judge_deliveries(self.connection, self.settings)
            said: dict[Severity, list[str]] = {Severity.CRITICAL: [], Severity.WARNING: []}
            for suite in self.suites:
                for check in suite.checks:
                    if check.asked_as == QUERY:
                        said[check.severity] += [
                            f"{suite.table}: {row[0]}"
                            for row in self.connection.execute(check.arguments["query"]).fetchall()
                        ]
        finally:
            self.forget("day")
        return said[Severity.CRITICAL], said[Severity.WARNING]

    def land(self, load_id: str) -> None:
        """Land what is new."""
        land(self.connection, self.landing, load_id=load_id, loaded_at=datetime.now(UTC))

    def forget(self, load_id: str) -> None:
        """Take back what a load has brought."""
        tables = self.connection.execute(
            "select schema_name || '.' || table_name, column_name from duckdb_columns()"
            " where schema_name in ('raw', 'quality') and column_name in ('_load_id', 'load_id')"
        ).fetchall()
        for table, column in tables:
            self.connection.execute(f"delete from {table} where {column} = $id", {"id": load_id})


def try_faults(trial: Trial, chosen: tuple[Fault, ...]) -> tuple[list[str], list[Verdict]]:
    """Returns what the gate says of the clean day, and of every fault what it says besides."""
    trial.deliver(trial.day("clean"))
    critical, warnings = trial.judge()
    clean = [*critical, *warnings]
    verdicts = []
    for fault in chosen:
        day = trial.day(fault.name)
        fault.apply(day)
        trial.deliver(day)
        critical, warnings = ([one for one in said if one not in clean] for said in trial.judge())
        verdict = Verdict(fault, next(iter(critical), None), next(iter(warnings), None))
        verdicts.append(verdict)
        print(verdict.line, flush=True)
    return clean, verdicts


def false_alarms(trial: Trial) -> list[tuple[str, str]]:
    """Level and sentence of every finding on the last clean days, each against those before."""
    trial.deliver(trial.day("clean"))
    trial.land("day")
    days = [LAST_DAY - timedelta(days=ago) for ago in range(CLEAN_DAYS)]
    judge_all(trial.connection, days, LAST_DAY)
    found = trial.connection.execute(
        "select level, sentence from quality.drift_findings order by level, finding_id"
    ).fetchall()
    trial.forget("day")
    return found


def judge_clean_days(generated: Path, folder: Path, count: int) -> list[tuple[str, str]]:
    """Level and sentence of what is found on the last `count` days, each beside those before."""
    shutil.rmtree(folder, ignore_errors=True)
    files = sorted(generated.glob("*/*/*"), key=lambda path: path.name)
    found: list[tuple[str, str]] = []
    with duckdb.connect(str(_new_folder(folder) / "work.duckdb")) as connection:
        # a month at a time: the profiles of the deliveries before it are still kept
        for ago in range(count, 0, -CLEAN_DAYS):
            days = [LAST_DAY - timedelta(days=n) for n in range(max(0, ago - CLEAN_DAYS), ago)]
            while files and files[0].name[:10] <= str(max(days)):
                path = files.pop(0)
                place = _new_folder(folder / "landing" / path.parent.relative_to(generated))
                (place / path.name).symlink_to(path.resolve())
            land(connection, folder / "landing", load_id=str(ago), loaded_at=datetime.now(UTC))
            judge_all(connection, days, max(days))
            found += connection.execute(
                "select level, sentence from quality.drift_findings order by delivery_day"
            ).fetchall()
            print(f"{max(days)}: {len(found)} findings", flush=True)
    shutil.rmtree(folder)
    return found


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def show_alarms(alarms: list[tuple[str, str]], day_count: int) -> None:
    """How many clean days would have stopped a run, and every sentence."""
    critical = sum(level == Severity.CRITICAL for level, _ in alarms)
    print(
        f"{day_count} clean days: {critical} false alarms that stop,"
        f" {len(alarms) - critical} that warn"
    )
    for level, said in alarms:
        print(f"  {level}: {said}")


def run_all_gates(trial: Trial, missed: list[Fault], folder: Path) -> dict[str, str]:
    """Let whole runs decide about faults; returns per fault which gate stopped it, or `released`.

    The history is released first; each fault runs on a copy of that installation.
    """
    released = folder / "released"
    for feed in trial.feeds:
        for path in (trial.landing / feed).glob(f"{LAST_DAY}.*"):
            path.unlink()
    _run(trial.landing, released, LAST_DAY - timedelta(days=1))
    outcomes = {}
    for fault in missed:
        home = folder / "tried"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(released, home, symlinks=True)
        day = trial.day(fault.name)
        fault.apply(day)
        trial.deliver(day)
        outcomes[f"{fault.feed}: {fault.name}"] = _run(trial.landing, home, LAST_DAY)
    return outcomes


def _run(landing: Path, home: Path, as_of: date) -> str:
    environment = os.environ | {
        "WAREHOUSE_LANDING": str(landing),
        "WAREHOUSE_HOME": str(home),
        "WAREHOUSE_AS_OF": str(as_of),
    }
    subprocess.run(
        [sys.executable, "-m", "orchestration", "run"],
        check=False,
        env=environment,
        capture_output=True,
    )
    newest = max((home / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime)
    record = json.loads(newest.read_text(encoding="utf-8"))
    if record["outcome"] == "released":
        return "released"
    failed = [gate for gate in record["gates"] if not gate["passed"]]
    return f"{failed[0]['layer']}: {failed[0]['failures'][0]}" if failed else "no gate"


def main() -> None:
    """Try every fault and every clean day, print what was said."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--people", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=11, help="another one is another retailer")
    parser.add_argument("--out", type=Path, default=PROJECT_ROOT / "benchmarks" / "out")
    parser.add_argument("--only", default="", help="faults whose feed and name contain this")
    parser.add_argument("--all-gates", action="store_true", help="whole runs for the faults left")
    parser.add_argument("--clean-days", type=int, help="no faults: judge so many clean days")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folder = options.out / "data-faults"
    day_count = HISTORY_DAYS + (options.clean_days or 0)
    name = f"daily-{options.people}-{options.seed}-{day_count}"
    generated = generate(
        options.out / name,
        options.out / f"{name}-truth",
        people=options.people,
        format="daily",
        days=day_count,
        seed=options.seed,
        as_of=LAST_DAY,
    )
    if options.clean_days:
        alarms = judge_clean_days(generated, folder, options.clean_days)
        show_alarms(alarms, options.clean_days)
        return
    trial = Trial(generated, folder)
    chosen = tuple(one for one in faults() if options.only in f"{one.feed}: {one.name}")
    print("| fault | landing gate | by |\n|---|---|---|")
    clean, verdicts = try_faults(trial, chosen)
    print(f"\nthe clean last day: {'; '.join(clean) or 'nothing'}")
    stopped = [one for one in verdicts if one.stopped]
    warned = [one for one in verdicts if one.warned and not one.stopped]
    print(
        f"\n{len(verdicts)} faults: {len(stopped)} stopped by the landing gate"
        f" ({len(stopped) / max(len(verdicts), 1):.1%}), {len(warned)} warned of,"
        f" {len(verdicts) - len(stopped) - len(warned)} unnoticed"
    )
    show_alarms(false_alarms(trial), CLEAN_DAYS)
    if options.all_gates:
        missed = [one.fault for one in verdicts if not one.stopped]
        outcomes = run_all_gates(trial, missed, folder)
        later = [said for said in outcomes.values() if said != "released"]
        print("\n| fault that the landing gate let pass | whole run |\n|---|---|")
        for name, said in outcomes.items():
            print(f"| {name} | {said[:160]} |")
        share = (len(stopped) + len(later)) / max(len(verdicts), 1)
        print(f"\nall gates: {len(stopped) + len(later)} of {len(verdicts)} stopped ({share:.1%})")
    trial.connection.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
