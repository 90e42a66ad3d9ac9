# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same orders, the same queries, three servers: the same answers.

Queries are made together with what they mean, so that the servers are not
only compared with each other.
"""
import datetime as dt
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from pydicom.dataset import Dataset

from devtools.dicom import STEP, FindFailed, run_findscu
from devtools.process import wait_until
from devtools.tryton import MODULE, ROOT

from . import ordering
from .hospital import ON_BOTH
from .ordering import Order
from .radiology import ServedOrders, answer_values, serving_orders

SEED = 20260504
ORDERS = 80
# Of `./dev test`, and of `./dev test --all`
QUERIES, ALL_QUERIES = 70, 200
WAYS = ['live', 'files', 'wlmscpfs']
TIMEOUT = 60
UNICODE = 'ISO_IR 192'
# The status of a pregnancy (PS3.3 C.7.1.3)
UNKNOWN = '4'
DOCUMENT = ROOT / 'doc' / 'worklists.md'
DATE = 'ScheduledProcedureStepStartDate'
TIME = 'ScheduledProcedureStepStartTime'
PERFORMER = 'ScheduledPerformingPhysicianName'
DESCRIPTION = 'RequestedProcedureDescription'

# Family and given names of the patients
NAMES = [
    ("Muster", "Erika"), ("MUSTER", "ERIK"), ("Muster-Ejemplo", "Ana"),
    ("Müller", "Änne"), ("Mueller", "Anne"), ("Ejemplo Núñez", "Juan José"),
    ("O'Neill", "Tip"), ("van der Berg", "Jan"), ("Straße", "Jürgen"),
    ("Łukasiewicz", "Żaneta"), ("Şahin", "İpek"), ("Sample", "Kofi"),
    ("Примеров", "Иван"), ("ПРИМЕРОВА", "Анна"), ("Παράδειγμα", "Ελένη"),
    ("مثال", "ليلى"), ("王", "小东"), ("王小", "东"), ("見本", "花子"),
    ("みほん", "はなこ"),
    ]
DEVICES = [
    ('CT', 'CT1'), ('CT', 'CT2'), ('MR', 'MR1'), ('DX', 'XR 1'),
    ('US', 'us_1'), ('US', 'US_1')]
STUDIES = ["CT of the Head", "MRI of the Knee", "Röntgen Thorax", "Head"]
STEPS = ["Head, native", "Knee L/R", "Thorax p.a.", "Голова"]
PERFORMERS = [None, ("Curie", "Marie"), ("Röntgen", "Wilhelm")]
TODAY = dt.datetime.combine(
    dt.datetime.now(dt.timezone.utc).date(), dt.time())


def make_order(random: random.Random, number: int) -> Order:
    patient = random.randrange(2 * len(NAMES))
    family, given = NAMES[patient % len(NAMES)]
    modality, aetitle = random.choice(DEVICES)
    return Order(
        f'PUID{patient:03}', family, given,
        # Many on the hour, where ranges begin and end
        TODAY + random.choice([
                dt.timedelta(hours=random.randrange(-72, 240)),
                dt.timedelta(minutes=random.randrange(-4320, 14400)),
                dt.timedelta(seconds=random.randrange(-259200, 864000))]),
        sex='m' if patient % 3 else 'f',
        birth_date=dt.date(1940, 1, 1) + dt.timedelta(days=399 * patient),
        study=random.choice(STUDIES), performer=random.choice(PERFORMERS),
        request={'urgent': random.random() < .2},
        step={
            'modality': modality, 'station_aetitle': aetitle,
            'description': random.choice(STEPS),
            'location': random.choice([None, "Room 1", "Room 2"])})


@dataclass(frozen=True)
class Entry:
    """An order as modalities know it."""
    order: Order
    accession: str
    uid: str
    step: str

    @property
    def identity(self) -> tuple[str, ...]:
        return self.accession, self.order.puid, self.uid, self.step

    @property
    def name(self) -> str:
        return f'{self.order.family}^{self.order.given}'.rstrip('^')

    @property
    def date(self) -> str:
        return f'{self.order.start:%Y%m%d}'

    @property
    def time(self) -> str:
        return f'{self.order.start:%H%M%S}'

    @property
    def birth_date(self) -> str:
        return f'{self.order.birth_date:%Y%m%d}'

    @property
    def performer(self) -> str:
        return '^'.join(self.order.performer or ())

    @property
    def sex(self) -> str:
        return self.order.sex.upper()

    @property
    def priority(self) -> str:
        return 'STAT' if self.order.request['urgent'] else 'ROUTINE'

    @property
    def puid(self) -> str:
        return self.order.puid

    @property
    def study(self) -> str:
        return self.order.study

    def __getattr__(self, name: str) -> str:
        # Of the step
        return self.order.step[name] or ''


# Why a server answers otherwise than asked: as in the first column of the
# table in the documentation, and which servers do
QUIRKS = {
    'any': ("`*` as date or time", {'files', 'wlmscpfs'}),
    'carets': ("a name that ends with `^`", {'files', 'wlmscpfs'}),
    'case': ("a name in another case", {'wlmscpfs'}),
    'folding': ("`STRASSE` for *Straße*", {'files', 'wlmscpfs'}),
    'foreign': (
        "a key that is not a worklist attribute (study description, age)",
        {'files'}),
    'ignored': (
        "study UID, step ID, location, descriptions of procedure and step",
        {'wlmscpfs'}),
    'letters': (
        "`?` for a letter that is not ASCII", {'files', 'wlmscpfs'}),
    'old': ("a date with dots (`2026.11.22`)", {'files', 'wlmscpfs'}),
    'short': ("a time without seconds", {'files', 'wlmscpfs'}),
    'single': (
        "wildcards in patient ID, AE title and modality, a list of"
        " modalities", {'wlmscpfs'}),
    'span': (
        "a range of dates together with a range of times", {'files'}),
    }

Means = Callable[[Entry], bool]


@dataclass(frozen=True)
class Key:
    """What is asked of one attribute or two, and what that means.

    Attributes
    ----------
    values
        By the path of keywords.
    quirks
        Of `QUIRKS`: why some servers answer otherwise.
    """
    values: dict[str, str]
    means: Means
    quirks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Query:
    keys: tuple[Key, ...]

    @property
    def values(self) -> list[str]:
        values = [
            f'{path}={value}' for key in self.keys
            for path, value in key.values.items()]
        if not all(map(str.isascii, values)):
            values.append(f'SpecificCharacterSet={UNICODE}')
        return values

    @property
    def quirks(self) -> set[str]:
        return {quirk for key in self.keys for quirk in key.quirks}

    def expected(self, entries: list[Entry]) -> list[tuple[str, ...]]:
        return sorted(
            entry.identity for entry in entries
            if all(key.means(entry) for key in self.keys))


# What queries are made of


def fold(text: str) -> str:
    normal = unicodedata.normalize('NFC', text)
    return unicodedata.normalize('NFC', normal.casefold())


def likeness(pattern: str) -> re.Pattern:
    return re.compile(''.join(
            {'*': '.*', '?': '.'}.get(c, re.escape(c)) for c in pattern),
        re.DOTALL)


def is_like(pattern: str, text: str) -> bool:
    """Tell whether a text that is not empty is as a pattern with wildcards.
    """
    return bool(text and likeness(pattern).fullmatch(text))


class Menu:
    """What can be asked; each method returns one key by chance."""

    def __init__(self, random: random.Random, entries: list[Entry]):
        self._random = random
        self._entries = entries
        self._choose = random.choice

    def _pick(self, name: str) -> str:
        """Return the value that some entry has."""
        return self._choose(list(filter(
                    None, (getattr(entry, name) for entry in self._entries))))

    def _exact(
            self, path: str, name: str, quirks: tuple[str, ...] = ()) -> Key:
        value = self._pick(name)
        return Key({path: value}, lambda e: getattr(e, name) == value, quirks)

    def _list(
            self, path: str, name: str, quirks: tuple[str, ...] = ()) -> Key:
        values = {self._pick(name) for _ in range(3)}
        return Key(
            {path: '\\'.join(sorted(values))},
            lambda e: getattr(e, name) in values, quirks)

    def _like(
            self, path: str, name: str, quirks: tuple[str, ...] = ()) -> Key:
        pattern = self._pattern(self._pick(name))
        return Key(
            {path: pattern}, lambda e: is_like(pattern, getattr(e, name)),
            quirks)

    def _pattern(self, text: str) -> str:
        at = self._random.randrange(1, max(2, len(text)))
        return self._choose([
                text[:at] + '*', '*' + text[-at:], text[:at] + '*' + text[-1:],
                self._with_question_mark(text)])

    def _with_question_mark(self, text: str) -> str:
        ascii_places = [n for n, c in enumerate(text) if c.isascii()]
        at = self._choose(ascii_places or [len(text)])
        return text[:at] + '?' + text[at + 1:]

    def _name(
            self, path: str, name: str, pattern: str,
            quirks: tuple[str, ...] = ()) -> Key:
        """Return the key for a name of a person, in any case."""
        wanted = fold(pattern)

        def means(entry: Entry) -> bool:
            return is_like(wanted, fold(getattr(entry, name)))
        if any(means(e) != is_like(pattern, getattr(e, name))
                for e in self._entries):
            quirks += ('case',)
        return Key({path: pattern}, means, quirks)

    def _range(self, first: str, last: str) -> tuple[str, str, str]:
        """Return a range, and the ends that are in it."""
        first, last = sorted([first, last])
        return self._choose([
                (f'{first}-{last}', first, last), (f'{first}-', first, '~'),
                (f'-{last}', '', last), (first, first, first)])

    def patient_name(self) -> Key:
        name = self._pick('name')
        return self._name('PatientName', 'name', self._choose([
                    name, self._pattern(name),
                    name.partition('^')[0] + self._choose(['*', '^*', ''])]))

    def patient_name_in_another_case(self) -> Key:
        name = self._choose([
                e.name for e in self._entries
                if len(e.name.upper().casefold()) == len(e.name)])
        change = self._choose([str.upper, str.lower, str.swapcase])
        return self._name('PatientName', 'name', self._choose([
                    change(name), change(name.partition('^')[0]) + '*']))

    def patient_name_folded(self) -> Key:
        return Key({
                'PatientName': self._choose(['STRASSE*', 'strasse^j*']),
                }, lambda e: e.order.family == "Straße", ('folding',))

    def patient_name_with_carets(self) -> Key:
        name = self._pick('name')
        return Key(
            {'PatientName': name + '^^'},
            lambda e: fold(e.name) == fold(name), ('carets',))

    def patient_name_with_any_letter(self) -> Key:
        name = self._choose([
                e.name for e in self._entries if not e.name.isascii()])
        at = self._choose([
                n for n, c in enumerate(name) if not c.isascii()])
        return self._name(
            'PatientName', 'name', name[:at] + '?' + name[at + 1:],
            ('letters',))

    def performer(self) -> Key:
        name = self._pick('performer')
        return self._name(f'{STEP}[0].{PERFORMER}', 'performer', self._choose([
                    name, name.upper(), self._pattern(name)]))

    def patient_id(self) -> Key:
        return self._exact('PatientID', 'puid')

    def patient_ids(self) -> Key:
        return self._list('PatientID', 'puid')

    def patient_id_wildcard(self) -> Key:
        return self._like('PatientID', 'puid', ('single',))

    def accession(self) -> Key:
        return self._choose([self._exact, self._like])(
            'AccessionNumber', 'accession')

    def accessions(self) -> Key:
        return self._list('AccessionNumber', 'accession')

    def study_uid(self) -> Key:
        return self._choose([self._exact, self._list])(
            'StudyInstanceUID', 'uid', ('ignored',))

    def step_id(self) -> Key:
        return self._choose([self._exact, self._list, self._like])(
            f'{STEP}[0].ScheduledProcedureStepID', 'step', ('ignored',))

    def modality(self) -> Key:
        return self._exact(f'{STEP}[0].Modality', 'modality')

    def modalities(self) -> Key:
        return self._choose([self._list, self._like])(
            f'{STEP}[0].Modality', 'modality', ('single',))

    def station(self) -> Key:
        return self._choose([self._exact, self._list])(
            f'{STEP}[0].ScheduledStationAETitle', 'station_aetitle')

    def stations(self) -> Key:
        return self._like(
            f'{STEP}[0].ScheduledStationAETitle', 'station_aetitle',
            ('single',))

    def date(self) -> Key:
        value, first, last = self._range(
            self._pick('date'), self._pick('date'))
        return Key({f'{STEP}[0].{DATE}': value},
            lambda e: first <= e.date <= last)

    def any_date(self) -> Key:
        return Key({
                f'{STEP}[0].{self._choose([DATE, TIME])}': '*',
                }, lambda e: True, ('any',))

    def dotted_date(self) -> Key:
        date = self._pick('date')
        return Key({
                f'{STEP}[0].{DATE}': f'{date[:4]}.{date[4:6]}.{date[6:]}',
                }, lambda e: e.date == date, ('old',))

    def time(self) -> Key:
        value, first, last = self._range(
            self._pick('time'), self._pick('time'))
        return Key({f'{STEP}[0].{TIME}': value},
            lambda e: first <= e.time <= last)

    def short_time(self) -> Key:
        length = self._choose([2, 4])
        value, first, last = self._range(
            self._pick('time')[:length], self._pick('time')[:length])
        return Key({f'{STEP}[0].{TIME}': value},
            lambda e: first <= e.time[:length] <= last, ('short',))

    def date_with_times(self) -> Key:
        date, (first, last) = self._pick('date'), sorted(
            [self._pick('time'), self._pick('time')])
        return Key({
                f'{STEP}[0].{DATE}': date,
                f'{STEP}[0].{TIME}': f'{first}-{last}',
                }, lambda e: e.date == date and first <= e.time <= last)

    def span(self) -> Key:
        first, last = sorted(
            (e.date, e.time) for e in self._random.sample(self._entries, 2))
        return Key({
                f'{STEP}[0].{DATE}': f'{first[0]}-{last[0]}',
                f'{STEP}[0].{TIME}': f'{first[1]}-{last[1]}',
                }, lambda e: first <= (e.date, e.time) <= last, ('span',))

    def description(self) -> Key:
        path = self._choose([DESCRIPTION, f'{STEP}[0].{DESCRIPTION}'])
        return self._choose([self._exact, self._like])(
            path, 'study', ('ignored',))

    def step_description(self) -> Key:
        return self._choose([self._exact, self._like])(
            f'{STEP}[0].ScheduledProcedureStepDescription', 'description',
            ('ignored',))

    def location(self) -> Key:
        return self._exact(
            f'{STEP}[0].ScheduledProcedureStepLocation', 'location',
            ('ignored',))

    def birth_date(self) -> Key:
        value, first, last = self._range(
            self._pick('birth_date'), self._pick('birth_date'))
        return Key(
            {'PatientBirthDate': value},
            lambda e: first <= e.birth_date <= last)

    def sex(self) -> Key:
        return self._exact('PatientSex', 'sex')

    def priority(self) -> Key:
        return self._exact('RequestedProcedurePriority', 'priority')

    def foreign(self) -> Key:
        path, value = self._choose([
                ('StudyDescription', 'x'), ('PatientAge', '001Y'),
                ('TimezoneOffsetFromUTC', '+0100')])
        return Key({path: value}, lambda e: True, ('foreign',))

    def everything(self) -> Key:
        return Key({
                'PatientName': '*', 'AccessionNumber': '',
                f'{STEP}[0].Modality': '*'}, lambda e: True)


KINDS = [name for name in vars(Menu) if not name.startswith('_')]


def make_queries(entries: list[Entry], count: int) -> list[Query]:
    """Return `count` queries, first of one key each, then of up to four."""
    rng = random.Random(SEED)
    menu = Menu(rng, entries)
    queries = [
        Query((getattr(menu, kind)(),)) for kind in KINDS for _ in range(3)]
    while len(queries) < count:
        kinds = rng.sample(KINDS, rng.randrange(2, 5))
        keys = [getattr(menu, kind)() for kind in kinds]
        # Date and time have a meaning together
        about = Counter(
            'start' if path.endswith((DATE, TIME)) else path
            for key in keys for path in {
                path.replace(TIME, DATE) for path in key.values})
        if max(about.values()) == 1:
            queries.append(Query(tuple(keys)))
    return queries


# The servers


@pytest.fixture(scope='module')
def served(prepared_tryton, tmp_path_factory) -> Iterator[ServedOrders]:
    chance = random.Random(SEED)
    orders = [make_order(chance, number) for number in range(ORDERS)]
    tryton = prepared_tryton('sqlite', MODULE).copy('differences')
    folder = tmp_path_factory.mktemp('differences') / 'worklists'
    with serving_orders(tryton, orders, folder) as served:
        served.entries = [
            Entry(order, made['accession'], made['uid'], made['step'])
            for order, made in zip(orders, served.made)]
        yield served
    tryton.drop()


IDENTITY = [
    'AccessionNumber', 'PatientID', 'StudyInstanceUID',
    f'{STEP}[0].ScheduledProcedureStepID']
# As findscu prints them, ordered by tag
IDENTIFIER = re.compile(
    r'\((?:0008,0050|0010,0020|0020,000d|0040,0009)\) .. \[(.*?)[ \0]*\]')
Answer = list[tuple[str, ...]] | None


def identity(dataset: Dataset) -> tuple[str, ...]:
    item, = dataset[STEP].value
    return (
        dataset.AccessionNumber, dataset.PatientID, dataset.StudyInstanceUID,
        item.ScheduledProcedureStepID)


@pytest.fixture(scope='module')
def asked(request, served) -> list[tuple[Query, dict[str, Answer]]]:
    """Queries with what was answered in each way, None for a failure."""
    def ask(question: tuple[str, Query]) -> Answer:
        way, query = question
        keys = query.values
        keys += [
            f'{path}=' for path in IDENTITY
            if not any(key.startswith(f'{path}=') for key in keys)]
        try:
            output = run_findscu(served.ports[way], keys, aet=served.aet(way))
        except FindFailed:
            return None
        return sorted(
            tuple(IDENTIFIER.findall(answer))
            for answer in output.split('I: Find Response: ')[1:])

    queries = make_queries(
        served.entries,
        ALL_QUERIES if request.config.getoption('all') else QUERIES)
    questions = [(way, query) for query in queries for way in WAYS]
    with ThreadPoolExecutor(2) as executor:
        answers = list(executor.map(ask, questions))
    return [
        (query, dict(zip(WAYS, answers[3 * number:])))
        for number, query in enumerate(queries)]


def test_all_answer_what_was_asked(served, asked):
    sizes = Counter()
    for query, answers in asked:
        expected = query.expected(served.entries)
        sizes[len(expected)] += 1
        otherwise = set().union(
            *(QUIRKS[quirk][1] for quirk in query.quirks))
        for way in set(WAYS) - otherwise:
            assert answers[way] == expected, (way, query.values)
    # Queries worth asking
    assert len(asked) >= QUERIES
    assert sizes[0] < len(asked) / 3
    assert sizes[ORDERS] < len(asked) / 5
    assert len(sizes) > 20


@pytest.mark.parametrize('quirk', QUIRKS)
def test_the_table_tells_true_differences(served, asked, quirk):
    _, ways = QUIRKS[quirk]
    found = {
        way for query, answers in asked for way in WAYS
        if query.quirks == {quirk}
        and answers[way] != query.expected(served.entries)}
    assert found == ways


def test_the_table_is_documented():
    rows = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith('| ') and line.count('|') == 5]
    documented = {
        title: {way for way, cell in zip(WAYS, cells) if cell != 'yes'}
        for title, *cells in rows}
    for title, ways in QUIRKS.values():
        assert documented.get(title) == ways, title


@pytest.mark.release
def test_answers_hold_the_same(served):
    found = {
        way: {
            identity(answer): answer_values(answer)
            for answer in served.find(way)}
        for way in WAYS}
    for values in found['wlmscpfs'].values():
        if values['PregnancyStatus'] == UNKNOWN:
            # It says so of everybody of whom the file says nothing
            del values['PregnancyStatus']
    assert any('PregnancyStatus' in v for v in found['live'].values())
    for values in [*found['live'].values(), *found['files'].values()]:
        if values.get('PregnancyStatus') == UNKNOWN:
            del values['PregnancyStatus']
    assert len(found['live']) == ORDERS
    assert found['live'] == found['files'] == found['wlmscpfs']
    assert {
        entry.identity: (entry.name, entry.birth_date)
        for entry in served.entries} == {
        key: (values['PatientName'], values['PatientBirthDate'])
        for key, values in found['live'].items()}


@pytest.mark.release
@ON_BOTH
def test_a_script_waits_for_another_process(hospital, tmp_path):
    """What is rendered by another one just now must not be missing."""
    made, = hospital.call(ordering.make_orders, [
            Order('WAIT1', "Muster", "Erika", TODAY)])
    sign = tmp_path / 'sign'
    other = hospital.agent.start(ordering.occupy_renderer, sign, 1)
    assert wait_until(sign.exists, TIMEOUT)
    assert made['step'] in hospital.call(ordering.listed)
    other.result()
