# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One measured run of the predecessor of this module, as `measure` has them.

`devtools/launch_predecessor.py` runs it with the predecessor in place of this
module.
"""
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.measure import TABLES, Job, counted_statements, measured

STUDY = 'gnuhealth.imaging_orthanc.study'
MODELS = {
    'studies': STUDY,
    'series': 'gnuhealth.imaging_orthanc.study_series',
    'instances': 'gnuhealth.imaging_orthanc.series_instances',
    }


class PeerJob(Job):
    """A job that the predecessor does."""

    def prepare(self) -> dict:
        with self._transaction() as (pool, transaction):
            pool.get('gnuhealth.orthanc.config').create([{
                        'label': "Benchmark", 'validated': True,
                        'domain': self._orthanc['url'],
                        'user': self._orthanc['user'],
                        'password': self._orthanc['password']}])
            transaction.commit()
        return {}

    def full(self) -> dict:
        return self._run('full_synchronize')

    def incremental(self) -> dict:
        return self._run('get_new_studies')

    def _run(self, method: str) -> dict:
        with self._transaction() as (pool, transaction):
            Study = pool.get(STUDY)
            with counted_statements() as statements, \
                    counted_requests() as requests, measured() as figures:
                getattr(Study, method)()
                transaction.commit()
        with self._transaction() as (pool, _):
            return {
                **figures, 'requests': requests[0],
                'statements': statements[0], 'stored': self._stored(pool)}

    @staticmethod
    def _stored(pool) -> dict[str, int]:
        # It does not record patients
        return {
            name: pool.get(MODELS[name]).search([], count=True)
            for name in TABLES if name in MODELS}


@contextmanager
def counted_requests() -> Iterator[list[int]]:
    """Count what is sent to Orthanc."""
    import httpx
    count = [0]
    send = httpx.Client.send

    def counting(client, *args, **options):
        count[0] += 1
        return send(client, *args, **options)
    httpx.Client.send = counting
    try:
        yield count
    finally:
        httpx.Client.send = send


def main(arguments: Sequence[str]) -> None:
    task, = arguments
    print(json.dumps(getattr(PeerJob(**json.load(sys.stdin)), task)()))


if __name__ == '__main__':
    main(sys.argv[1:])
