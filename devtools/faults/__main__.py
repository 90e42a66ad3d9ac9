# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kill and restart GNU Health and Orthanc while images arrive.

A plan is made from its number: orders of two steps each, what is sent when,
and what is killed, stopped and started.  Real parts carry it out, and in the
end each study must be linked to its order once and for certain, with both
steps and the request done.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..postgresql import PostgreSQL
from ..process import stopping_on_signals
from ..testing import cache_folder
from ..tryton import MODULE, ROOT, Tryton
from .plan import KINDS
from .run import Result, run_plans

HEAD = [
    'seed', 'orders', 'plan', 'sent', 'received', 'stored', 'processed',
    'killed', 'min', 's', 'recovery', 'verdict']


def print_row(result: Result) -> str:
    cells = [
        result.plan.seed, result.plan.orders, result.plan, result.told,
        result.brought, result.kept, result.processed,
        ''.join(result.kills), result.minutes, f'{result.seconds:.1f}',
        f'{result.settled:.1f}', '; '.join(result.troubles) or 'ok']
    return f"| {' | '.join(map(str, cells))} |"


def print_totals(results: Sequence[Result], seconds: float) -> Iterator[str]:
    failed = [r for r in results if r.troubles]
    yield (
        f"{len(results)} plans, {sum(r.plan.orders for r in results)} orders,"
        f" {sum(len(r.kills) for r in results)} kills,"
        f" {sum(r.told for r in results)} events sent,"
        f" {sum(r.brought for r in results)} received,"
        f" {sum(r.kept for r in results)} stored: {len(failed)} failed"
        f" in {seconds:.0f} s")
    settled = sorted(r.settled for r in results)
    yield (
        f"- recovery after {statistics.median(settled):.1f} s (at most"
        f" {settled[-1]:.1f} s)")
    for kind, words in KINDS.items():
        count = sum(kind in r.plan.kinds for r in results)
        yield f"- {words}: in {count} plans"
    for result in failed:
        yield f"- ./dev faults --seed {result.plan.seed}: " + '; '.join(
            result.troubles)


def commit() -> str:
    return subprocess.run(
        ['git', 'describe', '--always', '--dirty'], cwd=ROOT,
        stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='./dev faults', description=__doc__.partition('\n')[0])
    parser.add_argument(
        '--seed', type=int, action='append',
        help="the plan of this number and no other; may be repeated")
    parser.add_argument(
        '--plans', type=int, default=200,
        help="how many plans, from number 0 on (default: %(default)s)")
    parser.add_argument(
        '--jobs', type=int, default=3,
        help="how many at once, each with parts of its own"
        " (default: %(default)s)")
    options = parser.parse_args()
    seeds = options.seed or list(range(options.plans))
    start = time.monotonic()
    results = []
    print(f"| {' | '.join(HEAD)} |")
    print('|' + '---|' * len(HEAD), flush=True)
    with tempfile.TemporaryDirectory(prefix='faults-') as name:
        folder = Path(name)
        # PostgreSQL's system user must pass through.
        folder.chmod(0o711)
        with PostgreSQL(folder / 'postgresql') as postgresql:
            origin = Tryton(
                folder / 'tryton', postgresql=postgresql, name='origin')
            origin.create([MODULE], cache_folder())
            jobs = min(options.jobs, len(seeds))
            for result in run_plans(origin, seeds, jobs):
                results.append(result)
                print(print_row(result), flush=True)
                print(result.complaints, end='', file=sys.stderr, flush=True)
    print()
    for line in print_totals(results, time.monotonic() - start):
        print(line)
    print(f"\nCommit {commit()}")
    return any(result.troubles for result in results)


if __name__ == '__main__':
    with stopping_on_signals():
        sys.exit(main())
