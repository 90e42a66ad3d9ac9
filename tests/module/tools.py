# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records, users and remote calls for the tests of the module."""

import base64
import datetime as dt
import gzip
import hashlib
import itertools
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from trytond.config import config
from trytond.exceptions import UserError
from trytond.ir import avatar
from trytond.modules.health_orthanc.linking.link import match_notified
from trytond.pool import Pool
from trytond.protocols.jsonrpc import JSONDecoder, JSONEncoder
from trytond.tests import test_tryton
from trytond.tests.test_tryton import RouteTestCase, drop_db
from trytond.transaction import Transaction

__all__ = [
    'INSTANCE', 'MODULE', 'OrthancTestCase', 'PATIENT', 'Refused', 'RpcError',
    'RpcTestCase', 'SERIES', 'SERVER', 'STUDY', 'Session', 'Told', 'VIEWER',
    'begin_task', 'configured', 'create_instance', 'create_order',
    'create_orthanc_patient',
    'create_patient',
    'create_result', 'create_series', 'create_server', 'create_study',
    'create_test', 'create_user', 'fernet_keys', 'in_place',
    'installed_viewer', 'match_study', 'record_id', 'waiting_tasks']

MODULE = 'health_orthanc'
EXTRAS = os.environ.get('TEST_EXTRAS', '').split()

SERVER = 'gnuhealth.orthanc.config'
VIEWER = 'gnuhealth.orthanc.viewer'
PATIENT = 'gnuhealth.orthanc.patient'
STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'

_numbers = itertools.count(1)


class _Database:
    "What the test cases have in common"
    changed = True

    def drop(self):
        if self.changed:
            with patch.object(Pool, 'stop'):
                drop_db()


_database = _Database()


class _EnteringContexts:
    "What `unittest` has from Python 3.11 on"

    @classmethod
    def enterClassContext(cls, manager):
        result = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        return result

    def enterContext(self, manager):
        result = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return result


class OrthancTestCase(
        *([_EnteringContexts] if sys.version_info < (3, 11) else []),
        RouteTestCase):
    """Tests on a database with the module and what else is asked for

    The next class gets the same database if nothing was committed, and the
    same pool in any case: making them anew takes longer than most tests.
    """
    module = MODULE
    extras = EXTRAS

    @classmethod
    def setUpClass(cls):
        commit = Transaction.commit

        def committing(transaction):
            _database.changed = True
            commit(transaction)
        cls.enterClassContext(
            patch.object(Transaction, 'commit', committing))
        cls.enterClassContext(
            patch.object(test_tryton, 'drop_db', _database.drop))
        # Pictures of users take a quarter of a second each
        cls.enterClassContext(patch.object(avatar, 'PIL', None))
        super().setUpClass()
        _database.changed = (
            cls.setUpDatabase.__func__
            is not RouteTestCase.setUpDatabase.__func__)

    @contextmanager
    def assertUserError(self, message, *parts):
        "The user is told the message with the XML id, with `parts` in it"
        with self.assertRaises(UserError) as raised:
            yield
        text = Pool().get('ir.message')(record_id(message)).text
        # What stands before the first value
        self.assertIn(text.partition('%(')[0], str(raised.exception))
        for part in parts:
            self.assertIn(part, str(raised.exception).lower())


class RpcError(Exception):
    "A remote call failed"


class Told(RpcError):
    "The user is told why"


class Refused(Told):
    "The user is told that access is denied"


class Session:
    """What a user can do from outside

    Parameters
    ----------
    app_client : Client
        Of the web application.
    database : str
    user : int
    key : str
        Of a session of the user.
    """

    def __init__(self, app_client, database, user, key):
        self.user = user
        self._client = app_client
        self._path = f'/{database}/'
        token = base64.b64encode(f'user:{user}:{key}'.encode()).decode()
        self._headers = {'Authorization': f'Session {token}'}

    def __call__(self, method, *args, **context):
        """Call a method as clients do, and return its result.

        Raises
        ------
        Refused, Told, RpcError
        """
        body = json.dumps(
            {'id': 1, 'method': method, 'params': [*args, context]},
            cls=JSONEncoder)
        response = self._client.post(
            self._path, data=body, headers=self._headers,
            content_type='application/json')
        if response.status_code != 200:
            raise Refused(response.status)
        answer = json.loads(response.data, object_hook=JSONDecoder())
        if 'error' in answer:
            raise _error(answer['error'])
        return answer['result']

    def model(self, name, method, *args, **context):
        return self(f'model.{name}.{method}', *args, **context)

    def report(self, name, method, *args, **context):
        return self(f'report.{name}.{method}', *args, **context)

    def wizard(self, name, method, *args, **context):
        return self(f'wizard.{name}.{method}', *args, **context)


def _error(error):
    if error[0] == 'UserError':
        message = error[1][0]
        if 'not allowed' in message:
            return Refused(message)
        return Told(message)
    return RpcError(error[0])


class RpcTestCase(OrthancTestCase):
    "Tests of what users can do from outside"

    @classmethod
    def setUpClass(cls):
        cls._keys = {}
        super().setUpClass()

    def session(self, user):
        "Return a session of the user with the id"
        if user not in self._keys:
            with Transaction().start(self.db_name, user) as transaction:
                self._keys[user] = Pool().get('ir.session').new()
                transaction.commit()
        return Session(self.client(), self.db_name, user, self._keys[user])


@contextmanager
def configured(name, value):
    "Have an option of ours in the configuration"
    if not config.has_section('health_orthanc'):
        config.add_section('health_orthanc')
    config.set('health_orthanc', name, value)
    try:
        yield
    finally:
        config.remove_option('health_orthanc', name)


@contextmanager
def installed_viewer(**files):
    """Have a viewer of two small files installed, and yield its folder.

    Parameters
    ----------
    files : bytes
        More files, by their names without ``.js``.
    """
    contents = {
        'index.html': b'<script nonce="@@NONCE@@" src="@@FILES@@a.js">'
        b'</script><script src="@@PAGES@@app-config.js"></script>',
        'a.js': b'program();' * 100,
        **{f'{name}.js': content for name, content in files.items()},
        }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'r1').mkdir()
        for name, content in contents.items():
            (folder / 'r1' / name).write_bytes(content)
            (folder / 'r1' / f'{name}.gz').write_bytes(
                gzip.compress(content))
        (folder / 'secret').write_text("secret")
        (folder / 'manifest.json').write_text(json.dumps({
                    'version': '0', 'revision': 'r1', 'files': {
                        name: {
                            'sha256': hashlib.sha256(content).hexdigest(),
                            'size': len(content),
                            'type': 'text/javascript', 'gzip': True,
                            'eval': name.startswith('worker'),
                            } for name, content in contents.items()}}))
        with configured('viewer_path', str(folder)):
            yield folder


def fernet_keys(*keys):
    "Have the keys in the configuration"
    return configured('fernet_key', ' '.join(keys))


def record_id(name, module=MODULE):
    return Pool().get('ir.model.data').get_id(module, name)


def create_user(login, *groups):
    """Create a user who is in groups.

    Parameters
    ----------
    groups : str
        ``module.xml_id``
    """
    pool = Pool()
    user, = pool.get('res.user').create([{
                'name': login,
                'login': login,
                'groups': [('add', [
                            record_id(name, module) for module, name in (
                                group.split('.') for group in groups)])],
                }])
    return user


def create_server(**values):
    "Create a server that nobody listens at, and that passes for checked"
    number = next(_numbers)
    server, = Pool().get(SERVER).create([{
                'label': f"Server {number}",
                'domain': f'http://127.0.0.1:9/{number}',
                'validated': True,
                **values}])
    return server


def create_patient(family="Muster", given="Erika", **values):
    "Create a patient of GNU Health; the values are the party's"
    pool = Pool()
    party, = pool.get('party.party').create([{
                'name': given,
                'lastname': family,
                'is_person': True,
                'is_patient': True,
                'gender': 'f',
                'ref': f'PUID{next(_numbers)}',
                'fed_country': 'XXX',
                **values}])
    patient, = pool.get('gnuhealth.patient').create([{'party': party.id}])
    return patient


def _imaging_test():
    pool = Pool()
    Test = pool.get('gnuhealth.imaging.test')
    tests = Test.search([], limit=1) or Test.create([{
                'code': 'CT-HEAD',
                'name': "CT of the Head",
                'test_type': record_id(
                    'gnuhealth_test_type_ctscan', 'health_imaging'),
                'product': record_id(
                    'product_product_ctscancharges', 'health_imaging'),
                }])
    return tests[0]


def _doctor():
    pool = Pool()
    Doctor = pool.get('gnuhealth.healthprofessional')
    doctors = Doctor.search([], limit=1)
    if not doctors:
        party, = pool.get('party.party').create([{
                    'name': "Cora",
                    'lastname': "Musterfrau",
                    'is_person': True,
                    'is_healthprof': True,
                    'gender': 'f',
                    'fed_country': 'XXX',
                    }])
        doctors = Doctor.create([{'party': party.id}])
    return doctors[0]


def create_test(**values):
    "Create a study type, of CT unless said otherwise"
    number = next(_numbers)
    test, = Pool().get('gnuhealth.imaging.test').create([{
                'code': f'TEST{number}',
                'name': f"Study {number}",
                'test_type': record_id(
                    'gnuhealth_test_type_ctscan', 'health_imaging'),
                'product': record_id(
                    'product_product_ctscancharges', 'health_imaging'),
                'aetitle': 'CT1',
                **values}])
    return test


def create_order(patient=None, requested=False, **values):
    "Create an order, and press the button Request of it if `requested`"
    Request = Pool().get('gnuhealth.imaging.test.request')
    request, = Request.create([{
                'patient': (patient or create_patient()).id,
                'date': dt.datetime.now().replace(microsecond=0),
                'doctor': _doctor().id,
                **values,
                'requested_test': (
                    values.get('requested_test') or create_test().id),
                }])
    if requested:
        Request.requested([request])
    return request


def create_result(patient, **values):
    "Create an imaging result and its request"
    pool = Pool()
    common = {
        'patient': patient.id,
        'date': dt.datetime(2026, 3, 4, 10, 30),
        'requested_test': _imaging_test().id,
        'doctor': _doctor().id,
        }
    request, = pool.get('gnuhealth.imaging.test.request').create([common])
    result, = pool.get('gnuhealth.imaging.test.result').create([{
                **common, 'request': request.id, **values}])
    return result


def create_orthanc_patient(server, **values):
    number = next(_numbers)
    patient, = Pool().get(PATIENT).create([{
                'server': server.id,
                'uuid': f'orthanc-patient-{number}',
                'name': 'Muster^Erika',
                'display_name': "Muster, Erika",
                'ident': f'ID{number}',
                **values}])
    return patient


def create_study(server, **values):
    number = next(_numbers)
    study, = Pool().get(STUDY).create([{
                'server': server.id,
                'orthanc_UID': f'orthanc-study-{number}',
                'study_instance_UID': f'1.2.3.{number}',
                'patient_name': 'Muster^Erika',
                'patient_display_name': "Muster, Erika",
                'patient_id': f'ID{number}',
                'date': dt.date(2026, 3, 4),
                **values}])
    return study


def create_series(study, **values):
    number = next(_numbers)
    series, = Pool().get(SERIES).create([{
                'study': study.id,
                'orthanc_UID': f'orthanc-series-{number}',
                'series_UID': f'1.2.3.4.{number}',
                'modality': 'CT',
                'instances_count': 1,
                **values}])
    return series


def create_instance(series, **values):
    number = next(_numbers)
    instance, = Pool().get(INSTANCE).create([{
                'series': series.id,
                'orthanc_UID': f'orthanc-instance-{number}',
                'sop_instance_UID': f'1.2.3.4.5.{number}',
                **values}])
    return instance


def match_study(study, step_ids=(), **facts):
    "Match a study by what the plugin tells of it, and return it anew"
    Study = Pool().get(STUDY)
    facts.setdefault('Series', [{
                'RequestAttributes': [
                    {'ScheduledProcedureStepID': id_}
                    for id_ in step_ids]}])
    match_notified(study.server.id, study.orthanc_UID, json.dumps(facts))
    return Study(study.id)


def in_place(func, *args):
    "Call a function as `in_transaction` does, in the transaction of the test"
    with Transaction().set_user(0), Transaction().set_context(
            _check_access=False, active_test=False):
        return func(*args)


def waiting_tasks():
    "Return the methods of the tasks that no worker has begun"
    return [
        task.data['method'] for task in Pool().get('ir.queue').search(
            [('dequeued_at', '=', None)])]


def begin_task():
    "Run the task that a worker would take next, and return its method"
    # As `pull`, which is for PostgreSQL
    first = 'ASC NULLS FIRST'
    task, = Pool().get('ir.queue').search(
        [('dequeued_at', '=', None)], order=[
            ('scheduled_at', first), ('expected_at', first), ('id', 'ASC')],
        limit=1)
    task.run()
    return task.data['method']
