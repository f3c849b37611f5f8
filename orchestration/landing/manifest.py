"""The manifest: every version of every file, in `raw.files`, and its rejects, in `raw.rejects`.

It answers which files of a listing have to be read, and keeps what became of those that were. One
entry per path and content hash; the one that the last listing contained has `is_present`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import duckdb

from orchestration.landing.feed_policies import FeedPolicy
from orchestration.landing.feeds import Feed
from orchestration.landing.listing import LandedFile
from orchestration.landing.readers import Columns
from orchestration.landing.report import FileOutcome, Outcome
from orchestration.landing.schema_drift import Drift
from orchestration.landing.sieve import Reject
from orchestration.sql import quoted, rows, transaction

_PAGE = 5_000

_STATUS = {Outcome.REFUSED: "refused", Outcome.WITHDRAWN: "withdrawn"}
"""Status of files of which nothing is in raw."""


class Manifest:
    """The manifest as one load reads and extends it; `raw.files` and `raw.rejects` must exist.

    loaded_at: of what is entered from now on, in UTC, without zone. columns_before: by feed name,
    the contract columns that the file read last had; without an entry when none was read. moments:
    when files that are read once more landed, by name; they count as landed then. `forget`,
    `record` and `add_rejects` belong into the transaction that inserts the rows; the other methods
    commit by themselves.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        load_id: str,
        loaded_at: datetime,
        policies: Mapping[str, FeedPolicy],
    ) -> None:
        self.columns_before: dict[str, frozenset[str]] = {}
        self._policies = policies
        self.moments: dict[str, datetime] = {}
        self._connection = connection
        self._load_id = load_id
        self.loaded_at = loaded_at
        self._known_paths: set[str] = set()
        self._known_contents: set[tuple[str, str]] = set()

    def compare(
        self, files: Sequence[LandedFile]
    ) -> tuple[dict[str, FileOutcome], tuple[str, ...]]:
        """Compare a listing with the last one.

        Returns the outcome of each file that has not changed, by path, and the paths that the
        last listing contained and this one does not, which are marked as gone. A file whose
        columns the contract gained, whose rejected lines it may read otherwise by now, or which
        it or the policy refused when they were others, counts as changed.
        """
        known = rows(
            self._connection,
            """
            select file_path, content_hash, size_bytes, modified_ns, status, line_count,
                loaded_count, new_row_count, repeated_row_count, rejected_count,
                forgotten_count, expired_count, message, is_present, loaded_at, extra_columns,
                accepted_columns, read_columns, contract
            from raw.files
            qualify row_number() over (
                partition by file_path order by is_present desc, loaded_at desc, content_hash
            ) = 1
            """,
        )
        listed = {file.name: file for file in files}
        by_path = {row["file_path"]: row for row in known}
        self._known_paths.update(by_path)
        self._known_contents.update(
            self._connection.execute(
                "select distinct feed, content_hash from raw.files where status = 'loaded'"
            ).fetchall()
        )
        self.columns_before = {
            feed: frozenset(columns.split(", "))
            for feed, columns in self._connection.execute(
                "select feed, arg_max(read_columns, (loaded_at, file_path)) from raw.files"
                " where status = 'loaded' and read_columns is not null group by feed"
            ).fetchall()
        }
        unchanged: dict[str, FileOutcome] = {}
        returned: list[tuple[str, str]] = []
        for name, file in listed.items():
            row = by_path.get(name)
            if row is None or not row["content_hash"]:
                continue
            if (row["size_bytes"], row["modified_ns"]) != (file.size_bytes, file.modified_ns):
                continue
            if self._reads_otherwise(file, row):
                if row["status"] == "loaded":
                    self.moments[name] = row["loaded_at"]
                    self._known_contents.discard((file.feed.name, row["content_hash"]))
                continue
            unchanged[name] = _known_outcome(file, row)
            if not row["is_present"]:
                returned.append((name, row["content_hash"]))
        vanished = [
            path for path, row in by_path.items() if row["is_present"] and path not in listed
        ]
        if returned or vanished:
            with transaction(self._connection):
                for path in vanished:
                    self._set_present(path, None)
                for path, content_hash in returned:
                    self._set_present(path, content_hash)
        return unchanged, tuple(vanished)

    def is_read_again(self, file: LandedFile) -> bool:
        """Tell whether a file that was loaded and has not changed is read once more."""
        return file.name in self.moments

    def is_known(self, file: LandedFile, content_hash: str) -> bool:
        """Tell whether a content was loaded before, under this or another name."""
        return (file.feed.name, content_hash) in self._known_contents

    def forget(self, file: LandedFile, content_hash: str) -> None:
        """Take out rows, rejects and quarantine of a version of a file: it is read once more."""
        if file.name not in self._known_paths:
            return
        loads = self._connection.execute(
            "select load_id from raw.files where file_path = $path and content_hash = $hash",
            {"path": file.name, "hash": content_hash},
        ).fetchall()
        for (load_id,) in loads:
            self._connection.execute(
                f"delete from raw.{quoted(file.feed.table)}"
                " where _source_file = $path and _load_id = $load_id",
                {"path": file.name, "load_id": load_id},
            )
            self._connection.execute(
                "delete from raw.quarantine where feed = $feed and _source_file = $path"
                " and _load_id = $load_id",
                {"feed": file.feed.name, "path": file.name, "load_id": load_id},
            )
            self._connection.execute(
                "delete from raw.rejects where source_file = $path and content_hash = $hash",
                {"path": file.name, "hash": content_hash},
            )

    def repeat(
        self,
        file: LandedFile,
        content_hash: str,
        columns: Columns,
        drift: Drift,
        seconds: float,
    ) -> FileOutcome | None:
        """Enter a file whose content was loaded before, under this or another name; else None.

        The rejects of the content are entered under the new name too. seconds: spent on it so far.
        """
        if not self.is_known(file, content_hash):
            return None
        (row,) = rows(
            self._connection,
            """
            select file_path, line_count, loaded_count, rejected_count, forgotten_count,
                expired_count, extra_columns, missing_columns
            from raw.files
            where feed = $feed and content_hash = $hash and status = 'loaded'
            order by file_path <> $path, loaded_at, file_path
            limit 1
            """,
            {"feed": file.feed.name, "hash": content_hash, "path": file.name},
        )
        other = row["file_path"]
        is_same_path = other == file.name
        outcome = FileOutcome(
            file.name,
            file.feed.name,
            Outcome.KNOWN,
            True,
            file.size_bytes,
            line_count=row["line_count"],
            loaded_count=row["loaded_count"],
            repeated_row_count=row["loaded_count"],
            rejected_count=row["rejected_count"],
            forgotten_count=row["forgotten_count"],
            expired_count=row["expired_count"],
            seconds=seconds,
            message=None if is_same_path else f"Same content as {other}.",
        )
        with transaction(self._connection):
            if is_same_path:
                self._connection.execute(
                    "update raw.files set modified_ns = $ns, modified_at = make_timestamp_ns($ns)"
                    " where file_path = $path and content_hash = $hash",
                    {"ns": file.modified_ns, "path": file.name, "hash": content_hash},
                )
                self._set_present(file.name, content_hash)
            else:
                self.record([(file, content_hash, outcome, columns, drift)])
                self._connection.execute(
                    """
                    insert into raw.rejects
                    select feed, $path, content_hash, line_number, line_text, column_name, value,
                        reason, $load_id, $loaded_at
                    from raw.rejects
                    where source_file = $other and content_hash = $hash
                    """,
                    {
                        "path": file.name,
                        "other": other,
                        "hash": content_hash,
                        "load_id": self._load_id,
                        "loaded_at": self.loaded_at,
                    },
                )
        return outcome

    def record(
        self, entries: Sequence[tuple[LandedFile, str, FileOutcome, Columns | None, Drift]]
    ) -> None:
        """Write the manifest entries of these versions of files; their earlier ones are past.

        entries: file, content hash, outcome, columns, drift. One statement for all: a statement per
        file took 4 ms.
        """
        lists: dict[str, list[Any]] = defaultdict(list)
        for file, content_hash, outcome, columns, drift in entries:
            if file.name in self._known_paths:
                self._set_present(file.name, None)
                self._connection.execute(
                    "delete from raw.files where file_path = $path and content_hash = $hash",
                    {"path": file.name, "hash": content_hash},
                )
            self._known_paths.add(file.name)
            status = _STATUS.get(outcome.outcome, "loaded")
            if status == "loaded":
                self._known_contents.add((file.feed.name, content_hash))
            lists["file_path"].append(file.name)
            lists["feed"].append(file.feed.name)
            lists["content_hash"].append(content_hash)
            lists["size_bytes"].append(file.size_bytes)
            lists["modified_ns"].append(file.modified_ns)
            lists["status"].append(status)
            for name in (
                "line_count",
                "loaded_count",
                "new_row_count",
                "repeated_row_count",
                "rejected_count",
                "forgotten_count",
                "expired_count",
                "message",
                "seconds",
            ):
                lists[name].append(getattr(outcome, name))
            names = columns or Columns({}, (), ())
            extra = [name for name in names.extra if name not in drift.accepted]
            lists["extra_columns"].append(", ".join(extra) or None)
            unread = (*drift.accepted, *names.purposeless)
            lists["accepted_columns"].append(", ".join(unread) or None)
            lists["missing_columns"].append(", ".join(names.missing) or None)
            lists["read_columns"].append(", ".join(names.positions) or None)
            lists["drift"].append(" ".join(drift.told) or None)
            lists["contract"].append(self._contract(file.feed))
        texts = {
            *("message", "extra_columns", "accepted_columns", "missing_columns"),
            *("read_columns", "drift"),
        }
        values = ", ".join(
            f"unnest(${name}{'::varchar[]' if name in texts else ''}) as {name}" for name in lists
        )
        self._connection.execute(
            f"""
            insert into raw.files by name
            select
                *,
                make_timestamp_ns(modified_ns)::timestamp as modified_at,
                $load_id as load_id,
                $loaded_at as loaded_at,
                true as is_present
            from (select {values})
            """,
            {**lists, "load_id": self._load_id, "loaded_at": self.loaded_at},
        )

    def add_rejects(self, file: LandedFile, content_hash: str, rejects: Iterable[Reject]) -> int:
        """Enter the rejects of a version of a file, in pages; returns how many."""
        count = 0
        remaining = iter(rejects)
        while page := list(islice(remaining, _PAGE)):
            count += len(page)
            self._connection.execute(
                """
                insert into raw.rejects
                select $feed, $path, $hash, unnest($numbers::bigint[]), unnest($texts::varchar[]),
                    unnest($columns::varchar[]), unnest($values::varchar[]),
                    unnest($reasons::varchar[]), $load_id, $loaded_at
                """,
                {
                    "feed": file.feed.name,
                    "path": file.name,
                    "hash": content_hash,
                    "numbers": [reject.line_number for reject in page],
                    "texts": [reject.line_text for reject in page],
                    "columns": [reject.column_name for reject in page],
                    "values": [reject.value for reject in page],
                    "reasons": [reject.reason for reject in page],
                    "load_id": self._load_id,
                    "loaded_at": self.loaded_at,
                },
            )
        return count

    def _reads_otherwise(self, file: LandedFile, row: dict[str, Any]) -> bool:
        """Tell whether contract or policy make something else of an unchanged file by now."""
        contract = self._contract(file.feed)
        if row["status"] == "refused":
            return bool(row["contract"] != contract)
        unread = [*(row["extra_columns"] or "").split(", ")]
        unread += (row["accepted_columns"] or "").split(", ")
        names = {column.name for column in file.feed.loaded_columns}
        if not names.isdisjoint(name.lower() for name in unread):
            # A second spelling of a key of JSON lines is extra too, and stays so.
            read = set((row["read_columns"] or "").split(", "))
            return any(name.lower() in names - read for name in unread)
        return bool(
            row["rejected_count"]
            and row["contract"] is not None
            and row["contract"].split()[0] != contract.split()[0]
        )

    def _contract(self, feed: Feed) -> str:
        """Return digests of a feed's contract and of its policy."""
        contract = repr((feed.key, [(column.name, column.type) for column in feed.loaded_columns]))
        policy = repr(self._policies[feed.name])
        return " ".join(
            hashlib.sha256(text.encode()).hexdigest()[:16] for text in (contract, policy)
        )

    def _set_present(self, path: str, content_hash: str | None) -> None:
        self._connection.execute(
            "update raw.files set is_present = (content_hash is not distinct from $hash)"
            " where file_path = $path"
            " and is_present <> (content_hash is not distinct from $hash)",
            {"path": path, "hash": content_hash},
        )


def _known_outcome(file: LandedFile, row: dict[str, Any]) -> FileOutcome:
    return FileOutcome(
        file.name,
        file.feed.name,
        next((out for out, status in _STATUS.items() if status == row["status"]), Outcome.KNOWN),
        False,
        file.size_bytes,
        line_count=row["line_count"],
        loaded_count=row["loaded_count"],
        new_row_count=row["new_row_count"],
        repeated_row_count=row["repeated_row_count"],
        rejected_count=row["rejected_count"],
        forgotten_count=row["forgotten_count"],
        expired_count=row["expired_count"],
        message=row["message"],
    )
