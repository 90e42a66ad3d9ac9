# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklists of servers follow orders without waiting for the scheduler."""

import datetime as dt
from unittest.mock import patch

from trytond.ir import queue_
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .test_server import queued
from .tools import SERVER, OrthancTestCase, create_order, create_server


class WorklistTasksTestCase(OrthancTestCase):

    @with_transaction()
    def test_changes_of_orders_ask_for_updates_if_there_are_workers(self):
        kept = create_server(worklist_api=True, worklist_mode='rest')
        create_server()
        order = create_order(requested=True)
        self.assertEqual(queued('update_worklist'), [])

        def asked(change):
            # As after a commit
            before = len(queued('update_worklist'))
            del Transaction()._datamanagers[:]
            with patch.object(queue_, 'has_worker', True):
                change()
            return queued('update_worklist')[before:]
        step, = order.steps
        for change in [
                lambda: step.__class__.write(
                    [step], {'scheduled_at': dt.datetime(2026, 3, 4, 8)}),
                lambda: order.__class__.write([order], {'urgent': True}),
                lambda: create_order(requested=True),
                lambda: step.__class__.reject_because([step], "Unwell"),
                lambda: order.__class__.cancel_order([order])]:
            self.assertEqual(asked(change), [kept.id])

    @with_transaction()
    def test_a_transaction_asks_once_for_all_orders(self):
        create_server(worklist_api=True, worklist_mode='rest')
        with patch.object(queue_, 'has_worker', True):
            for _ in range(3):
                create_order(requested=True)
        self.assertEqual(len(queued('update_worklist')), 1)

    @with_transaction()
    def test_a_task_that_waits_is_enough_for_all_orders(self):
        Server = Pool().get(SERVER)
        create_server(worklist_api=True, worklist_mode='rest')
        with patch.object(queue_, 'has_worker', True):
            Server.synchronize_worklists()
            create_order(requested=True)
        self.assertEqual(len(queued('update_worklist')), 1)
