# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boards and their statistics count what the user may read."""

import datetime as dt

from lxml import etree

from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import FAILURE, NOTIFICATION, REQUEST, STEP, AccessTestCase
from .tools import (
    SERVER, STUDY, OrthancTestCase, Refused, create_order, create_server,
    create_study, create_test, record_id)

PREFIX = 'gnuhealth.imaging_orthanc.statistics.'
# Who gets them
READERS = {
    'device': {'radiographer', 'head', 'clerk', 'administrator'},
    'turnaround': {'head', 'administrator'},
    'rejection': {'head', 'administrator'},
    'study_day': {'clerk', 'administrator'},
    'study_age': {'clerk', 'administrator'},
    'order': {'doctor'},
    'server': {'administrator'},
    }
BOARDS = {
    'physician': 'doctor',
    'radiographer': 'radiographer',
    'clerk': 'clerk',
    'administrator': 'administrator',
    }
TODAY = dt.date.today()


def rows(name, *fields):
    "Return the values of statistics, as trytond's administrator sees them"
    Model = Pool().get(PREFIX + name)
    return [
        tuple(getattr(record, field) for field in fields)
        for record in Model.search([])]


def add_steps(count, state, **values):
    "Return steps of a new study type that are in a state"
    Step = Pool().get(STEP)
    test = create_test(
        aetitle=values.pop('aetitle', 'DEV1'),
        orthanc_modality=values.pop('modality', 'CT'))
    steps = [
        create_order(requested=True, requested_test=test.id).steps[0]
        for _ in range(count)]
    Step.write(steps, {'state': state, **values})
    return Step.browse([s.id for s in steps])


class StatisticsTestCase(OrthancTestCase):
    "What they count"

    def setUp(self):
        super().setUp()
        self.maxDiff = None

    @with_transaction()
    def test_steps_of_today_by_device(self):
        now = dt.datetime.now()
        add_steps(2, 'scheduled', scheduled_at=now, aetitle='A')
        add_steps(1, 'completed', scheduled_at=now, aetitle='A')
        add_steps(1, 'in_progress', scheduled_at=now, aetitle='B\\C')
        add_steps(1, 'rejected', scheduled_at=now, aetitle=None,
            modality='MR')
        add_steps(3, 'canceled', scheduled_at=now, aetitle='A')
        add_steps(3, 'scheduled', aetitle='A',
            scheduled_at=now + dt.timedelta(days=2))
        self.assertEqual(
            rows('device', 'device', 'scheduled', 'in_progress',
                'completed', 'rejected'), [
                ('A', 2, 0, 1, 0), ('B\\C', 0, 1, 0, 0), ('MR', 0, 0, 0, 1)])

    @with_transaction()
    def test_time_from_order_to_images(self):
        study = create_study(create_server())
        now = dt.datetime.now().replace(microsecond=0)
        for modality, hours in [('CT', [1, 3]), ('MR', [10])]:
            for number in hours:
                step, = add_steps(
                    1, 'completed', modality=modality, study=study.id,
                    ended_at=now)
                Pool().get(REQUEST).write([step.request], {
                        'requested_at': now - dt.timedelta(hours=number)})
        # Long ago, or without images
        add_steps(1, 'completed', ended_at=now)
        add_steps(1, 'completed', study=study.id,
            ended_at=now - dt.timedelta(days=60))
        found = rows('turnaround', 'modality', 'steps', 'hours')
        self.assertEqual(
            [(m, n, round(h, 3)) for m, n, h in found],
            [('MR', 1, 10), ('CT', 2, 2)])

    @with_transaction()
    def test_time_from_order_to_images_in_words(self):
        study = create_study(create_server())
        now = dt.datetime.now().replace(microsecond=0)
        for modality, minutes in [
                ('CT', 0), ('DX', 25), ('MR', 10 * 60 + 5), ('US', 3 * 1440)]:
            step, = add_steps(
                1, 'completed', modality=modality, study=study.id,
                ended_at=now)
            Pool().get(REQUEST).write([step.request], {
                    'requested_at': now - dt.timedelta(minutes=minutes)})
        self.assertEqual(
            [label.replace('\u00a0', ' ')
                for label, in rows('turnaround', 'modality_time')],
            ["US: 3.0 d", "MR: 10:05 h", "DX: 0:25 h", "CT: 0:01 h"])

    @with_transaction()
    def test_rejections_by_reason(self):
        now = dt.datetime.now()
        add_steps(5, 'completed', ended_at=now)
        add_steps(2, 'rejected', ended_at=now, rejection_reason="Moved")
        add_steps(1, 'rejected', ended_at=now, rejection_reason="moved ")
        add_steps(2, 'rejected', ended_at=now, rejection_reason="Metal")
        add_steps(3, 'rejected', rejection_reason="Metal",
            ended_at=now - dt.timedelta(days=60))
        self.assertEqual(
            rows('rejection', 'reason', 'steps', 'rate'),
            [("Moved", 3, 30), ("Metal", 2, 20)])

    @with_transaction()
    def test_studies_by_day(self):
        server = create_server()
        for modalities, days in [
                ('CT', 0), ('CT, SR', 0), ('DX', 0), ('CR', 0), ('MR', 1),
                (None, 1), ('US', 13), ('US', 14), ('MG', -1)]:
            create_study(server, modalities=modalities,
                date=TODAY - dt.timedelta(days=days))
        create_study(server, date=TODAY, missing_since=dt.datetime.now())
        create_study(server, date=None)
        names = ['ct', 'mr', 'us', 'mg', 'xray', 'other', 'total']
        counts = {
            TODAY - dt.timedelta(days=13): (0, 0, 1, 0, 0, 0, 1),
            TODAY - dt.timedelta(days=1): (0, 1, 0, 0, 0, 1, 2),
            TODAY: (2, 0, 0, 0, 2, 0, 4),
            }
        # A day without studies is in the picture, too
        days = [TODAY - dt.timedelta(days=n) for n in range(13, -1, -1)]
        self.assertEqual(rows('study_day', 'date', *names), [
                (day, *counts.get(day, [0] * 7)) for day in days])

    @with_transaction()
    def test_days_without_studies(self):
        self.assertEqual(
            rows('study_day', 'total'), [(0,)] * 14)

    @with_transaction()
    def test_studies_by_age(self):
        server = create_server()
        table = Pool().get(STUDY).__table__()
        cursor = Transaction().connection.cursor()
        for status, days, count in [
                ('unlinked', 0, 2), ('auto_unsure', 0, 1),
                ('unlinked', 3, 1), ('unlinked', 20, 1),
                ('auto_unsure', 300, 2), ('manual', 0, 4),
                ('dismissed', 3, 4)]:
            for _ in range(count):
                study = create_study(server, link_status=status)
                cursor.execute(*table.update(
                        [table.create_date],
                        [dt.datetime.now() - dt.timedelta(days=days)],
                        where=table.id == study.id))
        create_study(server, historical=True)
        self.assertEqual(
            rows('study_age', 'age_label', 'unlinked', 'to_review'), [
                ('Last 24 Hours', 2, 1), ('Last 7 Days', 1, 0),
                ('Last 30 Days', 1, 0), ('Older', 0, 2)])

    @with_transaction()
    def test_own_orders_by_state(self):
        create_order(date=dt.datetime.now())
        for _ in range(2):
            create_order(requested=True, date=dt.datetime.now())
        create_order(date=dt.datetime.now() - dt.timedelta(days=60))
        self.assertEqual(
            rows('order', 'state_label', 'orders'),
            [('Requested', 2), ('Draft', 1)])
        with Transaction().set_user(0):
            create_order(date=dt.datetime.now())
        self.assertEqual(sum(n for n, in rows('order', 'orders')), 3)

    @with_transaction()
    def test_what_waits_by_server(self):
        pool = Pool()
        first, second = create_server(label="A"), create_server(label="B")
        pool.get(SERVER).write([first], {
                'last_known_change': 30, 'last_changed_index': 10})
        for number, resolved in enumerate([None, None, dt.datetime.now()]):
            pool.get(FAILURE).create([{
                        'server': first.id, 'level': 'study',
                        'orthanc_UID': str(number), 'resolved': resolved}])
        pool.get(NOTIFICATION).create([{
                    'server': second.id, 'event': 'e', 'kind': 'deleted',
                    'orthanc_UID': 'x', 'received_at': dt.datetime.now()}])
        found = rows(
            'server', 'server', 'changes', 'notifications', 'failures')
        self.assertEqual(
            [row for row in found if row[0] in {'A', 'B'}],
            [('A', 20, 0, 2), ('B', 0, 1, 0)])


class ReadersTestCase(AccessTestCase):
    "Who gets them"

    @classmethod
    def _create_records(cls):
        super()._create_records()
        now = dt.datetime.now()
        step, = add_steps(
            1, 'completed', study=cls.study.id, ended_at=now,
            scheduled_at=now, aetitle='MINE')
        Pool().get(REQUEST).write([step.request], {'requested_at': now})
        add_steps(1, 'rejected', ended_at=now, rejection_reason="Moved",
            scheduled_at=now, aetitle='OTHER')
        for server in [cls.server, create_server(label="Other")]:
            create_study(server, date=TODAY, modalities='CT')

    def read(self, login, name):
        Model = PREFIX + name
        return self.as_(login).model(
            Model, 'search_read', [], 0, None, None, ['rec_name', 'id'])

    def counted(self, login, name, *fields):
        return sorted(
            tuple(row[field] for field in fields)
            for row in self.as_(login).model(
                PREFIX + name, 'search_read', [], 0, None, None,
                list(fields)))

    def test_others_get_nothing(self):
        for name, readers in READERS.items():
            for login in self.users:
                with self.subTest(statistics=name, user=login):
                    if login in readers:
                        if name != 'order':
                            self.assertTrue(self.read(login, name))
                        continue
                    for method, arguments in [
                            ('search', [[]]), ('search_count', [[]]),
                            ('search_read', [[], 0, None, None, ['id']]),
                            ('read', [[1], ['id']]),
                            ('export_data', [[1], ['id']])]:
                        with self.assertRaises(Refused):
                            self.as_(login).model(
                                PREFIX + name, method, *arguments)

    def test_nobody_changes_any(self):
        for name, readers in READERS.items():
            for login in readers:
                for method, arguments in [
                        ('create', [[{}]]), ('write', [[1], {}]),
                        ('delete', [[1]]), ('copy', [[1]])]:
                    with self.subTest(
                            statistics=name, user=login, method=method):
                        with self.assertRaises(Exception):
                            self.as_(login).model(
                                PREFIX + name, method, *arguments)

    def restrict(self, model, domain):
        "Add a rule of a hospital on the rows of a model"
        with Transaction().start(self.db_name, 1) as transaction:
            pool = Pool()
            Group = pool.get('ir.rule.group')
            group, = Group.create([{
                        'name': "Only some",
                        'model': pool.get('ir.model').search(
                            [('model', '=', model)])[0].id,
                        'global_p': True,
                        'rules': [('create', [{'domain': domain}])]}])
            transaction.commit()

        def remove():
            with Transaction().start(self.db_name, 1) as transaction:
                Pool().get('ir.rule.group').delete([group])
                transaction.commit()
        self.addCleanup(remove)

    def test_rules_on_steps_hold_for_their_counts(self):
        for login in ['radiographer', 'head', 'administrator']:
            self.assertEqual(
                [d for d, in self.counted(login, 'device', 'device')
                    if d in {'MINE', 'OTHER'}], ['MINE', 'OTHER'])
        self.restrict(STEP, '[["station_aetitle", "=", "MINE"]]')
        for login in ['radiographer', 'head', 'clerk', 'administrator']:
            self.assertEqual(
                self.counted(login, 'device', 'device'), [('MINE',)])
        self.assertEqual(self.counted('head', 'rejection', 'reason'), [])
        self.assertEqual(
            self.counted('head', 'turnaround', 'steps'), [(1,)])

    def test_rules_on_studies_hold_for_their_counts(self):
        *others, (date, count) = self.counted(
            'clerk', 'study_day', 'date', 'ct')
        self.assertEqual(count, 2)
        self.assertEqual({n for _, n in others}, {0})
        before = sum(
            n for n, in self.counted('clerk', 'study_age', 'unlinked'))
        self.restrict(STUDY, f'[["server", "=", {self.server.id}]]')
        self.assertEqual(
            self.counted('clerk', 'study_day', 'date', 'ct'),
            [*others, (date, 1)])
        self.assertEqual(sum(
                n for n, in self.counted('clerk', 'study_age', 'unlinked')),
            before - 1)

    def test_a_rule_on_servers_holds_for_what_waits(self):
        self.restrict(SERVER, f'[["id", "=", {self.server.id}]]')
        self.assertEqual(
            self.counted('administrator', 'server', 'server'),
            [("Archive",)])

    def test_who_may_not_read_the_rows_reads_no_count(self):
        "Even if an administrator gives the statistics away"
        with Transaction().start(self.db_name, 1) as transaction:
            pool = Pool()
            access = pool.get('ir.model.access').create([{
                        'model': pool.get('ir.model').search(
                            [('model', '=', PREFIX + name)])[0].id,
                        'group': record_id(
                            'group_health_imaging', 'health_imaging'),
                        'perm_read': True, 'perm_write': False,
                        'perm_create': False, 'perm_delete': False,
                        } for name in ['study_day', 'study_age', 'server']])
            transaction.commit()
        try:
            for name in ['study_day', 'study_age', 'server']:
                with self.subTest(statistics=name):
                    with self.assertRaises(Refused):
                        self.read('radiographer', name)
        finally:
            with Transaction().start(self.db_name, 1) as transaction:
                Pool().get('ir.model.access').delete(access)
                transaction.commit()

    def panels(self, login, board):
        with Transaction().start(
                self.db_name, self.users[login],
                context={'_check_access': True}):
            View = Pool().get('ir.ui.view')
            arch = View(record_id(f'board_{board}_view')).view_get()['arch']
            return [
                panel.get('name').partition('act_')[2]
                for panel in etree.fromstring(arch).iter('action')]

    def test_boards_have_the_panels_that_their_users_may_read(self):
        for board, login in BOARDS.items():
            with self.subTest(board=board):
                self.assertEqual(len(self.panels(login, board)), 4)
                self.assertEqual(self.panels('nobody', board), [])
                for name in self.panels(login, board):
                    action, = self.actions(login, name)
                    self.as_(login).model(
                        action['res_model'], 'search', [], 0, 1, None)
        self.assertEqual(
            self.panels('head', 'department'),
            ['statistics_turnaround', 'statistics_rejection'])
        self.assertEqual(len(self.panels('administrator', 'department')), 4)

    def actions(self, login, name):
        yield self.as_(login).model(
            'ir.action.act_window', 'get', f'health_orthanc.act_{name}')
