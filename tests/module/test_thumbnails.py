# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thumbnails: when they are made, who sees them, and that lists read no more.
"""

import datetime as dt
from unittest.mock import patch

from trytond.modules.health_orthanc.core.orthanc.errors import (
    NoImage, ServerFault, TimedOut)
from trytond.modules.health_orthanc.viewing import thumbnail
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .access import AccessTestCase
from .tools import (
    SERIES, STUDY, OrthancTestCase, create_patient, create_series,
    create_server, create_study, in_place)

THUMBNAIL = 'gnuhealth.imaging_orthanc.thumbnail'
JPEG = b'\xff\xd8\xff'


class Images:
    """Stands for the client of an Orthanc

    Parameters
    ----------
    sizes : dict
        Of the images of each series in bytes; an error is raised.
    """

    def __init__(self, **sizes):
        self.sizes = sizes
        self.requests = 0

    def bulk_content(self, ids):
        self.requests += 1
        return [{'ID': id_, 'Instances': [f'{id_}-image']} for id_ in ids]

    def thumbnail(self, instance, size, quality):
        self.requests += 1
        found = self.sizes.get(instance.removesuffix('-image'), 2000)
        if isinstance(found, list):
            found = found.pop(0)
        if isinstance(found, Exception):
            raise found
        return JPEG.ljust(found, b'x')


class ThumbnailsTestCase(OrthancTestCase):

    def study(self, **values):
        study = create_study(
            self.server, stable=True, patient=self.patient.id,
            link_status='manual', **values)
        first = create_series(study, series_number='2', orthanc_UID='s2')
        second = create_series(study, series_number='10', orthanc_UID='s10')
        create_series(study, series_number='1', modality='SR')
        return study, first, second

    def setup(self):
        self.server = create_server()
        self.patient = create_patient()

    def make(self, client=None, **options):
        client = client or Images()
        with patch.object(thumbnail, 'in_transaction', in_place):
            thumbnail.make_thumbnails(self.server.id, client, **options)
        Transaction().cache.clear()
        return client

    def pictures(self, *records):
        Model = records[0].__class__
        rows = Model.read([r.id for r in records], ['picture'])
        found = {row['id']: row['picture'] for row in rows}
        return [found[r.id] and len(found[r.id]) for r in records]

    @with_transaction()
    def test_each_series_and_the_first_one_for_the_study(self):
        self.setup()
        study, first, second = self.study()
        client = self.make(Images(s2=3000, s10=4000))
        self.assertEqual(client.requests, 3)
        self.assertEqual(self.pictures(first, second), [3000, 4000])
        self.assertEqual(self.pictures(study), [3000])
        self.assertTrue(Pool().get(STUDY)(study.id).thumbnails_at)
        self.assertEqual(self.make().requests, 0)

    @with_transaction()
    def test_none_is_larger_than_ten_kilobytes(self):
        self.setup()
        study, first, second = self.study()
        self.make(Images(s2=[30000, 12000, 9000], s10=20000))
        self.assertEqual(self.pictures(first, second), [9000, None])

    @with_transaction()
    def test_those_of_which_there_is_nothing_to_show(self):
        self.setup()
        study, first, second = self.study()
        self.make(Images(s2=NoImage(), s10=ServerFault(status=500)))
        self.assertEqual(self.pictures(study), [None])
        self.assertEqual(self.make().requests, 0)

    @with_transaction()
    def test_which_studies_get_some(self):
        self.setup()
        Study = Pool().get(STUDY)
        study, *_ = self.study()
        for values, made in [
                ({'stable': False}, False),
                ({'missing_since': dt.datetime(2026, 3, 4)}, False),
                ({'historical': True, 'patient': None}, False),
                ({'historical': True}, True),
                ({'patient': None}, True),
                ]:
            with self.subTest(values=values):
                Study.write([study], {
                        'stable': True, 'missing_since': None,
                        'historical': False, 'patient': self.patient.id,
                        'thumbnails_at': None, **values})
                self.assertEqual(bool(self.make().requests), made)

    @with_transaction()
    def test_new_images_and_deleted_thumbnails(self):
        self.setup()
        study, first, _ = self.study()
        self.make()
        Pool().get(STUDY).write(
            [study], {'last_update': dt.datetime(2026, 3, 5)})
        self.make(Images(s2=2500))
        self.assertEqual(self.pictures(study), [2500])
        Thumbnail = Pool().get(THUMBNAIL)
        Thumbnail.delete(Thumbnail.search([]))
        self.assertEqual(self.pictures(study), [None])
        self.make()
        self.assertEqual(self.pictures(study), [2000])

    @with_transaction()
    def test_the_newest_first_and_so_many_at_once(self):
        self.setup()
        studies = [
            self.study(date=dt.date(2026, 1, day))[0] for day in [1, 3, 2]]
        self.make(limit=2)
        self.assertEqual(self.pictures(*studies), [None, 2000, 2000])
        self.make(limit=2)
        self.assertEqual(self.pictures(*studies), [2000, 2000, 2000])

    @with_transaction()
    def test_a_failure_waits_and_blocks_no_other(self):
        self.setup()
        bad, *_ = self.study(date=dt.date(2026, 1, 2))
        with self.assertLogs(thumbnail.logger, 'WARNING') as log:
            self.make(Images(s2=ServerFault(status=501)))
        self.assertEqual(len(log.output), 1)
        good = create_study(
            self.server, stable=True, date=dt.date(2026, 1, 1))
        create_series(good, orthanc_UID='good')
        with self.assertLogs(thumbnail.logger, 'WARNING'):
            self.make(Images(s2=ServerFault(status=501)), limit=2)
        self.assertEqual(self.pictures(bad, good), [None, 2000])

    @with_transaction()
    def test_a_server_that_is_down_is_not_asked_on(self):
        self.setup()
        for day in [1, 2]:
            self.study(date=dt.date(2026, 1, day))
        with self.assertLogs(thumbnail.logger, 'WARNING') as log:
            self.make(Images(s2=TimedOut()))
        self.assertEqual(len(log.output), 1)

    @with_transaction()
    def test_they_go_with_their_series(self):
        self.setup()
        study, first, second = self.study()
        self.make()
        Pool().get(SERIES).delete([first])
        left = Pool().get(THUMBNAIL).search([])
        self.assertEqual([t.series for t in left], [second])

    @with_transaction()
    def test_lists_use_as_many_statements_for_many(self):
        self.setup()
        counts = []
        for number in [3, 20]:
            studies = [self.study()[0] for _ in range(number)]
            self.make(limit=number)
            cursor = Transaction().connection.cursor()
            with patch.object(
                    thumbnail, 'fetch_rows',
                    side_effect=thumbnail.fetch_rows) as fetch:
                self.pictures(*studies)
            del cursor
            counts.append(fetch.call_count)
        self.assertEqual(counts, [1, 1])


class WhoSeesThemTestCase(AccessTestCase):

    @classmethod
    def _create_records(cls):
        super()._create_records()
        cls.doubtful = create_study(
            cls.server, patient=cls.patient.id, link_status='auto_unsure')
        cls.doubtful_series = create_series(cls.doubtful)
        Pool().get(THUMBNAIL).create([{
                    'study': series.study.id, 'series': series.id,
                    'position': 0, 'image': JPEG,
                    } for series in [cls.series, cls.doubtful_series]])

    def picture(self, login, model, record):
        row, = self.as_(login).model(
            model, 'read', [record.id], ['picture'])
        return row['picture']

    def test_as_of_the_images(self):
        for login in ['clerk', 'doctor']:
            for model, record in [(STUDY, self.study), (SERIES, self.series)]:
                self.assertEqual(self.picture(login, model, record), JPEG)
        for model, record in [
                (STUDY, self.doubtful), (SERIES, self.doubtful_series)]:
            self.assertEqual(self.picture('clerk', model, record), JPEG)
            self.assertIsNone(self.picture('doctor', model, record))

    def test_not_in_quarantine(self):
        with Transaction().start(self.db_name, 1) as transaction:
            Study = Pool().get(STUDY)
            Study.write(
                [Study(self.study.id)],
                {'quarantined_at': dt.datetime(2026, 3, 4)})
            for model, id_ in [
                    (STUDY, self.study.id), (SERIES, self.series.id)]:
                row, = Pool().get(model).read([id_], ['picture'])
                self.assertIsNone(row['picture'])
            transaction.rollback()
