# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GNU Health and its Orthanc, where plans are carried out."""
import datetime as dt
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from xmlrpc.client import ServerProxy

from proteus import Model, Wizard

from .. import hospital
from ..orthanc import Orthanc
from ..programs import ForkingTryton, Programs
from ..tryton import PASSWORD, ROOT, Tryton
from .oracle import Order
from .parts import Archive, Courier, GnuHealth

__all__ = ['Site', 'Template', 'STABLE_AGE', 'open_template']

PLUGIN = ROOT / 'orthanc_plugin' / 'health_orthanc.py'
QUEUE = 'health_orthanc-notifications.db'
CONFIG = 'gnuhealth.orthanc.config'
NOTIFICATION = 'gnuhealth.orthanc.notification'
DATABASE = 'faults'
STABLE_AGE = 1
COMPLAINT = re.compile('HealthOrthanc: |ERROR|CRITICAL|WARNING trytond|Error:')
# When what is not due runs: not while we look
NEVER = '2100-01-01'


class Template:
    """A hospital whose database is copied for each site.

    Attributes
    ----------
    section
        Of the plugin's configuration.
    """

    def __init__(self, tryton: Tryton, section: dict):
        self.postgresql = tryton.postgresql
        self.section = section
        self._tryton = tryton

    @contextmanager
    def copy(self, name: str) -> Iterator[ForkingTryton]:
        """A copy of the database, with daemons that start at once."""
        self.postgresql.create(name, self._tryton.name)
        try:
            tryton = ForkingTryton(
                self._tryton.folder / name, postgresql=self.postgresql,
                name=name)
            with Programs(tryton.configuration, name) as tryton.programs:
                yield tryton
        finally:
            self.postgresql.drop(name)


@contextmanager
def open_template(origin: Tryton) -> Iterator[Template]:
    """Fill a copy of a database in PostgreSQL that has only our module."""
    tryton = origin.copy(DATABASE)
    try:
        with tryton.server() as server:
            server.connect()
            hospital.fill(PASSWORD)
            server.connect()
            section = _connect_plugin()
        yield Template(tryton, section)
    finally:
        tryton.drop()


def _connect_plugin() -> dict:
    config = Model.get(CONFIG)(label="Orthanc", domain='http://127.0.0.1:9')
    config.save()
    wizard = Wizard('gnuhealth.orthanc.connect_plugin', [config])
    wizard.form.url = 'http://127.0.0.1:9'
    wizard.execute('make')
    section = json.loads(wizard.form.configuration)['HealthOrthanc']
    wizard.execute('end')
    return section


class Site:
    """Real parts of one's own, as a context manager.

    Attributes
    ----------
    orthanc : Orthanc
    archive : Archive
        The same, to be killed.
    gnuhealth : GnuHealth
    courier : Courier
        Between the plugin and GNU Health.
    connection
        To the database, in autocommit mode.
    """

    def __init__(self, template: Template, name: str):
        self._template = template
        self._name = name
        self._stack = ExitStack()
        self._patients = 0
        # By GNU Health's address, which may have to be another after a start
        self._proxies: dict[str, ServerProxy] = {}

    def __enter__(self) -> 'Site':
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        self._stack.close()

    def _open(self) -> None:
        tryton = self._stack.enter_context(self._template.copy(self._name))
        self.connection = self._stack.enter_context(closing(
                self._template.postgresql.connect(self._name)))
        self.gnuhealth = GnuHealth(tryton)
        self._stack.callback(self.gnuhealth.kill)
        self.gnuhealth.start()
        self.courier = self._stack.enter_context(
            Courier(self.gnuhealth.server.url))
        self.orthanc = self._stack.enter_context(self._new_orthanc())
        self.archive = Archive(self.orthanc)
        self._introduce()

    def _new_orthanc(self) -> Orthanc:
        section = {
            **self._template.section, 'Url': self.courier.url,
            'Database': self._name, 'RefreshInterval': 0.5, 'Timeout': 10,
            'NotificationFile': QUEUE}
        return Orthanc(plugins=['python'], dicom=True, configuration={
                'PythonScript': str(PLUGIN),
                'LuaScripts': [str(PLUGIN.with_suffix('.lua'))],
                'DicomAlwaysAllowFindWorklist': True,
                'StableAge': STABLE_AGE,
                'HealthOrthanc': section})

    @property
    def _rpc(self) -> ServerProxy:
        url = self.gnuhealth.server.url
        if url not in self._proxies:
            self._proxies[url] = self.gnuhealth.server.rpc()
        return self._proxies[url]

    def _introduce(self) -> None:
        """Tell GNU Health of our Orthanc."""
        config = getattr(self._rpc.model, CONFIG)
        config.write(config.search([], 0, None, None, {}), {
                'domain': self.orthanc.url,
                'user': self.orthanc.user,
                'password': self.orthanc.password,
                }, {})

    # -- GNU Health

    def place_order(self) -> Order:
        """Order two series of CT of a new patient."""
        model = self._rpc.model.gnuhealth
        patient, puid = self._register()
        test, = model.imaging.test.search(
            [('code', '=', 'CT-HEAD')], 0, None, None, {})
        doctor, = model.healthprofessional.search([], 0, None, None, {})
        Request = model.imaging.test.request
        Step = model.imaging.procedure.step
        request, = Request.create([{
                    'patient': patient, 'doctor': doctor,
                    'requested_test': test,
                    'date': dt.datetime.now().replace(microsecond=0),
                    }], {})
        Request.requested([request], {})
        first, = Step.search_read(
            [('request', '=', request)], 0, None, None,
            ['modality', 'station_aetitle', 'scheduled_at'], {})
        del first['id']
        Step.create([{'request': request, **first}], {})
        steps = Step.search_read(
            [('request', '=', request)], 0, None, None, ['step_id'], {})
        values, = Request.read(
            [request], ['accession_number', 'study_instance_uid'], {})
        uid = values['study_instance_uid']
        return Order(
            request, patient, {step['step_id']: step['id'] for step in steps},
            values['accession_number'], uid, _orthanc_id(puid, uid))

    def _register(self) -> tuple[int, str]:
        """Return the id and the PUID of a new patient."""
        self._patients += 1
        puid = f'FLT{self._patients:04}'
        party, = self._rpc.model.party.party.create([{
                    'name': "Fay", 'lastname': f"Fault {_in_letters(puid)}",
                    'is_person': True, 'is_patient': True, 'gender': 'f',
                    'dob': dt.date(1980, 2, 29), 'ref': puid,
                    'fed_country': 'XXX', 'create_target': False}], {})
        patient, = self._rpc.model.gnuhealth.patient.create(
            [{'party': party, 'biological_sex': 'f'}], {})
        return patient, puid

    def press_check(self) -> None:
        """Queue a check of the connection, as its button does."""
        config = getattr(self._rpc.model, CONFIG)
        config.check(config.search([], 0, None, None, {}), {})

    def let_pass_a_minute(self, method: str) -> None:
        """Run the scheduler for one method, as if it was due.

        What waits for an attempt has waited long enough.
        """
        with self.connection.cursor() as cursor:
            cursor.execute("""
                UPDATE ir_cron SET next_call = CASE WHEN method = %s
                    THEN localtimestamp - interval '1 day' ELSE %s END""",
                [method, NEVER])
            cursor.execute("""
                UPDATE gnuhealth_orthanc_notification
                    SET received_at = received_at - interval '2 minutes',
                        next_attempt = received_at
                    WHERE processed_at IS NULL""")
        self.gnuhealth.run_scheduler()

    @property
    def complaints(self) -> str:
        """What the logs of the parts say of trouble."""
        logs = [
            *self.orthanc.folder.glob('orthanc.log*'),
            *self.gnuhealth.tryton.folder.glob('*.log')]
        return '\n'.join(
            f'{log.name}: {line}' for log in logs
            for line in log.read_text(errors='replace').splitlines()
            if COMPLAINT.search(line))

    # -- the plugin

    def untold(self) -> set[str]:
        """Return the Orthanc ids of the studies in the plugin's queue."""
        path = self.orthanc.storage / QUEUE
        with closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)
                ) as connection:
            return {
                study for study, in connection.execute(
                    "SELECT study FROM pending")}


def _in_letters(text: str) -> str:
    """Return a name that no other order's patient has."""
    return ''.join(
        chr(ord('a') + int(c)) if c.isdigit() else c.lower() for c in text)


def _orthanc_id(patient_id: str, uid: str) -> str:
    """Return how Orthanc calls a study."""
    digest = hashlib.sha1(f'{patient_id}|{uid}'.encode()).hexdigest()
    return '-'.join(digest[i:i + 8] for i in range(0, 40, 8))
