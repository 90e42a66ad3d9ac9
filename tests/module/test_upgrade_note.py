# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from trytond.modules.health_orthanc.migration.note import ATTENTION, KINDS
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction

from .tools import OrthancTestCase, create_server

NOTE = 'gnuhealth.orthanc.upgrade.note'


class UpgradeNoteTestCase(OrthancTestCase):

    @with_transaction()
    def test_notes_say_what_was_done(self):
        Note = Pool().get(NOTE)
        server = create_server()
        Note.add('series_doubles', 0)
        Note.add('series_doubles', 3)
        Note.add('date', 2, str(server), date='2024-13-45')
        note, merged = Note.search([])
        self.assertEqual(
            (note.attention, merged.attention), (True, False))
        self.assertIn('invalid date "2024-13-45": 2.', note.what)
        self.assertEqual(note.record, server)
        self.assertTrue(merged.what.endswith(": 3"))

    @with_transaction()
    def test_all_kinds_have_words(self):
        Note = Pool().get(NOTE)
        values = {'date': "x", 'other': "y", 'template': "z"}
        self.assertLessEqual(ATTENTION, dict(KINDS).keys())
        for kind, _ in KINDS:
            Note.add(kind, **values)
        notes = Note.search([])
        self.assertEqual(len(notes), len(KINDS))
        for note in notes:
            self.assertNotIn('msg_upgrade', note.what)
