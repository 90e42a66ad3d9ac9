# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Full synchronizations pause when their time is over."""

import datetime as dt
import json
from contextlib import ExitStack
from unittest.mock import Mock, patch

from trytond.model.exceptions import DomainValidationError
from trytond.modules.health_orthanc.common.transaction import now
from trytond.modules.health_orthanc.synchronization import (
    comparison, engine, run, storing)
from trytond.modules.health_orthanc.synchronization.engine import Engine
from trytond.modules.health_orthanc.synchronization.part import PartGone
from trytond.modules.health_orthanc.synchronization.time_limit import TimeOver
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .test_parts import PART, RUN, count_of, create_run
from .tools import SERVER, OrthancTestCase, create_server, in_place

POSITION = {
    'level': 'study', 'index': 4, 'anchors': '[]', 'studies_count': 10,
    'series_count': 30, 'series_limit': 10}
HOUR = dt.timedelta(hours=1)


def at(server):
    "Return the server as it is: progress is written by SQL"
    for cache in Transaction().cache.values():
        cache.clear()
    return Pool().get(SERVER)(server.id)


def anew(func, *args):
    "Call a function as in a transaction of its own, which has read nothing"
    for cache in Transaction().cache.values():
        cache.clear()
    return in_place(func, *args)


class TimeLimitTestCase(OrthancTestCase):

    def setUp(self):
        super().setUp()
        stack = self.enterContext(ExitStack())
        for module in [comparison, engine, run, storing]:
            stack.enter_context(
                patch.object(module, 'in_transaction', anew))

    def comparing(self, **values):
        "Return a server whose comparison is under way"
        Server, Part = Pool().get(SERVER), Pool().get(PART)
        server = create_server(
            reconciliation_minutes=60, last_changed_index=3,
            reconciliation_position=json.dumps(POSITION), **values)
        Part.replace(server.id, 'study', [(0, 5), (5, None)])
        return Server(server.id)

    @with_transaction()
    def test_progress_is_told_in_whole_percent(self):
        server = self.comparing()
        server.reconciliation_position = json.dumps(
            {**POSITION, 'level': 'series', 'series_count': 20})
        server.save()
        self.assertEqual(at(server).reconciliation_progress, .33)
        Run = Pool().get(RUN)
        for processed, total, expected in [
                (29, 100, .29), (2, 3, .66), (999, 1000, .99), (7, 7, 1)]:
            with self.subTest(processed=processed):
                created, = Run.create([{
                            'server': server.id, 'kind': 'full',
                            'state': 'running', 'processed': processed,
                            'total': total}])
                self.assertEqual(created.progress, expected)

    @with_transaction()
    def test_minutes(self):
        for minutes in [None, 1, 600]:
            create_server(reconciliation_minutes=minutes)
        for minutes in [0, -1]:
            self.assertRaises(
                DomainValidationError, create_server,
                reconciliation_minutes=minutes)

    @with_transaction()
    def test_who_has_how_much_time(self):
        Server = Pool().get(SERVER)
        soon, before = now() + HOUR / 2, now() - HOUR
        for values, expected in [
                ({}, HOUR),
                # What is left of it, after a worker was lost
                ({'reconciliation_until': soon}, HOUR / 2),
                ({'reconciliation_until': before}, HOUR),
                ({'reconciliation_paused_at': before}, HOUR),
                ({'reconciliation_minutes': None}, None),
                ({
                    'reconciliation_minutes': None,
                    'reconciliation_until': soon}, None),
                # The first one
                ({'last_changed_index': None}, None),
                ({'last_changed_index': -1}, None)]:
            with self.subTest(**values):
                server = self.comparing()
                Server.write([server], values)
                found = anew(Server.reconciliation_times, server.id)
                self.assertIsNone(found.pop('reconciliation_paused_at'))
                until = found.pop('reconciliation_until')
                self.assertFalse(found)
                if expected is None:
                    self.assertIsNone(until)
                else:
                    self.assertLess(
                        abs(until - now() - expected), HOUR / 10)

    @with_transaction()
    def test_a_run_pauses_when_its_time_is_over(self):
        for values, is_over in [
                ({'reconciliation_until': now()}, True),
                ({'reconciliation_until': now() + HOUR}, False),
                ({}, False),
                # What follows the comparison
                ({
                    'reconciliation_until': now(),
                    'reconciliation_position': None}, False)]:
            with self.subTest(**values):
                server = self.comparing()
                Pool().get(SERVER).write([server], values)
                check = run._Check(server.id, None).check
                if is_over:
                    self.assertRaises(TimeOver, check)
                else:
                    check()

    @with_transaction()
    def test_helpers_let_go(self):
        Server, Part = Pool().get(SERVER), Pool().get(PART)
        server = self.comparing()
        created = create_run(server)
        done, begun = Part.find_open(server.id)
        Part.store(done, {'done': True})
        for id_ in [done, begun]:
            Part.store(id_, {}, {'processed': 2})
        Part.store(begun, {'position': {'since': 7, 'tail': []}})
        Server.pause_reconciliation(server.id, created.id)
        self.assertEqual(count_of(created.id, 'processed'), 4)
        self.assertRaises(PartGone, Part.store, begun, {})
        new, = Part.find_open(server.id)
        self.assertEqual(Part.load(new)['position']['since'], 7)
        helper = self.engine(server, created)
        with patch.object(helper, '_process_part') as process:
            helper.help()
            self.assertFalse(process.called)
            Server.resume_reconciliation(server.id)
            process.side_effect = lambda id_, part: Part.store(
                id_, {'done': True})
            helper.help()
            self.assertTrue(process.called)

    def engine(self, server, created):
        return Engine(server.id, created.id, Mock(), False)

    @with_transaction()
    def test_matching_leaves_the_parts(self):
        Server, Part = Pool().get(SERVER), Pool().get(PART)
        server = self.comparing()
        created = create_run(server)
        Server.pause_reconciliation(server.id, created.id)
        parts = Part.find_open(server.id)
        with patch.object(comparison, 'can_share', return_value=True), \
                patch.object(comparison, 'due_ranges', return_value=[
                    (None, 3), (3, None)]), \
                patch.object(comparison, 'match_due') as match:
            self.engine(server, created)._match()
            self.assertTrue(match.called)
        self.assertEqual(Part.find_open(server.id), parts)

    @with_transaction()
    def test_how_a_run_ends(self):
        Server, Run = Pool().get(SERVER), Pool().get(RUN)
        for kind, is_paused, values, state in [
                ('full', True, {}, 'partial'),
                ('full', False, {}, 'done'),
                ('incremental', True, {}, 'done'),
                ('full', True, {'error_kind': 'timeout'}, 'failed')]:
            with self.subTest(kind=kind, is_paused=is_paused, **values):
                server = self.comparing()
                created = create_run(server, kind=kind)
                if is_paused:
                    Server.pause_reconciliation(server.id, created.id)
                anew(Run._record_outcome, server.id, created.id, values, 5)
                created = Run(created.id)
                self.assertEqual(created.state, state)
                self.assertTrue(created.ended_at)
                self.assertEqual(
                    bool(at(server).last_synchronization), state == 'done')

    @with_transaction()
    def test_the_worker_of_a_paused_run_is_lost(self):
        Server, Run = Pool().get(SERVER), Pool().get(RUN)
        for total, is_paused, kind in [
                (None, False, 'full'), (None, True, 'incremental'),
                (5, True, 'incremental')]:
            with self.subTest(total=total, is_paused=is_paused):
                server = self.comparing()
                created = create_run(server, total=total)
                if is_paused:
                    Server.pause_reconciliation(server.id, created.id)
                self.assertEqual(Run._find_lost(at(server)), kind)

    @with_transaction()
    def test_how_far_it_is(self):
        Server, Part = Pool().get(SERVER), Pool().get(PART)
        nobody = create_server()
        for level, done, expected in [
                ('study', 0, 0), ('study', 1, 0.12), ('series', 0, 0.25),
                ('series', 1, 0.62)]:
            server = self.comparing()
            Server.write([server], {
                    'reconciliation_position': json.dumps(
                        {**POSITION, 'level': level})})
            for id_ in Part.find_open(server.id)[:done]:
                Part.store(id_, {'done': True})
            with self.subTest(level=level, done=done):
                self.assertEqual(
                    Server.get_reconciliation_progress(
                        [nobody, at(server)], 'reconciliation_progress'),
                    {nobody.id: None, server.id: expected})

    @with_transaction()
    def test_a_copy_has_not_begun(self):
        server = self.comparing()
        Pool().get(SERVER).write([server], {
                'reconciliation_until': now(),
                'reconciliation_paused_at': now()})
        copy, = server.copy([server])
        self.assertEqual(copy.reconciliation_minutes, 60)
        for name in ['until', 'paused_at', 'progress', 'position']:
            self.assertIsNone(getattr(copy, f'reconciliation_{name}'))
