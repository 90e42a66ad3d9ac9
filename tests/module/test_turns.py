# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long tasks give way, lost ones are put back, and decisions have an order"""

import datetime as dt
from unittest.mock import patch

from trytond import backend
from trytond.ir import queue_
from trytond.modules.health_orthanc.common import turns
from trytond.modules.health_orthanc.common.turns import Turn, TurnOver
from trytond.modules.health_orthanc.linking.queue import (
    due_in_order, due_in_range, due_ranges)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import (
    SERVER, STUDY, OrthancTestCase, create_orthanc_patient, create_server,
    create_study)

RUN = 'gnuhealth.orthanc.synchronization'


def at_once(func, *args):
    return func(*args)


class TurnsTestCase(OrthancTestCase):

    def assertGivesWay(self, helps, is_long, expected):
        with patch.object(turns, 'in_transaction', at_once), \
                patch.object(turns, 'LENGTH', -1 if is_long else 1000):
            if expected:
                self.assertRaises(TurnOver, Turn(helps).check)
            else:
                Turn(helps).check()

    @with_transaction()
    def test_who_gives_way_to_whom(self):
        if backend.name == 'sqlite':
            with patch.object(turns, 'have_workers', return_value=True):
                self.assertFalse(turns.can_share())
            return
        Server = Pool().get(SERVER)
        Queue = Pool().get('ir.queue')
        server = create_server()
        for queue, ways in [
                # helps and is long, helps, is long, neither
                (lambda: None, [False, False, False, False]),
                (lambda: Server.queue_helper(server.id),
                    [True, False, False, False]),
                (lambda: Server.synchronize_in_turn([server], 'full'),
                    [True, True, True, False]),
                (lambda: Server.synchronize_later([server]),
                    [True, True, True, True])]:
            Queue.delete(Queue.search([]))
            with patch.object(queue_, 'has_worker', True):
                queue()
            for (helps, is_long), expected in zip([
                        (True, True), (True, False), (False, True),
                        (False, False)], ways):
                with self.subTest(helps=helps, is_long=is_long):
                    self.assertGivesWay(helps, is_long, expected)

    @with_transaction()
    def test_a_lost_run_is_queued_once(self):
        Server, Run = Pool().get(SERVER), Pool().get(RUN)
        server = create_server()
        for values, kind in [
                ({'kind': 'full', 'state': 'running'}, 'full'),
                ({'kind': 'full', 'state': 'running', 'total': 4},
                    'incremental'),
                ({'kind': 'incremental', 'state': 'running'}, 'incremental'),
                ({'kind': 'full', 'state': 'done'}, None)]:
            with self.subTest(**values):
                run, = Run.create([{'server': server.id, **values}])
                Server.write([server], {'last_run': run.id})
                self.assertEqual(
                    Run._find_lost(Server(server.id)) or None, kind)

    @with_transaction()
    def test_the_order_is_not_that_of_the_ids(self):
        server, other = create_server(), create_server()
        early, late = dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 2)
        wanted = [
            create_study(where, orthanc_UID=uid, last_update=time).id
            for where, uid, time in [
                (server, 'b', late), (other, 'b', late),
                (server, 'c', early), (server, 'd', None)]]
        first = create_study(server, orthanc_UID='a', last_update=late).id
        found, last = [], None
        while some := due_in_order(limit=2, after=last):
            found += [id_ for id_, *_ in some]
            last = some[-1]
        self.assertEqual(found, [first, *wanted])

    @with_transaction()
    def test_the_studies_of_an_orthanc_patient_stay_together(self):
        server = create_server()
        ids = [create_study(server).id]
        for count in [3, 1, 1, 4]:
            known = create_orthanc_patient(server).id
            ids += [
                create_study(server, orthanc_patient=known).id
                for _ in range(count)]
        ranges = due_ranges(server, 2)
        found = [due_in_range(server, *some) for some in ranges]
        self.assertGreater(len(found), 2)
        self.assertEqual(sorted(sum(found, [])), ids)
        Study = Pool().get(STUDY)
        owners = [
            {s.orthanc_patient for s in Study.browse(some)} for some in found]
        for number, some in enumerate(owners):
            for others in owners[number + 1:]:
                self.assertFalse(some & others - {None})
