# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a hospital waits until its database is upgraded from 5.0.4.

A database is made with `gnuhealth-orthanc` 5.0.4 on PostgreSQL and filled past
all models: patients, studies (half of them linked), series and instances,
studies of 4.x that are half known, notes and attachments.  One of a hundred
series and instances is recorded twice, and one of twenty studies, under two
spellings of its server's address.  Then ``trytond-admin -u`` is run with this
module in the place of the old one.

- *update*: the wall time of all of it.
- *empty*: that of a database with nothing in it, which is spent on views,
  rights and translations of all modules.
- *again*: that of a second update, which has nothing to convert.

Growth of memory (*MB*) is the highest resident memory of the process less that
of the empty database.
"""
import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from devtools.postgresql import PostgreSQL
from devtools.predecessor import Predecessor
from devtools.process import stopping_on_signals
from devtools.testing import cache_folder, predecessor_files
from devtools.tryton import MODULE, Tryton

# Rows are made by PostgreSQL itself
FILL = {
    'party_party': """
        INSERT INTO party_party
            (id, code, name, ref, active, is_person, is_patient)
        SELECT 1000000 + i, 'B' || i, 'Muster ' || i, 'PUID' || 100000 + i,
            true, true, true
        FROM generate_series(1, {patients}) i""",
    'gnuhealth_patient': """
        INSERT INTO gnuhealth_patient (id, party, active)
        SELECT 1000000 + i, 1000000 + i, true
        FROM generate_series(1, {patients}) i""",
    'gnuhealth_orthanc_config': """
        INSERT INTO gnuhealth_orthanc_config
            (id, label, domain, "user", password, validated)
        SELECT i, 'Server ' || i, 'http://orthanc' || i || ':8042', 'orthanc',
            'secret', true
        FROM generate_series(1, 3) i""",
    'gnuhealth_orthanc_patient': """
        INSERT INTO gnuhealth_orthanc_patient
            (id, name, ident, uuid, server, patient)
        SELECT i, 'Muster^' || i, 'PUID' || 100000 + i, md5('patient' || i), 1,
            1000000 + i
        FROM generate_series(1, {patients}) i""",
    'gnuhealth_imaging_orthanc_study': """
        INSERT INTO gnuhealth_imaging_orthanc_study
            (id, patient, date, patient_name, patient_id, "study_instance_UID",
            "orthanc_UID", institution, performing_physician_name, server,
            notes, merge_comment)
        SELECT i,
            CASE WHEN i % 2 = 0
                THEN 1000000 + 1 + i % {patients} END,
            to_char(date '2015-01-01' + i % 3650, 'YYYYMMDD'),
            'Muster^' || i, 'PUID' || 100001 + i % {patients}, '1.2.3.' || i,
            md5('study' || i), 'Hospital', 'Zuweiser^Karl',
            'http://orthanc' || 1 + i % 3 || ':8042',
            CASE WHEN i % 10 = 0 THEN 'Notes ' || i END, NULL
        FROM generate_series(1, {studies}) i
        UNION ALL
        SELECT 10000000 + i,
            CASE WHEN i % 60 = 0 THEN 1000001 END,
            '20150101', 'Muster^' || i, 'PUID' || 100001 + i % {patients},
            '1.2.3.' || i, md5('study' || i), 'Hospital', 'Zuweiser^Karl',
            'http://orthanc' || 1 + i % 3 || ':8042/', 'Twin ' || i, NULL
        FROM generate_series(20, {studies}, 20) i""",
    'gnuhealth_imaging_orthanc_study_series': """
        INSERT INTO gnuhealth_imaging_orthanc_study_series
            (id, study, "orthanc_UID", "series_UID", series_number, modality)
        SELECT i, 1 + i % {studies}, md5('series' || CASE
                WHEN i % 100 = 0 AND i > {studies} THEN i - {studies}
                ELSE i END),
            '1.2.3.4.' || i, i / {studies}, 'CT'
        FROM generate_series(1, {series}) i""",
    'gnuhealth_imaging_orthanc_series_instances': """
        INSERT INTO gnuhealth_imaging_orthanc_series_instances
            (id, series, "orthanc_UID", "sop_instance_UID", instance_number,
            image_position_patient)
        SELECT i, 1 + i % {series}, md5('instance' || CASE
                WHEN i % 100 = 0 AND i > {series} THEN i - {series}
                ELSE i END),
            '1.2.3.4.5.' || i, i / {series}, '0\\0\\' || i
        FROM generate_series(1, {instances}) i""",
    'gnuhealth_orthanc_study': """
        INSERT INTO gnuhealth_orthanc_study
            (id, patient, uuid, description, date, ident, instance_uid, server)
        SELECT i, 1 + i % {patients}, md5('study' || i), 'CT', '2015-05-17',
            'S' || i, '1.2.3.' || i, 1 + i % 3
        FROM generate_series({studies} / 2, {studies} * 3 / 2) i""",
    'ir_attachment': """
        INSERT INTO ir_attachment (name, type, resource)
        SELECT 'Image ' || i, 'data', 'gnuhealth.orthanc.study,' || i
        FROM generate_series({studies} / 2, {studies}) i
        UNION ALL
        SELECT 'Image ' || i, 'data',
            'gnuhealth.imaging_orthanc.study_series,' || i
        FROM generate_series(1, {series} / 10) i""",
    }
SEQUENCES = """
    SELECT setval(pg_get_serial_sequence(quote_ident('{table}'), 'id'),
        (SELECT max(id) FROM {table}))"""


class Benchmark:
    """Makes old databases and upgrades them.

    Parameters
    ----------
    sizes
        How many `patients`, `studies`, `series` and `instances`.
    """

    def __init__(self, sizes: dict[str, int]):
        self._sizes = sizes

    def run(self) -> dict:
        with PostgreSQL() as postgresql, \
                tempfile.TemporaryDirectory() as folder:
            options = {'postgresql': postgresql, 'name': 'hospital'}
            old = Predecessor(Path(folder), predecessor_files(), **options)
            old.create_filled(
                [], cache_folder(), lambda tryton: None, 'empty')
            empty = Tryton(Path(folder), **options).copy('empty')
            self._fill(postgresql)
            tryton = Tryton(Path(folder), **options)
            result = {
                'sizes': self._sizes,
                'empty': self._measure(empty),
                'update': self._measure(tryton),
                'again': self._measure(tryton),
                'notes': self._notes(postgresql),
                }
            self._check(result['notes'])
            return result

    def _fill(self, postgresql: PostgreSQL) -> None:
        with closing(postgresql.connect('hospital')) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            for table, statement in FILL.items():
                cursor.execute(statement.format(**self._sizes))
                cursor.execute(SEQUENCES.format(table=table))
            cursor.execute('ANALYZE')

    def _check(self, notes: dict[str, int]) -> None:
        """Check that all was converted, and once."""
        told = {name: notes.get(name) for name in self._sizes}
        if told != self._sizes or not notes.get('instances_doubles'):
            raise RuntimeError(f"not all was upgraded: {notes}")

    @staticmethod
    def _measure(tryton: Tryton) -> dict[str, float]:
        start = time.perf_counter()
        tryton.admin('-u', MODULE)
        # Of all children, of which the next is the largest
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return {
            'seconds': time.perf_counter() - start, 'memory': peak * 1024}

    @staticmethod
    def _notes(postgresql: PostgreSQL) -> dict[str, int]:
        with closing(postgresql.connect('hospital')) as connection:
            cursor = connection.cursor()
            cursor.execute(
                'SELECT kind, sum("count") FROM gnuhealth_orthanc_upgrade_note'
                ' GROUP BY kind ORDER BY kind')
            return {kind: int(count) for kind, count in cursor.fetchall()}


def format_table(result: dict) -> str:
    lines = [
        ', '.join(f'{n:,} {name}' for name, n in result['sizes'].items()),
        '', '| run | s | MB |', '|---|---:|---:|']
    base = result['empty']['memory']
    for name in ['empty', 'update', 'again']:
        figures = result[name]
        lines.append('| {} | {:.1f} | {:.0f} |'.format(
                name, figures['seconds'],
                (figures['memory'] - base) / 2**20))
    lines += ['', ', '.join(
            f'{kind} {count:,}' for kind, count in result['notes'].items())]
    return '\n'.join(lines)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='./dev bench upgrade', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--instances', type=int, default=1_000_000)
    parser.add_argument('--json', action='store_true')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    instances = options.instances
    result = Benchmark({
            'patients': max(instances // 50, 10),
            'studies': max(instances // 50, 10),
            'series': max(instances // 10, 50),
            'instances': instances,
            }).run()
    print(json.dumps(result) if options.json else format_table(result))


if __name__ == '__main__':
    with stopping_on_signals():
        main(sys.argv[1:])
