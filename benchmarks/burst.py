# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A burst of studies, and what it does to the queue of tasks.

Studies are stored in an Orthanc with the plugin, as fast as it takes them;
GNU Health has PostgreSQL and two workers.  While their notifications are
processed, somebody presses *Check Connection* again and again.

Prints how many notifications and tasks there were, how long it took, and for
the tasks that somebody waited for: the longest wait, and how many others were
begun before them although they were queued later or are bulk work.
"""
import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path

from devtools.faults.site import Site, open_template
from devtools.postgresql import PostgreSQL
from devtools.process import stopping_on_signals
from devtools.samples import make_bulk
from devtools.testing import cache_folder
from devtools.tryton import MODULE, Tryton

# Seconds between two looks at the progress
PAUSE = 2


def measure(site: Site, studies: int, timeout: float) -> dict[str, object]:
    """Return what a burst of so many studies came to."""
    started = time.monotonic()
    site.orthanc.upload_bulk(make_bulk(studies, 1, 1))
    stored = time.monotonic() - started
    pressed = 0
    while _processed(site) < studies:
        if time.monotonic() - started > timeout:
            raise TimeoutError(f"{_processed(site)} of {studies} studies")
        site.press_check()
        pressed += 1
        time.sleep(PAUSE)
    return {
        'studies': studies,
        'stored_seconds': round(stored, 1),
        'processed_seconds': round(time.monotonic() - started, 1),
        'notifications': _count(site, 'SELECT count(*) FROM'
            ' gnuhealth_orthanc_notification'),
        'tasks': _count(site, _TASKS.format('process_notifications')),
        'pressed': pressed,
        **_urgent(site),
        }


_METHOD = "data::json->>'method'"
_TASKS = f"SELECT count(*) FROM ir_queue WHERE {_METHOD} = '{{}}'"
_URGENT = f"""
    SELECT extract(epoch FROM urgent.dequeued_at - urgent.enqueued_at),
        (SELECT count(*) FROM ir_queue AS other
            WHERE other.{_METHOD} != 'check_connection'
            AND other.dequeued_at > urgent.enqueued_at
            AND other.dequeued_at < urgent.dequeued_at)
    FROM ir_queue AS urgent
    WHERE urgent.{_METHOD} = 'check_connection'
        AND urgent.dequeued_at IS NOT NULL"""


def _urgent(site: Site) -> dict[str, object]:
    with site.connection.cursor() as cursor:
        cursor.execute(_URGENT)
        found = cursor.fetchall()
    return {
        'urgent_longest_seconds': round(max(float(s) for s, _ in found), 2),
        'urgent_overtaken': sum(count for _, count in found),
        }


def _processed(site: Site) -> int:
    return _count(site, """
        SELECT count(DISTINCT "orthanc_UID") FROM
            gnuhealth_orthanc_notification
        WHERE processed_at IS NOT NULL""")


def _count(site: Site, query: str) -> int:
    with site.connection.cursor() as cursor:
        cursor.execute(query)
        count, = cursor.fetchone()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--studies', type=int, default=3000)
    parser.add_argument(
        '--timeout', type=float, default=1800, help="in seconds")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopping_on_signals())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        postgresql = stack.enter_context(PostgreSQL())
        tryton = Tryton(Path(folder, 'tryton'), postgresql=postgresql)
        tryton.create([MODULE], cache_folder())
        template = stack.enter_context(open_template(tryton))
        site = stack.enter_context(Site(template, 'burst'))
        print(json.dumps(measure(
                    site, arguments.studies, arguments.timeout)))


if __name__ == '__main__':
    main()
