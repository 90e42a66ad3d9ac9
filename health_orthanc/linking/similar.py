# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search for the patients of thousands of studies at once, in PostgreSQL

They are the same patients that a search for each study finds, in a few
statements for all of them.
"""

from collections import defaultdict

from trytond import backend
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..core.matching.field_comparison import find_slip
from ..core.matching.search_keys import name_keys, near_identifiers, pair_near

__all__ = ['can_search_sets', 'find_born_at', 'find_near', 'find_same_keys']

# Separates texts that hold no control characters
_SEPARATOR = '\x1f'
# Identifiers that are looked for in one statement
_NEAR_LIMIT = 50000
# An identifier has hundreds of neighbors: up to so many PUIDs for each one,
# to read all PUIDs takes less time than to look for the neighbors
_PUIDS_FOR_EACH = 50


def can_search_sets():
    """Return whether the database can search for sets.

    Returns
    -------
    bool
    """
    return backend.name == 'postgresql'


def find_near(patient_ids):
    """Return the PUIDs that are one typing error away.

    Parameters
    ----------
    patient_ids : iterable of str

    Returns
    -------
    dict of set of str
        The PatientIDs, by the PUID.
    """
    rest = set(patient_ids)
    puids = _all_puids(_PUIDS_FOR_EACH * len(rest))
    if puids is not None:
        return pair_near(rest, puids)
    found = defaultdict(set)
    while rest:
        some, values = {}, set()
        while rest and len(values) < _NEAR_LIMIT:
            id_ = rest.pop()
            some[id_] = near_identifiers(id_)
            values |= some[id_]
        existing = _existing(values)
        for id_, neighbors in some.items():
            for puid in neighbors & existing:
                found[puid].add(id_)
    return found


def _all_puids(limit):
    "Return all PUIDs, or None if there are more than a limit"
    cursor = Transaction().connection.cursor()
    table = Pool().get('party.party')._table
    known = f'FROM "{table}" WHERE ref IS NOT NULL'
    cursor.execute(
        f'SELECT count(*) FROM (SELECT 1 {known} LIMIT %s) AS p',
        (limit + 1,))
    count, = cursor.fetchone()
    if count > limit:
        return None
    cursor.execute(f'SELECT ref {known}')
    return {puid for puid, in cursor}


def _existing(puids):
    cursor = Transaction().connection.cursor()
    table = Pool().get('party.party')._table
    # Joined with nothing else: that there are few is not known before
    cursor.execute(
        'SELECT DISTINCT o.ref FROM unnest(string_to_array(%s, %s)) AS w (ref)'
        f' JOIN "{table}" o ON o.ref = w.ref',
        (_SEPARATOR.join(puids), _SEPARATOR))
    return {puid for puid, in cursor}


def find_same_keys(studies, limit):
    """Return the patients whose names share a key with those of studies.

    Parameters
    ----------
    studies : iterable of tuple
        The groups of the name, and the birth date, which must be known.
    limit : int
        The most patients of each.

    Returns
    -------
    dict of set of int
        By what was given.
    """
    numbers = list(dict.fromkeys(studies))
    wanted = [
        (number, key, born) for number, (groups, born) in enumerate(numbers)
        for key in name_keys(groups)]
    rows = defaultdict(list)
    for number, patient, born, count in _fetch_same_keys(wanted):
        rows[number].append((patient, born, count))
    return {
        numbers[number]: _first_of(some, numbers[number][1], limit)
        for number, some in rows.items()}


def _fetch_same_keys(wanted):
    """Return rows of patients who share keys, with how many they share.

    A typing error keeps the year or the day of a birth date, or leads to a
    date that is near.  That leaves few of the patients with a frequent name.
    """
    if not wanted:
        return []
    cursor = Transaction().connection.cursor()
    table = Pool().get('gnuhealth.imaging_orthanc.patient_key')._table
    numbers, keys, dates = map(list, zip(*wanted))
    cursor.execute(
        'SELECT w.number, k.patient, k.birth_date, count(*) '
        'FROM unnest(CAST(%s AS INTEGER[]), CAST(%s AS VARCHAR[]), '
        'CAST(%s AS DATE[])) AS w (number, key, born) '
        f'JOIN "{table}" k ON k.key = w.key '
        'WHERE k.birth_date IS NULL '
        'OR abs(k.birth_date - w.born) <= 366 '
        'OR extract(day FROM k.birth_date) = extract(day FROM w.born) '
        'OR extract(year FROM k.birth_date) = extract(year FROM w.born) '
        'GROUP BY w.number, k.patient, k.birth_date',
        (numbers, keys, dates))
    return cursor.fetchall()


def _first_of(rows, born, limit):
    "Return the first patients, in the order of `PatientKey.find_similar`"
    slips = {}
    best, shared = {}, defaultdict(int)
    for patient, date, count in rows:
        if date is None:
            rank = 0
        elif date == born:
            rank = 2
        else:
            if date not in slips:
                slips[date] = find_slip(date, born)
            if not slips[date]:
                continue
            rank = 1
        best[patient] = max(rank, best.get(patient, 0))
        shared[patient] += count
    found = sorted(best, key=lambda p: (-best[p], -shared[p], p))
    return set(found[:limit])


def find_born_at(dates, mark, limit):
    """Return the patients who were born on days.

    Parameters
    ----------
    dates : iterable of date
    mark : str
        The key that all patients have.
    limit : int
        The most patients of each day.

    Returns
    -------
    dict of set of int
        By the date.
    """
    dates = sorted(set(dates))
    found = defaultdict(set)
    if not dates:
        return found
    cursor = Transaction().connection.cursor()
    table = Pool().get('gnuhealth.imaging_orthanc.patient_key')._table
    cursor.execute(
        'SELECT w.born, k.patient FROM unnest(CAST(%s AS DATE[])) '
        'AS w (born) CROSS JOIN LATERAL ('
        f'SELECT patient FROM "{table}" '
        'WHERE key = %s AND birth_date = w.born LIMIT %s) k',
        (dates, mark, limit))
    for born, patient in cursor:
        found[born].add(patient)
    return found
