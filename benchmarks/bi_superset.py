"""A real Apache Superset on a release: database, dataset and chart by its API, and a picture.

    make bi-superset

Releases what the sample had delivered by one day in a temporary home, starts Superset on the
loopback with SQLite beside it, adds `current/dashboard.duckdb` as a database, makes a dataset and a
bar chart of it, and holds the chart's numbers against SQL on the release. Then it releases all of
it while Superset runs, and the same chart must tell the new numbers. Last it takes the picture of
`docs/bi.md`. Everything but the picture is gone afterwards. Takes about four minutes on two cores
that do nothing else; no part of `make test`.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import requests
from playwright.sync_api import sync_playwright

from orchestration.settings import PROJECT_ROOT

PICTURE = PROJECT_ROOT / "docs" / "images" / "superset.png"
MOST_BYTES = 300_000
SAMPLE = PROJECT_ROOT / "seeds" / "landing"
# Of each feed the deliveries until this day, then all of them.
DAYS = ("2026-06-21", "2026-06-30")

TABLE, GROUP, MEASURE = "customers_by_segment", "rfm_segment", "customer_count"
METRIC = {
    "expressionType": "SIMPLE",
    "column": {"column_name": MEASURE},
    "aggregate": "SUM",
    "label": "customers",
}
# The connection that docs/bi.md recommends: reads, and neither leaves its file nor its settings.
CONNECT = {
    "read_only": True,
    "config": {"enable_external_access": False, "lock_configuration": True},
}

CONFIGURATION = """\
SECRET_KEY = {secret!r}
SQLALCHEMY_DATABASE_URI = {metadata!r}
# The loopback has no TLS, and nothing may be fetched from elsewhere.
TALISMAN_ENABLED = False
# Every chart is asked of the release, never of a copy of an answer.
DATA_CACHE_CONFIG = {{"CACHE_TYPE": "NullCache"}}
"""


class SupersetError(Exception):
    """Superset did not do what it was asked; the message says what, and what it answered."""


@dataclass
class Superset:
    """A running Superset and a session of its administrator."""

    address: str
    password: str
    session: requests.Session = field(default_factory=requests.Session)

    def log_in(self) -> None:
        """Take a token for the API, and the one that it wants beside every change."""
        told = self.post(
            "security/login",
            {"username": "admin", "password": self.password, "provider": "db", "refresh": False},
        )
        self.session.headers["Authorization"] = f"Bearer {told['access_token']}"
        token = self._answer(self.session.get(self._url("security/csrf_token/"), timeout=60))
        self.session.headers.update({"X-CSRFToken": token["result"], "Referer": self.address})

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for a change. Raises SupersetError with the answer when it is refused."""
        return self._answer(self.session.post(self._url(path), json=body, timeout=120))

    def _url(self, path: str) -> str:
        return f"{self.address}/api/v1/{path}"

    def _answer(self, response: requests.Response) -> dict[str, Any]:
        if not response.ok:
            raise SupersetError(f"{response.request.url}: {response.status_code} {response.text}")
        answer: dict[str, Any] = response.json()
        return answer


def main() -> None:
    """Do it all; prints what was seen, and ends with a sentence when a number differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--superset", type=Path, default=PROJECT_ROOT / ".venv-superset")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    # so that whoever stops this stops Superset, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="bi-superset-") as folder:
        home, landing = Path(folder) / "home", Path(folder) / "landing"
        _deliver(landing, DAYS[0])
        _release(home, landing, DAYS[0])
        with running_superset(options.superset, Path(folder) / "superset") as superset:
            superset.log_in()
            dataset, chart = add_chart(superset, home / "current" / "dashboard.duckdb")
            before = _compare(superset, dataset, home)
            _deliver(landing, DAYS[1])
            _release(home, landing, DAYS[1])
            if _compare(superset, dataset, home) == before:
                raise SupersetError("Both releases say the same, so nothing was shown of a switch.")
            take_picture(superset, chart, options.picture)


@contextmanager
def running_superset(environment: Path, folder: Path) -> Iterator[Superset]:
    """Initialise Superset in a folder, start it on a free port of the loopback, stop it after."""
    folder.mkdir(mode=0o700)
    configuration = folder / "superset_config.py"
    configuration.write_text(
        CONFIGURATION.format(
            secret=secrets.token_urlsafe(42), metadata=f"sqlite:///{folder / 'superset.db'}"
        ),
        encoding="utf-8",
    )
    program = str(environment / "bin" / "superset")
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"} | {
        "SUPERSET_CONFIG_PATH": str(configuration),
        "SUPERSET_HOME": str(folder),
        "FLASK_APP": "superset.app:create_app()",
    }
    password = secrets.token_urlsafe(16)
    for step in (
        ("db", "upgrade"),
        (
            *("fab", "create-admin", "--username", "admin", "--firstname", "Ada"),
            *("--lastname", "Min", "--email", "admin@x.test", "--password", password),
        ),
        ("init",),
    ):
        print(f"superset {' '.join(step[:2])} ...")
        done = subprocess.run(
            [program, *step], env=variables, cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SupersetError(f"superset {' '.join(step[:2])}: {done.stderr[-2000:]}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [program, "run", "--host", "127.0.0.1", "--port", str(port)],
            env=variables, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            superset = Superset(f"http://127.0.0.1:{port}", password)
            _wait(superset.address, server, folder / "server.log")
            yield superset
        finally:
            server.terminate()
            server.wait(timeout=30)


def add_chart(superset: Superset, file: Path) -> tuple[int, int]:
    """Add the file of a role as a database, a dataset of a table, a chart; returns the last two."""
    database = superset.post(
        "database/",
        {
            "database_name": "Warehouse",
            "sqlalchemy_uri": f"duckdb:///{file}",
            "extra": json.dumps({"engine_params": {"connect_args": CONNECT}}),
            "expose_in_sqllab": True,
        },
    )["id"]
    dataset = superset.post(
        "dataset/", {"database": database, "schema": "marts", "table_name": TABLE}
    )
    form = {
        "viz_type": "echarts_timeseries_bar",
        "datasource": f"{dataset['id']}__table",
        "x_axis": GROUP,
        "metrics": [METRIC],
        "groupby": [],
        "orientation": "horizontal",
        "x_axis_sort": "customers",
        "x_axis_sort_asc": True,
        "show_value": True,
        "row_limit": 100,
    }
    chart = superset.post(
        "chart/",
        {
            "slice_name": "Customers by RFM segment",
            "viz_type": form["viz_type"],
            "datasource_id": dataset["id"],
            "datasource_type": "table",
            "params": json.dumps(form),
        },
    )
    return dataset["id"], chart["id"]


def chart_data(superset: Superset, dataset: int) -> dict[str, int]:
    """Ask Superset for what the chart shows: customers by segment."""
    query = {"columns": [GROUP], "metrics": [METRIC], "orderby": [], "row_limit": 100}
    answer = superset.post(
        "chart/data",
        {
            "datasource": {"id": dataset, "type": "table"},
            "queries": [query],
            "result_format": "json",
            "result_type": "full",
        },
    )
    return {row[GROUP]: row["customers"] for row in answer["result"][0]["data"]}


def take_picture(superset: Superset, chart: int, picture: Path) -> None:
    """Log in with a browser and save how the chart is seen.

    Raises SupersetError when the picture is too large.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(f"{superset.address}/login/")
        page.locator("input[type=text], input#username").first.fill("admin")
        page.locator("input[type=password]").first.fill(superset.password)
        page.locator("button[type=submit], input[type=submit]").first.click()
        page.wait_for_url(lambda url: "/login" not in url)
        page.goto(f"{superset.address}/explore/?slice_id={chart}")
        page.locator("canvas").first.wait_for(timeout=120_000)
        page.wait_for_timeout(2_000)  # bars grow
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture)
        browser.close()
    size = picture.stat().st_size
    if size > MOST_BYTES:
        raise SupersetError(f"{picture} has {size:,} bytes, {MOST_BYTES:,} are allowed.")
    print(f"picture  {picture}, {size:,} bytes")


def _compare(superset: Superset, dataset: int, home: Path) -> dict[str, int]:
    """Hold the chart against SQL on the release that is current; returns what both say."""
    shown = chart_data(superset, dataset)
    with duckdb.connect(str(home / "current/dashboard.duckdb"), read_only=True) as release:
        expected = dict(
            release.execute(
                f"select {GROUP}, sum({MEASURE})::bigint from marts.{TABLE} group by 1"
            ).fetchall()
        )
    current = (home / "current").readlink().name
    if shown != expected:
        raise SupersetError(f"Release {current}: Superset shows {shown}, SQL says {expected}.")
    print(
        f"release  {current}: {len(shown)} segments, {sum(shown.values()):,} customers, as by SQL"
    )
    return shown


def _deliver(landing: Path, day: str) -> None:
    """Copy what the sources had delivered by a day; files are named by theirs."""
    for file in SAMPLE.rglob("*.*"):
        copy = landing / file.relative_to(SAMPLE)
        if file.is_file() and file.name[: len(day)] <= day and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)


def _release(home: Path, landing: Path, day: str) -> None:
    print(f"releasing the sample as of {day} ...")
    variables = {name: text for name, text in os.environ.items() if "WAREHOUSE_" not in name}
    done = subprocess.run(
        [str(PROJECT_ROOT / ".venv/bin/python"), "-m", "orchestration", "run"],
        env=variables
        | {
            "WAREHOUSE_LANDING": str(landing),
            "WAREHOUSE_HOME": str(home),
            "WAREHOUSE_AS_OF": day,
        },
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SupersetError(f"The sample was not released as of {day}: {done.stdout[-2000:]}")


def _wait(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            raise SupersetError(f"Superset ended: {log.read_text()[-2000:]}")
        try:
            requests.get(f"{address}/health", timeout=5).raise_for_status()
        except requests.RequestException:
            time.sleep(0.5)
        else:
            return
    raise SupersetError(f"Superset does not answer at {address} after 2 minutes.")


if __name__ == "__main__":
    main()
