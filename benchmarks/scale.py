# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a large archive costs: synchronization with matching, in PostgreSQL.

The archive is made up (`archive.py`): it computes its answers, so that nobody
waits for it.  GNU Health's patients own two of five of its studies; a few
studies have an error, and wait for a person.

- *first full*: of an empty database; all studies are stored and matched.
- *nothing new*: full, and incremental.
- *new studies*: incremental, with matching.
- *deleted*: full, after every hundredth study was deleted.

With several servers, each has its share of the studies, and their patients are
the same; all runs are begun at once.  *first done* is the time until the first
server is done.  Without workers, the run has two threads.

The *floor* is what the first run cannot be faster than: the same answers are
read and parsed, and the rows that it has stored, also of links, history and
keys, are copied (COPY) into empty tables with the same indexes.  The *listing*
is what a comparison of everything reads, the *listing of studies* what one
reads that finds nothing new.

*cpu* is the processor time of this process, *database* that of PostgreSQL's:
where a machine is shared they say more than the seconds.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import requests

from devtools.postgresql import PostgreSQL
from devtools.process import (
    Process, die_with_parent, free_port, stopping_on_signals)
from devtools.testing import cache_folder
from devtools.tryton import MODULE, ROOT, Tryton, environment

from .archive import STRANGERS
from .processor import load_of, processor_seconds
from .workers import Workers

START_TIMEOUT = 60
RUN_TIMEOUT = 7200
TITLES = {
    'first_full': "First full",
    'floor': "Floor",
    'nothing_new_full': "Nothing new, full",
    'listing': "Listing",
    'listing_of_studies': "Listing of studies",
    'nothing_new_incremental': "Nothing new, incremental",
    'new_studies': "New studies, incremental",
    'deleted': "1 % deleted, full",
    }


class Benchmark:
    """Measures runs against a made-up archive.

    Parameters
    ----------
    studies
        Of the archive.
    patients
        Of GNU Health.
    new
        How many studies come later.
    workers
        How many share the runs; none of them run in this process.
    servers
        That the studies are spread over; several need workers.
    """

    def __init__(
            self, studies: int, patients: int, new: int, workers: int = 0,
            servers: int = 1):
        self._studies, self._new = studies // servers, new // servers
        self._patients = patients
        self._count, self._servers = workers, servers
        every, own = STRANGERS
        self._owners = patients * every // own
        self._measured: dict[str, dict] = {}

    def run(self) -> dict:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(
                    tempfile.TemporaryDirectory(prefix='scale-')))
            self._postgresql = stack.enter_context(PostgreSQL())
            self._start_archive(stack)
            tryton = Tryton(
                self._folder, postgresql=self._postgresql, name='scale',
                sections={'queue': {'worker': str(bool(self._count))}})
            _say("Making the database")
            tryton.create([MODULE], cache_folder())
            filled = self._call(
                'fill', tryton, patients=self._owners,
                # Without workers, their number is that of threads
                workers=self._count or 2)
            self._workers = stack.enter_context(Workers(
                    tryton, self._postgresql, self._count, self._servers))
            self._measure(tryton)
        return {
            'studies': self._studies * self._servers,
            'patients': self._patients, 'servers': self._servers,
            'workers': self._count,
            'cores': len(os.sched_getaffinity(0)), 'load': load_of(),
            'fill': filled, 'runs': self._measured,
            'ratios': self._ratios(),
            }

    def _start_archive(self, stack: ExitStack) -> None:
        port = free_port()
        url = f'http://127.0.0.1:{port}'
        self._urls = [url] if self._servers == 1 else [
            f'{url}/{number}' for number in range(self._servers)]
        archive = Process(
            [sys.executable, '-m', 'benchmarks.archive', f'--port={port}',
                f'--studies={self._studies}', f'--patients={self._owners}',
                f'--archives={self._servers}'],
            self._folder / 'archive.log', folder=ROOT,
            environment=environment())
        stack.callback(archive.stop)
        archive.wait_ready(
            lambda: archive.listens(port), START_TIMEOUT, "the archive")

    def _measure(self, tryton: Tryton) -> None:
        self._record('first_full', 'full', tryton)
        self._record('floor', 'floor', tryton)
        self._record('nothing_new_full', 'full', tryton)
        self._record('listing', 'listing', tryton)
        self._record('listing_of_studies', 'listing_of_studies', tryton)
        self._record('nothing_new_incremental', 'incremental', tryton)
        self._change(studies=self._studies + self._new)
        self._record('new_studies', 'incremental', tryton)
        self._change(deleted_every=100)
        self._record('deleted', 'full', tryton)

    def _record(self, name: str, task: str, tryton: Tryton) -> None:
        _say(TITLES[name])
        before = self._change()
        database = processor_seconds(self._postgresql.process.pid)
        if self._count and task in {'full', 'incremental'}:
            figures = self._workers.wait(
                task, lambda: self._call('begin', tryton, kind=task),
                RUN_TIMEOUT)
        else:
            figures = self._call(task, tryton)
        figures['database'] = processor_seconds(
            self._postgresql.process.pid) - database
        present = self._change()
        figures.setdefault(
            'requests', present['requests'] - before['requests'])
        # Wrong results have no speed
        stored = figures.pop('stored', present['studies'])
        if stored != present['studies']:
            raise RuntimeError(
                f"{name}: {stored} stored of {present['studies']}")
        self._measured[name] = figures
        _say(', '.join(f'{key} {value:.2f}' for key, value in figures.items()))

    def _change(self, **values: float) -> dict[str, int]:
        "Change each archive; return the sums of their counts"
        sums: Counter[str] = Counter()
        for url in self._urls:
            sums.update(requests.post(
                f'{url}/made-up', json=values, timeout=START_TIMEOUT).json())
        return sums

    def _call(self, task: str, tryton: Tryton, **options) -> dict:
        job = {
            'configuration': str(tryton.configuration),
            'database': tryton.name, 'uri': tryton.uri,
            'orthanc': {
                'url': ' '.join(self._urls), 'user': '', 'password': ''},
            }
        process = subprocess.run(
            [sys.executable, '-m', 'benchmarks.scale_runs', task],
            input=json.dumps([job, options]), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment(),
            timeout=RUN_TIMEOUT, preexec_fn=die_with_parent())
        if process.returncode:
            raise RuntimeError(f"{task} failed:\n{process.stderr}")
        return json.loads(process.stdout)

    def _ratios(self) -> dict[str, float]:
        runs = self._measured
        first, floor = runs['first_full'], runs['floor']
        return {
            'first_full_studies_per_second':
            self._studies * self._servers / first['seconds'],
            'first_full_times_the_floor': first['seconds'] / floor['seconds'],
            'first_full_times_the_floor_of_processors':
            (first['cpu'] + first['database'])
            / (floor['cpu'] + floor['database']),
            'first_full_statements_per_study':
            first.get('statements', 0) / self._studies / self._servers,
            **{
                f'nothing_new_full_times_the_{name}{suffix}':
                sum(runs['nothing_new_full'][key] for key in keys)
                / sum(runs[name][key] for key in keys)
                for name in ['listing', 'listing_of_studies']
                for suffix, keys in [
                    ('', ['seconds']),
                    ('_of_processors', ['cpu', 'database'])]},
            }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def format_table(result: Mapping) -> str:
    """Return the result for people to read."""
    lines = [
        f"{result['studies']} studies, {result['patients']} patients of "
        f"GNU Health, {result['servers']} servers, "
        f"{result['workers'] or 'no'} workers, "
        f"{result['cores']} cores, load {result['load']:.1f}",
        '',
        '| run | seconds | first done | cpu | database | requests '
        '| statements | MB |',
        '|---|---:|---:|---:|---:|---:|---:|---:|',
        ]
    for name, figures in result['runs'].items():
        lines.append('| ' + ' | '.join([
                    TITLES[name],
                    *(f"{figures[key]:.2f}" if key in figures else ''
                        for key in [
                            'seconds', 'first_done', 'cpu', 'database']),
                    f"{figures['requests']:g}",
                    f"{figures.get('statements', 0):g}",
                    f"{figures['memory'] / 2**20:.1f}",
                    ]) + ' |')
    lines += ['', '| ratio | |', '|---|---:|']
    lines += [
        f"| {name.replace('_', ' ')} | {value:.2f} |"
        for name, value in result['ratios'].items()]
    return '\n'.join(lines)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='./dev bench scale', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, help_ in [
            ('studies', 100000, "of the archive"),
            ('patients', None, "of GNU Health (default: studies / 5)"),
            ('new', 1000, "studies that come later"),
            ('workers', 0, "that share the runs (default: none, in place)"),
            ('servers', 1, "that the studies are spread over")]:
        parser.add_argument(
            f'--{name}', type=int, default=default, metavar='N', help=help_)
    parser.add_argument(
        '--json', action='store_true', help="print JSON, not a table")
    options = parser.parse_args(arguments)
    if options.servers > 1 and not options.workers:
        parser.error("several servers need workers")
    return options


def main(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    patients = options.patients or max(options.studies // 5, 2)
    result = Benchmark(
        options.studies, patients, options.new, options.workers,
        options.servers).run()
    print(json.dumps(result, indent=2) if options.json
        else format_table(result))


if __name__ == '__main__':
    with stopping_on_signals():
        main(sys.argv[1:])
