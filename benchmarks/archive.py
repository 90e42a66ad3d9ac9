# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up Orthanc of any size, which computes what it holds.

Each patient, study and series follows from its number: nothing is stored, so
that an archive of a million studies needs neither memory nor disk.  Nobody in
it is real.  It answers what a synchronization asks for, in the form of an
Orthanc 1.10, and lists the oldest first.

One of the patients, `registered` of all, are those of GNU Health; the others
are strangers.  Some studies have an error of people or devices.
"""
import argparse
import datetime as dt
import json
import math
import signal
import socket
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from devtools.process import stopping_on_signals

from .people import CULTURES, spelling

__all__ = ['Archive', 'Person', 'STRANGERS']

# Of five patients of the archive, two are GNU Health's
STRANGERS = 5, 2
SERIES = 2
# Entries of the change log for a study
_CHANGES = 5
_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
_PUIDS = 26 ** 6 * 1000
_FIRST_DAY = dt.date(2016, 1, 1)
_DAYS = 3650
_FIRST_CHANGE = dt.datetime(2025, 1, 1)
# Odd, so that multiplying by it is reversible
_FACTOR = 0x9E3779B1
_INVERSE = pow(_FACTOR, -1, 2 ** 32)
_KINDS = [
    ('CT', "CT Thorax", 'CHEST'), ('MR', "MR Brain", 'HEAD'),
    ('DX', "Chest PA", 'CHEST'), ('US', "US Abdomen", 'ABDOMEN'),
    ('CR', "Hand AP", 'HAND'), ('CT', "CT Abdomen", 'ABDOMEN')]
_CULTURES = [
    culture for culture in CULTURES.values() for _ in range(culture.weight)]


def _mix(number: int) -> int:
    "Return a number that looks random"
    number = (number ^ number >> 16) * 0x45D9F3B & 0xFFFFFFFF
    number = (number ^ number >> 15) * 0x2C1B3C6D & 0xFFFFFFFF
    return number ^ number >> 16


@dataclass(frozen=True, slots=True)
class Person:
    """A patient of the archive

    Attributes
    ----------
    puid : str
    family, given : str
    birth_date : date
    sex : str
        ``'M'`` or ``'F'``.
    """
    puid: str
    family: str
    given: str
    birth_date: dt.date
    sex: str

    @classmethod
    def make(cls, number: int) -> 'Person':
        draw = _draws(number)
        culture = _CULTURES[draw(len(_CULTURES))]
        sex = 'MF'[draw(2)]
        given = culture.men if sex == 'M' else culture.women
        family = [culture.families[draw(len(culture.families))]]
        if culture.second_surname:
            family.append(culture.families[draw(len(culture.families))])
        names = [given[draw(len(given))]]
        if draw(3) == 0 and not culture.script:
            names.append(given[draw(len(given))])
        return cls(
            _puid(number), spelling(tuple(family)), spelling(tuple(names)),
            dt.date(1932, 1, 1) + dt.timedelta(draw(30000)), sex)


def _draws(number: int) -> Callable[[int], int]:
    state = _mix(number + 1)

    def draw(count: int) -> int:
        nonlocal state
        state = _mix(state + 0x6D2B79F5 & 0xFFFFFFFF)
        return state % count
    return draw


def _puid(number: int) -> str:
    "Return a number as GNU Health writes it; no two are alike"
    rest = (number + 1) * 104395303 % _PUIDS
    rest, digits = divmod(rest, 1000)
    letters = ''
    for _ in range(6):
        rest, letter = divmod(rest, 26)
        letters += _LETTERS[letter]
    return f'{letters[:3]}{digits:03}{letters[3:]}'


_person = lru_cache(2 ** 14)(Person.make)


def _id(level: int, number: int) -> str:
    scrambled = number * _FACTOR & 0xFFFFFFFF
    return f'{scrambled:08x}-{level:08x}-5caff01d-0a5c0ffe-{number:08x}'


def _number(orthanc_id: str) -> tuple[int, int]:
    "Return level and number of an Orthanc id"
    scrambled, level, *_ = orthanc_id.split('-')
    return int(level, 16), int(scrambled, 16) * _INVERSE & 0xFFFFFFFF


_PATIENT, _STUDY, _SERIES, _INSTANCE = range(1, 5)
_LEVELS = {'patients': _PATIENT, 'studies': _STUDY, 'series': _SERIES}


class Archive:
    """What the archive holds, and its answers

    Parameters
    ----------
    studies
        How many there are, deleted ones included.
    patients
        How many patients they are of.
    instances
        Of each series.

    Attributes
    ----------
    deleted_every : int
        One of so many studies is gone; 0 for none.
    delay : float
        Seconds before each answer.
    requests : int
    most : int
        Requests that were answered at the same time.
    first_round : int
        Requests until each of the archives of the process had one.
    """

    def __init__(self, studies: int, patients: int, instances: int = 10):
        self.studies = studies
        self.patients = patients
        self.instances = instances
        self.deleted_every = 0
        self.delay = 0.0
        self.requests = 0
        self.most = 0
        self.first_round = 0
        self._active = 0
        self._lock = threading.Lock()
        self._first = studies

    # Numbers

    @property
    def present(self) -> int:
        """How many studies are there."""
        every = self.deleted_every
        return self.studies - (self.studies // every if every else 0)

    def _is_deleted(self, study: int) -> bool:
        every = self.deleted_every
        return bool(every) and study % every == every - 1

    def _listed(self, place: int) -> int:
        "Return the number of the study at a place of the listing"
        every = self.deleted_every
        return place + place // (every - 1) if every else place

    # Answers

    def answer(self, path: str, query: dict, body: bytes) -> str | None:
        """Return JSON, None for what is not there."""
        if path == '/made-up':
            return self._control(body)
        with self._lock:
            self.requests += 1
            self._active += 1
            self.most = max(self.most, self._active)
        try:
            if self.delay:
                time.sleep(self.delay)
            return self._answer(path, query, body)
        finally:
            with self._lock:
                self._active -= 1

    def _answer(self, path: str, query: dict, body: bytes) -> str | None:
        name, _, rest = path.strip('/').partition('/')
        if path == '/tools/bulk-content':
            return self._bulk(json.loads(body)['Resources'])
        if path == '/tools/find':
            return self._find(json.loads(body))
        if name in {'studies', 'series'} and not rest:
            since, limit = int(query['since']), int(query['limit'])
            if 'expand' not in query:
                return self._ids(since, limit)
            return self._page(name, since, limit)
        if name == 'changes':
            return self._changes(query)
        return {
            '/system': self._system, '/plugins': lambda: '[]',
            '/statistics': self._statistics}.get(path, lambda: None)()

    def _control(self, body: bytes) -> str:
        "Change the archive; return how many requests there were"
        for name, value in json.loads(body or b'{}').items():
            setattr(self, name, value)
        return json.dumps({
                'requests': self.requests, 'studies': self.present,
                'most': self.most, 'first_round': self.first_round})

    @staticmethod
    def _system() -> str:
        return json.dumps({
                'ApiVersion': 16, 'DatabaseVersion': 6, 'Version': '1.10.1',
                'DicomAet': 'MADEUP', 'Name': "Made up",
                'DatabaseBackendPlugin': None, 'StorageAreaPlugin': None})

    def _statistics(self) -> str:
        series = self.present * SERIES
        return json.dumps({
                'CountPatients': self.patients, 'CountStudies': self.present,
                'CountSeries': series,
                'CountInstances': series * self.instances})

    def _page(self, name: str, since: int, limit: int) -> str:
        if name == 'studies':
            found = map(self._listed, range(
                    since, min(since + limit, self.present)))
            return _array(map(self._study, found))
        numbers = range(since, min(since + limit, self.present * SERIES))
        return _array(
            self._one_series(self._listed(n // SERIES) * SERIES + n % SERIES)
            for n in numbers)

    def _ids(self, since: int, limit: int) -> str:
        places = range(since, min(since + limit, self.present))
        return '[%s]' % _listing(_STUDY, map(self._listed, places))

    def _find(self, asked: dict) -> str:
        "Return the studies in a range of dates, which follow their numbers"
        start, _, end = asked['Query']['StudyDate'].partition('-')
        numbers = range(self.studies)
        first = bisect_left(numbers, start, key=self._day)
        behind = bisect_right(numbers, end, key=self._day) if end else (
            self.studies)
        places = range(self._place(first), self._place(behind))
        since = asked['Since']
        return _array(map(self._study, map(
                    self._listed, places[since:since + asked['Limit']])))

    def _place(self, study: int) -> int:
        "Return how many studies are listed before one"
        return study - (study // self.deleted_every if self.deleted_every
            else 0)

    def _bulk(self, orthanc_ids: Sequence[str]) -> str:
        makers = {
            _PATIENT: self._patient, _STUDY: self._study,
            _SERIES: self._one_series}
        return _array(
            makers[level](number)
            for level, number in map(_number, orthanc_ids)
            if level in makers and self._exists(level, number))

    def _exists(self, level: int, number: int) -> bool:
        if level == _PATIENT:
            return number < self.patients
        study = number // SERIES if level == _SERIES else number
        return study < self.studies and not self._is_deleted(study)

    def _patient(self, number: int) -> str:
        person = _person(number)
        studies = range(number, self.studies, self.patients)
        return _TEMPLATES[_PATIENT] % (
            _id(_PATIENT, number), _tags(person),
            _listing(_STUDY, (s for s in studies if not self._is_deleted(s))))

    def _study(self, number: int) -> str:
        patient = number % self.patients
        person = _person(patient)
        _, description, _ = _KINDS[number % len(_KINDS)]
        return _TEMPLATES[_STUDY] % (
            _id(_STUDY, number), _id(_PATIENT, patient),
            _tags(_with_slip(person, number)), number,
            self._day(number), 7 + number % 12, number % 60, description,
            number, number, _stamp(number),
            _listing(_SERIES, range(number * SERIES, (number + 1) * SERIES)))

    def _day(self, number: int) -> str:
        # Those that have come since are of the day after
        days = min(number * _DAYS // max(self._first, 1), _DAYS)
        return (_FIRST_DAY + dt.timedelta(days)).strftime('%Y%m%d')

    def _one_series(self, number: int) -> str:
        study = number // SERIES
        modality, description, part = _KINDS[study % len(_KINDS)]
        first = number * self.instances
        return _TEMPLATES[_SERIES] % (
            _id(_SERIES, number), _id(_STUDY, study), number,
            number % SERIES + 1, description, number % SERIES + 1, modality,
            part, study % 7, self._day(study), 7 + study % 12, study % 60,
            _stamp(study),
            _listing(_INSTANCE, range(first, first + self.instances)))

    # The change log: entries of what was deleted have disappeared

    def _changes(self, query: dict) -> str:
        last = self.studies * _CHANGES
        if 'last' in query:
            while last and self._is_deleted((last - 1) // _CHANGES):
                last -= 1
            found = [self._change(last)] if last else []
            return _changes_json(found, True, last)
        since, limit = int(query['since']), int(query['limit'])
        found = []
        number = since
        while number < last and len(found) < limit:
            number += 1
            if not self._is_deleted((number - 1) // _CHANGES):
                found.append(self._change(number))
        return _changes_json(found, number >= last, number)

    def _change(self, number: int) -> str:
        study, kind = divmod(number - 1, _CHANGES)
        name, level, child = [
            ('NewPatient', _PATIENT, study % self.patients),
            ('NewStudy', _STUDY, study),
            ('NewSeries', _SERIES, study * SERIES),
            ('NewSeries', _SERIES, study * SERIES + 1),
            ('StableStudy', _STUDY, study)][kind]
        plural = [key for key, value in _LEVELS.items() if value == level][0]
        return (
            f'{{"ChangeType":"{name}","Date":"{_time(number)}",'
            f'"ID":"{_id(level, child)}","Path":"/{plural}",'
            f'"ResourceType":"{_TYPES[level]}","Seq":{number}}}')


_TYPES = {_PATIENT: 'Patient', _STUDY: 'Study', _SERIES: 'Series'}
_TEMPLATES = {
    _PATIENT: (
        '{"ID":"%s","IsStable":true,"LastUpdate":"20260101T000000",'
        '"MainDicomTags":{%s},"Studies":[%s],"Type":"Patient"}'),
    # Of stable studies the synchronization would make thumbnails, and there
    # are no images
    _STUDY: (
        '{"ID":"%s","IsStable":false,"ParentPatient":"%s",'
        '"PatientMainDicomTags":{%s},"MainDicomTags":{'
        '"AccessionNumber":"A%08d","StudyDate":"%s","StudyTime":"%02d%02d00",'
        '"StudyDescription":"%s","StudyID":"%d",'
        '"InstitutionName":"Made-up Hospital",'
        '"ReferringPhysicianName":"Musterfrau^Cora",'
        '"StudyInstanceUID":"1.2.826.0.1.3680043.10.1.%d"},'
        '"LastUpdate":"%s","Series":[%s],"Type":"Study"}'),
    _SERIES: (
        '{"ID":"%s","ExpectedNumberOfInstances":null,"IsStable":true,'
        '"ParentStudy":"%s","MainDicomTags":{'
        '"SeriesInstanceUID":"1.2.826.0.1.3680043.10.2.%d",'
        '"SeriesNumber":"%d","SeriesDescription":"%s %d","Modality":"%s",'
        '"BodyPartExamined":"%s","StationName":"STATION%d",'
        '"Manufacturer":"Made up","ProtocolName":"Routine",'
        '"OperatorsName":"Mustermann^Max",'
        '"SeriesDate":"%s","SeriesTime":"%02d%02d00"},'
        '"LastUpdate":"%s","Status":"Unknown","Instances":[%s],'
        '"Type":"Series"}'),
    }


def _with_slip(person: Person, study: int) -> Person | tuple:
    "Return what the images of a study say of a person"
    slip = _mix(study) % 100
    day = person.birth_date
    if slip == 0:
        return _tags_of(person, family=person.family[1:])
    if slip == 1:
        return _tags_of(person, birth_date=day + dt.timedelta(365 * 3 + 17))
    if slip == 2:
        return _tags_of(person, birth_date=None)
    if slip == 3:
        return _tags_of(person, given='')
    return person


def _tags_of(person: Person, **values) -> tuple:
    return tuple(
        values.get(name, getattr(person, name))
        for name in Person.__slots__)


def _tags(person: Person | tuple) -> str:
    if isinstance(person, Person):
        return _known_tags(person)
    return _format_tags(*person)


def _format_tags(
        puid: str, family: str, given: str, birth_date: dt.date | None,
        sex: str) -> str:
    birth = birth_date.strftime('%Y%m%d') if birth_date else ''
    return (
        f'"PatientBirthDate":"{birth}","PatientID":"{puid}",'
        f'"PatientName":"{family.upper()}^{given.upper()}",'
        f'"PatientSex":"{sex}"')


@lru_cache(2 ** 14)
def _known_tags(person: Person) -> str:
    return _format_tags(*_tags_of(person))


def _stamp(study: int) -> str:
    return f'2025{study % 12 + 1:02}{study % 28 + 1:02}T{study % 24:02}0000'


def _time(change: int) -> str:
    "Return the time of a change, which none after it is before"
    return (_FIRST_CHANGE + dt.timedelta(seconds=change)).strftime(
        '%Y%m%dT%H%M%S')


def _listing(level: int, numbers: Iterator[int] | range) -> str:
    return ','.join([f'"{_id(level, number)}"' for number in numbers])


def _array(texts) -> str:
    return '[' + ','.join(texts) + ']'


def _changes_json(found: list[str], done: bool, last: int) -> str:
    return (
        f'{{"Changes":{_array(found)},"Done":{json.dumps(done)},'
        f'"Last":{last}}}')


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {
            name: values[-1] for name, values in parse_qs(
                parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        archive, path = self.server.find(parts.path)
        found = archive.answer(path, query, body)
        content = (found or '{}').encode()
        self.send_response(200 if found is not None else 404)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer

    def log_message(self, *_) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, archives: Sequence[Archive], port: int):
        self._archives = archives
        self._waiting = set(range(len(archives)))
        super().__init__(('127.0.0.1', port), _Handler)

    def find(self, path: str) -> tuple[Archive, str]:
        "Return the archive of a path, and the path in it"
        number = 0
        if len(self._archives) > 1:
            _, prefix, path = path.split('/', 2)
            number, path = int(prefix), '/' + path
        if path != '/made-up' and number in self._waiting:
            self._waiting.discard(number)
            if not self._waiting:
                for archive in self._archives:
                    archive.first_round = archive.requests
        return self._archives[number], path


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--studies', type=int, required=True)
    parser.add_argument('--patients', type=int)
    parser.add_argument('--instances', type=int, default=10)
    parser.add_argument(
        '--archives', type=int, default=1,
        help="several, at the paths /0, /1 and so on")
    options = parser.parse_args(arguments)
    patients = options.patients or math.ceil(options.studies / 2)
    with stopping_on_signals():
        server = _Server([
                Archive(options.studies, patients, options.instances)
                for _ in range(options.archives)], options.port)
        server.serve_forever()


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main(sys.argv[1:])
