# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents do with studies of the wrong patient."""
import datetime as dt

from trytond.transaction import Transaction, TransactionError

from .inside import CORRECTION, SERIES, STUDY, WRONG_PATIENT, model

REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'


def add_order(patient_id):
    "Make an order of a CT; return its id and its numbers"
    Test = model('gnuhealth.imaging.test')
    Professional = model('gnuhealth.healthprofessional')
    data = model('ir.model.data')
    doctors = Professional.search([], limit=1)
    if not doctors:
        party, = model('party.party').create([{
                    'name': "Cora", 'lastname': "Musterfrau",
                    'is_person': True, 'is_healthprof': True, 'gender': 'f',
                    'fed_country': None}])
        doctors = Professional.create([{'party': party.id}])
    tests = Test.search([], limit=1) or Test.create([{
                'code': 'CT', 'name': "CT",
                'test_type': data.get_id(
                    'health_imaging', 'gnuhealth_test_type_ctscan'),
                'product': data.get_id(
                    'health_imaging', 'product_product_ctscancharges'),
                }])
    order, = model(REQUEST).create([{
                'patient': patient_id, 'date': dt.datetime(2026, 3, 2, 9),
                'requested_test': tests[0].id, 'doctor': doctors[0].id}])
    model(REQUEST).requested([order])
    return order.id, order.accession_number, order.study_instance_uid


def mark(study_id):
    def ask():
        wrong, = model(WRONG_PATIENT).mark(
            [model(STUDY)(study_id)], "Other knee")
        return wrong.id
    return _committed(ask)


def _committed(func):
    """Call as trytond does for a client, again if a lock is needed.

    The tasks are left to `carry_on`.
    """
    extras = {}
    while True:
        with Transaction().new_transaction(**extras) as transaction:
            try:
                result = func()
                transaction.commit()
                transaction.tasks.clear()
                return result
            except TransactionError as error:
                transaction.rollback()
                error.fix(extras)


def move(wrong_id, patient_id, order_id, series_uids=()):
    "Start a move and run its task"
    def ask():
        WrongPatient = model(WRONG_PATIENT)
        series = model(SERIES).search(
            [('series_UID', 'in', list(series_uids))])
        WrongPatient.start_move(
            WrongPatient(wrong_id), model('gnuhealth.patient')(patient_id),
            model(REQUEST)(order_id) if order_id else None, series)
    _committed(ask)
    carry_on()


def undo(wrong_id):
    def ask():
        WrongPatient = model(WRONG_PATIENT)
        WrongPatient.undo_move([WrongPatient(wrong_id)])
    _committed(ask)
    carry_on()


def confirm(wrong_id):
    def ask():
        WrongPatient = model(WRONG_PATIENT)
        WrongPatient.confirm_move([WrongPatient(wrong_id)])
    _committed(ask)


def carry_on():
    "Do what the scheduler does for moves"
    Correction = model(CORRECTION)
    with Transaction().new_transaction(readonly=True):
        Correction.process(Correction.search(
                [('state', 'in', ['waiting', 'copying', 'removing'])]))


def add_unread_result(order_id):
    "Make the result that is made when images arrive"
    order = model(REQUEST)(order_id)
    result, = model(RESULT).create([{
                'patient': order.patient.id, 'date': order.date,
                'request': order.id, 'order': order.request,
                'requested_test': order.requested_test.id}])
    return result.id


def may_be_empty(name, column):
    "Return whether the database stores nothing in a column"
    from trytond import backend
    Model = model(name)
    if backend.name == 'sqlite':
        return True
    cursor = Transaction().connection.cursor()
    cursor.execute(
        "SELECT is_nullable FROM information_schema.columns "
        "WHERE table_name = %s AND column_name = %s", (Model._table, column))
    return cursor.fetchone() == ('YES',)


def report_template():
    data = model('ir.model.data')
    return model('ir.action.report')(
        data.get_id('health_imaging', 'imaging_result_report')).report
