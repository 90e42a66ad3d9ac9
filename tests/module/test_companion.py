# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second thread of a run."""
import threading
from unittest.mock import patch

from trytond import backend
from trytond.ir import queue_
from trytond.modules.health_orthanc.common.turns import TurnOver
from trytond.modules.health_orthanc.synchronization.companion import (
    accompanied, may_be_accompanied)
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import OrthancTestCase

TIMEOUT = 60
LOGGER = 'trytond.modules.health_orthanc.companion'


class CompanionTestCase(OrthancTestCase):

    @with_transaction()
    def test_it_works_until_the_run_ends(self):
        has_begun, ended = threading.Event(), []

        def help_(server_id, turn):
            turn.check()
            ended.append((
                    server_id, threading.get_ident(),
                    Transaction().database.name, Transaction().user))
            has_begun.set()
            self.assertTrue(turn._over.wait(TIMEOUT))
            self.assertRaises(TurnOver, turn.check)
            ended.append('over')

        for error in [None, KeyError]:
            has_begun.clear()
            ended.clear()
            try:
                with accompanied(help_, 7):
                    self.assertTrue(has_begun.wait(TIMEOUT))
                    if error:
                        raise error
            except KeyError:
                self.assertTrue(error)
            (server_id, thread, name, user), over = ended
            self.assertEqual(
                (server_id, name, user, over),
                (7, Transaction().database.name, 0, 'over'))
            self.assertNotEqual(thread, threading.get_ident())

    @with_transaction()
    def test_its_errors_are_logged(self):
        def fail(server_id, turn):
            raise KeyError("John Doe")

        with self.assertLogs(LOGGER) as logs:
            with accompanied(fail, 7):
                pass
        self.assertIn("server 7: no help: KeyError", logs.output[0])
        self.assertNotIn("John", repr(logs.output))

    @with_transaction()
    def test_without_a_thread_the_run_goes_on(self):
        with self.assertLogs(LOGGER), patch.object(
                threading.Thread, 'start', side_effect=RuntimeError):
            with accompanied(self.fail, 7):
                pass

    @with_transaction()
    def test_its_tasks_are_those_of_the_run(self):
        def help_(server_id, turn):
            Transaction().tasks.append(server_id)

        before = list(Transaction().tasks)
        with accompanied(help_, 7):
            pass
        self.assertEqual(Transaction().tasks, [*before, 7])
        Transaction().tasks.pop()

    @with_transaction()
    def test_its_context_is_that_of_the_run(self):
        found = []
        with Transaction().set_context(company=1):
            with accompanied(
                    lambda *args: found.append(Transaction().context), 7):
                pass
        self.assertEqual([context['company'] for context in found], [1])

    @with_transaction()
    def test_who_may_have_one(self):
        for has_worker in [True, False]:
            with self.subTest(has_worker=has_worker), \
                    patch.object(queue_, 'has_worker', has_worker):
                self.assertEqual(
                    may_be_accompanied(),
                    backend.name == 'postgresql' and not has_worker)
