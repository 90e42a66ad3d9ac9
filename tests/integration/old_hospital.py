# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital that works with our predecessor, for the tests of the upgrade.

What lies in the Orthanc of the server *Main* came in by the predecessor's own
synchronisation.  Run as a script, with the predecessor in place of our
module, this fills a database.
"""
import datetime as dt
import hashlib
import sys

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from devtools import hospital, samples
from devtools.tryton import PASSWORD

MAIN_URL = 'http://main.example.org:8042/'
TWIN_URL = 'http://main.example.org:8042'
SECOND_URL = 'http://second.example.org:8042'
SECOND_SLASH_URL = 'http://second.example.org:8042/'
GONE_URL = 'http://gone.example.org:8042'
PROXY_URL = 'https://images.example.org/orthanc/'
PASSWORDS = {'Main': 'main secret', 'Second': 'söcond', 'Slash': 'third'}
CONFIG = 'gnuhealth.orthanc.config'
STUDY = 'gnuhealth.imaging_orthanc.study'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
INSTANCE = 'gnuhealth.imaging_orthanc.series_instances'
PATIENT_4 = 'gnuhealth.orthanc.patient'
STUDY_4 = 'gnuhealth.orthanc.study'
# What the worklist module makes its merge ids from
MERGE_PREFIX = '1.2.836.0.1.3240043.7.198.'
MERGE_ID = MERGE_PREFIX + '20260302'
# What 5.0.4 keeps as the date of studies on the server Second
DATES = {
    'empty': '',
    'none': None,
    'proper': '20240131',
    'dashes': '2024-01-31',
    'month 13': '2024-13-45',
    'February 30': '20240230',
    }
MUSTER, EJEMPLO, EXEMPLE, *_, KOFI, _ = hospital.PATIENTS
# Studies that the server Second holds besides
MANY = [f'many {number}' for number in range(190)]
# What only 4.x has recorded
ONLY_4 = ['only in 4.x', 'torn in 4.x', 'nowhere in 4.x']
PYTHON = "{% python x = 1 %}(0010,0010) PN [$PatientName]"
PLAIN = """\
(0008,0005) CS [IS0_IR 100]
(0010,0010) PN [$PatientName]
(0010,0020) LO [$PatientID]
"""
CHINESE = "(0008,0005) CS [GBK]\n(0010,0010) PN [$PatientName]\n"
TEMPLATES = {
    'Plain': (PLAIN, 'IS0_IR 192'), 'Program': (PYTHON, 'ISO_IR 100')}
TEMPLATE_4 = 'gnuhealth_orthanc_worklist_template'


def uid(*names: str) -> str:
    """Return the same UID for the same names."""
    return generate_uid(entropy_srcs=['old hospital', *map(str, names)])


def orthanc_id(*parts: str) -> str:
    """Return Orthanc's id of PatientID, StudyInstanceUID and so on."""
    digest = hashlib.sha1('|'.join(parts).encode('ascii')).hexdigest()
    return '-'.join(digest[i:i + 8] for i in range(0, 40, 8))


def _patient(id: str | None, name: str) -> samples.Patient:
    return samples.Patient(name, id, '19760314', 'F')


def studies(worklist: bool) -> dict[str, list[Dataset]]:
    """Return the instances of the studies on Main, always the same."""
    patients = {
        'by PUID': MUSTER.in_dicom(),
        # The ID of another patient was typed in
        'mistaken': samples.Patient(
            "Irrtum^Otto", KOFI.puid, '19990909', 'M'),
        'by hand': _patient('HOSP-1', "Ejemplo^Juan"),
        # A person gave the result, the predecessor the patient
        'result by hand': EJEMPLO.in_dicom(),
        'unlinked': _patient('HOSP-3', "Besuch^Ada"),
        'doubled': _patient('HOSP-4', "Doppel^Dora"),
        'bare': samples.Patient("Nameless", None, None, None),
        }
    if worklist:
        # The predecessor fails on it where it has no worklist module
        patients['by merge id'] = _patient('HOSP-5', "Merge^Maria")
    return {
        name: _study(name, patient) for name, patient in patients.items()}


def _study(name: str, patient: samples.Patient) -> list[Dataset]:
    tags = {
        'StudyInstanceUID': (
            MERGE_ID if name == 'by merge id' else uid(name)),
        'ReferringPhysicianName': "Zuweiser^Karl",
        }
    if name == 'bare':
        tags.update(
            StudyDate=None, InstitutionName=None, SeriesNumber=None,
            SeriesDescription=None, ReferringPhysicianName='')
    datasets = samples.make_study(
        'CT', patient, series=2, instances=2, rows=16, **tags)
    for index, dataset in enumerate(datasets):
        dataset.SeriesInstanceUID = uid(name, index // 2)
        dataset.SOPInstanceUID = uid(name, index // 2, index % 2)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return datasets


def study_uid(name: str) -> str:
    return MERGE_ID if name == 'by merge id' else uid(name)


def first_series(study):
    return min(study.series, key=lambda s: s.series_number)


class _Hospital:
    """Fills a database through the predecessor's models."""

    def __init__(self, url: str, user: str, password: str, worklist: bool):
        from trytond.pool import Pool
        self.get = Pool().get
        self._live = {
            'domain': url, 'user': user, 'password': password}
        self._worklist = worklist

    def fill(self) -> None:
        self._add_test()
        main = self._server('Main', validated=True, **self._live)
        if self._worklist:
            self._result('by merge id', EXEMPLE, merge_id=MERGE_ID)
        self.get(STUDY).get_new_studies()
        self._rename_main()
        second = self._server(
            'Second', domain=SECOND_URL, proxy_domain=PROXY_URL,
            user='orthanc', password=PASSWORDS['Second'])
        self._server(
            'Slash', domain=SECOND_SLASH_URL, user='orthanc',
            password=PASSWORDS['Slash'])
        self._link()
        self._annotate()
        self._double()
        self._add_other_studies()
        self._add_many()
        self._add_4(main, second)
        if self._worklist:
            self._add_templates()
        self._add_template_4()
        self._add_user()

    def _server(self, label: str, **values):
        server = self.get(CONFIG)(label=label, **values)
        server.save()
        return server

    def _rename_main(self) -> None:
        """Let the server's address be one that is always the same."""
        from trytond.transaction import Transaction
        cursor = Transaction().connection.cursor()
        server = self.get(CONFIG).__table__()
        study = self.get(STUDY).__table__()
        cursor.execute(*server.update(
                [server.domain, server.user, server.password],
                [MAIN_URL, 'orthanc', PASSWORDS['Main']]))
        cursor.execute(*study.update([study.server], [MAIN_URL]))

    def _patient(self, person: hospital.Person):
        patient, = self.get('gnuhealth.patient').search(
            [('puid', '=', person.puid)])
        return patient

    def _study(self, name: str):
        study, = self.get(STUDY).search([
                ('study_instance_UID', '=', study_uid(name)),
                ('server', '=', MAIN_URL),
                ])
        return study

    def _add_test(self) -> None:
        test_type, = self.get('gnuhealth.imaging.test.type').search(
            [('code', '=', 'CT')])
        product, = self.get('product.product').search(
            [('name', '=', "CT Scan charges")])
        self.get('gnuhealth.imaging.test')(
            name="CT Head", code='CTH', test_type=test_type,
            product=product).save()

    def _result(self, comment: str, person: hospital.Person, **values):
        test, = self.get('gnuhealth.imaging.test').search(
            [('code', '=', 'CTH')])
        doctor, = self.get('gnuhealth.healthprofessional').search([])
        request = self.get('gnuhealth.imaging.test.request')(
            patient=self._patient(person), requested_test=test,
            doctor=doctor, comment=comment, **values)
        request.save()
        result = self.get('gnuhealth.imaging.test.result')(
            patient=request.patient, date=dt.datetime(2026, 3, 2, 12),
            requested_test=test, request=request, doctor=doctor,
            comment=comment)
        result.save()
        return result

    def _link(self) -> None:
        by_hand = self._study('by hand')
        by_hand.patient = self._patient(EJEMPLO)
        by_hand.merge_comment = "Shown by his passport"
        by_hand.save()
        with_result = self._study('result by hand')
        with_result.imaging_test = self._result('result by hand', EJEMPLO)
        with_result.save()

    def _annotate(self) -> None:
        for name in ['by PUID', 'unlinked']:
            study = self._study(name)
            study.notes = f"Notes on {name}"
            study.save()
        first = first_series(self._study('by PUID'))
        first.notes = "Notes on a series"
        first.save()
        self._attach(self._study('by hand'), 'by hand')
        self._attach(first.instances[0], 'instance')

    def _attach(self, record, name: str) -> None:
        self.get('ir.attachment')(
            name=f'{name}.txt', type='data', data=name.encode(),
            resource=str(record)).save()
        self.get('ir.note')(
            message=f"Remark on {name}", resource=str(record)).save()

    def _double(self) -> None:
        """Record a series and its instances again, in it an instance twice.

        Two synchronisations at once do that.
        """
        Series, Instance = self.get(SERIES), self.get(INSTANCE)
        series = first_series(self._study('doubled'))
        series.notes = "First notes"
        series.save()
        double = Series(
            study=series.study, notes="Second notes", **{
                name: getattr(series, name) for name in [
                    'orthanc_UID', 'series_UID', 'series_number',
                    'series_description', 'modality']})
        double.save()
        for instance in [*series.instances, series.instances[0]]:
            again = Instance(
                series=double, **{
                    name: getattr(instance, name) for name in [
                        'orthanc_UID', 'sop_instance_UID', 'instance_number',
                        'image_position_patient']})
            again.save()
        self._attach(double, 'double')
        self._attach(again, 'double instance')

    def _add_other_studies(self) -> None:
        for name, date in DATES.items():
            self._add_study(SECOND_URL, name, date=date)
        # The same study on two servers
        self._add_study(SECOND_SLASH_URL, 'proper', date='20240131')
        self._add_study(
            GONE_URL, 'gone', patient=self._patient(EXEMPLE),
            notes="Notes on gone")
        for name in ['by PUID', 'unlinked']:
            known = self._study(name)
            self._add_study(
                TWIN_URL, name, first_series(known),
                orthanc_UID=known.orthanc_UID, notes=f"Twin of {name}",
                patient=self._patient(EXEMPLE))

    def _add_many(self) -> None:
        """Add studies of all kinds, some of them linked by people."""
        for number, name in enumerate(MANY):
            values = {}
            if number % 3 == 0:
                values['patient'] = self._patient(
                    hospital.PATIENTS[number % len(hospital.PATIENTS)])
            if number % 5 == 0:
                values.update(
                    date=f'2023{number % 12 + 1:02}17', institution="Old Wing",
                    notes=f"Notes on {name}", merge_comment=f"As {name}")
            self._add_study(SECOND_URL, name, **values)

    def _add_study(self, server: str, name: str, twin=None, **values) -> None:
        study = self.get(STUDY)(**{
                'server': server,
                'study_instance_UID': study_uid(name),
                'orthanc_UID': orthanc_id('HOSP-9', study_uid(name)),
                'patient_name': "Alt^Anna",
                'patient_id': 'HOSP-9',
                **values})
        study.save()
        self.get(SERIES)(
            study=study, series_UID=uid(name, 0),
            orthanc_UID=twin.orthanc_UID if twin else orthanc_id(
                'HOSP-9', study_uid(name), uid(name, 0)),
            modality='CT' if twin else 'MR', series_number='1',
            notes=f"Twin of {name}" if twin else None).save()

    def _add_templates(self) -> None:
        Template = self.get('gnuhealth.imaging_worklist.worklist_template')
        for name, (text, charset) in TEMPLATES.items():
            Template(name=name, template=text, charset=charset).save()

    def _add_template_4(self) -> None:
        """Add a template where 4.4 kept them, and use it."""
        from sql import Table

        from trytond.transaction import Transaction
        cursor = Transaction().connection.cursor()
        cursor.execute(
            f'CREATE TABLE {TEMPLATE_4} (id INTEGER PRIMARY KEY, '
            'name VARCHAR, template TEXT, dump_file_encoding VARCHAR, '
            'comment TEXT)')
        template = Table(TEMPLATE_4)
        cursor.execute(*template.insert(
                [template.id, template.name, template.template,
                    template.dump_file_encoding],
                [[7, "Chinese", CHINESE, 'gbk']]))
        cursor.execute(
            'ALTER TABLE gnuhealth_imaging_test '
            'ADD COLUMN worklist_template INTEGER')
        test = self.get('gnuhealth.imaging.test').__table__()
        cursor.execute(*test.update(
                [test.worklist_template], [7], where=test.code == 'CTH'))

    def _add_4(self, server, second) -> None:
        """Add what 4.x has left behind."""
        patients = [
            self._add_patient_4(server, *values) for values in [
                (MUSTER.puid, "Muster^Erika", MUSTER),
                ('HOSP-1', "Ejemplo^Juan", EJEMPLO),
                ('HOSP-3', "Besuch^Ada", None),
                ]]
        self._attach(patients[1], 'patient of 4.x')
        muster, ejemplo, _ = patients
        other = self._result('other in 4.x', EXEMPLE)
        for name, values in {
                'by PUID': {'patient': muster, 'server': server},
                # No server any more, but its study is known
                'bare': {'patient': None},
                # 5.0 has it with another patient
                'by hand': {'patient': ejemplo, 'imaging_test': other,
                    'server': server},
                'doubled': {'imaging_test': other, 'server': server},
                'only in 4.x': {'patient': muster, 'server': second,
                    'requested_procedure_id': 'RP-4'},
                # The result is another patient's
                'torn in 4.x': {'patient': muster, 'server': second,
                    'imaging_test': other},
                'nowhere in 4.x': {},
                }.items():
            self._add_study_4(name, **values)

    def _add_study_4(self, name: str, **values) -> None:
        known = self.get(STUDY).search([
                ('study_instance_UID', '=', study_uid(name))], limit=1)
        study = self.get(STUDY_4)(
            uuid=known[0].orthanc_UID if known else orthanc_id(
                MUSTER.puid, study_uid(name)),
            instance_uid=study_uid(name), date=dt.date(2019, 5, 17),
            description="CT Head", ident='S-4', ref_phys="Zuweiser^Karl",
            institution="Old Wing", **values)
        study.save()
        self._attach(study, f'{name} of 4.x')

    def _add_patient_4(
            self, server, id: str, name: str, person: hospital.Person | None):
        patient = self.get(PATIENT_4)(
            server=server, ident=id, name=name, uuid=orthanc_id(id),
            bd=dt.date(1976, 3, 14))
        if person:
            patient.patient = self._patient(person)
        patient.save()
        return patient

    def _add_user(self) -> None:
        group = self.get('ir.model.data').get_id(
            'health_orthanc.group_imaging_orthanc_admin')
        self.get('res.user')(
            name="Only Administration", login='only', groups=[group]).save()


def main(uri: str, configuration: str, *arguments: str) -> None:
    from proteus.config import set_trytond
    from trytond.transaction import Transaction
    config = set_trytond(uri, user='admin', config_file=configuration)
    # The group is new
    hospital.fill(
        PASSWORD, [r for r in hospital.ROLES if r.login != 'privacy'])
    url, user, password, worklist = arguments
    with Transaction().start(config.database_name, config.user):
        _Hospital(url, user, password, worklist == 'True').fill()


if __name__ == '__main__':
    main(*sys.argv[1:])
