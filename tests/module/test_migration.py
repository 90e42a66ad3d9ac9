# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What 5.0 has stored twice becomes one record that lacks nothing."""

from types import SimpleNamespace
from unittest.mock import patch

from sql import Table

from trytond.modules.health_orthanc.migration import series, studies
from trytond.modules.health_orthanc.migration.tables import Duplicates
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import OrthancTestCase

COLUMNS = [
    'id', 'series', 'orthanc_UID', 'image_position_patient',
    'instance_number', 'sop_instance_UID', 'patient', 'write_uid']
NAME = 'test_doubles'


class Double:
    "A model of 5.0, as far as it matters here"
    __name__ = 'test.doubles'
    _table = NAME

    @classmethod
    def __table_handler__(cls, module_name):
        return SimpleNamespace(_columns=dict.fromkeys(COLUMNS))


def rows_after_filling(*rows):
    cursor = Transaction().connection.cursor()
    cursor.execute(
        f'CREATE TABLE {NAME} (id INTEGER, series INTEGER, '
        '"orthanc_UID" VARCHAR, image_position_patient VARCHAR, '
        'instance_number INTEGER, "sop_instance_UID" VARCHAR, '
        'patient INTEGER, write_uid INTEGER)')
    try:
        table = Table(NAME)
        cursor.execute(*table.insert(
                [getattr(table, name) for name in COLUMNS],
                list(map(list, rows))))
        Duplicates(Double, 'series').fill_values()
        cursor.execute(*table.select(
                *(getattr(table, name) for name in COLUMNS),
                order_by=table.id))
        return cursor.fetchall()
    finally:
        cursor.execute(f'DROP TABLE {NAME}')


class DoublesTestCase(OrthancTestCase):

    @with_transaction()
    def test_the_record_that_stays_takes_what_it_lacks(self):
        found = rows_after_filling(
            (1, 7, 'a', None, 0, '', None, None),
            (2, 7, 'a', '', 5, '1.2', 9, 8),
            (3, 7, 'a', '0\\0\\1', 6, '1.3', 9, 8),
            (4, 7, 'b', None, None, None, None, None),
            (5, 8, 'a', '0\\0\\9', 4, '1.4', None, None))
        # The first value that there is, zero is one; links and who wrote are
        # not values of the image
        self.assertEqual(
            tuple(found[0]), (1, 7, 'a', '0\\0\\1', 0, '1.2', None, None))
        self.assertEqual(
            tuple(found[3]), (4, 7, 'b', None, None, None, None, None))
        self.assertEqual(found[4][3], '0\\0\\9')

    @with_transaction()
    def test_each_level_does_so_before_the_others_are_deleted(self):
        for module, prepare, name in [
                (studies, '_merge_twins', 'study'),
                (series, 'prepare_series', 'study_series'),
                (series, 'prepare_instances', 'series_instances')]:
            with self.subTest(level=name):
                calls = []
                duplicates = SimpleNamespace(
                    count=lambda: 0, links=lambda: None,
                    **{
                        method: lambda *args, method=method: calls.append(
                            method)
                        for method in [
                            'fill_values', 'merge_texts', 'move_children',
                            'delete']})
                with patch.multiple(
                        module, create=True, add_note=lambda *a, **k: None,
                        Duplicates=lambda *a: duplicates,
                        is_older=lambda *a: True, copy_links=lambda *a: [],
                        count_rows=lambda *a: 0):
                    arguments = [SimpleNamespace(
                            __table__=lambda: None, __name__=name)]
                    if name != 'study':
                        arguments.append('health_orthanc')
                    getattr(module, prepare)(*arguments)
                self.assertLess(
                    calls.index('fill_values'), calls.index('delete'))
