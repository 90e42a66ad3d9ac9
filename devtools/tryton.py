# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tryton databases with GNU Health, and the daemons that serve them."""
import base64
import configparser
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from .cache import ROOT
from .postgresql import PostgreSQL
from .process import LOOPBACK, Process, StartError, free_port

__all__ = ['MODULE', 'PASSWORD', 'Server', 'Tryton', 'proteus_as_before']

MODULE = 'health_orthanc'
# What ours depends on
BASE = 'health_imaging'
# Of the user admin, in databases that are reachable from this machine only.
PASSWORD = 'health-orthanc'
HASHES = Path(__file__).with_name('passwords.ini')
ADMIN_TIMEOUT = 900
START_TIMEOUT = 120
RPC_TIMEOUT = 600
# Prepared databases of earlier states of our sources that are kept
KEPT_IMAGES = 4
# Names the state of our sources in place of `sources_hash`
SOURCES_VARIABLE = 'DEV_SOURCES_HASH'


def program(name: str) -> Path:
    """Return the path of one of trytond's programs."""
    return Path(sys.executable).parent / name


def environment() -> dict[str, str]:
    """Return our environment without what would configure trytond."""
    return {
        name: value for name, value in os.environ.items()
        if not name.startswith('TRYTOND') and name != 'DB_NAME'}


@contextmanager
def proteus_as_before() -> Iterator[None]:
    """Give proteus back to what it was connected to before, if anything.

    Its configuration is one for all of this thread.
    """
    import proteus
    former = proteus.config.get_config()
    try:
        yield
    finally:
        proteus.config._CONFIG.current = former


def _run(command: Sequence[str | Path], timeout: float, **variables) -> None:
    try:
        subprocess.run(
            command, env={**environment(), **variables},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout, check=True)
    except subprocess.CalledProcessError as error:
        raise StartError(
            f"{Path(command[0]).name} failed:\n{error.stdout}") from error


class Tryton:
    """A Tryton database of one's own, with its configuration file.

    Parameters
    ----------
    folder
        Where configuration, SQLite database and logs are kept.
    postgresql
        A running server for the database; SQLite if None.
    name
        Of the database.
    web_root
        The folder of the web client.
    sections
        Further options of trytond's configuration, by section.
    """

    def __init__(
            self, folder: Path, *, postgresql: PostgreSQL | None = None,
            name: str = 'health', web_root: Path | None = None,
            sections: Mapping[str, Mapping[str, str]] | None = None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.postgresql = postgresql
        self.name = name
        self.web_root = web_root
        self.sections = dict(sections or {})
        self.write_configuration()

    @property
    def configuration(self) -> Path:
        return self.folder / 'trytond.conf'

    @property
    def uri(self) -> str:
        """The database, as trytond and proteus name it."""
        if self.postgresql:
            return self.postgresql.uri + self.name
        return f'sqlite:///{self.name}'

    @property
    def sqlite_file(self) -> Path:
        """Where the database is if it is one of SQLite."""
        return self.folder / f'{self.name}.sqlite'

    def write_configuration(self, port: int | None = None) -> None:
        """Write trytond's configuration file, to listen on `port`."""
        parser = configparser.ConfigParser(interpolation=None)
        uri = self.postgresql.uri if self.postgresql else 'sqlite://'
        parser['database'] = {'uri': uri, 'path': self.folder}
        parser['web'] = {'listen': f'{LOOPBACK}:{port or 8000}'}
        parser['password'] = {'passlib': str(HASHES)}
        if self.web_root:
            parser['web']['root'] = str(self.web_root)
        if self.postgresql:
            parser['queue'] = {'worker': 'True'}
        # Copies of it are no copies of a hospital's database
        parser[MODULE] = {'installation': MODULE}
        for section, options in self.sections.items():
            if section not in parser:
                parser.add_section(section)
            parser[section].update(options)
        self.configuration.touch(mode=0o600)
        with self.configuration.open('w') as stream:
            parser.write(stream)

    def exists(self) -> bool:
        """Tell whether there is a database."""
        if self.postgresql:
            return self.name in self.postgresql.databases()
        return self.sqlite_file.exists()

    def admin(self, *arguments: str) -> None:
        """Run trytond-admin on the database."""
        passfile = self.folder / 'password'
        passfile.touch(mode=0o600)
        passfile.write_text(PASSWORD)
        command = [
            *self._command('trytond-admin'), '-c', self.configuration]
        _run([*command, '-d', self.name, *arguments],
            ADMIN_TIMEOUT, TRYTONPASSFILE=str(passfile))

    def _command(self, name: str) -> list[str | os.PathLike]:
        """Return how one of trytond's programs is started."""
        return [program(name)]

    def update(self, *modules: str) -> None:
        """Activate `modules`, or update those that are active."""
        self.admin(
            '-u', *modules, '--activate-dependencies',
            '--email', 'admin@example.org')

    def create(self, modules: Sequence[str], cache: Path | None = None
            ) -> None:
        """Make the database, with `modules` active.

        Parameters
        ----------
        cache
            Where prepared databases are kept.  A state of our sources
            that was met before is copied; a new one is prepared from a
            copy with everything but our module.
        """
        if cache is None:
            self._create_empty()
            self.update(*modules)
            return
        cache.mkdir(parents=True, exist_ok=True)
        with self._locked(cache):
            self._create_cached(modules, cache)

    def _create_cached(self, modules: Sequence[str], cache: Path) -> None:
        foreign = sorted({BASE, *modules} - {MODULE})
        base = cache / f'base-{_digest(foreign)}-{self._suffix}'
        own = cache / (
            f'own-{_digest(foreign, sources_hash())}-{self._suffix}')
        if MODULE not in modules:
            self._create_base(base, foreign)
        elif own.exists():
            self._restore(own)
        else:
            self._create_base(base, foreign)
            self.update(MODULE)
            self._save(own)
            _prune(cache, f'own-*-{self._suffix}')

    def _create_base(self, image: Path, modules: Sequence[str]) -> None:
        if image.exists():
            self._restore(image)
            return
        if list(modules) == [BASE]:
            self._create_empty()
            self.update(BASE)
        else:
            # What takes long is the same in all of them.
            base = image.with_name(f'base-{_digest([BASE])}-{self._suffix}')
            self._create_base(base, [BASE])
            self.update(*{*modules} - {BASE})
        self._save(image)

    @contextmanager
    def _locked(self, cache: Path) -> Iterator[None]:
        """Have the prepared databases of this kind for oneself."""
        with (cache / f'lock-{self._suffix}').open('w') as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    @property
    def _suffix(self) -> str:
        return 'postgresql' if self.postgresql else 'sqlite'

    def _create_empty(self) -> None:
        if self.postgresql:
            self.postgresql.create(self.name)
        else:
            self.sqlite_file.touch(mode=0o600)

    def _restore(self, image: Path) -> None:
        if self.postgresql:
            self.postgresql.restore(self.name, image)
        else:
            shutil.copyfile(image, self.sqlite_file)
            self.sqlite_file.chmod(0o600)

    def _save(self, image: Path) -> None:
        part = image.with_suffix('.part')
        if self.postgresql:
            self.postgresql.dump(self.name, part)
        else:
            shutil.copyfile(self.sqlite_file, part)
        part.replace(image)

    def drop(self) -> None:
        """Remove the database, if there is one."""
        if self.postgresql:
            self.postgresql.drop(self.name)
        else:
            self.sqlite_file.unlink(missing_ok=True)

    def copy(self, name: str) -> 'Tryton':
        """Return a copy of the database that nobody uses just now.

        It has the same name on SQLite, in a folder below ours.
        """
        folder = self.folder / name
        if self.postgresql:
            self.postgresql.create(name, self.name)
            return Tryton(
                folder, postgresql=self.postgresql, name=name,
                web_root=self.web_root, sections=self.sections)
        copy = Tryton(
            folder, name=self.name, web_root=self.web_root,
            sections=self.sections)
        copy._restore(self.sqlite_file)
        return copy

    def connect(self, login: str = 'admin'):
        """Make this process work on the database, and return proteus' config.

        A process can do so for one kind of database and one configuration
        only.
        """
        import proteus
        return proteus.config.set_trytond(
            self.uri, user=login, config_file=str(self.configuration))

    def server(self) -> 'Server':
        """Return a server, to be started as a context manager."""
        return Server(self)

    def cron(self, *options: str) -> Process:
        """Start the scheduler."""
        return self._daemon('trytond-cron', *options)

    def worker(self, processes: int = 1, *options: str) -> Process:
        """Start the workers of the queue; only with PostgreSQL."""
        return self._daemon('trytond-worker', '-n', str(processes), *options)

    def _daemon(self, name: str, *arguments: str) -> Process:
        return Process(
            [*self._command(name), '-v', '-c', self.configuration,
                '-d', self.name, *arguments],
            self.folder / f'{name}.log', environment=environment())


class Server:
    """A running trytond, stopped as a context manager.

    Attributes
    ----------
    url : str
        Without trailing slash.
    """

    def __init__(self, tryton: Tryton):
        self.tryton = tryton
        self.port: int | None = None
        self.process: Process | None = None

    def __enter__(self) -> 'Server':
        self.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f'http://{LOOPBACK}:{self.port}'

    def start(self, port: int | None = None) -> None:
        """Start on `port` or, where that is taken or None, on a free one.

        Raises
        ------
        StartError
            With the end of trytond's log.
        """
        for attempt in reversed(range(5)):
            self.port = port or free_port()
            port = None
            try:
                self._start()
            except StartError as error:
                if 'in use' not in str(error) or not attempt:
                    raise
            else:
                return

    def _start(self) -> None:
        self.tryton.write_configuration(self.port)
        (self.tryton.folder / 'trytond.log').write_bytes(b'')
        self.process = self.tryton._daemon('trytond')
        try:
            self.process.wait_ready(
                lambda: self.process.listens(self.port),
                START_TIMEOUT, f"trytond on port {self.port}")
        except BaseException:
            self.process.kill()
            raise

    def stop(self) -> None:
        if self.process:
            self.process.stop()

    def rpc(self, login: str = 'admin', password: str = PASSWORD
            ) -> xmlrpc.client.ServerProxy:
        """Return a proxy that calls methods as `login`.

        Like ``rpc.model.party.party.search([], 0, 10, None, {})``.
        """
        return xmlrpc.client.ServerProxy(
            self._endpoint, transport=self._transport(login, password),
            allow_none=True, use_builtin_types=True)

    def connect(self, login: str = 'admin', password: str = PASSWORD):
        """Let proteus, in this thread, work as `login`; return its config.
        """
        import proteus
        return proteus.config.set_xmlrpc(
            self._endpoint, transport=self._transport(login, password))

    @property
    def _endpoint(self) -> str:
        return f'{self.url}/{self.tryton.name}/'

    def _transport(self, login: str, password: str) -> '_Transport':
        # Registers how proteus writes dates and numbers in XML-RPC.
        import proteus.config  # noqa: F401
        server = xmlrpc.client.ServerProxy(
            self._endpoint, transport=_Transport(), allow_none=True,
            use_builtin_types=True)
        session = server.common.db.login(login, {'password': password})
        token = ':'.join(map(str, [login, *session])).encode()
        return _Transport(
            'Session ' + base64.b64encode(token).decode('ascii'))


class _Transport(xmlrpc.client.Transport):
    """With a time-out, which xmlrpc.client lacks."""

    def __init__(self, authorization: str | None = None):
        headers = []
        if authorization:
            headers.append(('Authorization', authorization))
        super().__init__(use_builtin_types=True, headers=headers)

    def make_connection(self, host):
        connection = super().make_connection(host)
        connection.timeout = RPC_TIMEOUT
        return connection


def _digest(modules: Sequence[str], *parts: str) -> str:
    text = '\n'.join([
            PASSWORD, HASHES.read_text(), *modules, *_versions(), *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _versions() -> list[str]:
    """Return the versions that the content of a new database depends on."""
    return sorted({
            f'{distribution.name}=={distribution.version}'
            for distribution in metadata.distributions()
            if re.match('(?i)trytond|gnuhealth', distribution.name)})


def sources_hash() -> str:
    """Return what identifies the state of our module's files."""
    if given := os.environ.get(SOURCES_VARIABLE):
        return given
    digest = hashlib.sha256()
    for path in sorted((ROOT / MODULE).rglob('*')):
        if path.is_file() and path.suffix not in {'.pyc', '.swp'}:
            digest.update(str(path.relative_to(ROOT)).encode() + b'\0')
            digest.update(path.read_bytes() + b'\0')
    return digest.hexdigest()


def _prune(folder: Path, pattern: str) -> None:
    images = sorted(
        folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    for path in images[:-KEPT_IMAGES]:
        path.unlink()
