# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that several workers share lose nothing, and end"""

import datetime as dt
from contextlib import ExitStack
from unittest.mock import Mock, patch

from trytond import backend
from trytond.ir import queue_
from trytond.modules.health_orthanc.common.locks import named_lock
from trytond.modules.health_orthanc.common.rows import fetch_rows
from trytond.modules.health_orthanc.common.transaction import now
from trytond.modules.health_orthanc.core.orthanc.changes import Cursor
from trytond.modules.health_orthanc.core.orthanc.id_set import IdSet
from trytond.modules.health_orthanc.core.orthanc.resources import (
    SeriesResource)
from trytond.modules.health_orthanc.synchronization import (
    comparison, part, partition, run, store, storing)
from trytond.modules.health_orthanc.synchronization.comparison import (
    Comparison, helper_lock)
from trytond.modules.health_orthanc.synchronization.part import PartGone
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    PATIENT, SERVER, OrthancTestCase, create_orthanc_patient, create_server,
    create_study, in_place)

RUN = 'gnuhealth.orthanc.synchronization'
PART = 'gnuhealth.orthanc.synchronization.part'


def create_run(server, **values):
    "Create the last run of a server"
    created, = Pool().get(RUN).create([{
                'server': server.id, 'kind': 'full', 'state': 'running',
                **values}])
    Pool().get(SERVER).write([server], {'last_run': created.id})
    return created


def count_of(run_id, name):
    "Return a count of a run, which is written by SQL"
    table = Pool().get(RUN).__table__()
    (count,), = fetch_rows(table.select(
            getattr(table, name), where=table.id == run_id))
    return count


def finish_part(id_, part):
    Pool().get(PART).store(id_, {'done': True})


class SharedRunTestCase(OrthancTestCase):
    "What is known of a run besides its lock"

    def setUp(self):
        super().setUp()
        stack = self.enterContext(ExitStack())
        for module in [comparison, partition, run, storing]:
            stack.enter_context(
                patch.object(module, 'in_transaction', in_place))
        stack.enter_context(
            patch.object(comparison, 'can_share', return_value=True))
        stack.enter_context(patch.object(comparison, 'PAUSE', 0))

    def engine(self, server, run_id):
        client = Mock()
        client.statistics.return_value = {
            'CountStudies': 0, 'CountSeries': 0, 'CountInstances': 0}
        return Comparison(server.id, run_id, client, False)

    @with_transaction()
    def test_counts_are_kept_when_a_comparison_begins_anew(self):
        Part = Pool().get(PART)
        server = create_server()
        created = create_run(server)
        Part.replace(server.id, 'study', [(0, 5), (5, None)])
        done, begun = Part.find_open(server.id)
        for count in [1, 2]:
            Part.store(done, {}, {'studies_created': count})
        Part.store(done, {'done': True})
        Part.store(begun, {}, {'studies_created': 3})
        engine = self.engine(server, created.id)
        with patch.object(
                comparison, 'current_cursor', return_value=Cursor(0)):
            engine._start_position(None)
        self.assertEqual(count_of(created.id, 'studies_created'), 6)
        self.assertFalse(
            {done, begun} & set(Part.find_open(server.id)))

    @with_transaction()
    def test_counts_of_an_earlier_version_are_kept(self):
        Part = Pool().get(PART)
        server = create_server()
        created = create_run(server)
        for added, expected in [(0, 2), (3, 7)]:
            Part.replace(server.id, 'study', [(0, None)])
            id_, = Part.find_open(server.id)
            # One object without an end of the line
            Part.store(id_, {'counts': '{"processed": 2}', 'done': True})
            if added:
                Part.store(id_, {}, {'processed': added})
            Part.move_counts(server.id, created.id)
            with self.subTest(added=added):
                self.assertEqual(
                    count_of(created.id, 'processed'), expected)

    @with_transaction()
    def test_only_a_comparison_of_several_parts_has_gaps(self):
        Part = Pool().get(PART)
        server = create_server()
        engine = self.engine(server, create_run(server).id)
        for count, is_read in [(1, False), (2, True)]:
            position = engine._begin_level(
                {'level': 'series', 'index': 0,
                    'series_limit': comparison.LISTING_LIMIT},
                count * comparison.PART_PAGES * comparison.LISTING_LIMIT)
            ids = Part.find_open(server.id)
            for number, id_ in enumerate(ids):
                Part.store(id_, {
                        'done': True, 'position': {
                            'since': 5, 'tail': [['a', 'b']],
                            'head': ['x', 'y'], 'joined': not number}})
            with self.subTest(count=count), patch.object(
                    engine, '_close_gap') as close_gap:
                self.assertEqual(len(ids), count)
                self.assertEqual(position['parts_count'], count)
                engine._close_gaps(position)
                self.assertEqual(close_gap.called, is_read)

    @with_transaction()
    def test_nothing_is_stored_with_a_part_that_is_gone(self):
        Part = Pool().get(PART)
        server = create_server()
        created = create_run(server)
        Part.replace(server.id, 'study', [(0, None)])
        id_, = Part.find_open(server.id)
        engine = self.engine(server, created.id)
        engine._shared_part = id_
        stored = Mock(return_value={})
        engine._store(stored, [1, 2])
        Part.replace(server.id)
        for counts in [{}, {'studies_created': 1}]:
            stored.return_value = counts
            with self.assertRaises(PartGone):
                engine._store(stored, [1, 2])
        # Not by halves either
        self.assertEqual(stored.call_count, 3)
        self.assertRaises(
            PartGone, engine._save_listed, id_, IdSet(), {}, 2)

    @with_transaction()
    def test_who_begins_anew_waits_for_no_helper(self):
        server = create_server()
        engine = self.engine(server, create_run(server).id)
        with helper_lock(server.id, 0) as reserved, patch.object(
                comparison, 'current_cursor', return_value=Cursor(0)), \
                patch.object(comparison.time, 'sleep', side_effect=Waited):
            self.assertTrue(reserved)
            engine._start_position(None)

    @with_transaction()
    def test_locks_within_a_lock(self):
        with named_lock('outer', 1) as outer:
            for _ in range(2):
                with named_lock('inner', 1) as inner, \
                        named_lock('outer', 1) as same, \
                        named_lock('outer', 2) as other:
                    self.assertEqual(
                        (outer, inner, same, other),
                        (True, True, False, True))
                    self.assertHeld(3)
                self.assertHeld(1)
        self.assertHeld(0)

    @with_transaction()
    def test_a_task_is_repeated_if_the_session_of_its_locks_was_lost(self):
        if backend.name == 'sqlite':
            return
        cursor = Transaction().connection.cursor()
        lost = backend.DatabaseOperationalError
        with self.assertRaises(lost), named_lock('outer', 1):
            with self.assertRaises(lost), named_lock('inner', 1):
                cursor.execute(
                    'SELECT pg_terminate_backend(pid) FROM pg_locks '
                    "WHERE locktype = 'advisory' AND pid != pg_backend_pid()")
        with named_lock('outer', 1) as acquired:
            self.assertTrue(acquired)

    @with_transaction()
    def test_patients_of_whom_no_study_is_left_are_marked(self):
        server, other = create_server(), create_server()
        OrthancPatient = Pool().get(PATIENT)
        expected = {}
        for of, studies, is_missing in [
                (server, [], True), (server, [{}], False),
                (server, [{'missing_since': now()}], True),
                (server, [{'missing_since': now()}, {}], False),
                (other, [], False)]:
            patient = create_orthanc_patient(of)
            for values in studies:
                create_study(of, orthanc_patient=patient.id, **values)
            expected[patient.id] = is_missing
        store.mark_missing_patients(server)
        table = OrthancPatient.__table__()
        self.assertEqual({
                id_: since is not None for id_, since in fetch_rows(
                    table.select(table.id, table.missing_since))
                if id_ in expected}, expected)

    @with_transaction()
    def test_the_studies_are_not_read_once_for_each_patient(self):
        if backend.name == 'sqlite':
            return
        statement, parameters = store._without_studies(create_server())
        cursor = Transaction().connection.cursor()
        cursor.execute(f'EXPLAIN {statement}', parameters)
        plan = '\n'.join(line for line, in cursor)
        self.assertIn('SetOp', plan)
        self.assertNotIn('SubPlan', plan)
        self.assertNotIn('Nested Loop', plan)

    @with_transaction()
    def test_instances_of_series_that_are_not_stored_are_not_fetched(self):
        server = create_server()
        study = create_study(server)
        engine = Comparison(server.id, create_run(server).id, Mock(), True)
        series = [
            SeriesResource.from_json({
                    'ID': id_, 'ParentStudy': parent, 'Instances': ['one'],
                    'MainDicomTags': {}})
            for id_, parent in [('new', study.orthanc_UID), ('lost', 'lost')]]
        engine._client.bulk_content.return_value = []
        engine._client.can_find.return_value = False
        in_place(engine._store_listed_series, series)
        engine._client.bulk_content.assert_called_once_with(['one'])

    def assertHeld(self, count):
        "Assert that one session of the database holds this many locks"
        if backend.name == 'sqlite':
            return
        cursor = Transaction().connection.cursor()
        cursor.execute(
            'SELECT count(*), count(DISTINCT pid) FROM pg_locks '
            "WHERE locktype = 'advisory' AND database = ("
            'SELECT oid FROM pg_database WHERE datname = current_database())')
        self.assertEqual(cursor.fetchone(), (count, min(count, 1)))

    @with_transaction()
    def test_the_part_of_a_silent_worker_is_taken_over(self):
        Part = Pool().get(PART)
        server = create_server()
        engine = self.engine(server, create_run(server).id)
        position = {'since': 3, 'tail': [['a', 'b']]}
        for is_silent in [False, True]:
            Part.replace(server.id, 'study', [(0, None)])
            id_, = Part.find_open(server.id)
            Part.store(id_, {'position': position}, {'processed': 3})
            if is_silent:
                self.make_silent(id_)
            read = Mock(side_effect=finish_part)
            with self.subTest(is_silent=is_silent), \
                    named_lock('part', id_) as reserved, \
                    patch.object(engine, '_read_part', read), \
                    patch.object(comparison.time, 'sleep', side_effect=[
                        None, None, Waited]):
                self.assertTrue(reserved)
                if not is_silent:
                    self.assertRaises(Waited, engine._share)
                    self.assertFalse(read.called)
                    continue
                engine._share()
                new, found = read.call_args.args
                self.assertNotEqual(new, id_)
                self.assertEqual(found['position'], position)
                self.assertRaises(PartGone, Part.store, id_, {})
        self.assertEqual(count_of(engine._run_id, 'processed'), 3)

    def make_silent(self, id_):
        table = Pool().get(PART).__table__()
        Transaction().connection.cursor().execute(*table.update(
                [table.saved_at], [run.now() - 2 * part.PATIENCE],
                where=table.id == id_))

    @with_transaction()
    def test_a_task_whose_work_is_done_is_not_lost(self):
        Server, Run = Pool().get(SERVER), Pool().get(RUN)
        taken = run.now() - dt.timedelta(hours=1)
        minute = dt.timedelta(minutes=1)
        for kind, values, lost in [
                ('full', {'ended_at': taken + minute}, None),
                ('full', {'ended_at': taken}, None),
                ('full', {'ended_at': taken - minute}, 'full'),
                ('full', {'ended_at': taken + minute, 'kind': 'incremental'},
                    'full'),
                ('full', {'ended_at': taken + minute, 'state': 'failed'},
                    'full'),
                ('incremental', {'ended_at': taken + minute}, None),
                ('incremental', {'ended_at': taken - minute}, 'incremental')]:
            with self.subTest(task=kind, **values):
                server = create_server()
                with patch.object(queue_, 'has_worker', True):
                    Server.synchronize_in_turn([server], kind)
                table = Pool().get('ir.queue').__table__()
                Transaction().connection.cursor().execute(*table.update(
                        [table.dequeued_at], [taken]))
                create_run(server, **{'state': 'done', **values})
                # The tasks are written by SQL
                server, = Server.browse([server.id])
                self.assertEqual(Run._find_lost(server), lost)

    @with_transaction()
    def test_a_part_that_was_read_is_not_read_again(self):
        Part = Pool().get(PART)
        server = create_server()
        engine = self.engine(server, create_run(server).id)
        Part.replace(server.id, 'study', [(None, None, '-20200102')])
        id_, = Part.find_open(server.id)
        # Its worker, of an earlier version, was killed before it was done
        Part.store(id_, {'position': {'counted': 2}})
        engine._process_part(id_, Part.load(id_))
        engine._client.find_dated_studies.assert_not_called()
        self.assertEqual(
            Part.load_positions(server.id), [(id_, {'counted': 2})])

    @with_transaction()
    def test_studies_are_divided_by_their_dates(self):
        server, other = create_server(), create_server()
        for day, count in [(1, 1), (2, 2), (3, 1), (5, 4), (6, 1)]:
            for _ in range(count):
                create_study(server, date=dt.date(2020, 1, day))
        create_study(other, date=dt.date(2020, 1, 4))
        missing = create_study(server, date=dt.date(2020, 1, 4))
        missing.__class__.write([missing], {'missing_since': run.now()})
        undated = create_study(server, date=None)
        self.assertEqual(partition.date_ranges(server.id, 3), [
                '-20200102', '20200102-20200103', '20200103-20200105',
                '20200105-', partition.UNDATED])
        self.assertEqual(partition.date_ranges(server.id, 100), [])
        engine = self.engine(server, create_run(server).id)
        found = [
            id_ for dates in partition.date_ranges(server.id, 3)
            for ids in engine._recorded_batches(dates) for id_ in ids]
        expected = [
            id_ for ids in engine._recorded_batches() for id_ in ids]
        self.assertEqual(sorted(found), sorted(expected))
        self.assertEqual(len(found), 10)
        self.assertEqual(
            list(engine._recorded_batches(partition.UNDATED)),
            [[undated.orthanc_UID]])
        for _ in range(10):
            create_study(server, date=None)
        self.assertEqual(partition.date_ranges(server.id, 3), [])

    @with_transaction()
    def test_the_run_of_a_deactivated_server_ends(self):
        Server, Run = Pool().get(SERVER), Pool().get(RUN)
        for has_worker in [True, False]:
            with self.subTest(has_worker=has_worker):
                server = create_server()
                created = create_run(server)
                Server.write([server], {'active': False})
                with ExitStack() as stack:
                    if has_worker:
                        stack.enter_context(
                            named_lock('synchronization', server.id))
                    Server.resume_synchronizations()
                created = Run(created.id)
                if has_worker:
                    self.assertEqual(created.state, 'running')
                    continue
                self.assertEqual(created.state, 'interrupted')
                self.assertTrue(created.ended_at)
                self.assertIn('deactivated', created.error)

    @with_transaction()
    def test_a_deactivated_server_is_left_alone(self):
        Server, Run = Pool().get(SERVER), Pool().get(RUN)
        server = create_server()
        created = create_run(server)
        Server.write([server], {'active': False})
        with patch.object(run, 'Engine') as engine, \
                patch.object(Server, 'get_client') as client:
            Run.continue_run(server.id, created.id, None)
            Run.help(server.id)
            values = in_place(self.run_again, server)
            self.assertFalse(engine.called or client.called)
        self.assertEqual(
            [r.state for r in Run.search([('server', '=', server.id)])],
            ['interrupted', 'interrupted'])
        self.assertEqual(values, 'interrupted')

    def run_again(self, server):
        with patch.object(Transaction, 'new_transaction', Same):
            return Pool().get(RUN).run(server).state

    @with_transaction()
    def test_a_run_ends_when_its_server_is_deactivated(self):
        Server, Run = Pool().get(SERVER), Pool().get(RUN)
        server = create_server(version='1.12.10')
        created = create_run(server)

        class Engine(Mock):
            def __init__(
                    self, server_id, run_id, client, always, turn, company):
                super().__init__()
                self.turn = turn

            def full(self):
                self.turn.check()
                Server.write([server], {'active': False})
                self.turn.check()
                raise AssertionError

        with patch.object(run, 'Engine', Engine):
            Run._run(server.id, created.id, 'full', None)
        created = Run(created.id)
        self.assertEqual(created.state, 'interrupted')
        self.assertIn('deactivated', created.error)
        self.assertIsNone(Server(server.id).last_synchronization)


class Waited(Exception):
    "A wait that would not end"


class Same:
    "The transaction of the test, instead of a new one"

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return Transaction()

    def __exit__(self, *exc_info):
        pass
