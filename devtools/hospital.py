# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small hospital that does not exist, for the demo."""
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from proteus import Model, Wizard
from proteus.config import get_config

from . import samples

__all__ = [
    'COMMENTS', 'DESCRIPTIONS', 'PATIENTS', 'Person', 'STUDY_TYPES',
    'SampleStudy', 'StudyType', 'TIMEZONE', 'fill', 'make_patient',
    'make_study_type', 'place_order', 'place_orders', 'sample_studies']

INSTITUTION = "Clínica de Ejemplo"
TIMEZONE = 'Europe/Madrid'
# Given and family name
PHYSICIAN = "Cora", "Musterfrau"
# Of studies, by modality: those that differ from the samples'
DESCRIPTIONS: dict[str, str] = {}
# Clinical information of orders, by study type
COMMENTS = {
    'CT-HEAD': "Fell on ice, headache since then.\n"
        "Bleeding? Takes anticoagulants.",
    'MR-KNEE': "Twisted playing football, swollen. Meniscus?",
    'XR-CHEST': "Cough for three weeks, fever. Pneumonia?",
    'US-ABDOMEN': "Pain in the right upper abdomen. Gallstones?",
    }


@dataclass(frozen=True)
class Person:
    """A patient, in GNU Health and as modalities write the name.

    Attributes
    ----------
    sex
        m or f.
    pn
        DICOM PN.
    charset
        What the modalities write it in.
    """
    puid: str
    given: str
    family: str
    sex: str
    birth_date: dt.date
    pn: str
    charset: str = 'ISO_IR 192'

    def in_dicom(self) -> samples.Patient:
        return samples.Patient(
            self.pn, self.puid, self.birth_date.strftime('%Y%m%d'),
            self.sex.upper())


# Their family names mean "example" or "sample".
PATIENTS = [
    Person('MUS310ERI', "Erika", "Muster", 'f', dt.date(1964, 8, 12),
        "Muster^Erika", 'ISO_IR 100'),
    Person('EJE482JUA', "Juan José", "Ejemplo Núñez", 'm',
        dt.date(1980, 2, 29), "Ejemplo Núñez^Juan José", 'ISO_IR 100'),
    Person('EXE105ZOE', "Zoé", "Exemple", 'f', dt.date(2015, 6, 3),
        "Exemple^Zoé"),
    Person('PAR733ELE', "Ελένη", "Παράδειγμα", 'f', dt.date(1951, 11, 30),
        "Παράδειγμα^Ελένη", 'ISO_IR 126'),
    Person('PRI268IVA', "Иван", "Примеров", 'm', dt.date(1973, 4, 17),
        "Примеров^Иван", 'ISO_IR 144'),
    Person('MIH901HAN', "花子", "見本", 'f', dt.date(1990, 1, 8),
        "Mihon^Hanako=見本^花子=みほん^はなこ", '\\ISO 2022 IR 87'),
    Person('MIT556LAY', "ليلى", "مثال", 'f', dt.date(2001, 9, 22),
        "مثال^ليلى", 'ISO_IR 127'),
    Person('SAM017KOF', "Kofi", "Sample", 'm', dt.date(1938, 12, 5),
        "Sample^Kofi"),
    Person('ESI649AKI', "Aki", "Esimerkki", 'f', dt.date(1986, 7, 1),
        "Esimerkki^Aki"),
    ]


@dataclass(frozen=True)
class SampleStudy:
    """A study for the demo.

    Attributes
    ----------
    puid
        Of the patient whom GNU Health is expected to give it to.
    """
    datasets: list[Dataset]
    puid: str | None = None

    @property
    def uid(self) -> str:
        return str(self.datasets[0].StudyInstanceUID)


def sample_studies(now: dt.datetime) -> Iterator[SampleStudy]:
    """Yield new studies, some of them of today, none of them later.

    Parameters
    ----------
    now
        In the time of the institution, without zone.
    """
    muster, ejemplo, exemple, greek, russian, japanese, arabic, kofi, _ = (
        PATIENTS)
    yield _study('CT', muster, now, 0, 8, series=2, instances=12)
    yield _study('MR', muster, now, 400, 11, instances=10)
    yield _study('CR', ejemplo, now, 0, 9, series=1, instances=2, rows=512)
    yield _study('US', exemple, now, 0, 10, series=1, instances=2)
    yield _study('US', greek, now, 30, 15, series=1, instances=1)
    yield _study('CT', russian, now, 2, 7, instances=12)
    yield _study('MR', japanese, now, 1, 14, instances=10)
    yield _study('CR', arabic, now, 90, 16, series=1, instances=1, rows=512)
    yield _study('SR', kofi, now, 1, 12, series=1, instances=1)
    yield from _unknown_studies(now)


def _unknown_studies(now: dt.datetime) -> Iterator[SampleStudy]:
    """Yield studies that cannot be linked by themselves."""
    # Another person's ID was typed in at the modality.
    mistaken = samples.Patient(
        "Irrtum^Otto", PATIENTS[-1].puid, '19990909', 'M')
    foreign = samples.Patient("Besuch^Ada", 'HOSP-88213', '19760314', 'F')
    unidentified = samples.Patient("Unknown^Male", None, None, 'M')
    phantom = samples.Patient("Phantom^Daily QA", 'QA-PHANTOM', None, 'O')
    for hour, (modality, patient) in enumerate([
            ('CR', mistaken), ('US', foreign), ('CR', unidentified),
            ('CT', phantom)], 13):
        yield SampleStudy(samples.make_study(
                modality, patient, series=1, instances=2,
                date=_at(now, 0, hour)))


def _at(now: dt.datetime, days: int, hour: int) -> dt.datetime:
    """Return an hour so many days ago, earlier in the day if it is to come.
    """
    midnight = dt.datetime.combine(now, dt.time())
    when = midnight + dt.timedelta(hours=hour, minutes=7 * hour % 60)
    if when > now:
        when = midnight + (now - midnight) * hour / 24
    return when.replace(microsecond=0) - dt.timedelta(days)


def _study(
        modality: str, person: Person, now: dt.datetime, days: int, hour: int,
        **options: int) -> SampleStudy:
    charset = person.charset.split('\\')
    tags = {}
    # Greek or Cyrillic letters and accents are not in one character set
    if modality in DESCRIPTIONS and charset[0] in {
            'ISO_IR 100', 'ISO_IR 192'}:
        tags['StudyDescription'] = DESCRIPTIONS[modality]
    datasets = samples.make_study(
        modality, person.in_dicom(), charset=charset,
        date=_at(now, days, hour), InstitutionName="Clinica de Ejemplo",
        **tags,
        **options)
    return SampleStudy(datasets, person.puid)


@dataclass(frozen=True)
class StudyType:
    """What can be ordered; `aetitle` finds the orders on its worklist."""
    name: str
    code: str
    type_code: str
    modality: str
    aetitle: str
    product: str


STUDY_TYPES = [
    StudyType("CT of the Head", 'CT-HEAD', 'CT', 'CT', 'DEMO-CT',
        'health_imaging.product_product_ctscancharges'),
    StudyType("MRI of the Knee", 'MR-KNEE', 'MR', 'MR', 'DEMO-MR',
        'health_imaging.product_product_mricharges'),
    StudyType("Chest X-ray", 'XR-CHEST', 'XR', 'DX', 'DEMO-XR',
        'health_imaging.product_product_xraycharges'),
    StudyType("Ultrasound of the Abdomen", 'US-ABDOMEN', 'US', 'US',
        'DEMO-US', 'health_imaging.product_product_ultrasoundcharges'),
    ]


@dataclass(frozen=True)
class Role:
    """A user of the demo; `groups` are XML ids."""
    login: str
    name: str
    groups: tuple[str, ...]


_ADMINISTRATOR = Role('administrator', "Imaging Administrator", (
        'health.group_health_admin',
        'health_imaging.group_health_imaging_admin',
        'health_orthanc.group_imaging_orthanc',
        'health_orthanc.group_imaging_orthanc_admin'))
ROLES = [
    Role('physician', "Dr. Cora Musterfrau", ('health.group_health_doctor',)),
    Role('radiographer', "Radiographer", (
            'health_imaging.group_health_imaging',)),
    Role('clerk', "Imaging Clerk", (
            'health_imaging.group_health_imaging',
            'health_orthanc.group_imaging_orthanc')),
    _ADMINISTRATOR,
    Role('privacy', "Privacy Officer", (
            'health_orthanc.group_imaging_orthanc_privacy',)),
    ]


def fill(password: str, roles: Sequence[Role] = ROLES) -> None:
    """Make institution, users and patients; proteus is connected as admin.

    Parameters
    ----------
    password
        Of the users.
    roles
        Of which there is a user each.
    """
    institution, company = _make_institution()
    for role in roles:
        _make_user(role, password, company)
    _join(_user('admin'), _ADMINISTRATOR.groups, company)
    _make_physician(institution)
    for person in PATIENTS:
        make_patient(person)
    for study_type in STUDY_TYPES:
        make_study_type(study_type)
    _finish_configuration()


def _make_institution():
    Currency = Model.get('currency.currency')
    currency = Currency(name="Euro", code='EUR', symbol='€')
    currency.save()
    party = Model.get('party.party')(name=INSTITUTION)
    party.is_institution = True
    party.save()
    company = Model.get('company.company')(
        party=party, currency=currency, timezone=TIMEZONE)
    company.save()
    institution = Model.get('gnuhealth.institution')(
        party=party, code='EJEMPLO', institution_type='hospital',
        public_level='public')
    institution.save()
    return institution, company


def _user(login: str):
    user, = Model.get('res.user').find([('login', '=', login)])
    return user


def record_id(xml_id: str) -> int:
    """Return the id of the record that a module's XML names."""
    module, fs_id = xml_id.split('.')
    data, = Model.get('ir.model.data').find([
            ('module', '=', module), ('fs_id', '=', fs_id)])
    return data.db_id


def _make_user(role: Role, password: str, company) -> None:
    user = Model.get('res.user')(name=role.name, login=role.login)
    user.password = password
    _join(user, role.groups, company)


def _join(user, groups: tuple[str, ...], company) -> None:
    Group = Model.get('res.group')
    joined = {group.id for group in user.groups}
    for id_ in map(record_id, groups):
        if id_ not in joined:
            user.groups.append(Group(id_))
    user.companies.append(Model.get('company.company')(company.id))
    user.save()
    user.company = company
    user.save()
    config = get_config()
    config._context = Model.get('res.user').get_preferences(
        True, config.context)


def _make_physician(institution) -> None:
    given, family = PHYSICIAN
    party = Model.get('party.party')(name=given, lastname=family)
    party.create_target = False
    party.is_healthprof = True
    party.is_person = True
    party.is_patient = False
    party.gender = 'f'
    party.internal_user = _user('physician')
    party.save()
    Model.get('gnuhealth.healthprofessional')(
        party=party, institution=institution, code='EJEMPLO-1').save()


def make_patient(person: Person) -> None:
    """Register somebody; proteus is connected as an administrator."""
    party = Model.get('party.party')(name=person.given)
    party.lastname = person.family
    party.is_person = True
    party.is_patient = True
    party.gender = person.sex
    party.dob = person.birth_date
    party.ref = person.puid
    party.save()
    patient, = Model.get('gnuhealth.patient').find(
        [('party', '=', party.id)])
    patient.biological_sex = person.sex
    patient.save()


def make_study_type(study_type: StudyType) -> None:
    """Make what can be ordered; proteus is connected as an administrator."""
    Test = Model.get('gnuhealth.imaging.test')
    test = Test(name=study_type.name, code=study_type.code)
    test.test_type, = Model.get('gnuhealth.imaging.test.type').find(
        [('code', '=', study_type.type_code)])
    test.product = Model.get('product.product')(
        record_id(study_type.product))
    # The predecessor of the module has none of them
    for name, value in [
            ('orthanc_modality', study_type.modality),
            ('aetitle', study_type.aetitle)]:
        if name in Test._fields:
            setattr(test, name, value)
    test.save()


def place_order(
        person: Person, codes: Sequence[str], date: dt.datetime,
        urgent: bool = False) -> list:
    """Order studies with GNU Health's wizard, and return the drafts.

    Parameters
    ----------
    codes
        Of study types.
    date
        In UTC.
    """
    Test = Model.get('gnuhealth.imaging.test')
    Request = Model.get('gnuhealth.imaging.test.request')
    last = max((r.id for r in Request.find([])), default=0)
    wizard = Wizard('gnuhealth.patient.imaging.test.request')
    wizard.form.patient, = Model.get('gnuhealth.patient').find(
        [('puid', '=', person.puid)])
    wizard.form.doctor, = Model.get('gnuhealth.healthprofessional').find([])
    wizard.form.date = date
    wizard.form.urgent = urgent
    wizard.form.tests.extend(
        Test.find([('code', '=', code)])[0] for code in codes)
    wizard.execute('request')
    return Request.find([('id', '>', last)], order=[('id', 'ASC')])


def place_orders() -> None:
    """Order studies, as a physician does; some wait to be requested."""
    start = dt.datetime.now().replace(minute=0, second=0, microsecond=0)
    orders = []
    for hour, (person, codes) in enumerate([
            (PATIENTS[0], ['CT-HEAD', 'XR-CHEST']),
            (PATIENTS[1], ['MR-KNEE']),
            (PATIENTS[3], ['US-ABDOMEN']),
            (PATIENTS[5], ['CT-HEAD'])]):
        orders += place_order(
            person, codes, start + dt.timedelta(hours=hour),
            urgent=hour == 0)
    for order in orders:
        order.comment = COMMENTS.get(order.requested_test.code)
        order.save()
    # The last one stays a draft: devices do not see it
    for order in orders[:-1]:
        order.click('requested')


def _finish_configuration() -> None:
    """Keep the configuration wizards from opening at login."""
    Item = Model.get('ir.module.config_wizard.item')
    for item in Item.find([('state', '=', 'open')]):
        item.state = 'done'
        item.save()
