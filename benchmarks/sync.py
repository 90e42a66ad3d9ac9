# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast studies of an Orthanc become records, and at what cost.

A real Orthanc is filled with synthetic studies, which are synchronised into
PostgreSQL with the instances of every series.  Orthanc and PostgreSQL run on
this machine, for this purpose only.

Each figure is the median of several runs, each in a fresh process.  A process
has loaded its pool of models, and one run against a server that refuses has
filled trytond's caches (access rights, messages), as in any process that
serves for longer.

- *seconds*: wall time.
- *cpu*: processor time of GNU Health: where a machine is shared it says more.
- *requests*: that were sent to Orthanc.
- *statements*: that were sent to PostgreSQL by way of a cursor, COMMIT and
  ROLLBACK excluded.
- *MB*: the highest resident memory during the run, less that before it.

The *listing* asks for all resources of the archive with as few requests
(``?expand`` in pages of 1000) and decodes the JSON; *without instances* it is
what a comparison with the records must read at least, since each series names
its instances.  The *floor* is what no synchronisation can be faster than: the
listing, and a copy (COPY) of the very rows that the first full run has stored
into empty tables with the same indexes.

With ``--peer``, the same runs of the predecessor, gnuhealth-orthanc 5.0.4, are
measured against the same Orthanc: its first runs as often as ours, in turns
with them, and the others once.  Its full run with nothing new takes longest.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from devtools.orthanc import Orthanc
from devtools.postgresql import PostgreSQL
from devtools.predecessor import LAUNCHER, Predecessor
from devtools.process import die_with_parent, stopping_on_signals, wait_until
from devtools.samples import make_bulk
from devtools.testing import cache_folder, predecessor_files
from devtools.tryton import MODULE, ROOT, Tryton, environment

NEW_STUDIES = 20
# Seconds without a new image after which Orthanc says so in its log
STABLE_AGE = 1
STABLE_TIMEOUT = 120
RUN_TIMEOUT = 1800
TITLES = {
    'first_full': "First full",
    'first_incremental': "First incremental",
    'nothing_new_full': "Nothing new, full",
    'nothing_new_incremental': "Nothing new, incremental",
    'new_studies': f"{NEW_STUDIES} new studies, incremental",
    'listing': "Listing",
    'listing_without_instances': "Listing without instances",
    'floor': "Floor",
    'peer_first_full': "Peer: first full",
    'peer_nothing_new_full': "Peer: nothing new, full",
    'peer_first_incremental': "Peer: first incremental",
    'peer_nothing_new_incremental': "Peer: nothing new, incremental",
    'peer_new_studies': f"Peer: {NEW_STUDIES} new studies, incremental",
    }
# What runs the measured tasks of this module, and of the predecessor
OURS = ('-m', 'benchmarks.measure')
PEER = (LAUNCHER, predecessor_files(), Path(__file__).with_name('peer.py'))
Figures = dict[str, float]


class Benchmark:
    """Fills an Orthanc and measures runs against it.

    Parameters
    ----------
    studies, series, instances
        Of the archive, of each study, of each series.
    repeat
        How often each run is measured.
    peer
        Whether the predecessor is measured as well.
    """

    def __init__(
            self, studies: int, series: int, instances: int, repeat: int,
            peer: bool = False):
        self._shape = (studies, series, instances)
        self._repeat = repeat
        self._peer = peer
        self._measured: dict[str, list[Figures]] = {
            name: [] for name in TITLES}

    def run(self) -> dict:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(
                    tempfile.TemporaryDirectory(prefix='benchmark-')))
            self._orthanc = stack.enter_context(
                Orthanc(configuration={'StableAge': STABLE_AGE}))
            self._postgresql = stack.enter_context(PostgreSQL())
            self._empty = Tryton(
                folder, postgresql=self._postgresql, name='empty')
            self._fill(*self._shape)
            _say("Making the database")
            self._empty.create([MODULE], cache_folder())
            self._call('prepare', self._empty)
            self._archive = self._counts = self._orthanc.counts()
            if self._peer:
                self._make_peer(folder / 'peer')
            for number in range(self._repeat):
                _say(f"Measuring, {number + 1} of {self._repeat}")
                if self._peer:
                    self._measure_peer(whole=number == 0)
                self._measure(keep=number == 0)
            self._measure_new_studies()
        return self._result()

    def _fill(self, studies: int, series: int, instances: int, **options
            ) -> None:
        _say(f"Storing {studies} x {series} x {instances} instances")
        self._orthanc.upload_bulk(
            make_bulk(studies, series, instances, **options))
        # Only then there is nothing new
        if not wait_until(self._is_stable, STABLE_TIMEOUT, STABLE_AGE):
            raise RuntimeError("Orthanc does not come to rest")

    def _is_stable(self) -> bool:
        return all(
            resource['IsStable']
            for level in ['patients', 'studies', 'series']
            for resource in self._orthanc.get(f'/{level}?expand'))

    def _measure(self, keep: bool) -> None:
        full = self._empty.copy('full')
        self._record('first_full', 'full', full)
        self._record('nothing_new_full', 'full', full)
        self._record('nothing_new_incremental', 'incremental', full)
        if keep:
            self._kept = full.copy('kept')
        for name in ['listing', 'listing_without_instances', 'floor']:
            self._record(name, name, full)
        full.drop()
        first = self._empty.copy('first')
        self._record('first_incremental', 'incremental', first)
        first.drop()

    def _make_peer(self, folder: Path) -> None:
        self._empty_peer = Predecessor(
            folder, predecessor_files(), postgresql=self._postgresql,
            name='peer')
        self._empty_peer.create_filled(
            [], cache_folder(), lambda _: None, 'empty')
        self._call('prepare', self._empty_peer, PEER)

    def _measure_peer(self, whole: bool) -> None:
        "Measure first runs, and what follows them if `whole`"
        first = self._empty_peer.copy('peer_first' if whole else 'peer_again')
        self._record('peer_first_incremental', 'incremental', first, PEER)
        if whole:
            self._record(
                'peer_nothing_new_incremental', 'incremental', first, PEER)
            self._peer_kept = first
        else:
            first.drop()
        full = self._empty_peer.copy('peer_full')
        self._record('peer_first_full', 'full', full, PEER)
        if whole:
            self._record('peer_nothing_new_full', 'full', full, PEER)
        full.drop()

    def _measure_new_studies(self) -> None:
        self._fill(NEW_STUDIES, *self._shape[1:], prefix='N')
        new = self._orthanc.counts()
        self._new = {
            level: count - self._archive[level]
            for level, count in new.items()}
        self._counts = new
        for _ in range(self._repeat):
            database = self._kept.copy('new')
            self._record('new_studies', 'incremental', database)
            database.drop()
        if self._peer:
            self._record(
                'peer_new_studies', 'incremental', self._peer_kept, PEER)

    def _record(
            self, name: str, task: str, tryton: Tryton,
            program: Sequence[str | os.PathLike] = OURS) -> None:
        figures = self._call(task, tryton, program)
        # Wrong results have no speed
        stored = figures.pop('stored', self._counts)
        if any(self._counts[level] != count
                for level, count in stored.items()):
            raise RuntimeError(
                f"{name}: {stored} stored of {self._counts}")
        self._measured[name].append(figures)

    def _call(
            self, task: str, tryton: Tryton,
            program: Sequence[str | os.PathLike] = OURS) -> dict:
        job = {
            'configuration': str(tryton.configuration),
            'database': tryton.name,
            'uri': tryton.uri,
            'orthanc': {
                'url': self._orthanc.url,
                'user': self._orthanc.user,
                'password': self._orthanc.password,
                },
            }
        process = subprocess.run(
            [sys.executable, *program, task],
            input=json.dumps(job), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment(),
            timeout=RUN_TIMEOUT, preexec_fn=die_with_parent())
        if process.returncode:
            raise RuntimeError(f"{task} failed:\n{process.stderr}")
        return json.loads(process.stdout)

    def _result(self) -> dict:
        runs = {
            name: _medians(figures)
            for name, figures in self._measured.items() if figures}
        return {
            'archive': self._archive,
            'new': self._new,
            'cores': len(os.sched_getaffinity(0)),
            'repeat': self._repeat,
            'runs': runs,
            'ratios': _ratios(runs, self._archive),
            }


def _medians(measured: Sequence[Figures]) -> Figures:
    return {
        name: statistics.median(figures[name] for figures in measured)
        for name in measured[0]}


def _ratios(
        runs: Mapping[str, Figures], archive: Mapping[str, int]) -> dict:
    """Return the figures that tell how far from the ideal the runs are."""
    floor = runs['floor']['seconds']
    ratios: dict[str, dict[str, float]] = {}
    for name in ['first_full', 'first_incremental']:
        run = runs[name]
        ratios[name] = {
            'requests_per_10000_instances':
            run['requests'] * 10000 / archive['instances'],
            'records_per_statement':
            sum(archive.values()) / run['statements'],
            'seconds_over_floor': run['seconds'] - floor,
            'times_the_floor': run['seconds'] / floor,
            }
    ratios['nothing_new_full'] = {
        f'times_the_{name}':
        runs['nothing_new_full']['seconds'] / runs[name]['seconds']
        for name in ['listing', 'listing_without_instances']}
    for name in TITLES:
        if peer := runs.get(f'peer_{name}'):
            ratios.setdefault(name, {})['times_faster_than_the_peer'] = (
                peer['seconds'] / runs[name]['seconds'])
    return ratios


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def format_table(result: Mapping) -> str:
    """Return the result for people to read."""
    lines = [
        ', '.join(f'{count} {level}'
            for level, count in result['archive'].items())
        + f"; {result['cores']} cores, median of {result['repeat']}",
        '',
        '| run | seconds | cpu | requests | statements | MB |',
        '|---|---:|---:|---:|---:|---:|',
        ]
    for name, figures in result['runs'].items():
        lines.append('| ' + ' | '.join([
                    TITLES[name],
                    f"{figures['seconds']:.3f}",
                    f"{figures['cpu']:.3f}",
                    f"{figures['requests']:g}",
                    f"{figures.get('statements', 0):g}",
                    f"{figures['memory'] / 2**20:.1f}",
                    ]) + ' |')
    lines += ['', '| ratio | |', '|---|---:|']
    for name, ratios in result['ratios'].items():
        for ratio, value in ratios.items():
            title = ratio.replace('_', ' ')
            lines.append(f'| {TITLES[name]}: {title} | {value:.2f} |')
    return '\n'.join(lines)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='./dev bench sync', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, help_ in [
            ('studies', 100, "of the archive"),
            ('series', 3, "of each study"),
            ('instances', 10, "of each series"),
            ('repeat', 3, "how often each run is measured")]:
        parser.add_argument(
            f'--{name}', type=_positive, default=default, metavar='N',
            help=f"{help_} (default: {default})")
    parser.add_argument(
        '--peer', action='store_true', help="measure the predecessor as well")
    parser.add_argument(
        '--json', action='store_true', help="print JSON, not a table")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    benchmark = Benchmark(
        options.studies, options.series, options.instances, options.repeat,
        options.peer)
    result = benchmark.run()
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(format_table(result))


if __name__ == '__main__':
    with stopping_on_signals():
        main(sys.argv[1:])
