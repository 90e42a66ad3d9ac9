# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health with this module and an Orthanc full of samples."""
import argparse
import datetime as dt
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from proteus import Model, Wizard

from . import (
    demo_check, demo_languages, demo_morning, hospital, samples, sao, viewer)
from .browser import ROWS, chromium, log_in, new_page, open_list
from .demo_check import STUDY
from .demo_devices import DeviceError, Devices
from .demo_page import TourServer
from .demo_tour import CT_AETITLE
from .demo_tour_words import NOT_SAID, SAID, Words
from .orthanc import Orthanc, to_bytes
from .orthanc_releases import ORTHANC_VARIABLE
from .postgresql import PostgreSQL
from .process import StartError, free_port, stopping_on_signals
from .testing import cache_folder
from .tryton import (
    MODULE, PASSWORD, ROOT, Server, Tryton, proteus_as_before, sources_hash)

DATABASE = 'health'
LABEL = "Demo"
AETITLE = 'ORTHANC'
PLUGIN = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
SERVER = 'gnuhealth.orthanc.config'
SYNCHRONIZATION_TIMEOUT = 300


def say(text: str) -> None:
    print(f'{dt.datetime.now():%H:%M:%S} {text}', file=sys.stderr, flush=True)


class State:
    """What a demo remembers between two starts."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / 'demo.json'
        self._values = {
            'orthanc_password': None,
            'orthanc_port': None,
            'dicom_port': None,
            'plugin': None,
            'tryton_port': None,
            'fernet_key': Fernet.generate_key().decode(),
            'sources': None,
            'filled': False,
            'language': 'en',
            'expected': {},
            # A study that is deleted
            'unneeded': None,
            # Of today: the orders, and of which the images were sent since
            'morning': None,
            'orders': [],
            'sent': [],
            'tour_port': None,
            }
        if self._path.exists():
            self._values.update(json.loads(self._path.read_text()))

    def __getitem__(self, name: str):
        return self._values[name]

    def update(self, **values: object) -> None:
        self._values.update(values)
        part = self._path.with_suffix('.part')
        part.touch(mode=0o600)
        part.write_text(json.dumps(self._values, indent=4))
        part.replace(self._path)


class Demo:
    """All parts of the demo, in one folder.

    As a context manager it stops what was started, in reverse order.
    """

    def __init__(
            self, folder: Path, use_postgresql: bool, language: str = 'en'):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.state = State(folder)
        if not self.state['filled']:
            self.state.update(language=language)
        demo_languages.use(self.state['language'])
        self.words = Words(self.state['language'])
        self._use_postgresql = use_postgresql
        self._stack = ExitStack()
        self.orthanc: Orthanc | None = None
        self.tryton: Tryton | None = None
        self.server: Server | None = None
        self.daemons = []
        self.devices: Devices | None = None
        self.tour: TourServer | None = None
        self._rpc = None

    def __enter__(self) -> 'Demo':
        self._stack.enter_context(proteus_as_before())
        return self

    def __exit__(self, *exc_info) -> None:
        self._stack.close()

    def start(self) -> None:
        """Bring up everything, and fill what is empty."""
        client = self._web_client()
        self._open_database(client)
        self._start_server()
        self._start_orthanc()
        self._connect()
        if not self.state['filled']:
            self._fill()
        self._publish_orthanc()
        self._start_daemons()
        self._place_morning()
        self._open_tour()

    def _web_client(self) -> Path:
        say("Web client")
        return sao.with_custom_files(
            sao.assemble(cache_folder()), self.folder / 'sao',
            *sao.custom_files())

    def _start_orthanc(self) -> None:
        say("Orthanc")
        self.orthanc = Orthanc(
            self.folder / 'orthanc', user='demo',
            password=self.state['orthanc_password'],
            plugins=['dicomweb', 'webviewer', 'python'], dicom=True,
            configuration={
                'Name': "Orthanc of the demo",
                'StableAge': 5,
                'DicomAet': AETITLE,
                'DicomAlwaysAllowFindWorklist': True,
                'DicomAlwaysAllowStore': True,
                })
        self._stack.callback(self.orthanc.close)
        self.orthanc.dicom_port = self.state['dicom_port']
        self._load_plugin()
        try:
            self.orthanc.start(self.state['orthanc_port'] or 8042)
        except StartError as error:
            if 'in use' not in str(error):
                raise
            self.orthanc.dicom_port = free_port()
            self.orthanc.start(free_port())
        self.state.update(
            orthanc_password=self.orthanc.password,
            dicom_port=self.orthanc.dicom_port)
        if not any(self.orthanc.counts().values()):
            self._upload()

    def _load_plugin(self) -> None:
        """Configure the plugin, once GNU Health has given it a key."""
        if self.state['plugin']:
            self.orthanc.configuration.update(
                PythonScript=str(PLUGIN),
                LuaScripts=[str(PLUGIN.with_suffix('.lua'))],
                HealthOrthanc={
                    **self.state['plugin'], 'Url': self.server.url})

    def _upload(self) -> None:
        say("Sample studies")
        expected = {}
        day = demo_morning.Day.today()
        for study in [
                *hospital.sample_studies(day.local(0)),
                demo_morning.foreign_study(day)]:
            self.orthanc.upload(study.datasets)
            expected[study.uid] = study.puid
        unneeded = demo_morning.scanned_twice(day)
        self.orthanc.upload(unneeded.datasets)
        self.orthanc.upload(samples.packaged_files())
        self.orthanc.upload(samples.charset_files())
        self.state.update(expected=expected, unneeded=unneeded.uid)

    def _open_database(self, client: Path) -> None:
        postgresql = None
        if self._use_postgresql:
            say("PostgreSQL")
            postgresql = self._stack.enter_context(
                PostgreSQL(self.folder / 'postgresql'))
        self.tryton = Tryton(
            self.folder / 'tryton', postgresql=postgresql, name=DATABASE,
            web_root=client, sections={
                MODULE: {
                    'fernet_key': self.state['fernet_key'],
                    'viewer_path': str(viewer.assemble(cache_folder())),
                    }})
        if not self.tryton.exists():
            say("Database (the first one takes a minute or two)")
            self.tryton.create([MODULE], cache_folder())
        elif self.state['sources'] != sources_hash():
            say("Update of the database")
            self.tryton.update(MODULE)
        self.state.update(sources=sources_hash())

    def _start_server(self) -> None:
        say("trytond")
        self.server = self.tryton.server()
        self._stack.callback(self.server.stop)
        self.server.start(self.state['tryton_port'] or 8000)
        self.state.update(tryton_port=self.server.port)
        if self._use_postgresql:
            self._start_daemon(self.tryton.worker())

    def _start_daemons(self) -> None:
        say("trytond-cron")
        self._start_daemon(self.tryton.cron())

    def _start_daemon(self, process) -> None:
        self._stack.callback(process.stop)
        self.daemons.append(process)

    def _connect(self) -> None:
        self.server.connect()
        self._rpc = self.server.rpc()

    def _fill(self) -> None:
        say("Institution, users and patients")
        hospital.fill(PASSWORD)
        self._connect()
        say("Orthanc server in GNU Health")
        self._add_server()
        self._place_morning()
        say("Synchronisation")
        self._synchronize()
        say("What has happened with the images")
        demo_morning.remember(
            self.server, self.state['orders'], self.state['unneeded'])
        self._set_start_page()
        self._connect_plugin()
        self._load_language()
        self.state.update(
            filled=True, orthanc_port=self.orthanc.port)

    def _load_language(self) -> None:
        if self.state['language'] != 'en':
            say(f"Texts in {self.state['language']}")
            self._connect()
            demo_languages.load(self.state['language'])

    def _place_morning(self) -> None:
        """Fill the day with orders, on the first start of the day."""
        day = demo_morning.Day.today()
        date = day.local(0).date()
        if self.state['morning'] == date.isoformat():
            return
        say("Orders of today")
        if not self.state['morning']:
            demo_morning.add_people()
        self._make_disc(date)
        orders = list(demo_morning.place(self.server, self.orthanc, day))
        imaged = {
            order['study']: order['puid'] for order in orders
            if order['fate'] == demo_morning.IMAGED}
        self.state.update(
            morning=date.isoformat(), orders=orders, sent=[],
            expected={**self.state['expected'], **imaged})

    @property
    def disc(self) -> Path:
        """The folder of a disc that a patient brings."""
        return self.folder / 'disc'

    def _make_disc(self, date: dt.date) -> None:
        if not self.disc.exists():
            self.disc.mkdir()
            for number, dataset in enumerate(demo_morning.disc(date)):
                (self.disc / f'IM{number}').write_bytes(to_bytes(dataset))

    def _open_tour(self) -> None:
        arrivals = [
            (order['aetitle'], order['accession'])
            for order in self.state['orders']
            if order['fate'] == demo_morning.ARRIVING
            and order['accession'] not in self.state['sent']]
        self.devices = Devices(
            self.orthanc.dicom_port, AETITLE, arrivals, self._keep_sent)
        self.tour = TourServer(
            self._tour_values, self._press, self.state['tour_port'] or 8001,
            self.words)
        self._stack.callback(self.tour.close)
        self.state.update(tour_port=self.tour.port)

    def start_arrivals(self) -> None:
        """Let the devices send images of some orders while one looks."""
        self._stack.callback(self.devices.stop)
        self.devices.start(say)

    def _keep_sent(self, accession: str) -> None:
        self.state.update(sent=[*self.state['sent'], accession])

    def _tour_values(self) -> dict[str, object]:
        seconds = self.devices.seconds_left
        return {
            'client': f'{self.server.url}/#{DATABASE}',
            'password': PASSWORD,
            'logins': [(role.login, role.name) for role in hospital.ROLES],
            'disc': str(self.disc),
            'waiting': self.devices.waiting,
            'minutes': None if seconds is None else seconds // 60,
            'orthanc': f'{self.orthanc.url}/app/explorer.html',
            'orthanc_user': self.orthanc.user,
            'orthanc_password': self.orthanc.password,
            }

    def _press(self, name: str) -> str:
        """Do what a button of the tour asks for."""
        try:
            if name == 'next':
                patient = self.devices.send_next()
            else:
                patient = self.devices.examine(
                    CT_AETITLE, self._last_order(CT_AETITLE))
        except DeviceError as error:
            return self.words.text(NOT_SAID).format(
                error=self.words.error(error.text, error.values))
        return self.words.text(SAID).format(patient=patient)

    def _last_order(self, aetitle: str) -> str:
        """Return the accession number of what was ordered last."""
        accession, domain = 'accession_number', [
            ('state', 'in', ['scheduled', 'in_progress']),
            ('request_state', '=', 'requested'),
            ('station_aetitle', '=', aetitle)]
        steps = getattr(self.server.rpc().model, demo_morning.STEP)
        found = steps.search_read(
            domain, 0, 1, [['id', 'DESC']], [accession], {})
        if not found:
            raise DeviceError("nobody is waiting")
        return found[0][accession]

    def _set_start_page(self) -> None:
        """Let the physician begin with the own orders, and their drafts."""
        window = hospital.record_id('health_orthanc.act_my_orders')
        model = self.server.rpc('physician').model
        action, = getattr(model, 'ir.action.act_window').read(
            [window], ['action'], {})
        getattr(model, 'res.user').set_preferences(
            {'actions': [('add', [action['action']])]}, {})

    def _connect_plugin(self) -> None:
        server, = Model.get(SERVER).find([('label', '=', LABEL)])
        wizard = Wizard('gnuhealth.orthanc.connect_plugin', [server])
        wizard.form.url = self.server.url
        wizard.execute('make')
        section = json.loads(wizard.form.configuration)['HealthOrthanc']
        wizard.execute('end')
        self.state.update(plugin=section)
        self._load_plugin()
        self.orthanc.stop()
        self.orthanc.start()

    def _add_server(self) -> None:
        wizard = Wizard(
            'gnuhealth.imaging_orthanc.wizard.orthanc_new_connect')
        wizard.form.label = LABEL
        wizard.form.domain = self.orthanc.url
        wizard.form.user = self.orthanc.user
        wizard.form.password = self.orthanc.password
        wizard.execute('connect')
        if wizard.form_state != 'success':
            raise StartError(f"Server not added: {wizard.form.message}")
        say(wizard.form.message.strip().replace('\n', '\n         '))
        wizard.execute('end')
        # The samples pass for studies that have arrived since
        self._write_server(instances_mode='always', initial_index=0)

    def _read_server(self, *names: str) -> dict[str, object]:
        server, = self.read(SERVER, [('label', '=', LABEL)], *names)
        return server

    def read(self, model: str, domain: list, *names: str) -> list[dict]:
        """Return fields of the records of a model."""
        return getattr(self._rpc.model, model).search_read(
            domain, 0, None, None, list(names), {})

    def _write_server(self, **values: object) -> None:
        id_ = self._read_server('id')['id']
        getattr(self._rpc.model, SERVER).write([id_], values, {})

    def _synchronize(self) -> None:
        Wizard('gnuhealth.imaging_orthanc.get_new_studies').execute('update')
        expected = self.orthanc.counts()['studies']
        deadline = time.monotonic() + SYNCHRONIZATION_TIMEOUT
        while not self._synchronized():
            if time.monotonic() > deadline:
                raise StartError("The synchronisation does not end")
            say(f"{len(self.read(STUDY, []))} of {expected} studies")
            time.sleep(1)

    def _synchronized(self) -> bool:
        server = self._read_server(
            'synchronizing', 'last_synchronization', 'last_error')
        if server['synchronizing']:
            return False
        if server['last_error']:
            raise StartError(f"Synchronisation: {server['last_error']}")
        return bool(server['last_synchronization'])

    def _publish_orthanc(self) -> None:
        """Tell GNU Health if Orthanc has another port than last time."""
        if self.orthanc.port != self.state['orthanc_port']:
            self._write_server(domain=self.orthanc.url)
            self.state.update(orthanc_port=self.orthanc.port)

    def wait(self) -> None:
        """Wait until a part ends, which none should."""
        processes = [self.orthanc.process, self.server.process, *self.daemons]
        while all(process.running for process in processes):
            time.sleep(1)
        for process in processes:
            if not process.running:
                raise StartError(
                    f"{process.log.stem} ended:\n{process.log_tail()}")

    def describe(self) -> str:
        lines = [
            '',
            f"GNU Health   {self.server.url}/#{DATABASE}",
            f"  database   {DATABASE}",
            f"  password   {PASSWORD}",
            "  login      admin, or one of these",
            ]
        lines += [f"    {role.login:14} {role.name}"
            for role in hospital.ROLES]
        lines += [
            f"Orthanc      {self.orthanc.url}/app/explorer.html",
            f"  user       {self.orthanc.user}",
            f"  password   {self.orthanc.password}",
            f"DICOM        {AETITLE} on port {self.orthanc.dicom_port}, as in",
            f"  findscu -W -aec {AETITLE} -k PatientName -k AccessionNumber"
            f" 127.0.0.1 {self.orthanc.dicom_port}",
            f"Files        {self.folder}",
            '',
            "What to try as whom, in five walks of two minutes:",
            f"Tour         {self.tour.url}",
            '',
            "Ctrl-C ends it.",
            ]
        return '\n'.join(lines)


def take_screenshot(demo: Demo, path: Path) -> dict[str, object]:
    """Photograph the list of studies; return its rows and its language."""
    with chromium() as browser:
        page = new_page(browser)
        try:
            log_in(page, demo.server.url, DATABASE, 'admin', PASSWORD)
            open_list(page, DATABASE, STUDY)
            return {
                'path': str(path),
                'rows': page.locator(ROWS).count(),
                'language': page.locator('html').get_attribute('lang'),
                }
        finally:
            # Of a failure, too
            page.screenshot(path=path)


def check(use_postgresql: bool, screenshot: Path, language: str) -> int:
    """Run a demo from scratch and print what it came to, as JSON."""
    folder = Path(tempfile.mkdtemp(prefix='demo-'))
    # PostgreSQL's system user must pass through.
    folder.chmod(0o711)
    result: dict[str, object] = {'ok': False}
    try:
        with Demo(folder, use_postgresql, language) as demo:
            demo.start()
            say("Comparison")
            result = demo_check.compare(demo)
            say("Screenshot")
            screenshot.parent.mkdir(parents=True, exist_ok=True)
            result['screenshot'] = shot = take_screenshot(demo, screenshot)
            result['ok'] = bool(result['ok'] and shot['rows'])
    except Exception as error:
        # The last line is for a machine to read, whatever happens.
        result['error'] = f'{type(error).__name__}: {error}'
        result['ok'] = False
    finally:
        shutil.rmtree(folder)
        print(json.dumps(result), flush=True)
    return 0 if result['ok'] else 1


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    with (folder / 'lock').open('w') as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"a demo runs already in {folder}") from None
        yield


def run(
        folder: Path, use_postgresql: bool, reset: bool, language: str
        ) -> int:
    """Run the demo until Ctrl-C."""
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder):
        if reset:
            _empty(folder)
        try:
            with Demo(folder, use_postgresql, language) as demo:
                demo.start()
                demo.start_arrivals()
                print(demo.describe(), flush=True)
                demo.wait()
        except KeyboardInterrupt:
            say("Stopped")
    return 0


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != 'lock':
            path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(prog='./dev demo', description=__doc__)
    parser.add_argument(
        '--postgresql', action='store_true',
        help="use a PostgreSQL server of its own instead of SQLite")
    parser.add_argument(
        '--reset', action='store_true', help="forget the last demo")
    parser.add_argument(
        '--folder', type=Path, help="where to keep it (default: .demo)")
    parser.add_argument(
        '--check', action='store_true',
        help="start from scratch, compare both sides, stop, print JSON")
    parser.add_argument(
        '--screenshot', type=Path,
        default=cache_folder() / 'demo-studies.png',
        help="where --check puts its screenshot (default: %(default)s)")
    parser.add_argument(
        '--language', choices=sorted(demo_languages.LANGUAGES), default='en',
        help="of people, orders and screens (default: %(default)s)")
    options = parser.parse_args()
    if options.check:
        return check(
            options.postgresql, options.screenshot, options.language)
    name = 'postgresql' if options.postgresql else 'sqlite'
    if options.language != 'en':
        name = f'{name}-{options.language}'
    if version := os.environ.get(ORTHANC_VARIABLE):
        # What one has stored, an older one may be unable to read
        name = f'{name}-orthanc-{version}'
    return run(
        options.folder or ROOT / '.demo' / name, options.postgresql,
        options.reset, options.language)


if __name__ == '__main__':
    with stopping_on_signals():
        try:
            sys.exit(main())
        except StartError as error:
            sys.exit(f"demo: {error}")
