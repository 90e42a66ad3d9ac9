# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A morning in the hospital of the demo: who comes, and what happens.

What is made is a table, `ORDERS`, around the time at which the demo begins.
"""
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from proteus import Model, Wizard

from . import samples
from .hospital import (
    COMMENTS, DESCRIPTIONS, PATIENTS, TIMEZONE, Person, SampleStudy, StudyType,
    make_patient, make_study_type, place_order)
from .orthanc import Orthanc
from .process import StartError, wait_until
from .tryton import Server

__all__ = [
    'ALLERGIC', 'ARRIVING', 'DISC_OWNER', 'NAMESAKES', 'ORDERS', 'PEOPLE',
    'STUDY_TYPES', 'TEXTS', 'Day', 'Order', 'add_people', 'disc',
    'expected_states', 'foreign_study', 'place', 'waiting']

STEP = 'gnuhealth.imaging.procedure.step'
REQUEST = 'gnuhealth.imaging.test.request'
STUDY = 'gnuhealth.imaging_orthanc.study'
# For images to be linked, in seconds
TIMEOUT = 60
# They are known by their identifiers: see `_named`
MUSTER, EJEMPLO, EXEMPLE, GREEK, RUSSIAN, JAPANESE, ARABIC, *_ = PATIENTS
ITALIAN = Person('ESE560LUC', "Luca", "Esempio", 'm', dt.date(1948, 10, 9),
    "Esempio^Luca")
ESTONIAN = Person('NAI328MAR', "Mart", "Näide", 'm', dt.date(2009, 2, 14),
    "Näide^Mart")
POLISH = Person('PRZ114ANN', "Anna", "Przykład", 'f', dt.date(1979, 5, 23),
    "Przykład^Anna")
TURKISH = Person('ORN871AYS', "Ayşe", "Örnek", 'f', dt.date(1992, 12, 1),
    "Örnek^Ayşe")
SWAHILI = Person('MFA230AMI', "Amina", "Mfano", 'f', dt.date(1995, 1, 17),
    "Mfano^Amina")
ALLERGIC = Person('EXE947MAR', "Maria", "Exemplo", 'f', dt.date(1967, 3, 30),
    "Exemplo^Maria")
DISC_OWNER = Person('PRI655JAN', "Jana", "Príklad", 'f', dt.date(1958, 8, 5),
    "Príklad^Jana")
# The images from elsewhere belong to the second
NAMESAKES = [
    Person('VOO021DAA', "Daan", "Voorbeeld", 'm', dt.date(1951, 4, 3),
        "Voorbeeld^Daan"),
    Person('VOO488DAA', "Daan", "Voorbeeld", 'm', dt.date(1984, 11, 20),
        "Voorbeeld^Daan"),
    ]
PEOPLE = [
    ITALIAN, ESTONIAN, POLISH, TURKISH, SWAHILI, ALLERGIC, DISC_OWNER,
    *NAMESAKES]
CRITICAL = "Hives after iodinated contrast in 2019"
FINDING = "Gallbladder without stones. Liver and kidneys unremarkable."
REPEATED = "Scanned twice"
# What is written in the language of the demo, by the English text
TEXTS: dict[str, str] = {}

STUDY_TYPES = [
    StudyType("CT of the Abdomen", 'CT-ABDOMEN', 'CT', 'CT', 'DEMO-CT',
        'health_imaging.product_product_ctscancharges'),
    StudyType("X-ray of the Hand", 'XR-HAND', 'XR', 'DX', 'DEMO-XR',
        'health_imaging.product_product_xraycharges'),
    # No device performs it: the worklist cannot have it
    StudyType("Bone Scan", 'NM-BONE', 'XR', 'NM', '',
        'health_imaging.product_product_xraycharges'),
    ]

WAITING, STARTED, IMAGED, ARRIVING = 'waiting', 'started', 'imaged', 'arriving'
REJECTED, CANCELED, DRAFT = 'rejected', 'canceled', 'draft'
# Of somebody else, as was noticed
WRONG = 'wrong'
OVERDUE = 'overdue'
_STATES = {
    WAITING: 'scheduled', STARTED: 'in_progress', IMAGED: 'completed',
    ARRIVING: 'scheduled', REJECTED: 'rejected', CANCELED: 'canceled',
    DRAFT: 'scheduled', OVERDUE: 'scheduled', WRONG: 'completed'}
DAY = 24 * 60
# How far the orders of today are from now at most, in minutes
SPAN = 180
# Times of appointments, in minutes
ROUND = 5


@dataclass(frozen=True)
class Order:
    """Studies of a patient.

    Attributes
    ----------
    codes
        Of the study types; each becomes an order with a step.
    minutes
        From now, negative if they should have begun.
    fate
        What has become of them.
    information
        What the physician writes, why the step was rejected, or what is
        wrong with the images.
    """
    person: Person
    codes: tuple[str, ...]
    minutes: int
    fate: str = WAITING
    urgent: bool = False
    information: str = ''


# Of nobody whose sample study might answer the order: it would wait for a
# review as long as the order is open
ORDERS = [
    Order(NAMESAKES[0], ('US-ABDOMEN',), -9 * DAY, OVERDUE),
    Order(POLISH, ('XR-CHEST',), -150, IMAGED,
        information="Cough for three weeks"),
    Order(TURKISH, ('US-ABDOMEN',), -140, WRONG,
        information="The images show the patient before her"),
    Order(ITALIAN, ('CT-HEAD',), -120, IMAGED, urgent=True,
        information="Fall from a ladder"),
    Order(RUSSIAN, ('US-ABDOMEN',), -95, IMAGED),
    Order(ESTONIAN, ('XR-HAND',), -80, REJECTED,
        information="Left hand instead of the right one"),
    Order(TURKISH, ('MR-KNEE',), -60, CANCELED),
    Order(ALLERGIC, ('CT-ABDOMEN',), -20, STARTED, urgent=True,
        information="Appendicitis?"),
    Order(NAMESAKES[1], ('NM-BONE',), -10),
    Order(SWAHILI, ('XR-CHEST',), 5, ARRIVING),
    Order(EJEMPLO, ('MR-KNEE',), 10, ARRIVING),
    Order(ESTONIAN, ('XR-HAND',), 15, ARRIVING),
    Order(DISC_OWNER, ('US-ABDOMEN',), 20, ARRIVING),
    Order(TURKISH, ('CT-HEAD', 'XR-CHEST'), 30, urgent=True,
        information="Headache, fever"),
    Order(GREEK, ('US-ABDOMEN',), 45),
    Order(ARABIC, ('MR-KNEE',), 60),
    Order(JAPANESE, ('CT-HEAD',), 90, DRAFT),
    Order(EXEMPLE, ('XR-HAND',), 120),
    Order(MUSTER, ('MR-KNEE',), 150),
    ]


class Day:
    """Today, as it is both on this machine and in the institution.

    The times of a morning are of today for whoever looks, at night as well:
    near midnight they are closer together.

    Parameters
    ----------
    now
        With a time zone.
    zones
        None is that of the machine.
    """

    def __init__(
            self, now: dt.datetime,
            zones: Sequence[dt.tzinfo | None] = (None, ZoneInfo(TIMEZONE))):
        self.now = now
        days = [(now.astimezone(zone).date(), zone) for zone in zones]
        self.start = max(_midnight(day, zone) for day, zone in days)
        self.end = min(
            _midnight(day + dt.timedelta(1), zone) for day, zone in days)

    @classmethod
    def today(cls) -> 'Day':
        return cls(dt.datetime.now(dt.timezone.utc))

    def at(self, minutes: int) -> dt.datetime:
        """Return a time so many minutes from now, in UTC without zone."""
        distance = dt.timedelta(minutes=minutes)
        if abs(minutes) < DAY:
            room = self.now - self.start if minutes < 0 else (
                self.end - self.now)
            distance *= min(1, room / dt.timedelta(minutes=SPAN + ROUND))
        when = _rounded(self.now + distance, up=minutes > 0)
        if abs(minutes) < DAY and not self.start <= when < self.end:
            when = self.now + distance
        return when.astimezone(dt.timezone.utc).replace(tzinfo=None)

    def local(self, minutes: int) -> dt.datetime:
        """Return the same in the time of the institution."""
        return self.at(minutes).replace(tzinfo=dt.timezone.utc).astimezone(
            ZoneInfo(TIMEZONE)).replace(tzinfo=None)


def _midnight(day: dt.date, zone: dt.tzinfo | None) -> dt.datetime:
    start = dt.datetime.combine(day, dt.time())
    return start.replace(tzinfo=zone) if zone else start.astimezone()


def _rounded(when: dt.datetime, up: bool) -> dt.datetime:
    over = dt.timedelta(
        minutes=when.minute % ROUND, seconds=when.second,
        microseconds=when.microsecond)
    when -= over
    return when + dt.timedelta(minutes=ROUND) if up and over else when


def add_people() -> None:
    """Register the patients of the morning; proteus works as admin."""
    for person in PEOPLE:
        make_patient(person)
    allergic = _patient(ALLERGIC)
    allergic.critical_info = TEXTS.get(CRITICAL, CRITICAL)
    allergic.save()
    for study_type in STUDY_TYPES:
        make_study_type(study_type)


def _patient(person: Person):
    patient, = Model.get('gnuhealth.patient').find(
        [('puid', '=', person.puid)])
    return patient


def place(server: Server, orthanc: Orthanc, day: Day) -> Iterator[dict]:
    """Place the orders, and let happen what has happened until now.

    Yields for each step a mapping: `accession` number, `puid`, `fate`, the
    `study` instance UID, the `aetitle` and the `modality` of its device.
    """
    server.connect('physician')
    placed = [
        (order, request.id)
        for order in ORDERS for request in _ask_for(order, day)]
    server.connect('radiographer')
    for order, id_ in placed:
        request = Model.get(REQUEST)(id_)
        step, = request.steps
        _let_happen(order, step)
        if order.fate in {IMAGED, WRONG}:
            orthanc.upload(_images(order, request, step, day))
        yield {
            'accession': request.accession_number,
            'puid': order.person.puid,
            'fate': order.fate,
            'study': request.study_instance_uid,
            'aetitle': step.station_aetitle,
            'modality': step.modality,
            }
    server.connect()


def _ask_for(order: Order, day: Day) -> list:
    requests = place_order(
        order.person, order.codes, day.at(order.minutes), order.urgent)
    for request in requests:
        information = TEXTS.get(order.information, order.information)
        if order.fate in {REJECTED, WRONG}:
            # It says why
            information = ''
        request.comment = information or COMMENTS.get(
            request.requested_test.code)
        request.save()
        if order.fate != DRAFT:
            request.click('requested')
    return requests


def _named(person: Person) -> Person:
    """Return somebody under the name in the language of the demo."""
    return next((p for p in PATIENTS if p.puid == person.puid), person)


def _let_happen(order: Order, step) -> None:
    if order.fate == STARTED:
        step.click('start')
    elif order.fate == CANCELED:
        step.click('cancel')
    elif order.fate == REJECTED:
        wizard = Wizard('gnuhealth.imaging.procedure.step.reject', [step])
        wizard.form.reason = TEXTS.get(order.information, order.information)
        wizard.execute('reject')


def _images(order: Order, request, step, day: Day) -> list[Dataset]:
    """Return what the device has made of a step."""
    datasets = samples.make_study(
        step.modality, _named(order.person).in_dicom(), series=1, instances=3,
        date=day.local(order.minutes),
        StudyInstanceUID=request.study_instance_uid,
        AccessionNumber=request.accession_number,
        StudyDescription=step.description)
    item = Dataset()
    item.ScheduledProcedureStepID = step.step_id
    for dataset in datasets:
        dataset.RequestAttributesSequence = [item]
    return datasets


def foreign_study(day: Day) -> SampleStudy:
    """Return images from elsewhere of one of the two of the same name."""
    person = NAMESAKES[1]
    return SampleStudy(samples.make_study(
            'CR', samples.Patient(
                person.pn, 'AMC-77310', person.birth_date.strftime('%Y%m%d'),
                'M'),
            series=1, instances=1, date=day.local(-100),
            StudyDescription="X-ray of the Thorax",
            InstitutionName="Elsewhere"))


def scanned_twice(day: Day) -> SampleStudy:
    """Return images that nobody needs, and that are deleted."""
    return SampleStudy(samples.make_study(
            'CT', samples.Patient("Phantom^Daily QA", 'QA-PHANTOM', None, 'O'),
            series=1, instances=1, date=day.local(-160),
            StudyDescription="Daily QA, repeated"))


def remember(server: Server, orders: Sequence[dict], unneeded: str) -> None:
    """Let happen what has to do with images that are in GNU Health.

    Parameters
    ----------
    orders
        Those that `place` has yielded.
    unneeded
        The study instance UID of `scanned_twice`.
    """
    _report(server, orders)
    server.connect('clerk')
    for order in orders:
        if order['fate'] == WRONG:
            wizard = Wizard(
                'gnuhealth.imaging_orthanc.mark_wrong_patient',
                [_await(STUDY, [
                            ('study_instance_UID', '=', order['study']),
                            ('link_status', '=', 'auto_certain')])])
            wizard.form.reason = next(
                TEXTS.get(o.information, o.information)
                for o in ORDERS if o.fate == WRONG)
            wizard.execute('mark')
    server.connect('administrator')
    wizard = Wizard(
        'gnuhealth.imaging_orthanc.delete_images',
        [_await(STUDY, [('study_instance_UID', '=', unneeded)])])
    wizard.form.reason = TEXTS.get(REPEATED, REPEATED)
    wizard.execute('delete_')
    wizard.execute('end')
    server.connect()


def _report(server: Server, orders: Sequence[dict]) -> None:
    """Let the physician have read what a result is of, for one patient."""
    server.connect('physician')
    accession, = [
        order['accession'] for order in orders
        if order['puid'] == RUSSIAN.puid and order['fate'] == IMAGED]
    result = _await('gnuhealth.imaging.test.result', [
            ('request.accession_number', '=', accession)])
    result.comment = TEXTS.get(FINDING, FINDING)
    result.save()


def _await(model: str, domain: list):
    """Return a record, which a worker may be about to make."""
    Records = Model.get(model)
    if not wait_until(lambda: Records.find(domain, limit=1), TIMEOUT, 1):
        raise StartError(f"No {model}: {domain}")
    record, = Records.find(domain)
    return record


def disc(now: dt.date) -> list[Dataset]:
    """Return what is on the disc that a patient brings."""
    person = samples.Patient(
        DISC_OWNER.pn, 'EXT-5521',
        DISC_OWNER.birth_date.strftime('%Y%m%d'), DISC_OWNER.sex.upper())
    return samples.make_study(
        'MR', person, series=1, instances=5,
        date=dt.datetime.combine(now - dt.timedelta(45), dt.time(11, 20)),
        StudyDescription=DESCRIPTIONS.get('MR', "MR of the Head"),
        InstitutionName="Elsewhere")


def waiting(orders: Sequence[dict], sent: Sequence[str]) -> list[str]:
    """Return the accession numbers that devices find on the worklist.

    Parameters
    ----------
    sent
        Those of which images have arrived since.
    """
    return sorted(
        order['accession'] for order in orders
        if order['fate'] in {WAITING, STARTED, ARRIVING}
        and order['aetitle'] and order['accession'] not in sent)


def expected_states(orders: Sequence[dict], sent: Sequence[str]
        ) -> dict[str, str]:
    """Return the states that the steps have to be in by accession number.

    Parameters
    ----------
    sent
        The accession numbers of which images have arrived since.
    """
    return {
        order['accession']: 'completed' if order['accession'] in sent
        else _STATES[order['fate']]
        for order in orders}
