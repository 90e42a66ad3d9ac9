# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second population, whose errors have other sources than the first.

PUIDs are numbers in sequence, so that nearly each slip makes the number of
somebody else.  Families live beside each other in it: father and son may
have one name.  Consoles know no accents, or put another sign in their place.
Other systems put the letters of their site before a number, or zeros.
"""
import datetime as dt
import random
import unicodedata
from dataclasses import replace

from trytond.modules.health_orthanc.core.dicom.values import NameGroup
from trytond.modules.health_orthanc.core.matching.attributes import (
    Candidate, OrderAttributes, PatientAttributes, StepAttributes,
    StudyAttributes)

from .pairs import Pair
from .people import TODAY
from .registry import Registered, Registry, is_one_slip

__all__ = ['make']

# How a study came to its values, and how often
KINDS = {'slip': 0.4, 'console': 0.2, 'prefix': 0.2, 'family': 0.2}
FIRST_PUID = 100_001
FAMILIES = """
    Černý Dvořák Novotný Procházka Štěpánek Žák Kovács Szabó Tóth Kőszegi
    Nagy Ionescu Țăranu Șerban Popa Ștefănescu Conceição Brandão Guimarães
    Leitão Şimşek Güngör Çolak Åström Sjöberg Ängquist Bjørnstad Grønvold
    Żelazny Świątek Gąsior Łuczak Đorđević Šarić Žižek Horvat Marić Ozols
    Bērziņš Kalniņš Žukauskas Kazlauskas Õunapuu Mägi Gómez Núñez Ibáñez
    Otieno Mwangi Wanjiru Achieng Kamau Njoroge""".split()
MEN = """
    Jiří Ondřej Matěj László Zoltán Gergő Ștefan Ionuț João Simão Uğur Oğuz
    Göran Håkan Sławomir Błażej Đorđe Saša Jānis Andrius Tõnu José Ramón
    Kipchoge Barasa Mwai""".split()
WOMEN = """
    Zdeňka Věra Růžena Ágnes Éva Zsófia Ioana Ruxandra Inês Conceição Gülşah
    Çiğdem Åsa Märit Grażyna Łucja Đurđica Žana Dzintra Rūta Ülle María Ángela
    Wambui Atieno Njeri""".split()
PREFIXES = ['KH', 'RAD-', '0', '000', 'P']


class _Registration:

    def __init__(self, seed: int, count: int):
        self.random = random.Random(f'slips {seed}')
        self.people: list[PatientAttributes] = []
        while len(self.people) < count:
            self._add_family()
        del self.people[count:]

    def _add_family(self) -> None:
        family = self.random.choice(FAMILIES)
        born = self._day(1935, 1985)
        father = self._add(family, self.random.choice(MEN), born, 'M')
        self._add(family, self.random.choice(WOMEN), self._near(born), 'F')
        for _ in range(self.random.randint(0, 3)):
            sex = self.random.choice('MF')
            given = self.random.choice(MEN if sex == 'M' else WOMEN)
            if sex == 'M' and self.random.random() < 0.4:
                given = father.names[0].given
            self._add(
                family, given, self._day(born.year + 20, born.year + 38), sex)

    def _day(self, first: int, last: int) -> dt.date:
        start = dt.date(first, 1, 1).toordinal()
        end = min(dt.date(last, 12, 31), TODAY).toordinal()
        return dt.date.fromordinal(self.random.randint(min(start, end), end))

    def _near(self, day: dt.date) -> dt.date:
        return day + dt.timedelta(self.random.randint(-1500, 3000))

    def _add(
            self, family: str, given: str, born: dt.date, sex: str
            ) -> PatientAttributes:
        key = len(self.people) + 1
        person = PatientAttributes(
            key, str(FIRST_PUID + key), (NameGroup(family, given),),
            born if self.random.random() > 0.05 else None,
            biological_sex=sex if self.random.random() > 0.05 else '')
        self.people.append(person)
        return person


class _Console:
    "Makes the studies of people"

    def __init__(self, registration: _Registration):
        self._random = registration.random
        self.orders: dict[int, Candidate] = {}

    def pair(self, kind: str, person: PatientAttributes) -> Pair:
        study = StudyAttributes(
            study_uid=f'2.25.{self._random.getrandbits(100)}',
            patient_name=self._name(person, 0.3), patient_id=person.puid,
            birth_date=person.birth_date, sex=person.biological_sex,
            modalities=frozenset({'DX'}), date=TODAY)
        study, order = getattr(self, f'_{kind}')(study, person)
        return Pair(study, kind, person.key,  # type: ignore[arg-type]
            order, (kind,), False, False,
            is_one_slip(study.patient_id, person.puid))

    def _name(self, person: PatientAttributes, spoilt: float) -> str:
        name, = person.names
        text = f'{name.family}^{name.given}'
        if self._random.random() < spoilt:
            sign = self._random.choice(['', '?', '_', '\ufffd'])
            text = ''.join(
                self._without_accent(letter, sign) for letter in text).upper()
        return text

    @staticmethod
    def _without_accent(letter: str, sign: str) -> str:
        if letter.isascii():
            return letter
        if sign:
            return sign
        plain = unicodedata.normalize('NFKD', letter)[0]
        return plain if plain.isascii() else {
            'Đ': 'D', 'đ': 'd', 'Ł': 'L', 'ł': 'l', 'ø': 'o', 'ı': 'i',
            }.get(letter, 'X')

    def _slip(self, study, person):
        return replace(
            study, patient_id=self._mistyped(person.puid)), None

    def _console(self, study, person):
        return replace(study, patient_name=self._name(person, 1)), None

    def _prefix(self, study, person):
        key = len(self.orders) + 1
        accession = f'{40_000 + key}'
        self.orders[key] = Candidate(person, OrderAttributes(
                key=key, study_uid=f'2.25.{10**30 + key}',
                accession_number=accession, merge_id=f'2.25.{10**30 + key}',
                procedure_id=accession, steps=(StepAttributes(
                        f'{accession}-1', 'DX', TODAY, 'DX1'),),
                description="Chest X-ray"))
        prefix = self._random.choice(PREFIXES)
        return replace(
            study, patient_id=self._random.choice(
                [prefix + person.puid, person.puid]),
            accession_number=prefix + accession), key

    def _family(self, study, person):
        """Return what little is known of somebody at the emergency room."""
        return replace(
            study, birth_date=self._random.choice([person.birth_date, None]),
            sex=self._random.choice([person.biological_sex, '']),
            patient_id=self._random.choice(
                ['', self._mistyped(person.puid)])), None

    def _mistyped(self, number: str) -> str:
        while True:
            i = self._random.randrange(len(number))
            digit = self._random.choice('0123456789')
            found = self._random.choice([
                    number[:i] + digit + number[i + 1:],
                    number[:i] + number[i + 1:],
                    number[:i] + digit + number[i:],
                    number[:i] + number[i:i + 2][::-1] + number[i + 2:]])
            if found != number:
                return found


def make(seed: int, patients: int, pairs: int) -> Registry:
    """Return a registry; it is the same for the same numbers."""
    registration = _Registration(seed, patients)
    console = _Console(registration)
    kinds = registration.random.choices(
        list(KINDS), list(KINDS.values()), k=pairs)
    made = [
        console.pair(kind, registration.random.choice(registration.people))
        for kind in kinds]
    return Registry(
        [Registered(person) for person in registration.people], made,
        console.orders)
