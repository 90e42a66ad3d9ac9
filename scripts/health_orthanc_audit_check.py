#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the audit trail of health_orthanc

Each entry holds a digest of itself and of the entry before.  The command reads
them all in their order, and names the first one that is not as it was written.
It only reads.
"""

import argparse
import sys

from trytond.config import config

__all__ = ['main']

OK, BROKEN, FAILED = 0, 1, 2
_REASONS = {
    'missing': "it is missing",
    'changed': "it, or the entry before, was changed",
    'end': "the entries go on after the recorded end, or the end was changed",
    'noted': "its digest is not the one that was noted",
    }


def main(arguments=None):
    """Check the audit trail of a database, and print the result.

    Parameters
    ----------
    arguments : list of str, optional
        By default, those of the command line.

    Returns
    -------
    int
        0 if every entry is as it was written, 1 if not, 2 if that cannot be
        found out.
    """
    options = _parser().parse_args(arguments)
    if options.config:
        config.update_etc(options.config)
    # What these import depends on the configuration
    from trytond import backend
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    try:
        with Transaction().start(options.database, 0, readonly=True):
            Pool(options.database).init()
            return _check(options)
    except (KeyError, backend.DatabaseOperationalError) as error:
        print(f"{options.database}: cannot be checked ({error})",
            file=sys.stderr)
        return FAILED


def _parser():
    parser = argparse.ArgumentParser(
        prog='health-orthanc-audit-check', description=__doc__)
    parser.add_argument(
        '-c', '--config', action='append', metavar='FILE',
        help="the configuration of trytond")
    parser.add_argument('-d', '--database', required=True, metavar='NAME')
    parser.add_argument(
        '--noted', action='append', type=_noted, default=[],
        metavar='NUMBER:DIGEST',
        help="an entry as an earlier check has printed it")
    return parser


def _noted(text):
    number, _, digest = text.partition(':')
    return int(number), digest.strip().lower()


def _check(options):
    from trytond.modules.health_orthanc.core.audit.digests import Break
    from trytond.pool import Pool
    Entry = Pool().get('gnuhealth.imaging_orthanc.audit')
    wanted = dict(options.noted)
    start, count, place = Entry.chain_start(), 0, None
    for place in Entry.verify():
        if isinstance(place, Break):
            break
        count += 1
        if wanted.get(place.number, place.digest) != place.digest:
            place = Break(place.number, 'noted')
            break
    if isinstance(place, Break):
        print(f"Entry {place.number}: {_REASONS[place.reason]}.")
        print(f"{count} entries before are as they were written.")
        return BROKEN
    print(f"{count} entries are as they were written.")
    if start.number:
        print(f"Entries up to {start.number} were removed after their time.")
    if place:
        print(f"Last entry, to be noted: {place.number}:{place.digest}")
    lost = [n for n in wanted if place is None or n > place.number]
    if lost:
        print(f"Entry {min(lost)}: it is missing.")
        return BROKEN
    return OK


if __name__ == '__main__':
    sys.exit(main())
