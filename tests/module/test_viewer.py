# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import datetime as dt

from trytond.modules.health_orthanc.common.exceptions import (
    OrthancUserError, ViewerValidationError)
from trytond.pool import Pool
from trytond.tests.test_tryton import with_transaction
from trytond.transaction import Transaction

from .tools import (
    STUDY, VIEWER, OrthancTestCase, create_instance, create_orthanc_patient,
    create_series, create_server, create_study, record_id)

OPEN_VIEWER = 'gnuhealth.imaging_orthanc.open_viewer'
PUBLIC = 'https://images.example.org/orthanc'


def create_viewer(**values):
    viewer, = Pool().get(VIEWER).create([{
                'name': "Mine", 'level': 'study',
                'url_template': 'mine?id={OrthancID}', **values}])
    return viewer


class TemplateTestCase(OrthancTestCase):

    def assertRefused(self, text, **values):
        with self.assertRaises(ViewerValidationError) as caught:
            create_viewer(**values)
        self.assertIn(text, caught.exception.message)
        self.assertIn("Mine", caught.exception.message)

    @with_transaction()
    def test_is_read(self):
        for template in ['x?id={', 'x?id={OrthancID!r}', '}', '{OrthancID:9}']:
            with self.subTest(template=template):
                self.assertRefused("braces", url_template=template)

    @with_transaction()
    def test_names_what_there_is(self):
        for template in [
                'x?id={Study}', '{}', '{0}', 'x?{OrthancID.__class__}',
                'x?{PatientID[0]}']:
            with self.subTest(template=template):
                self.assertRefused("placeholder", url_template=template)

    @with_transaction()
    def test_names_what_there_is_at_its_level(self):
        for level, name in [
                ('patient', 'StudyInstanceUID'),
                ('study', 'SeriesInstanceUID'),
                ('series', 'SOPInstanceUID')]:
            with self.subTest(level=level):
                self.assertRefused(
                    name, level=level, url_template=f'x?id={{{name}}}')

    @with_transaction()
    def test_opens_nothing_else(self):
        for template in [
                'javascript:alert({OrthancID})', 'file:///etc/passwd',
                'data:text/html,{OrthancID}', '//elsewhere/{OrthancID}',
                '{OrthancID}://x']:
            with self.subTest(template=template):
                self.assertRefused("relative", url_template=template)

    @with_transaction()
    def test_is_checked_when_changed(self):
        viewer = create_viewer(url_template='x?uid={StudyInstanceUID}')
        for values in [{'level': 'patient'}, {'url_template': '{x}'}]:
            with self.subTest(values=values):
                with self.assertRaises(ViewerValidationError):
                    Pool().get(VIEWER).write([viewer], values)

    @with_transaction()
    def test_with_a_token(self):
        viewer = create_viewer(token_url_template='mine?token={Token}')
        self.assertTrue(viewer.id)
        for template in ['mine', 'mine?{Token}{SeriesInstanceUID}']:
            with self.assertRaises(ViewerValidationError) as caught:
                Pool().get(VIEWER).write(
                    [viewer], {'token_url_template': template})
            self.assertIn("Mine", caught.exception.message)
        with self.assertRaises(ViewerValidationError):
            Pool().get(VIEWER).write([viewer], {'level': 'patient'})
        with self.assertRaises(ViewerValidationError):
            create_viewer(url_template='mine?token={Token}')

    @with_transaction()
    def test_shipped_ones_are_accepted(self):
        Viewer = Pool().get(VIEWER)
        viewers = Viewer.search([])
        self.assertEqual(
            {v.name for v in viewers}, {
                "OHIF", "Stone Web Viewer", "Orthanc Explorer",
                "Orthanc Explorer 2", "Orthanc Web Viewer", "Orthanc WSI"})
        Viewer.check_url_template(viewers)


class AddressTestCase(OrthancTestCase):

    @with_transaction()
    def test_values_are_encoded(self):
        server = create_server(proxy_domain=PUBLIC)
        viewer = create_viewer(url_template='app#{PatientID}&{OrthancID}')
        self.assertEqual(
            viewer.url(server, {
                    'PatientID': 'a/b?c&d#é {x}', 'OrthancID': None}),
            f'{PUBLIC}/app#a%2Fb%3Fc%26d%23%C3%A9%20%7Bx%7D&')

    @with_transaction()
    def test_of_another_host(self):
        server = create_server(proxy_domain=PUBLIC)
        for template, url in [
                ('https://ohif.example.org/?u={StudyInstanceUID}',
                    'https://ohif.example.org/?u=1.2'),
                ('{ServerURL}/x/{StudyInstanceUID}', f'{PUBLIC}/x/1.2'),
                ('weasis://?$dicom:rs --url "{ServerURL}/dicom-web"',
                    f'weasis://?$dicom:rs --url "{PUBLIC}/dicom-web"'),
                ]:
            with self.subTest(template=template):
                viewer = create_viewer(url_template=template)
                self.assertEqual(
                    viewer.url(server, {'StudyInstanceUID': '1.2'}), url)

    @with_transaction()
    def test_links_of_records(self):
        server = create_server(proxy_domain=PUBLIC)
        patient = create_orthanc_patient(server, uuid='p-1')
        study = create_study(
            server, orthanc_UID='s-1', study_instance_UID='1.2.3')
        series = create_series(
            study, orthanc_UID='se-1', series_UID='1.2.3.4')
        study = type(study)(study.id)
        for record, name, url in [
                (patient, 'link', 'app/explorer.html#patient?uuid=p-1'),
                (study, 'explorer_link', 'app/explorer.html#study?uuid=s-1'),
                (study, 'ohif_viewer_link',
                    'ohif/viewer?StudyInstanceUIDs=1.2.3'),
                (study, 'stone_viewer_link',
                    'stone-webviewer/index.html?study=1.2.3'),
                (series, 'stone_viewer_link',
                    'stone-webviewer/index.html?study=1.2.3&series=1.2.3.4'),
                ]:
            with self.subTest(record=record, name=name):
                self.assertEqual(getattr(record, name), f'{PUBLIC}/{url}')
        self.assertEqual(study.link_base_url, f'{PUBLIC}/')

    @with_transaction()
    def test_no_link_without_images(self):
        server = create_server()
        study = create_study(server)
        missing = create_study(server, missing_since=dt.datetime.now())
        create_series(missing)
        empty = create_series(study, instances_count=0)
        for record in [study, type(missing)(missing.id), empty]:
            with self.subTest(record=record):
                self.assertIsNone(record.stone_viewer_link)
                self.assertEqual(record.offered_viewers(), [])

    @with_transaction()
    def test_no_link_for_a_patient_that_is_missing(self):
        patient = create_orthanc_patient(
            create_server(), missing_since=dt.datetime.now())
        self.assertIsNone(patient.link)


class OfferTestCase(OrthancTestCase):

    def offered(self, server, level='study'):
        return {v.name for v in Pool().get(VIEWER).offered(server, level)}

    @with_transaction()
    def test_what_every_orthanc_has(self):
        server = create_server()
        for level in ['patient', 'study', 'series', 'instance']:
            with self.subTest(level=level):
                self.assertEqual(
                    self.offered(server, level), {"Orthanc Explorer"})

    @with_transaction()
    def test_what_the_plugins_bring(self):
        server = create_server(plugins='ohif\nstone-webviewer\nweb-viewer')
        self.assertEqual(
            self.offered(server),
            {"OHIF", "Stone Web Viewer", "Orthanc Explorer"})
        self.assertEqual(self.offered(server, 'series'), {
                "OHIF", "Stone Web Viewer", "Orthanc Web Viewer",
                "Orthanc Explorer"})

    @with_transaction()
    def test_a_plugin_of_a_similar_name_brings_none(self):
        server = create_server(plugins='ohif-next\nwsi2')
        self.assertEqual(self.offered(server), {"Orthanc Explorer"})

    @with_transaction()
    def test_what_is_switched_on(self):
        viewer = create_viewer()
        server = create_server(viewers=[('add', [viewer.id])])
        self.assertIn("Mine", self.offered(server))
        self.assertNotIn("Mine", self.offered(server, 'series'))
        self.assertNotIn("Mine", self.offered(create_server()))

    @with_transaction()
    def test_inactive_ones_are_not(self):
        viewer = create_viewer(active=False)
        server = create_server(
            plugins='ohif', viewers=[('add', [viewer.id])])
        Viewer = Pool().get(VIEWER)
        Viewer.write(
            [Viewer(record_id('viewer_ohif_study'))], {'active': False})
        self.assertEqual(self.offered(server), {"Orthanc Explorer"})

    @with_transaction()
    def test_in_order(self):
        create_viewer(name="First", sequence=1, built_in=True)
        create_viewer(name="Last", sequence=99, built_in=True)
        names = [
            v.name for v in Pool().get(VIEWER).offered(
                create_server(plugins='ohif'), 'study')]
        self.assertEqual(
            names, ["First", "OHIF", "Orthanc Explorer", "Last"])


class OpenViewerTestCase(OrthancTestCase):

    def run_wizard(self, record, data=None, state=None):
        Wizard = Pool().get(OPEN_VIEWER, type='wizard')
        with Transaction().set_context(
                active_model=record.__name__, active_id=record.id,
                active_ids=[record.id]):
            id_, first, _ = Wizard.create()
            return Wizard.execute(id_, data or {}, state or first)

    @with_transaction()
    def test_the_only_one_opens_at_once(self):
        server = create_server(proxy_domain=PUBLIC)
        patient = create_orthanc_patient(server, uuid='p-1')
        study = create_study(server, orthanc_UID='s-1')
        series = create_series(study, orthanc_UID='se-1')
        instance = create_instance(series, orthanc_UID='i-1')
        for record, fragment in [
                (patient, 'patient?uuid=p-1'),
                (study, 'study?uuid=s-1'),
                (series, 'series?uuid=se-1'),
                (instance, 'instance?uuid=i-1')]:
            with self.subTest(record=record):
                (action, _), = self.run_wizard(record)['actions']
                self.assertEqual(action['type'], 'ir.action.url')
                self.assertEqual(
                    action['url'], f'{PUBLIC}/app/explorer.html#{fragment}')

    @with_transaction()
    def test_several_are_chosen_from(self):
        server = create_server(proxy_domain=PUBLIC, plugins='ohif')
        study = create_study(server, study_instance_UID='1.2.3')
        create_series(study)
        view = self.run_wizard(study)['view']
        ohif = record_id('viewer_ohif_study')
        self.assertEqual(view['defaults']['viewer'], ohif)
        self.assertEqual(
            list(view['defaults']['viewers']),
            [ohif, record_id('viewer_explorer_study')])
        (action, _), = self.run_wizard(
            study, {'choose': {'viewer': ohif}}, 'open_')['actions']
        self.assertEqual(
            action['url'],
            f'{PUBLIC}/ohif/viewer?StudyInstanceUIDs=1.2.3')

    @with_transaction()
    def test_what_is_not_offered_does_not_open(self):
        study = create_study(create_server())
        create_series(study)
        with self.assertRaises(OrthancUserError):
            self.run_wizard(
                study, {'choose': {
                        'viewer': record_id('viewer_ohif_study')}}, 'open_')

    @with_transaction()
    def test_without_images_that_is_told(self):
        study = create_study(create_server())
        with self.assertRaises(OrthancUserError) as caught:
            self.run_wizard(study)
        self.assertIn("no images", caught.exception.message)
        self.assertEqual(Pool().get(STUDY).search([]), [study])
