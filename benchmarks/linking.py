# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How well studies find their patient and their order.

Studies with the errors of people and devices are matched with the patients
and orders of a made-up hospital, and what the machine decides is compared
with what is true.  What is made, and how often what goes wrong, is printed;
see `pairs.py` and `people.py`.

- *false certain*: links without doubt to another patient or order than the
  right one.  None is allowed.
- *certain*: of the pairs without an error whose study carries a key of its
  order, those that are linked without doubt.
- *rank 1*: of the pairs whose patient can be told by the data, those whose
  best candidate is of the right patient, and of the right order if the study
  carries a key of it.
- *found*: of the same, those whose right patient is among the candidates.
- *listed*: of the studies whose PatientID is one slip away from the PUID,
  those whose right patient is in the list that a person reviews.  Only the
  other populations have such a figure: `slips.py`, and FEBRL's data sets 3
  and 4, which nobody of this project has made (`febrl.py`).

The candidates come from an index in memory, or with `--postgresql` from the
search of the module in a database, each in a transaction of its own.
"""
import argparse
import gc
import json
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from trytond.modules.health_orthanc.core.matching.attributes import (
    Candidate, StudyAttributes)
from trytond.modules.health_orthanc.core.matching.decisions import (
    Decision, Status, decide)
from trytond.modules.health_orthanc.core.matching.names import name_groups
from trytond.modules.health_orthanc.core.matching.score import assess
from trytond.modules.health_orthanc.core.matching.search_keys import (
    birth_date_variants, name_keys, near_identifiers)

from . import febrl, slips
from .linking_database import DatabaseIndex, run_with_database
from .pairs import KINDS, SEED, Hospital, Pair, Rates
from .people import PeopleRates, Population
from .registry import Registry, kinds_of

# Given a study, the candidates among all patients and orders
Search = Callable[[StudyAttributes], list[Candidate]]
# Of what has to be reached
LEAST_CERTAIN = 0.98
LEAST_RANK_1 = 0.98
LEAST_LISTED = 0.995
# Milliseconds that a search in a database may take
MOST_MILLISECONDS = 20
# How many are considered because of their name
MOST_ALIKE = 100


class MemoryIndex:
    "Searches in memory for what an indexed search in a database finds"

    def __init__(self, hospital: Hospital | Registry):
        self._patients = {
            p.key: Candidate(p.facts) for p in hospital.population.people}
        self._orders: dict[int, list[Candidate]] = defaultdict(list)
        self._order_keys: dict[str, list[Candidate]] = defaultdict(list)
        for order in hospital.orders.values():
            self._add_order(order)
        self._puids = {
            c.patient.puid: key for key, c in self._patients.items()}
        self._births: dict = defaultdict(list)
        self._names: dict[str, list[int]] = defaultdict(list)
        for key, candidate in self._patients.items():
            self._births[candidate.patient.birth_date].append(key)
            for name_key in name_keys(candidate.patient.names):
                self._names[name_key].append(key)

    def _add_order(self, candidate: Candidate) -> None:
        order = candidate.order
        assert order
        self._orders[candidate.patient.key].append(  # type: ignore[index]
            candidate)
        for key in {order.study_uid, order.merge_id, order.accession_number,
                *order.aliases, *(s.step_id for s in order.steps)}:
            self._order_keys[key].append(candidate)

    def candidates(self, study: StudyAttributes) -> list[Candidate]:
        by_key = [c for key in self._keys(study)
            for c in self._order_keys.get(key, [])]
        patients = dict.fromkeys(c.patient.key for c in by_key)
        for puid in [study.patient_id, *study.other_patient_ids,
                *near_identifiers(study.patient_id)]:
            if puid in self._puids:
                patients[self._puids[puid]] = None
        patients.update(dict.fromkeys(self._alike(study)))
        found = [self._patients[key] for key in patients]
        return found + [
            order for key in patients for order in self._orders.get(key, [])]

    @staticmethod
    def _keys(study: StudyAttributes) -> set[str]:
        return {
            study.study_uid, study.accession_number, study.patient_id,
            *study.step_ids, *study.texts} - {''}

    def _alike(self, study: StudyAttributes) -> Iterator[int]:
        "Yield those with the birth date, then those with nearly the name"
        born = study.birth_date
        if born:
            yield from self._births[born]
        variants = birth_date_variants(born) if born else frozenset()
        shared: Counter = Counter()
        for key in name_keys(name_groups(study.patient_name)):
            for patient in self._names.get(key, []):
                facts = self._patients[patient].patient
                if (not born or not facts.birth_date
                        or facts.birth_date_estimated
                        or facts.birth_date in variants):
                    shared[patient] += 1
        for patient, _ in shared.most_common(MOST_ALIKE):
            yield patient


@dataclass
class Tally:
    "Counts what is decided"
    statuses: Counter = field(default_factory=Counter)
    doubts: Counter = field(default_factory=Counter)
    false_certain: list[Pair] = field(default_factory=list)
    certain: Counter = field(default_factory=Counter)
    rank_1: Counter = field(default_factory=Counter)
    found: Counter = field(default_factory=Counter)
    listed: Counter = field(default_factory=Counter)
    wrong_proposals: int = 0
    missed: list[tuple[Pair, Decision]] = field(default_factory=list)

    def add(
            self, pair: Pair, candidates: Sequence[Candidate],
            decision: Decision) -> None:
        status = decision.status
        self.statuses[pair.kind, status.value] += 1
        if decision.doubt:
            self.doubts[pair.kind, decision.doubt.value] += 1
        if decision.best and not is_right(pair, decision.best.candidate):
            if status is Status.CERTAIN:
                self.false_certain.append(pair)
            self.wrong_proposals += 1
        if pair.slip:
            listed = any(
                a.candidate.patient.key == pair.patient
                for a in decision.candidates)
            self.listed[listed] += 1
            if not listed:
                self.missed.append((pair, decision))
        if pair.error_free and pair.order_key:
            self.certain[status is Status.CERTAIN] += 1
            if status is not Status.CERTAIN:
                self.missed.append((pair, decision))
        if pair.recoverable:
            first = decision.candidates[:1]
            right = bool(first) and is_right(
                pair, first[0].candidate, order=pair.order_key)
            self.rank_1[right] += 1
            self.found[any(
                    c.patient.key == pair.patient for c in candidates)] += 1
            if not right:
                self.missed.append((pair, decision))


def is_right(pair: Pair, candidate: Candidate, order: bool = False) -> bool:
    """Return whether it is the right patient, and not a wrong order.

    Parameters
    ----------
    order : bool
        Whether it must be the right order, and no order will not do.
    """
    if candidate.patient.key != pair.patient:
        return False
    if candidate.order:
        return candidate.order.key == pair.order
    return not order


def share(counter: Counter) -> float:
    return counter[True] / max(1, counter.total())


def measure(pairs: Iterable[Pair], search: Search) -> tuple[Tally, dict]:
    "Match all, and return the counts and the milliseconds that it took"
    tally = Tally()
    searching, matching = [], []
    for pair in pairs:
        start = time.perf_counter()
        candidates = search(pair.study)
        middle = time.perf_counter()
        decision = decide(assess(pair.study, candidates))
        end = time.perf_counter()
        searching.append((middle - start) * 1000)
        matching.append((end - middle) * 1000)
        tally.add(pair, candidates, decision)
    return tally, {
        'searching': _quantiles(searching), 'matching': _quantiles(matching)}


def _quantiles(values: list[float]) -> dict[str, float]:
    return {
        'mean': statistics.fmean(values),
        'median': statistics.median(values),
        'p95': statistics.quantiles(values, n=20)[-1],
        'max': max(values),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.postgresql and not options.database:
        return run_with_database(
            sys.argv[1:] if arguments is None else arguments)
    start = time.perf_counter()
    hospital = _make_hospital(options)
    pairs: Iterable[Pair] = hospital.pairs
    index: MemoryIndex | DatabaseIndex
    if options.database:
        index = DatabaseIndex(options.database, hospital)
        pairs = list(index.pairs(pairs))
    else:
        index = MemoryIndex(hospital)
    # Else the garbage collector goes through all of them, again and again
    gc.freeze()
    made = time.perf_counter()
    tally, milliseconds = measure(pairs, index.candidates)
    result = {
        'seconds_for_keys': getattr(index, 'seconds', None),
        'population': options.population, 'seed': options.seed,
        'patients': len(hospital.population.people),
        'orders': len(hospital.orders), 'pairs': len(hospital.pairs),
        **_describe(hospital),
        'seconds_to_make': made - start,
        'seconds_to_match': time.perf_counter() - made,
        'milliseconds': milliseconds,
        'false_certain': len(tally.false_certain),
        'wrong_proposals': tally.wrong_proposals,
        'certain': [share(tally.certain), tally.certain.total()],
        'rank_1': [share(tally.rank_1), tally.rank_1.total()],
        'found': [share(tally.found), tally.found.total()],
        'listed': [share(tally.listed), tally.listed.total()],
        'statuses': _nested(tally.statuses),
        'doubts': _nested(tally.doubts),
        }
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)
    if options.missed:
        _print_missed(tally, options.missed)
    reached = (
        share(tally.certain) >= LEAST_CERTAIN
        and share(tally.rank_1) >= LEAST_RANK_1
        if isinstance(hospital, Hospital)
        else share(tally.listed) >= LEAST_LISTED)
    return 0 if (
        reached and not tally.false_certain
        and milliseconds['searching']['p95'] <= MOST_MILLISECONDS) else 1


def _make_hospital(options: argparse.Namespace) -> Hospital | Registry:
    if options.population in febrl.DATA_SETS:
        return febrl.load(options.population)
    if options.population == 'slips':
        return slips.make(options.seed, options.patients, options.pairs)
    return Hospital(
        Population(options.seed, options.patients, PeopleRates()),
        options.pairs, Rates(), options.seed)


def _describe(hospital: Hospital | Registry) -> dict[str, dict]:
    if isinstance(hospital, Registry):
        return {'kinds': kinds_of(hospital.pairs)}
    return {
        'kinds': KINDS, 'rates': asdict(Rates()),
        'people_rates': asdict(PeopleRates())}


def _nested(counter: Counter) -> dict[str, dict[str, int]]:
    nested: dict = {}
    for (kind, name), count in sorted(counter.items()):
        nested.setdefault(kind, {})[name] = count
    return nested


def _print(result: dict) -> None:
    print(f"seed {result['seed']}: {result['pairs']} studies,"
        f" {result['patients']} patients, {result['orders']} orders")
    for name in ['kinds', 'rates', 'people_rates']:
        if name not in result:
            continue
        print(f"{name}: " + ', '.join(
                f'{key} {value:g}' for key, value in result[name].items()))
    print()
    print(f"{'':12}{'certain':>10}{'unsure':>10}{'unlinked':>10}")
    for kind, counts in result['statuses'].items():
        print(f'{kind:12}' + ''.join(
                f'{counts.get(status.value, 0):10}' for status in Status))
    print()
    for kind, counts in result['doubts'].items():
        print(f'{kind:12}' + ', '.join(
                f'{name} {count}' for name, count in counts.items()))
    print()
    print(f"false certain  {result['false_certain']}")
    for name in ['certain', 'rank_1', 'found', 'listed']:
        part, total = result[name]
        if not total:
            continue
        print(f'{name:15}{part:.2%} of {total}')
    print(f"wrong proposals {result['wrong_proposals']}")
    for name, figures in result['milliseconds'].items():
        print(f'{name:15}' + ', '.join(
                f'{key} {value:.2f} ms' for key, value in figures.items()))
    if result['seconds_for_keys']:
        print(f"keys of all patients made in"
            f" {result['seconds_for_keys']:.0f} s")
    print(f"made in {result['seconds_to_make']:.0f} s,"
        f" matched in {result['seconds_to_match']:.0f} s")


def _print_missed(tally: Tally, limit: int) -> None:
    print()
    for pair in tally.false_certain:
        print("FALSE", pair)
    for pair, decision in tally.missed[:limit]:
        print(pair)
        for assessment in decision.candidates[:2]:
            print("   ", assessment.score, assessment.strength,
                assessment.key, assessment.vetoes,
                assessment.candidate.patient.names, [
                    (c.field, c.ours, c.theirs, c.verdict.value, c.reason)
                    for c in assessment.comparisons])
        print("   ", decision.status, decision.doubt)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='./dev bench linking', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int, default=SEED)
    parser.add_argument(
        '--population', default='households',
        choices=['households', 'slips', *febrl.DATA_SETS],
        help="who is registered, and what goes wrong (default: %(default)s)")
    parser.add_argument('--patients', type=int, default=100_000)
    parser.add_argument('--pairs', type=int, default=20_000)
    parser.add_argument(
        '--postgresql', action='store_true',
        help="search in a database of its own")
    parser.add_argument('--database', help=argparse.SUPPRESS)
    parser.add_argument(
        '--missed', type=int, default=0, metavar='N',
        help="tell of N pairs that were missed, and of false links")
    parser.add_argument('--json', action='store_true')
    return parser


if __name__ == '__main__':
    sys.exit(main())
