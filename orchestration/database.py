"""The door to DuckDB files: whether one is encrypted, by which key, and how it is opened.

The files of a home (working database, candidate, history of the gates) have one key, `working`, and
those of a release the keys of who reads them. Without a key a file is a plain one.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from orchestration.keys import BadKeyError, read_key
from orchestration.settings import Settings
from orchestration.sql import literal, quoted

WORKING_KEY = "working"

# What DuckDB 1.0 and later read, and what only this one does.
PUBLISHED_FORMAT = "v1.0.0"
NEWEST = "latest"


@dataclass(frozen=True)
class DatabaseFile:
    """A DuckDB file, and the key of 32 bytes that it is encrypted by, if it is.

    A file that was written before there was a key is opened without it. Every method raises
    BadKeyError when the key is missing or wrong; the key stands in no message.
    """

    path: Path
    key: bytes | None = field(default=None, repr=False)

    def connect(
        self, *, read_only: bool = False, config: Mapping[str, str | int] | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Open the file, or make it; its tables are found without its name.

        config: DuckDB settings. Several connections of a process can have it open, if they agree on
        read_only and config. Raises duckdb.Error when it cannot be opened.
        """
        if self.key is None:
            return self._connect_plain(read_only, config)
        connection = duckdb.connect(self.instance)
        try:
            load_encryption(connection)
            # as beside a plain file; in memory it would be the folder that the process is in
            options = {"temp_directory": f"{self.path}.tmp"} | dict(config or {})
            for name, value in options.items():
                if name != "storage_compatibility_version":  # an encrypted file has the newest
                    connection.execute(f"set {name} = {literal(str(value))}")
            self._attach(connection, self.path.stem, read_only=read_only, if_not_exists=True)
            connection.execute(f"use {quoted(self.path.stem)}")
        except duckdb.CatalogException as error:
            connection.close()
            if "is not encrypted" not in str(error):
                raise
            return self._connect_plain(read_only, config)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def instance(self) -> str:
        """What `duckdb.connect` calls the database that `connect` opened in this process.

        DuckDB opens encrypted files only by attaching them, so their instance is one in memory.
        """
        return str(self.path) if self.key is None else f":memory:{self.path}"

    def attach(self, connection: duckdb.DuckDBPyConnection, alias: str) -> None:
        """Attach the file for reading."""
        is_sealed = is_encrypted(self.path)
        if is_sealed and self.key is None:
            raise self._without_key()
        if is_sealed:
            load_encryption(connection)
            self._attach(connection, alias, read_only=True)
        else:
            connection.execute(f"attach {literal(self.path)} as {quoted(alias)} (read_only)")

    def attach_for_writing(
        self, connection: duckdb.DuckDBPyConnection, alias: str, storage: str = PUBLISHED_FORMAT
    ) -> None:
        """Attach the file, or make it: encrypted with AES-256-GCM when there is a key.

        storage: format of a file that is made; with a key DuckDB 1.5 and later can read it.
        """
        if self.key is None:
            connection.execute(
                f"attach {literal(self.path)} as {quoted(alias)} (storage_version '{storage}')"
            )
        else:
            load_encryption(connection)
            self._attach(connection, alias, read_only=False)

    def unfinished(self) -> "DatabaseFile":
        """Return a file of the same key to be written and then to take the place of this one."""
        # not the name of the folder that DuckDB spills into
        fresh = self.path.with_name(f"{self.path.stem}.new.duckdb.tmp")
        fresh.unlink(missing_ok=True)
        return DatabaseFile(fresh, self.key)

    def rewrite(self) -> None:
        """Write the file anew, without freed blocks, which DuckDB does not overwrite.

        It is encrypted from here on when there is a key. Nobody may have it open. A process that is
        killed leaves the old one or the new one.
        """
        fresh = self.unfinished()
        with self.connect() as connection:
            # what is in the log beside it, too
            connection.execute("checkpoint")
        spilled = self.path.with_name(f"{self.path.stem}.spilled.duckdb.tmp")
        with duckdb.connect(config={"temp_directory": str(spilled)}) as connection:
            # By the file's own name, for views name the database that they read.
            name = self.path.stem
            self.attach(connection, "before")
            ((version,),) = connection.execute(
                "select tags['storage_version'] from duckdb_databases()"
                " where database_name = 'before'"
            ).fetchall()
            is_published = str(version).startswith(PUBLISHED_FORMAT)
            fresh.attach_for_writing(connection, name, PUBLISHED_FORMAT if is_published else NEWEST)
            connection.execute(f"copy from database before to {quoted(name)}")
            connection.execute(f"checkpoint {quoted(name)}")
        self.path.with_name(f"{self.path.name}.wal").unlink(missing_ok=True)
        fresh.path.replace(self.path)

    def _connect_plain(
        self, read_only: bool, config: Mapping[str, str | int] | None
    ) -> duckdb.DuckDBPyConnection:
        try:
            return duckdb.connect(str(self.path), read_only=read_only, config=dict(config or {}))
        except duckdb.CatalogException as error:
            if "without a key" not in str(error):
                raise
            raise self._without_key() from None

    def _attach(
        self,
        connection: duckdb.DuckDBPyConnection,
        alias: str,
        *,
        read_only: bool,
        if_not_exists: bool = False,
    ) -> None:
        assert self.key is not None  # noqa: S101 - only called with one
        key = self.key.hex()
        options = [f"encryption_key '{key}'", "encryption_cipher 'GCM'"]
        options.append("read_only" if read_only else f"storage_version '{NEWEST}'")
        try:
            connection.execute(
                f"attach {'if not exists' if if_not_exists else ''} {literal(self.path)}"
                f" as {quoted(alias)} ({', '.join(options)})"
            )
        except duckdb.Error as error:
            # without the statement, for the key stands in it
            if "Wrong encryption key" in str(error):
                raise BadKeyError(
                    f"{self.path} was encrypted by another key than the one that is given."
                ) from None
            raise type(error)(str(error).replace(key, "...")) from None

    def _without_key(self) -> BadKeyError:
        return BadKeyError(
            f"{self.path} is encrypted, and its key is not here. Bring the file of the key "
            "back to the folder that WAREHOUSE_KEYS names, or give it in WAREHOUSE_KEY_<NAME>."
        )


def working_file(settings: Settings) -> DatabaseFile:
    """Raw, staging, identity and state; only the run writes to it."""
    return _of_home(settings, settings.working_database)


def candidate_file(settings: Settings) -> DatabaseFile:
    """The marts of the run under way."""
    return _of_home(settings, settings.candidate_database)


def history_file(settings: Settings) -> DatabaseFile:
    """What the gates of earlier runs found."""
    return _of_home(settings, settings.quality_history)


def encrypt_home(settings: Settings) -> list[Path]:
    """Encrypt the files that were written before there was a key; returns which those were.

    Only for who holds the lock, with no database open.
    """
    files = (working_file(settings), candidate_file(settings), history_file(settings))
    plain = [
        file for file in files if file.key and file.path.exists() and not is_encrypted(file.path)
    ]
    for file in plain:
        file.rewrite()
    return [file.path for file in plain]


def is_encrypted(path: Path) -> bool:
    """Whether a DuckDB file says that it is encrypted: the first flag of its header.

    Not for a file that this process has open for writing: closing it again gives DuckDB's lock up.
    """
    with path.open("rb") as file:
        header = file.read(21)
    return header[8:12] == b"DUCK" and len(header) == 21 and bool(header[20] & 1)


def load_encryption(connection: duckdb.DuckDBPyConnection) -> None:
    """Load what encrypts: OpenSSL, in the extension httpfs.

    What DuckDB spills to disk is encrypted from here on, too.
    """
    load_extension(connection, "httpfs")
    connection.execute("set temp_file_encryption = true")


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension of DuckDB from its Python package; nothing is fetched or installed."""
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    assert package is not None  # noqa: S101 - the lock file has it
    assert package.origin is not None  # noqa: S101
    folder = Path(package.origin).parent / "extensions" / f"v{duckdb.__version__}"
    connection.execute(f"load {literal(folder / f'{name}.duckdb_extension')}")


def _of_home(settings: Settings, path: Path) -> DatabaseFile:
    """Return a file of the home with the key of those; raises BadKeyError as `read_key` does."""
    return DatabaseFile(path, read_key(settings, WORKING_KEY))
