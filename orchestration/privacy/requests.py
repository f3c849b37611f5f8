"""Requests that come with the landing: `<landing>/privacy/erasures/*.csv`.

A privacy portal or a help desk delivers who wants to be forgotten, one request a line, and the next
run does it. The columns are `request_id` and `identifier`; others are left alone. Nothing of such a
file is stored: what was done is known by a keyed hash of the request's id, so the file may stay.
A request that nobody is known by leaves a tombstone all the same. One that several people are meant
by is for a person to decide: every run says so until it is.
"""

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from orchestration.privacy.certificates import Plan, pending, plan_erasure
from orchestration.privacy.holds import refuse_held
from orchestration.privacy.identifiers import identifier_sql
from orchestration.privacy.people import Registry, kind_of
from orchestration.privacy.tombstones import PrivacyError, erasure_key, keyed, requests_done
from orchestration.release import current_release
from orchestration.settings import Settings

log = logging.getLogger("warehouse")

_COLUMNS = ("request_id", "identifier")
_BY = "request in the landing"


@dataclass(frozen=True)
class Request:
    """One line of a file. place: file and line, for messages."""

    place: str
    request_id: str
    identifier: str


def follow_requests(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[str]:
    """Plan the erasures that files of the landing ask for; returns what a person has to look at.

    connection: the working database. Raises PrivacyError when the key cannot be used.
    """
    problems: list[str] = []
    requests = list(_requests(settings, problems))
    if not requests or settings.is_scratch:
        return problems
    key = erasure_key(settings)
    done = requests_done(settings) | {one for plan in pending(settings) for one in plan.requests}
    new = {
        hashed: request
        for request in requests
        if (hashed := keyed(key, f"request:{request.request_id}")) not in done
    }
    if not new:
        return problems
    release = current_release(settings)
    registry = Registry(connection, release.marts if release else None)
    customers: list[str] = []
    unknown: list[str] = []
    taken: list[str] = []
    for hashed, request in new.items():
        try:
            found = registry.find(request.identifier)
        except PrivacyError as error:
            problems.append(f"{request.place}: {error} Nobody was erased for it.")
            continue
        if len(found) > 1:
            problems.append(
                f"{request.place}: {len(found)} customers share the identifier of request "
                f"{request.request_id}, {', '.join(found[:5])}; `warehouse forget` erases the one "
                "who is meant, by customer id."
            )
            continue
        try:
            refuse_held(registry, settings, found, registry.people(found).records)
        except PrivacyError as error:
            problems.append(f"{request.place}: {error}")
            continue
        customers += found
        if not found:
            unknown.append(_tombstone(connection, request.identifier))
        taken.append(hashed)
    if taken:
        plan = _plan(settings, registry, sorted(set(customers)), unknown, taken)
        log.info("%d requests for erasure: %s", len(taken), plan.erasure_id)
    return problems


def _plan(
    settings: Settings,
    registry: Registry,
    customers: list[str],
    unknown: list[str],
    requests: list[str],
) -> Plan:
    people = registry.people(customers)
    people = replace(people, identifiers=tuple(sorted({*people.identifiers, *unknown})))
    return plan_erasure(
        settings,
        people,
        count=len(customers),
        by=_BY,
        why=f"{len(requests)} requests",
        requests=requests,
    )


def _tombstone(connection: duckdb.DuckDBPyConnection, identifier: str) -> str:
    kind = kind_of(identifier)
    if kind in {"record", "customer"}:
        return identifier.strip()
    row = connection.execute(
        f"select {identifier_sql(kind, '$text')}", {"text": identifier.strip().removeprefix(kind)}
    ).fetchone()
    return str(row[0]) if row else ""


def _requests(settings: Settings, problems: list[str]) -> Iterator[Request]:
    seen: set[str] = set()
    for path in sorted(settings.requests.glob("*")):
        name = path.relative_to(settings.landing).as_posix()
        if path.name.startswith("."):
            continue
        if path.suffix.lower() != ".csv":
            problems.append(f"{name} was not read: requests for erasure come as .csv files.")
            continue
        try:
            yield from _in_file(path, name, seen, problems)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            # not its text: a line of it may name somebody
            problems.append(f"{name} cannot be read as CSV ({type(error).__name__}).")


def _in_file(path: Path, name: str, seen: set[str], problems: list[str]) -> Iterator[Request]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.DictReader(file, strict=True)
        missing = [column for column in _COLUMNS if column not in (lines.fieldnames or ())]
        if missing:
            problems.append(
                f"{name}:1: column {' and '.join(missing)} is missing; expected "
                f"{','.join(_COLUMNS)}."
            )
            return
        for line in lines:
            place = f"{name}:{lines.line_num}"
            values = [(line[column] or "").strip() for column in _COLUMNS]
            for column, value in zip(_COLUMNS, values, strict=True):
                if not value:
                    problems.append(f"{place}: {column} is empty; every request has both.")
            request_id, identifier = values
            if not all(values):
                continue
            if request_id in seen:
                problems.append(
                    f"{place}: request {request_id!r} was there before; it counts once."
                )
                continue
            seen.add(request_id)
            yield Request(place, request_id, identifier)
