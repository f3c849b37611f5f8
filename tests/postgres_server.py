"""A real Postgres server for tests: Debian's, made in a folder, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

PASSWORD = "for tests only"


def _programs() -> Path:
    """Folder of the newest server that is installed."""
    found = [
        path.parent
        for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")
        if path.parent.parent.name.isdigit()
    ]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    if there := shutil.which("initdb"):
        return Path(there).resolve().parent
    raise RuntimeError("There is no Postgres server here: `apt-get install postgresql`.")


@dataclass(frozen=True)
class Server:
    """A running server. Everybody on it has the same password, and has to give it."""

    port: int
    log: Path

    def conninfo(self, user: str, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} dbname={database} user={user}"

    def connect(self, user: str, database: str, *, autocommit: bool = True) -> psycopg.Connection:
        return psycopg.connect(
            self.conninfo(user, database), password=PASSWORD, autocommit=autocommit
        )

    def new_database(self, name: str) -> str:
        """Make a database and the account that releases are sent by, which may make groups."""
        with self.connect("postgres", "postgres") as session:
            publisher = sql.Identifier(f"{name}_publisher")
            session.execute(
                sql.SQL("create role {} login createrole password {}").format(publisher, PASSWORD)
            )
            session.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(name), publisher)
            )
        return self.conninfo(f"{name}_publisher", name)

    def new_user(self, name: str, group: str) -> None:
        with self.connect("postgres", "postgres") as session:
            session.execute(
                sql.SQL("create role {} login password {} in role {}").format(
                    sql.Identifier(name), PASSWORD, sql.Identifier(group)
                )
            )


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server on a free port of the loopback, with passwords; stop it at the end."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        passwords = folder / "password"
        passwords.write_text(PASSWORD)
        data, log = folder / "data", folder / "server.log"
        owner = pwd.getpwuid(os.geteuid())
        if owner.pw_uid == 0:  # a server refuses to be root
            owner = pwd.getpwnam("postgres")
            for path in (folder, passwords):
                os.chown(path, owner.pw_uid, owner.pw_gid)

        def do(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [str(programs / program), *arguments],
                cwd=folder,
                user=owner.pw_uid if os.geteuid() == 0 else None,
                group=owner.pw_gid if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            if done.returncode:
                said = log.read_text() if log.exists() else ""
                raise RuntimeError(f"{program}: {done.stdout}{done.stderr}{said}")

        do(
            "initdb", f"--pgdata={data}", "--username=postgres", "--auth=scram-sha-256",
            f"--pwfile={passwords}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = (
            f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories='' -c fsync=off"
        )
        do("pg_ctl", f"--pgdata={data}", f"--log={log}", f"--options={options}", "--wait", "start")
        try:
            yield Server(port, log)
        finally:
            do("pg_ctl", f"--pgdata={data}", "--mode=immediate", "--wait", "stop")
    finally:
        shutil.rmtree(folder)
