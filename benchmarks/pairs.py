# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies of made-up patients, with the errors that people and devices make.

The rates are fixed before the matching is tuned to them, and not changed to
please it.  What no data can tell is not made: images that were taken on the
worklist entry of somebody else, with all of that person's values left as they
were, look like that person's.
"""
import datetime as dt
import difflib
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace

from trytond.modules.health_orthanc.core.matching.attributes import (
    Candidate, OrderAttributes, StepAttributes, StudyAttributes)

from .people import TODAY, Person, Population, by_birth_date, spelling

SEED = 4

# How a study came to its values, and how often
KINDS = {
    'worklist': 0.60,     # all taken from the worklist
    'accession': 0.15,    # accession number and patient typed
    'typed': 0.12,        # only the patient typed, for an order
    'foreign': 0.06,      # of a registered patient, from another hospital
    'stranger': 0.03,     # of nobody who is registered
    'wrong_entry': 0.04,  # another one's entry was picked, then corrected
    }


@dataclass(frozen=True)
class Rates:
    "How often what happens to a study"
    # To what comes from the worklist, or is kept of it
    uid_lost: float = 0.08
    merge_id_elsewhere: float = 0.3  # of these
    accession_lost: float = 0.04
    attributes_lost: float = 0.3
    upper: float = 0.25
    accents_lost: float = 0.12
    script_lost: float = 0.10  # of names in other scripts: question marks
    truncated: float = 0.02  # to 16 characters
    patient_id_lost: float = 0.005
    birth_date_lost: float = 0.02
    sex_lost: float = 0.02
    # To what is typed
    accession_typo: float = 0.03
    typo: float = 0.15
    second_typo: float = 0.02
    swapped: float = 0.06
    unstructured: float = 0.05
    other_spelling: float = 0.5  # where a name has several
    accents_omitted: float = 0.5
    surname_omitted: float = 0.2  # the second of two
    given_omitted: float = 0.3  # all but the first
    initial: float = 0.05
    title: float = 0.03
    maiden: float = 0.1  # where there was one
    particle: float = 0.2  # left out, or joined, where there is one
    birth_date_swapped: float = 0.02
    birth_date_digit: float = 0.02
    birth_date_transposed: float = 0.01
    birth_date_century: float = 0.005
    birth_date_first_of_year: float = 0.005
    birth_date_other: float = 0.005
    birth_date_omitted: float = 0.03
    patient_id_typo: float = 0.07
    patient_id_foreign: float = 0.08
    patient_id_omitted: float = 0.10
    sex_other: float = 0.007
    sex_omitted: float = 0.07
    # To all
    late: float = 0.01  # by 40 days
    clock_reset: float = 0.005
    other_modality: float = 0.005
    # Of foreign studies
    foreign_id_is_puid: float = 0.05
    foreign_accession_is_ours: float = 0.05
    foreign_step_is_ours: float = 0.10
    # Of wrong entries
    close_to_right: float = 0.6  # twin, namesake or of the household
    patient_id_kept: float = 0.3
    birth_date_kept: float = 0.2
    sex_kept: float = 0.1
    # Which patients are chosen
    special: float = 0.25  # twins, namesakes, relatives


@dataclass(frozen=True)
class Pair:
    """A study and whose it is

    Attributes
    ----------
    study : StudyAttributes
    kind : str
        A key of `KINDS`.
    patient, order : int or None
        The keys of the right ones; None where there is none.
    errors : tuple of str
        What is wrong or lost of patient and order keys.
    order_key : bool
        Whether a key of the right order (study UID, accession number, merge
        ID) is in the study as it is in the order.
    recoverable : bool
        Whether it can be told who the patient is: by PUID or order key, or
        by name and birth date, one of them perhaps with a slip, if nobody
        else is registered who is much like that.
    slip : bool
        Whether the PatientID is one typing error away from the PUID.
    """
    study: StudyAttributes
    kind: str
    patient: int | None
    order: int | None
    errors: tuple[str, ...]
    order_key: bool
    recoverable: bool
    slip: bool = False

    @property
    def error_free(self) -> bool:
        return not self.errors


TESTS = [
    ('CT', "CT abdomen", 'CT1'), ('CT', "CT thorax", 'CT1'),
    ('MR', "MRI brain", 'MR1'), ('MR', "MRI knee", 'MR1'),
    ('DX', "Chest X-ray", 'DX1'), ('DX', "X-ray of the hand", 'DX2'),
    ('US', "Ultrasound abdomen", 'US1'), ('MG', "Mammography", 'MG1'),
    ('PT', "PET-CT whole body", 'PT1'), ('XA', "Coronary angiography", 'XA1'),
    ]
# What comes with the images of a modality
COMPANIONS = {'PT': ['CT'], 'CT': ['SR'], 'US': ['SR'], 'MR': ['PR', 'KO']}
_ACCENTS = str.maketrans(
    'áàâãäåéèêëíìîïóòôõöøúùûüýñçšžćčőűğışłńśźżąęțțăđĐŁŞİ'
    'ÁÀÂÃÄÅÉÈÊËÍÌÎÏÓÒÔÕÖØÚÙÛÜÝÑÇŠŽĆČĞŁŃŚŹŻ',
    'aaaaaaeeeeiiiioooooouuuuyncszccougislnszzaettadDLSI'
    'AAAAAAEEEEIIIIOOOOOOUUUUYNCSZCCGLNSZZ')
_LETTERS = 'abcdefghijklmnopqrstuvwxyz'


class Hospital:
    """Patients, orders and studies, the same for the same numbers.

    Attributes
    ----------
    population : Population
    orders : dict
        The candidates that orders make, by the key of the order.
    pairs : list of Pair
    """

    def __init__(
            self, population: Population, pairs: int, rates: Rates,
            seed: int = SEED):
        self.population = population
        self.orders: dict[int, Candidate] = {}
        self.rates = rates
        self._random = random.Random(f'pairs {seed}')
        self._orders_of: dict[int, list[int]] = defaultdict(list)
        self._born = by_birth_date(population.people)
        self._special = sorted(
            {*population.twins, *population.namesakes}) + [
                key for key, keys in population.households.items()
                if len(keys) > 2]
        chosen = [self._choose() for _ in range(pairs)]
        others = self._random.sample(population.people, min(
                len(population.people), pairs))
        for person in [*chosen, *others]:
            self._add_orders(person)
        kinds = self._random.choices(
            list(KINDS), list(KINDS.values()), k=pairs)
        self.pairs = [
            _Making(self, kind, person).pair()
            for kind, person in zip(kinds, chosen)]

    def _choose(self) -> Person:
        people = self.population.people
        if self._special and self._random.random() < self.rates.special:
            return people[self._random.choice(self._special)]
        return self._random.choice(people)

    def _add_orders(self, person: Person) -> None:
        if person.key in self._orders_of:
            return
        day = TODAY + dt.timedelta(self._random.randrange(-20, 20))
        for _ in range(self._random.choice([1, 1, 1, 2, 3])):
            key = 1 + len(self.orders)
            modality, description, station = self._random.choice(TESTS)
            uid = f'2.25.{self._random.getrandbits(127)}'
            accession = f'{26000000 + key}'
            self.orders[key] = Candidate(person.facts, OrderAttributes(
                    key=key, study_uid=uid, accession_number=accession,
                    merge_id=uid, procedure_id=accession,
                    steps=tuple(
                        StepAttributes(
                            f'{accession}-{n}', modality, day, station)
                        for n in range(self._random.choice([1, 1, 1, 2]))),
                    description=description))
            self._orders_of[person.key].append(key)

    def order_of(self, person: Person) -> OrderAttributes:
        "Return an order of the person, who is given one if need be"
        self._add_orders(person)
        order = self.orders[
            self._random.choice(self._orders_of[person.key])].order
        assert order
        return order

    @property
    def random(self) -> random.Random:
        return self._random

    def is_unique(self, person: Person, given: str, days: set) -> bool:
        "Return whether nobody else is much like the person"
        family = {s.casefold() for word in person.family for s in word}
        for day in days:
            for other in self._born.get(day, []):
                if other.key == person.key or family.isdisjoint(
                        s.casefold() for word in other.family for s in word):
                    continue
                name = spelling(other.given, 1).casefold()
                if (len(given) < 3 or name.startswith(given[:2])
                        or difflib.SequenceMatcher(
                            None, name, given).ratio() > 0.6):
                    return False
        return True


@dataclass
class _Name:
    family: list[str]
    given: list[str]
    prefix: str = ''


@dataclass
class _Making:
    "A study in the making"
    hospital: Hospital
    kind: str
    person: Person
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = self.hospital.random
        self.rates = self.hospital.rates

    def chance(self, name: str) -> bool:
        return self.random.random() < getattr(self.rates, name)

    def fails(self, name: str) -> bool:
        "Return whether it happens, and note that it did"
        if self.chance(name):
            self.errors.append(name)
            return True
        return False

    def pair(self) -> Pair:
        order: OrderAttributes | None = None
        if self.kind not in {'foreign', 'stranger'}:
            order = self.hospital.order_of(self.person)
        study = getattr(self, f'_{self.kind}')(order)
        study = self._dated(study)
        if self.kind == 'stranger':
            return Pair(study, self.kind, None, None, (), False, False)
        key = bool(order and (
                study.study_uid == order.study_uid
                or study.accession_number == order.accession_number
                or order.merge_id in study.texts))
        return Pair(
            study, self.kind, self.person.key, order.key if order else None,
            tuple(self.errors), key, self._recoverable(study, key))

    # Kinds

    def _worklist(self, order: OrderAttributes) -> StudyAttributes:
        facts = self.person.facts
        study = self._of_entry(order, self.person)
        name = _Name([facts.names[0].family], [facts.names[0].given])
        study = replace(study, patient_name=self._through_device(name))
        if self.fails('patient_id_lost'):
            study = replace(study, patient_id='')
        if study.birth_date and self.fails('birth_date_lost'):
            study = replace(study, birth_date=None)
        if study.sex and self.fails('sex_lost'):
            study = replace(study, sex='')
        return study

    def _accession(self, order: OrderAttributes) -> StudyAttributes:
        accession = order.accession_number
        if self.fails('accession_typo'):
            accession = self._mistyped(accession, '0123456789')
        return replace(
            self._by_hand(), accession_number=accession,
            **self._acquired(order))

    def _typed(self, order: OrderAttributes) -> StudyAttributes:
        return replace(self._by_hand(), **self._acquired(order))

    def _foreign(self, order: None) -> StudyAttributes:
        return self._elsewhere(replace(self._by_hand(), sex=self.person.sex))

    def _stranger(self, order: None) -> StudyAttributes:
        "Somebody with a usual name"
        born = self.person.birth_date + dt.timedelta(
            self.random.randrange(-9000, 9000))
        sex = self.person.sex
        people = self.hospital.population.people
        second = self.random.choice(people)
        if second.sex == sex and second.culture is self.person.culture:
            given = second.given
        else:
            given = self.person.given
        self.person = replace(
            self.person, given=given, birth_date=min(born, TODAY),
            facts=replace(self.person.facts, puid='', birth_date=None))
        return self._elsewhere(self._by_hand())

    def _elsewhere(self, study: StudyAttributes) -> StudyAttributes:
        modality, description, _ = self.random.choice(TESTS)
        hospital = self.hospital
        other = self.random.choice(list(hospital.orders.values()))
        assert other.order
        patient_id = f'{self.random.randrange(10**7)}'
        if self.chance('foreign_id_is_puid'):
            patient_id = other.patient.puid
        accession = f'F{self.random.randrange(10**8)}'
        if self.chance('foreign_accession_is_ours'):
            accession = other.order.accession_number
        step = f'{self.random.randrange(1000)}'
        if self.chance('foreign_step_is_ours'):
            step = other.order.steps[0].step_id
        if 'patient_id_foreign' not in self.errors:
            self.errors.append('patient_id_foreign')
        return replace(
            study, patient_id=patient_id, accession_number=accession,
            step_ids=frozenset({step}), procedure_ids=frozenset({step}),
            study_uid=self._new_uid(), modalities=frozenset({modality}),
            description=description.upper(),
            date=TODAY - dt.timedelta(self.random.randrange(2000)))

    def _wrong_entry(self, order: OrderAttributes) -> StudyAttributes:
        wrong = self._picked_instead()
        study = self._of_entry(self.hospital.order_of(wrong), wrong)
        typed = self._by_hand()
        study = replace(study, patient_name=typed.patient_name)
        close = self.hospital.population.namesakes.get(
            self.person.key) == wrong.key or (
                wrong.facts.names[0] == self.person.facts.names[0])
        if close or not self.chance('patient_id_kept'):
            study = replace(
                study, patient_id=typed.patient_id or self.person.facts.puid)
        else:
            self.errors.append('patient_id_kept')
        if close or not self.chance('birth_date_kept'):
            study = replace(study, birth_date=typed.birth_date)
        else:
            self.errors.append('birth_date_kept')
        if not self.chance('sex_kept'):
            study = replace(study, sex=typed.sex)
        self.errors.append('wrong_entry')
        return study

    def _picked_instead(self) -> Person:
        population = self.hospital.population
        key = self.person.key
        near = [
            k for k in population.households.get(key, []) if k != key]
        near += [
            links[key] for links in [population.twins, population.namesakes]
            if key in links]
        if near and self.chance('close_to_right'):
            return population.people[self.random.choice(near)]
        while True:
            found = self.random.choice(population.people)
            if found.key != key:
                return found

    # Parts

    def _of_entry(
            self, order: OrderAttributes, person: Person) -> StudyAttributes:
        facts = person.facts
        study = StudyAttributes(
            study_uid=order.study_uid,
            accession_number=order.accession_number,
            step_ids=frozenset({order.steps[0].step_id}),
            procedure_ids=frozenset({order.procedure_id}),
            patient_id=facts.puid, birth_date=facts.birth_date,
            sex=facts.biological_sex or facts.gender,
            texts=frozenset({order.description, order.study_uid}))
        study = replace(study, **self._acquired(order, study.study_uid))
        if self.chance('attributes_lost'):
            study = replace(
                study, step_ids=frozenset(), procedure_ids=frozenset())
        texts = {"Hospital", study.description}
        if self.chance('uid_lost'):
            study = replace(study, study_uid=self._new_uid())
            if self.chance('merge_id_elsewhere'):
                texts.add(order.merge_id)
        if self.chance('accession_lost'):
            study = replace(study, accession_number='')
        return replace(study, texts=frozenset(texts))

    def _acquired(self, order: OrderAttributes, uid: str = '') -> dict:
        modality, day = order.steps[0].modality, order.steps[0].date
        assert day
        if self.chance('other_modality'):
            modality = self.random.choice(TESTS)[0]
        modalities = {modality}
        if self.random.random() < 0.3:
            modalities.update(COMPANIONS.get(modality, []))
        return {
            'study_uid': uid or self._new_uid(),
            'modalities': frozenset(modalities),
            'description': self.random.choice([
                    order.description, order.description.upper(),
                    f'{modality} routine', '']),
            'date': day + dt.timedelta(
                self.random.choice([0, 0, 0, 0, 0, 0, 1, 1, 2, -1])),
            'station_aetitles': frozenset({order.steps[0].station_aetitle}),
            }

    def _dated(self, study: StudyAttributes) -> StudyAttributes:
        assert study.date
        if self.fails('late'):
            return replace(study, date=study.date + dt.timedelta(40))
        if self.fails('clock_reset'):
            return replace(study, date=dt.date(2000, 1, 1))
        return study

    def _new_uid(self) -> str:
        return f'1.2.392.200036.9.{self.random.getrandbits(60)}'

    def _through_device(self, name: _Name) -> str:
        text = f'{name.family[0]}^{name.given[0]}'
        if self.person.culture.script and not text.isascii():
            if self.fails('script_lost'):
                text = ''.join(c if c.isascii() else '?' for c in text)
        elif text != text.translate(_ACCENTS) and self.fails('accents_lost'):
            text = text.translate(_ACCENTS)
        if len(text) > 16 and self.fails('truncated'):
            text = text[:16]
        return text.upper() if self.chance('upper') else text

    def _by_hand(self) -> StudyAttributes:
        person = self.person
        study = StudyAttributes(
            patient_id=person.facts.puid, birth_date=person.birth_date,
            sex=person.sex)
        facts = person.facts
        if facts.birth_date and facts.birth_date != person.birth_date:
            self.errors.append('birth_date_estimated')
        return replace(
            study,
            patient_name=self._name_by_hand(),
            birth_date=self._birth_date_by_hand(person.birth_date),
            patient_id=self._patient_id_by_hand(),
            sex=self._sex_by_hand())

    def _name_by_hand(self) -> str:
        facts = self.person.facts
        official = facts.names[0]
        family, given = self.person.family, self.person.given
        number = 0
        if official.family == spelling(family, 1):
            number = 1
        several = any(len(word) > number + 1 for word in family + given)
        if several and self.fails('other_spelling'):
            number = self.random.choice([1, 1, 2]) + number
        name = _Name(
            [spelling((w,), number) for w in family],
            [spelling((w,), number) for w in given])
        maiden = [
            n for n in facts.names[1:]
            if n.family and n.given == official.given
            and n.family != official.family]
        if maiden and self.fails('maiden'):
            name.family = [maiden[0].family]
        if len(name.family) > 1 and self.fails('surname_omitted'):
            name.family.pop()
        if len(name.given) > 1 and self.fails('given_omitted'):
            del name.given[1:]
        self._simplify(name)
        return self._composed(name)

    def _simplify(self, name: _Name) -> None:
        words = ' '.join(name.family)
        if (' ' in name.family[0] or '-' in words) and self.fails('particle'):
            if self.random.random() < 0.5:
                name.family = [name.family[0].replace(' ', ''), *(
                        name.family[1:])]
            else:
                name.family = [
                    ' '.join(name.family).replace('-', ' ').split()[-1]]
        if self.fails('typo'):
            part = self.random.choice([name.family, name.given])
            index = self.random.randrange(len(part))
            part[index] = self._mistyped(part[index], _LETTERS)
            if self.fails('second_typo'):
                part[index] = self._mistyped(part[index], _LETTERS)
        if name.given[0].isascii() and self.fails('initial'):
            name.given = [name.given[0][0]]
        for part in [name.family, name.given]:
            text = '|'.join(part)
            plain = text.translate(_ACCENTS)
            if plain != text and self.fails('accents_omitted'):
                part[:] = plain.split('|')

    def _composed(self, name: _Name) -> str:
        family, given = ' '.join(name.family), ' '.join(name.given)
        if self.fails('swapped'):
            family, given = given, family
        text = f'{family}^{given}'
        if self.fails('unstructured'):
            text = f'{family} {given}'
        elif self.fails('title'):
            text += self.random.choice(['^^Dr', '^^Mrs', '^^Prof^Jr'])
        return text.upper() if self.chance('upper') else text

    def _mistyped(self, text: str, letters: str) -> str:
        if len(text) < 2:
            return text
        place = self.random.randrange(1, len(text))
        letter = self.random.choice(letters)
        result = self.random.choice([
                text[:place] + letter + text[place + 1:],
                text[:place] + letter + text[place:],
                text[:place] + text[place + 1:],
                text[:place - 1] + text[place] + text[place - 1]
                + text[place + 1:]])
        return result if result != text else text + letter

    def _birth_date_by_hand(self, day: dt.date) -> dt.date | None:
        if self.fails('birth_date_omitted'):
            return None
        digits = day.strftime('%Y%m%d')
        place = self.random.randrange(7)
        slips = {
            'birth_date_swapped': digits[:4] + digits[6:] + digits[4:6],
            'birth_date_digit': (
                digits[:place + 1] + self.random.choice('0123456789')
                + digits[place + 2:]),
            'birth_date_transposed': (
                digits[:place] + digits[place + 1] + digits[place]
                + digits[place + 2:]),
            'birth_date_century': (
                ('20' if digits[0] == '1' else '19') + digits[2:]),
            'birth_date_first_of_year': digits[:4] + '0101',
            'birth_date_other': dt.date.fromordinal(
                day.toordinal() + self.random.randrange(-4000, 4000)
                ).strftime('%Y%m%d'),
            }
        for slip, text in slips.items():
            if self.chance(slip):
                try:
                    found = dt.datetime.strptime(text, '%Y%m%d').date()
                except ValueError:
                    continue
                if found != day and 1900 < found.year <= TODAY.year:
                    self.errors.append(slip)
                    return found
        return day

    def _patient_id_by_hand(self) -> str:
        puid = self.person.facts.puid
        if self.fails('patient_id_omitted'):
            return ''
        if self.fails('patient_id_foreign'):
            return f'{self.random.randrange(10**7)}'
        if puid and self.fails('patient_id_typo'):
            return self._mistyped(
                puid, '0123456789' if puid.isdigit() else
                _LETTERS.upper() + '0123456789')
        return puid

    def _sex_by_hand(self) -> str:
        if self.fails('sex_omitted'):
            return self.random.choice(['', 'O'])
        if self.fails('sex_other'):
            return {'M': 'F', 'F': 'M'}[self.person.sex]
        return self.person.sex

    # Truth

    _MILD = {'other_spelling', 'accents_omitted', 'accents_lost', 'title',
        'swapped', 'unstructured', 'maiden', 'given_omitted'}
    _HARD = {'typo', 'initial', 'surname_omitted', 'particle', 'truncated'}
    _SLIPS = {'birth_date_swapped', 'birth_date_digit',
        'birth_date_transposed', 'birth_date_century'}

    def _recoverable(self, study: StudyAttributes, order_key: bool) -> bool:
        errors = set(self.errors)
        facts = self.person.facts
        if {'patient_id_kept', 'birth_date_kept'} & errors:
            return False
        if study.patient_id == facts.puid:
            return True
        if order_key:
            return True
        if not (study.birth_date and facts.birth_date):
            return False
        if {'script_lost', 'second_typo'} & errors or len(
                self._HARD & errors) > 1:
            return False
        if study.birth_date != facts.birth_date and (
                self._HARD & errors or not self._SLIPS & errors
                or 'birth_date_estimated' in errors):
            return False
        given = spelling(self.person.given, 1).casefold()
        if 'initial' in errors:
            given = given[:1]
        return self.hospital.is_unique(
            self.person, given, {study.birth_date, facts.birth_date})
