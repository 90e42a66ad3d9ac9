# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents do inside of Tryton, in a transaction of the caller."""
import datetime as dt
import itertools
import os
import random
import signal
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from importlib import import_module
from operator import itemgetter
from unittest import mock
from uuid import uuid4

import requests

from trytond import backend
from trytond.exceptions import UserError
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.transaction import Transaction

# Seconds in which a second thread has begun
PATIENCE = 20
SERVER = 'gnuhealth.orthanc.config'
PATIENT = 'gnuhealth.orthanc.patient'
STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'
RUN = 'gnuhealth.orthanc.synchronization'
FAILURE = 'gnuhealth.orthanc.synchronization.failure'
PLACEMENT = 'gnuhealth.imaging.worklist.placement'
NOTIFICATION = 'gnuhealth.orthanc.notification'
RULE = 'gnuhealth.imaging_orthanc.dismissal_rule'
CORRECTION = 'gnuhealth.imaging_orthanc.study.correction'
DECISION = 'gnuhealth.imaging_orthanc.study.decision'
WRONG_PATIENT = 'gnuhealth.imaging_orthanc.wrong_patient'
DELETION = 'gnuhealth.imaging_orthanc.deletion'
DELETE_IMAGES = 'gnuhealth.imaging_orthanc.delete_images'
RUN_FIELDS = [
    'id', 'kind', 'state', 'requests', 'error_kind', 'patients_created',
    'studies_created', 'studies_updated', 'studies_missing',
    'series_created', 'series_updated', 'series_missing',
    'instances_created', 'instances_updated', 'instances_missing',
    'failures_count', 'processed', 'error', 'result']


def model(name):
    return Pool().get(name)


def empty():
    "Forget all servers and what came from them"
    cursor = Transaction().connection.cursor()
    attachment = model('ir.attachment').__table__()
    cursor.execute(*attachment.delete())
    for name in [
            RULE, CORRECTION, f'{WRONG_PATIENT}.notice',
            f'{WRONG_PATIENT}.withheld', WRONG_PATIENT, DECISION, DELETION,
            PLACEMENT, FAILURE, INSTANCE, SERIES, STUDY, PATIENT]:
        cursor.execute(*model(name).__table__().delete())
    server = model(SERVER).__table__()
    cursor.execute(*server.update([server.last_run], [None]))
    for name in [RUN, SERVER, 'ir.queue']:
        cursor.execute(*model(name).__table__().delete())


def add_server(values):
    server, = model(SERVER).create([{'validated': True, **values}])
    return server.id


def create(name, values):
    return [r.id for r in model(name).create(values)]


def write(name, ids, values):
    Model = model(name)
    Model.write(Model.browse(ids), values)


def delete(name, ids):
    Model = model(name)
    Model.delete(Model.browse(ids))


def mark_missing(name, ids):
    model(name).mark_missing(ids)


def wrote(name, id_):
    "Return who has written a record"
    user = model(name)(id_).write_uid
    return user.id if user else None


def read(name, domain, fields):
    "Return records as dictionaries, with ids in place of records"
    Model = model(name)
    with Transaction().set_context(active_test=False):
        ids = [r.id for r in Model.search(domain, order=[('id', 'ASC')])]
        return sorted(Model.read(ids, fields), key=itemgetter('id'))


def add_patient(puid, family, given, sex, birth_date):
    "Register a patient of GNU Health"
    party, = model('party.party').create([{
                'name': given, 'lastname': family, 'ref': puid,
                'is_person': True, 'is_patient': True, 'gender': sex,
                'fed_country': None,
                'dob': birth_date,
                }])
    Patient = model('gnuhealth.patient')
    patients = Patient.search([('party', '=', party.id)])
    if not patients:
        patients = Patient.create([{'party': party.id}])
    Patient.write(patients, {'biological_sex': sex})
    return patients[0].id


def synchronize(server_id, kind='incremental', limits=None):
    "Run a synchronisation; return it and how many SQL statements it took"
    with _limited(limits), _counted() as count:
        run = model(RUN).run(model(SERVER)(server_id), kind)
    with Transaction().new_transaction(readonly=True):
        values, = model(RUN).read([run.id], RUN_FIELDS)
    return {**values, 'statements': count()}


@contextmanager
def _limited(limits):
    "Make the batches smaller"
    modules = [
        import_module(f'trytond.modules.health_orthanc.{name}')
        for name in [
            'synchronization.storing', 'synchronization.comparison',
            'synchronization.partition', 'linking.link']]
    with ExitStack() as stack:
        for name, value in (limits or {}).items():
            module = next(m for m in modules if hasattr(m, name))
            stack.enter_context(mock.patch.object(module, name, value))
        yield


@contextmanager
def _counted(at=None, act=None):
    """Count SQL statements; before the one numbered `at`, call `act`.
    """
    number, lock = 0, threading.Lock()

    def counting(self, statement, *args):
        nonlocal number
        # There may be two threads
        with lock:
            number += 1
            if number == at:
                act()
        return execute(self, statement, *args)

    module = import_module(backend.Database.__module__)
    Cursor = (
        module.SQLiteCursor if backend.name == 'sqlite'
        else module.LoggingCursor)
    execute = Cursor.execute
    with mock.patch.object(Cursor, 'execute', counting, create=True):
        yield lambda: number


def synchronize_accompanied(server_id, kind, limits, statement=None):
    """Run a synchronisation where no worker is, but perhaps a second thread.

    Return it and how often the thread has helped; or be killed before a
    statement.
    """
    with _accompanied() as help_:
        if statement:
            synchronize_until(server_id, kind, limits, statement)
        return {
            **synchronize(server_id, kind, limits),
            'accompanied': help_.call_count}


@contextmanager
def _accompanied():
    "Let no worker be; a run that has a second thread waits until it helps"
    comparison = import_module(
        'trytond.modules.health_orthanc.synchronization.comparison')
    tasks = import_module('trytond.modules.health_orthanc.common.tasks')
    Comparison = comparison.Comparison
    help_, find_next = Comparison.help, Comparison._find_next
    begun = threading.Event()

    def begin(engine):
        begun.set()
        help_(engine)

    def wait(engine):
        if engine._is_shared:
            # In vain if the place is still that of one that was killed
            begun.wait(PATIENCE)
            begun.set()
        return find_next(engine)

    with mock.patch.object(tasks.queue_, 'has_worker', False), \
            mock.patch.object(Comparison, '_find_next', wait), \
            mock.patch.object(
                Comparison, 'help', autospec=True,
                side_effect=begin) as mocked:
        yield mocked
    assert threading.active_count() == 1


def synchronize_with_mistake(server_id, limits, in_run):
    """Run a first synchronisation with a mistake in one of its two threads.

    It makes itself felt at the second page that the thread stores.
    """
    comparison = import_module(
        'trytond.modules.health_orthanc.synchronization.comparison')
    store, pages = comparison.Comparison._store_page, itertools.count(1)

    def fail(engine, *args):
        if (engine._company is not None) == in_run and next(pages) == 2:
            raise KeyError('x')
        return store(engine, *args)

    with _accompanied(), mock.patch.object(
            comparison.Comparison, '_store_page', fail):
        run = synchronize(server_id, 'full', limits)
    return {**run, 'failed': next(pages) > 2}


def synchronize_until(server_id, kind, limits, statement):
    "Run a synchronisation and be killed before a statement"
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    with _limited(limits), _counted(statement, die):
        model(RUN).run(model(SERVER)(server_id), kind)


def synchronize_all(name='get_new_studies'):
    "Synchronise as code of other modules does; return what is told"
    try:
        getattr(model(STUDY), name)()
    except UserError as error:
        return str(error)


def snapshot(server_id):
    """Return what is recorded of a server and not missing, by level.

    Orthanc ids, each as often as it is recorded, in a sorted list.
    """
    found = {
        'patients': model(PATIENT).search([('server', '=', server_id)]),
        'studies': model(STUDY).search([('server', '=', server_id)]),
        'series': model(SERIES).search([('study.server', '=', server_id)]),
        'instances': model(INSTANCE).search(
            [('series.study.server', '=', server_id)]),
        }
    return {
        level: sorted(
            r.uuid if level == 'patients' else r.orthanc_UID
            for r in records if not r.missing_since)
        for level, records in found.items()}


def doubles(server_id):
    "Return the Orthanc ids that are recorded more than once"
    counts = defaultdict(int)
    for name, server in [
            (STUDY, 'server'), (SERIES, 'study.server'),
            (INSTANCE, 'series.study.server')]:
        for record in model(name).search([(server, '=', server_id)]):
            counts[record.orthanc_UID] += 1
    return [id_ for id_, count in counts.items() if count > 1]


def review_domains():
    "Return the domains of what is shown as to be reviewed"
    pool = Pool()
    ModelData = pool.get('ir.model.data')
    Domain = pool.get('ir.action.act_window.domain')
    Window = pool.get('ir.action.act_window')

    def get(Model, xml_id):
        return Model(ModelData.get_id('health_orthanc', xml_id))

    found = [
        get(Domain, 'act_study_form_domain_review').domain,
        get(Window, 'act_study_review').domain]
    return [PYSONDecoder().decode(text) for text in found]


def open_series(ids, fields=('instances',)):
    return model(SERIES).read(ids, list(fields))


def synchronize_but(server_id, kind, orthanc_id):
    "Run a synchronisation in which a study violates a constraint"
    Study = model(STUDY)
    create = Study.create

    def refuse(vlist):
        records = create(vlist)
        if orthanc_id in [v['orthanc_UID'] for v in vlist]:
            raise backend.DatabaseIntegrityError()
        return records

    with mock.patch.object(Study, 'create', refuse):
        return synchronize(server_id, kind)


def synchronize_broken(server_id):
    "Run a synchronisation with a mistake in it"
    engine = import_module(
        'trytond.modules.health_orthanc.synchronization.engine')
    with mock.patch.object(
            engine.Engine, '_close_gaps', side_effect=KeyError('x')):
        return synchronize(server_id, 'full')


def synchronize_slowly(server_id, limits):
    """Run a full synchronization; each page takes a minute.

    That is the time between two looks at the clock.
    """
    time_limit = import_module(
        'trytond.modules.health_orthanc.synchronization.time_limit')
    begun, looks = time_limit.now(), itertools.count()
    with mock.patch.object(
            time_limit, 'now',
            lambda: begun + dt.timedelta(minutes=next(looks))):
        return synchronize(server_id, 'full', limits)


def synchronize_shuffled(server_id, limits, seed, addresses):
    """Run a full synchronization whose parts are read in any order.

    After each part, the next of some studies is deleted in Orthanc.
    """
    comparison = import_module(
        'trytond.modules.health_orthanc.synchronization.comparison')
    Part = model('gnuhealth.orthanc.synchronization.part')
    generator = random.Random(seed)
    addresses = list(addresses)
    find, process = Part.find_open, comparison.Comparison._process_part

    def find_shuffled(server_id, limit=None):
        ids = find(server_id)
        generator.shuffle(ids)
        return ids[:limit]

    def process_and_delete(self, *args):
        process(self, *args)
        if addresses:
            requests.delete(addresses.pop(0), timeout=60).raise_for_status()

    with mock.patch.object(Part, 'find_open', find_shuffled), \
            mock.patch.object(
                comparison.Comparison, '_process_part', process_and_delete):
        return synchronize(server_id, 'full', limits)


def begin_synchronization(server_id, kind):
    "Queue a run, as the scheduler does: again after a conflict"
    def queue():
        Server = model(SERVER)
        Server.synchronize_in_turn([Server(server_id)], kind)

    transaction = import_module(
        'trytond.modules.health_orthanc.common.transaction')
    transaction.in_transaction(queue)


def resume_synchronizations():
    "Do what the scheduler does each minute"
    tasks = import_module('trytond.modules.health_orthanc.common.tasks')
    with mock.patch.object(tasks, 'TAKEN_FOR', dt.timedelta(seconds=2)):
        model(SERVER).resume_synchronizations()


def register_archive(patients, orders):
    """Register patients of the made-up archive, and order some of its studies.
    """
    archive = import_module('benchmarks.archive')
    ids = []
    every, own = archive.STRANGERS
    for number in range(patients):
        if number % every < own:
            person = archive.Person.make(number)
            ids.append(add_patient(
                    person.puid, person.family, person.given,
                    person.sex.lower(), person.birth_date))
    for number, patient in enumerate(ids[:orders]):
        place(patient, number // own * every + number % own)


def place(patient_id, study):
    "Request an order with the accession number of a study of the archive"
    doctor, test = _doctor_and_test()
    Request = model('gnuhealth.imaging.test.request')
    orders = Request.create([{
                'patient': patient_id, 'date': dt.datetime(2026, 3, 4),
                'requested_test': test.id, 'doctor': doctor.id,
                'accession_number': f'A{study:08}'}])
    Request.requested(orders)


def load_instances(ids):
    Series = model(SERIES)
    Series.load_instances(Series.browse(ids))


OURS = [('method', 'like', 'gnuhealth.orthanc.%')]


def make_crons_due():
    "Have the scheduler run everything at once, as at its first start"
    Cron = model('ir.cron')
    Cron.write(Cron.search([]), {'next_call': None})


def crons():
    return model('ir.cron').search_read(OURS, fields_names=['next_call'])


def press(server_id, button):
    Server = model(SERVER)
    # Nobody here would continue what gives way to other tasks
    turns = import_module('trytond.modules.health_orthanc.common.turns')
    with mock.patch.object(turns.Turn, 'check'):
        getattr(Server, button)([Server(server_id)])


def clean():
    model(RUN).clean()


def run_wizard(name, button):
    "Go through a wizard as clients do; return what its last page says"
    Wizard = Pool().get(name, type='wizard')
    session_id, start_state, _ = Wizard.create()
    answer = Wizard.execute(session_id, {}, start_state)
    defaults = answer['view'].get('defaults', {})
    answer = Wizard.execute(session_id, {start_state: defaults}, button)
    Wizard.delete(session_id)
    return answer['view']['defaults']['message']


def correct(study_id, kind='correct'):
    "Ask for a correction and work it off; return the studies asked for"
    Study = model(STUDY)
    with Transaction().new_transaction() as transaction:
        asked = [
            s.id for s in model(CORRECTION).queue_corrections(
                [Study(study_id)], kind)]
        transaction.commit()
        # Not a second time when the call has ended
        transaction.tasks.clear()
    carry_on_corrections()
    return asked


def _doctor_and_test():
    Test = model('gnuhealth.imaging.test')
    doctors = model('gnuhealth.healthprofessional').search([], limit=1)
    if not doctors:
        party, = model('party.party').create([{
                    'name': "Cora", 'lastname': "Musterfrau",
                    'is_person': True, 'is_healthprof': True, 'gender': 'f',
                    'fed_country': None}])
        doctors = model('gnuhealth.healthprofessional').create(
            [{'party': party.id}])
    data = model('ir.model.data')
    tests = Test.search([], limit=1) or Test.create([{
                'code': 'CT', 'name': "CT",
                'test_type': data.get_id(
                    'health_imaging', 'gnuhealth_test_type_ctscan'),
                'product': data.get_id(
                    'health_imaging', 'product_product_ctscancharges'),
                }])
    return doctors[0], tests[0]


def add_result(patient_id, study_id):
    "Make an imaging result, and have it be that of a study"
    doctor, test = _doctor_and_test()
    result, = model('gnuhealth.imaging.test.result').create([{
                'patient': patient_id, 'date': dt.datetime(2026, 3, 4),
                'requested_test': test.id, 'doctor': doctor.id}])
    write(STUDY, [study_id], {'imaging_test': result.id})
    return result.id


def attach(ids):
    Instance = model(INSTANCE)
    Instance.attach_image_to_imaging_test_report(Instance.browse(ids))


def delete_images(name, ids, reason=None):
    """Delete from Orthanc as the wizard does.

    Returns
    -------
    tuple
        What was asked, what became of each, how many SQL statements it took.
    """
    Wizard = Pool().get(DELETE_IMAGES, type='wizard')

    def call(method, *args):
        # Each call of a client has a transaction of its own
        with Transaction().set_context(
                active_model=name, active_id=ids[0], active_ids=ids), \
                Transaction().new_transaction() as transaction:
            answer = getattr(Wizard, method)(*args)
            transaction.commit()
            return answer

    session_id, *_ = call('create')
    view = call('execute', session_id, {}, 'confirm')['view']
    with _counted() as count:
        answer = call(
            'execute', session_id, {'confirm': {'reason': reason}}, 'delete_')
    return (
        view['defaults']['question'],
        [(line['state'], line['remark'])
            for line in answer['view']['defaults']['lines']],
        count())


def carry_on_corrections():
    "Do what the task of the scheduler leaves to the queue"
    Correction = model(CORRECTION)
    with Transaction().new_transaction(readonly=True):
        Correction.process(Correction.search([]))


def notify(server_id, events):
    """Work off what the plugin could tell; return what went wrong.

    Parameters
    ----------
    events : list of tuple
        Kind and Orthanc id of a study.
    """
    Notification = model(NOTIFICATION)
    with Transaction().new_transaction() as transaction:
        ids = [n.id for n in Notification.create([{
                    'server': server_id,
                    'event': str(uuid4()),
                    'kind': kind,
                    'orthanc_UID': orthanc_id,
                    'facts': '{"PatientID": "WRONG"}',
                    'received_at': dt.datetime.now().replace(microsecond=0),
                    } for kind, orthanc_id in events])]
        transaction.commit()
    with Transaction().new_transaction(readonly=True):
        Notification.process(Notification.browse(ids))
    return [
        n['error_kind'] for n in read(
            NOTIFICATION, [('id', 'in', ids)], ['error_kind', 'processed_at'])
        if n['error_kind'] or not n['processed_at']]
