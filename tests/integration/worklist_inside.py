# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents do inside of Tryton with orders and worklists."""
import datetime as dt
import os
import signal

from trytond.pool import Pool
from trytond.transaction import Transaction

from .inside import SERVER, _counted, add_patient, model

STEP = 'gnuhealth.imaging.procedure.step'
REQUEST = 'gnuhealth.imaging.test.request'
ENTRY = 'gnuhealth.imaging.worklist.entry'


def clear_orders():
    "Take all orders of before from the worklist"
    cursor = Transaction().connection.cursor()
    cursor.execute(*model(ENTRY).__table__().delete())
    step = model(STEP).__table__()
    cursor.execute(*step.update([step.state], ['canceled']))


def place_orders(count, family="Muster", given="Erika"):
    "Order as many studies; return the steps' ids and IDs"
    Request = model(REQUEST)
    patient = add_patient(
        f'ORDER{_next()}', family, given, 'f', dt.date(1964, 8, 12))
    requests = Request.create([{
                'patient': patient,
                'date': dt.datetime.now().replace(microsecond=0),
                'doctor': doctor(),
                'requested_test': study_type(),
                } for _ in range(count)])
    Request.requested(requests)
    return [(s.id, s.step_id) for r in requests for s in r.steps]


def _next():
    return len(model('party.party').search([])) + 1


def doctor():
    Professional = model('gnuhealth.healthprofessional')
    found = Professional.search([], limit=1)
    if not found:
        party, = model('party.party').create([{
                    'name': "Gregory", 'lastname': "Roe", 'is_person': True,
                    'is_healthprof': True, 'gender': 'm', 'ref': 'PROF1',
                    'fed_country': None}])
        found = Professional.create([{'party': party.id}])
    return found[0].id


def study_type():
    Test = model('gnuhealth.imaging.test')
    found = Test.search([('code', '=', 'WORKLIST')])
    if not found:
        data = Pool().get('ir.model.data')
        found = Test.create([{
                    'code': 'WORKLIST', 'name': "CT of the Head",
                    'test_type': data.get_id(
                        'health_imaging', 'gnuhealth_test_type_ctscan'),
                    'product': data.get_id(
                        'health_imaging', 'product_product_ctscancharges'),
                    'aetitle': 'CT1'}])
    return found[0].id


def press(name, ids, button):
    Model = model(name)
    getattr(Model, button)(Model.browse(ids))


def remove(name, ids):
    Model = model(name)
    Model.delete(Model.browse(ids))


def check(server_id):
    Server = model(SERVER)
    Server.check_connection([Server(server_id)])


def update(server_id, asked_at=None):
    "Bring a worklist in step; return how many SQL statements it took"
    Server = model(SERVER)
    with _counted() as count:
        Server.update_worklist([Server(server_id)], asked_at)
    return count()


def update_until(server_id, statement):
    "Bring a worklist in step and be killed before a statement"
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    Server = model(SERVER)
    with _counted(statement, die):
        Server.update_worklist([Server(server_id)])


def update_all():
    "Do what the scheduler does"
    model(SERVER).synchronize_worklists()


def set_mode(server_id, mode):
    Server = model(SERVER)
    Server.write([Server(server_id)], {'worklist_mode': mode})


def set_active(server_id, active):
    Server = model(SERVER)
    Server.write([Server(server_id)], {'active': active})


def pile_up(count):
    "Have the scheduler ask for an update again and again"
    for _ in range(count):
        model(SERVER).synchronize_worklists()
