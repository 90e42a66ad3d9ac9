# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that several stations may perform, and keys that may be empty."""

import io

from pydicom import dcmread

from trytond.modules.health_orthanc.common.exceptions import (
    StepValidationError)
from trytond.modules.health_orthanc.core.orthanc.worklists import to_tags
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import OrthancTestCase, create_order

ENTRY = 'gnuhealth.imaging.worklist.entry'
STEP = 'gnuhealth.imaging.procedure.step'


class StationsTestCase(OrthancTestCase):

    def setUp(self):
        with Transaction().start(self.db_name, 1) as transaction:
            step = Pool().get(STEP).__table__()
            cursor = transaction.connection.cursor()
            cursor.execute(*step.update([step.state], ['canceled']))
            order = create_order(requested=True)
            Step = Pool().get(STEP)
            Step.write(list(order.steps), {'station_aetitle': 'AA32\\AA33'})
            self.step = order.steps[0].id
            transaction.commit()

    def page(self, texts):
        with Transaction().start(self.db_name, 1):
            Entry = Pool().get(ENTRY)
            Entry.refresh()
            return Entry.page(texts=texts)

    def titles(self, page):
        return [
            dcmread(io.BytesIO(e['dicom'])).ScheduledProcedureStepSequence[0][
                'ScheduledStationAETitle'].value for e in page['entries']]

    def test_the_plugin_gets_one_item_with_all(self):
        page = self.page(False)
        self.assertEqual(self.titles(page), [['AA32', 'AA33']])
        self.assertEqual(page['open'], [page['entries'][0]['id']])

    def test_scripts_get_an_item_of_each(self):
        page = self.page(True)
        self.assertEqual(self.titles(page), ['AA32', 'AA33'])
        self.assertEqual(page['open'], [e['id'] for e in page['entries']])
        self.assertEqual(
            [e['name'] for e in page['entries']],
            [f'gnuhealth-{self.step}', f'gnuhealth-{self.step}-2'])
        for title, entry in zip(['AA32', 'AA33'], page['entries']):
            self.assertIn(f'(0040,0001) AE [{title}]', entry['text'])

    def test_sequences_of_type_2_are_there_in_each_way(self):
        for page in [self.page(False), self.page(True)]:
            for entry in page['entries']:
                dataset = dcmread(io.BytesIO(entry['dicom']))
                self.assertEqual(len(dataset.ReferencedStudySequence), 0)
                self.assertEqual(len(dataset.ReferencedPatientSequence), 0)
                item, = dataset.ScheduledProcedureStepSequence
                self.assertFalse(item.PreMedication)
                self.assertFalse(item.RequestedContrastAgent)
                if 'text' in entry:
                    self.assertIn('(0008,1110) SQ', entry['text'])
        tags = to_tags(self.page(False)['entries'][0]['dicom'])
        self.assertEqual(tags['ReferencedStudySequence'], [])
        self.assertEqual(tags['ReferencedPatientSequence'], [])

    @with_transaction()
    def test_each_title_is_checked(self):
        Step = Pool().get(STEP)
        step = Step(self.step)
        for titles in ['AA32\\', '\\AA32', 'A' * 17 + '\\B', 'A\\\\B']:
            with self.subTest(titles=titles):
                with self.assertRaises(StepValidationError):
                    Step.write([step], {'station_aetitle': titles})
        test = step.request.requested_test
        test.__class__.write([test], {'aetitle': 'CT1\\CT2'})
        order = create_order(requested=True, requested_test=test.id)
        self.assertEqual(order.steps[0].station_aetitle, 'CT1\\CT2')
