# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where there is no image, words say why."""

from trytond.modules.health_orthanc.archive.preview import describe_obstacle
from trytond.modules.health_orthanc.core.orthanc.images import Obstacle
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from tests.unit.fake_orthanc import PNG, FakeOrthanc, reply, reply_json, status

from .tools import (
    OrthancTestCase, create_instance, create_series, create_server,
    create_study)


class PreviewTestCase(OrthancTestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peer = cls.enterClassContext(FakeOrthanc())

    def records(self, name, modality='CT'):
        server = create_server(
            domain=f'{self.peer.url}/{name}', retries=0)
        study = create_study(server, stable=True)
        series = create_series(
            study, modality=modality, orthanc_UID=f'{name}-series')
        instance = create_instance(series, orthanc_UID=f'{name}-instance')
        return study, instance

    def script(self, name, image, tags=None, syntax=''):
        path = f'/{name}/instances/{name}-instance'
        self.peer.script(f'{path}/frames/0/rendered', image)
        self.peer.script(f'{path}/simplified-tags', reply_json(tags or {}))
        self.peer.script(
            f'{path}/metadata/TransferSyntax', reply(syntax.encode()))
        self.peer.script(f'/{name}/tools/bulk-content', reply_json([{
                        'ID': f'{name}-series',
                        'Instances': [f'{name}-instance']}]))

    def preview(self, instance):
        Wizard = Pool().get('gnuhealth.imaging_orthanc.preview', type='wizard')
        with Transaction().set_context(
                active_model=instance.__name__, active_id=instance.id,
                active_ids=[instance.id]):
            session, *_ = Wizard.create()
            return Wizard.execute(session, {}, 'show')['view']['defaults']

    @with_transaction()
    def test_an_image_needs_no_words(self):
        study, instance = self.records('good')
        self.script('good', reply(PNG))
        self.assertEqual(bytes(instance.image), PNG)
        self.assertIsNone(instance.image_problem)
        self.assertEqual(bytes(study.thumbnail), PNG)
        before = len(self.peer.received)
        self.assertIsNone(study.thumbnail_problem)
        # The form reads both fields: the image is fetched once
        self.assertEqual(len(self.peer.received), before)
        page = self.preview(instance)
        self.assertEqual(bytes(page['image']), PNG)
        self.assertIsNone(page['problem'])

    @with_transaction()
    def test_words_say_why_there_is_none(self):
        for name, tags, syntax, obstacle in [
                ('report', {}, '', Obstacle.NO_PIXELS),
                ('j2k', {'Rows': '9'}, '1.2.840.10008.1.2.4.90',
                    Obstacle.JPEG_2000),
                ('video', {'Rows': '9'}, '1.2.840.10008.1.2.4.103',
                    Obstacle.VIDEO),
                ('odd', {'Rows': '9'}, '1.2.3', Obstacle.NO_DECODER)]:
            with self.subTest(name=name):
                study, instance = self.records(name)
                self.script(name, status(415), tags, syntax)
                text = describe_obstacle(obstacle)
                self.assertIsNone(instance.image)
                self.assertEqual(instance.image_problem, text)
                self.assertEqual(study.thumbnail_problem, text)
                page = self.preview(instance)
                self.assertIsNone(page['image'])
                self.assertEqual(page['problem'], text)
        self.assertIn("GDCM", describe_obstacle(Obstacle.JPEG_2000))

    @with_transaction()
    def test_reports_are_known_without_asking(self):
        study, _ = self.records('asked', modality='SR')
        before = len(self.peer.received)
        self.assertEqual(
            study.thumbnail_problem, describe_obstacle(Obstacle.NO_PIXELS))
        self.assertEqual(len(self.peer.received), before)

    @with_transaction()
    def test_a_server_that_is_down_says_nothing_false(self):
        study, instance = self.records('down')
        self.script('down', status(503))
        self.assertIsNone(instance.image)
        self.assertIsNone(instance.image_problem)
