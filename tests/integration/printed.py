# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints, called within GNU Health."""
import datetime as dt
import os
from contextlib import contextmanager

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import Transaction

from devtools.translations import FOLDER

from .inside import add_patient, model
from .misfiled import add_order

SCHEDULE = 'gnuhealth.imaging.daily_schedule'
RESULTS = 'patient.imaging_report_results'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
TEST = 'gnuhealth.imaging.test'


def load(language):
    "Load what the module ships for a language"
    Lang = model('ir.lang')
    lang, = Lang.search([('code', '=', language)])
    Lang.write([lang], {'translatable': True})
    model('ir.translation').translation_import(
        language, 'health_orthanc', [str(FOLDER / f'{language}.po')])


def fill(day, names, rows):
    "Order for a long day of one device, and have two results"
    Test, Request, Result = map(model, [TEST, REQUEST, RESULT])
    patients = [
        add_patient(
            f'PRINT{number}', family, given, 'f', dt.date(1980, 2, 29))
        for number, (family, given) in enumerate(names)]
    order = Request(add_order(patients[0])[0])
    busy, idle = Test.copy([order.requested_test] * 2, default={
            'name': "CT of the Head"})
    Test.write([busy], {'aetitle': 'CT1'}, [idle], {'aetitle': 'EMPTY'})
    start = dt.datetime.combine(day, dt.time(7))
    orders = Request.create([{
                'patient': patients[number % len(patients)],
                'date': start + dt.timedelta(minutes=5 * number),
                'doctor': order.doctor.id, 'requested_test': busy.id,
                'urgent': number % 7 == 0,
                'comment': "Fell on the ice\nExclude bleeding",
                } for number in range(rows)])
    Request.requested(orders)
    Result.create([{
                'patient': patients[number], 'date': start,
                'requested_test': busy.id, 'request': orders[number].id,
                **values} for number, values in [
                    (0, {}),
                    (3, {
                            'doctor': order.doctor.id,
                            'comment': "Line\n" * 90})]])


@contextmanager
def _in(language):
    # LibreOffice would write between the answers of the agent
    os.dup2(2, 1)
    with Transaction().set_context(language=language):
        yield


def print_schedule(language, day):
    "Return extension, content and name of the print"
    with _in(language):
        extension, content, _, name = Pool().get(
            SCHEDULE, type='report').execute([], {'day': day})
    return extension, content, name


def print_results(language):
    "Return extension, content and name of the print of all results"
    results = model(RESULT).search([], order=[('id', 'ASC')])
    with _in(language):
        extension, content, _, name = Pool().get(
            RESULTS, type='report').execute([r.id for r in results], {})
    return extension, content, name


def texts(language, names):
    "Return messages in a language"
    with _in(language):
        return {name: gettext(f'health_orthanc.{name}') for name in names}
