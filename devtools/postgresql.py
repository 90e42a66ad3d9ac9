# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private PostgreSQL cluster on loopback."""
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from .process import LOOPBACK, Process, StartError, free_port

__all__ = ['PostgreSQL']

START_TIMEOUT = 60
INITDB_TIMEOUT = 300
SUPERUSER = 'tryton'
SETTINGS = {
    # Nothing here has to survive a power cut.
    'fsync': 'off',
    'full_page_writes': 'off',
    'synchronous_commit': 'off',
    'max_connections': '100',
    'shared_buffers': '128MB',
    'max_wal_size': '2GB',
    }


def _versions() -> list[Path]:
    return sorted(
        Path('/usr/lib/postgresql').glob('*/bin'), reverse=True,
        key=lambda path: float(path.parent.name))


def binary(name: str) -> str:
    """Return the path of PostgreSQL's program `name`.

    Debian keeps those of the server out of the PATH.
    """
    folders = [*map(str, _versions()), os.environ.get('PATH', '')]
    program = shutil.which(name, path=os.pathsep.join(folders))
    if not program:
        raise StartError(f"PostgreSQL's {name} is not installed")
    return program


def _system_user() -> str | None:
    """Return the user to run as: PostgreSQL refuses to run as root."""
    if os.geteuid() == 0:
        return pwd.getpwnam('postgres').pw_name
    return None


class PostgreSQL:
    """A PostgreSQL server of one's own, for databases that may be lost.

    As a context manager it starts, then stops and removes its folder if
    it was a temporary one.

    Parameters
    ----------
    folder
        Where cluster, password and log are kept; a new temporary folder
        if None.  A cluster that is in it already is served again.

    Attributes
    ----------
    uri : str
        Without database: ``postgresql://user:password@host:port/``.
    """

    def __init__(self, folder: Path | None = None):
        self._temporary = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix='postgresql-'))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port: int | None = None
        self.password: str | None = None
        self.process: Process | None = None
        self._user = _system_user()

    def __enter__(self) -> 'PostgreSQL':
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    @property
    def uri(self) -> str:
        return (f'postgresql://{SUPERUSER}:{self.password}'
            f'@{LOOPBACK}:{self.port}/')

    @property
    def data(self) -> Path:
        return self.folder / 'data'

    def start(self, port: int | None = None) -> None:
        """Start on `port`, or else a free one.

        The cluster is made if there is none.

        Raises
        ------
        StartError
            With the end of the server's log.
        """
        self._make_accessible()
        if not (self.data / 'PG_VERSION').exists():
            self._initialize()
        self.password = (self.folder / 'password').read_text()
        for attempt in reversed(range(1 if port else 5)):
            self.port = port or free_port()
            try:
                self._start()
            except StartError as error:
                if 'in use' not in str(error) or not attempt:
                    raise
            else:
                return

    def restart(self) -> None:
        """Start again, after it was killed, on the port of the last time.

        Raises
        ------
        StartError
            With the end of the server's log.
        """
        self._start()

    def _make_accessible(self) -> None:
        """Let the system user pass through, but not list, our folder."""
        if self._user:
            self.folder.chmod(0o711)

    def _initialize(self) -> None:
        password = self.folder / 'password'
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(16))
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self.data, self._user, self._user)
            shutil.chown(password, self._user, self._user)
        process = Process(
            [binary('initdb'), '--pgdata', self.data, '--encoding', 'UTF8',
                '--locale', 'C.UTF-8', '--username', SUPERUSER,
                '--pwfile', password, '--auth', 'scram-sha-256',
                '--no-sync'],
            self.folder / 'initdb.log', user=self._user, folder=Path('/'))
        try:
            failed = process.wait(INITDB_TIMEOUT)
        finally:
            process.kill()
        if failed:
            raise StartError(f"initdb failed:\n{process.log_tail()}")

    def _start(self) -> None:
        log = self.folder / 'postgresql.log'
        log.write_bytes(b'')
        settings = {
            **SETTINGS,
            'listen_addresses': LOOPBACK,
            'port': str(self.port),
            'unix_socket_directories': str(self.data),
            }
        command = [binary('postgres'), '-D', self.data]
        for name, value in settings.items():
            command += ['-c', f'{name}={value}']
        self.process = Process(
            # SIGINT makes it end its sessions instead of waiting for them.
            command, log, stop_signal=signal.SIGINT, user=self._user,
            folder=Path('/'))
        self.process.wait_ready(
            self._answers, START_TIMEOUT, f"PostgreSQL on port {self.port}")

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """End the server at once, as if its machine had crashed.

        Its sessions end when they notice it.
        """
        if self.process:
            self.process.kill()

    def stop(self) -> None:
        """End all sessions and the server, and keep the folder."""
        if self.process:
            self.process.stop()

    def close(self) -> None:
        """Stop, and remove the folder if it was a temporary one."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.folder)

    def connect(self, database: str = 'postgres'):
        """Return a psycopg2 connection in autocommit mode."""
        connection = psycopg2.connect(
            self.uri + database, connect_timeout=10)
        connection.autocommit = True
        return connection

    def _execute(self, statement: str, *names: str) -> None:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        with closing(self.connect()) as connection:
            connection.cursor().execute(query)

    def databases(self) -> set[str]:
        """Return the names of the databases that can be connected to."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(
                'SELECT datname FROM pg_database WHERE datallowconn')
            return {name for name, in cursor}

    def create(self, name: str, template: str = 'template0') -> None:
        """Create a database; a copy of `template`, which nobody may use."""
        self._execute('CREATE DATABASE {} TEMPLATE {}', name, template)

    def drop(self, name: str) -> None:
        """Drop a database and end the sessions that use it."""
        self._execute('DROP DATABASE IF EXISTS {} WITH (FORCE)', name)

    def dump(self, name: str, path: Path) -> None:
        """Write a database to a file."""
        self._run('pg_dump', '-Fc', '-Z1', '-f', path, name)

    def restore(self, name: str, path: Path) -> None:
        """Create a database from a file that `dump` wrote."""
        self.create(name)
        self._run('pg_restore', '--exit-on-error', '-j2', '-d', name, path)

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [binary(program), '-h', LOOPBACK, '-p', str(self.port),
                '-U', SUPERUSER, *arguments],
            env={**os.environ, 'PGPASSWORD': self.password},
            stdin=subprocess.DEVNULL, check=True, timeout=600)
