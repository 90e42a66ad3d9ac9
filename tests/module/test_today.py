# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is of today: in each time zone, and for a night shift."""

import datetime as dt
from contextlib import contextmanager
from unittest.mock import patch

from trytond.modules.health_orthanc.orders import institution
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .test_order import STEP
from .test_worklist import create_company
from .tools import (
    STUDY, OrthancTestCase, create_order, create_server, create_study,
    record_id)

DAY = dt.date(2026, 11, 30)
NEXT = DAY + dt.timedelta(days=1)


def at(day, hour, minute=0):
    return dt.datetime.combine(day, dt.time(hour, minute))


@contextmanager
def clock(utc):
    "Let it be a time in UTC"
    with patch.object(institution, 'now', return_value=utc):
        yield


def local_today():
    return Pool().get('gnuhealth.institution').local_today()


def today():
    return Pool().get('gnuhealth.institution').today()


class TodayTestCase(OrthancTestCase):

    @contextmanager
    def place(self, zone):
        "Work in a company of a time zone"
        company, = Pool().get('company.company').search(
            [('party', '=', create_company(zone).party.id)])
        with Transaction().set_context(company=company.id):
            yield

    @with_transaction()
    def test_by_day_it_is_the_day_of_the_company(self):
        for zone, noon, start in [
                ('Europe/Madrid', at(DAY, 11), at(DAY, 0) - dt.timedelta(
                    hours=1)),
                ('America/Sao_Paulo', at(DAY, 15), at(DAY, 3)),
                # The next day has begun there
                ('Pacific/Auckland', at(DAY, 23), at(DAY, 11))]:
            with self.subTest(zone=zone), self.place(zone), clock(noon):
                self.assertEqual(
                    today(), (start, start + dt.timedelta(days=1)))

    @with_transaction()
    def test_days_of_the_changes_of_the_clocks(self):
        with self.place('Europe/Madrid'):
            for noon, hours in [
                    (dt.datetime(2026, 3, 29, 10), 23),
                    (dt.datetime(2026, 10, 25, 11), 25)]:
                with self.subTest(day=noon.date()), clock(noon):
                    start, end = today()
                    self.assertEqual(end - start, dt.timedelta(hours=hours))

    @with_transaction()
    def test_a_night_belongs_to_both_days(self):
        with self.place('Europe/Madrid'):
            for utc, span in [
                    # 18:59 there
                    (at(DAY, 17, 59), (at(DAY, 0), at(NEXT, 0))),
                    (at(DAY, 18), (at(DAY, 0), at(NEXT, 7))),
                    (at(DAY, 22, 59), (at(DAY, 0), at(NEXT, 7))),
                    # Midnight there, not yet in UTC
                    (at(DAY, 23), (at(DAY, 19), at(NEXT + dt.timedelta(1),
                        0))),
                    (at(NEXT, 5, 59), (at(DAY, 19), at(
                        NEXT + dt.timedelta(1), 0))),
                    (at(NEXT, 6), (at(NEXT, 0), at(
                        NEXT + dt.timedelta(1), 0)))]:
                with self.subTest(utc=utc), clock(utc):
                    self.assertEqual(local_today(), span)

    def search_tab(self, model, xml_id):
        Tab = Pool().get('ir.action.act_window.domain')
        return Pool().get(model).search(
            PYSONDecoder().decode(Tab(record_id(xml_id)).domain))

    @with_transaction()
    def test_a_night_shift_sees_its_steps(self):
        with self.place('Europe/Madrid'):
            step, = create_order(requested=True, date=at(DAY, 22, 50)).steps
            for utc, seen in [
                    (at(DAY, 22, 45), True),
                    # Ten minutes after midnight
                    (at(DAY, 23, 10), True),
                    (at(NEXT, 5, 30), True),
                    (at(NEXT, 9), False)]:
                with self.subTest(utc=utc), clock(utc):
                    self.assertEqual(self.search_tab(
                            STEP, 'act_step_form_domain_today'),
                        [step] if seen else [])
                    self.assertEqual(Pool().get(STEP)(step.id).today, seen)

    @with_transaction()
    def test_studies_are_of_the_day_of_the_institution(self):
        server = create_server()
        Study = Pool().get(STUDY)
        studies = {
            name: create_study(server, date=date, study_time=time)
            for name, date, time in [
                ('evening', DAY, dt.time(22)), ('noon', DAY, dt.time(12)),
                ('timeless', DAY, None), ('night', NEXT, dt.time(1)),
                ('later', NEXT, dt.time(12)), ('undated', None, None)]}
        day = {'evening', 'noon', 'timeless'}
        with self.place('Europe/Madrid'):
            for utc, names in [
                    (at(DAY, 11), day),
                    # Early in the morning there, while it is yesterday in UTC
                    (at(DAY, 23, 30), {'evening', 'night', 'later'}),
                    (at(DAY, 20), day | {'night'}),
                    (at(NEXT, 11), {'night', 'later'})]:
                with self.subTest(utc=utc), clock(utc):
                    found = self.search_tab(
                        STUDY, 'act_study_form_domain_today')
                    self.assertEqual(
                        {n for n, s in studies.items() if s in found}, names)
                    self.assertEqual({
                            n for n, s in studies.items()
                            if Study(s.id).today}, names)
                    others = Study.search([('today', '=', False)])
                    self.assertEqual(
                        {n for n, s in studies.items() if s in others},
                        studies.keys() - names)

    @with_transaction()
    def test_no_tab_asks_the_clock_of_the_client(self):
        """The web client evaluates Date() in UTC from its own midnight.

        East of Greenwich this is yesterday.
        """
        pool = Pool()
        for name in ['ir.action.act_window.domain', 'ir.action.act_window']:
            for data in pool.get('ir.model.data').search([
                        ('module', '=', 'health_orthanc'),
                        ('model', '=', name)]):
                record = pool.get(name)(data.db_id)
                with self.subTest(record=data.fs_id):
                    self.assertNotIn(
                        '"__class__": "Date"', record.domain or '')
