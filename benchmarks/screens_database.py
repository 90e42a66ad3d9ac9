# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up archive in PostgreSQL for the screens.

All rows are made by PostgreSQL itself.  For N studies there are 2 N series,
N / 10 patients of GNU Health that own four of five studies, N / 5 patients of
Orthanc, N / 4 orders with a step each, N / 8 results, N / 2 decisions and N
entries of the audit trail.
"""
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ['BIG_TABLES', 'FIRST', 'fill', 'fill_database']

# Ids below belong to what the modules have brought
FIRST = 1_000_000
# Whose rows grow with the archive
BIG_TABLES = [
    'party_party', 'gnuhealth_patient', 'gnuhealth_orthanc_patient',
    'gnuhealth_person_name', 'gnuhealth_imaging_orthanc_study',
    'gnuhealth_imaging_orthanc_study_series', 'gnuhealth_imaging_test_request',
    'gnuhealth_imaging_procedure_step', 'gnuhealth_imaging_test_result',
    'gnuhealth_imaging_orthanc_study_decision',
    'gnuhealth_imaging_orthanc_study_order', 'gnuhealth_imaging_orthanc_audit']
# Many people share these, as in a town
_FAMILY = """(ARRAY['Muster', 'Ejemplo', 'Sample', 'Betz', 'Schmidt', 'Garcia',
    'Nowak', 'Ivanova', 'Okafor', 'Tanaka', 'Silva', 'Dubois', 'Rossi',
    'Jensen', 'Kaya', 'Haddad', 'Mbeki', 'Singh', 'Nguyen', 'Kowalski'])
    [1 + {0} % 20] || (ARRAY['', 'son', 'berg', 'ez', 'ova', 'mann', 'ini',
    'ski', 'dottir', 'oglu'])[1 + {0} / 20 % 10]
    || (ARRAY['', 'a', 'e', 'i', 'o', 'u', 'y'])[1 + {0} / 200 % 7]"""
_GIVEN = """(ARRAY['Erika', 'Juan', 'Ana', 'Otto', 'Cora', 'Luis', 'Maria',
    'Pavel', 'Amina', 'Kenji', 'Joao', 'Chloe', 'Marco', 'Freja', 'Emre',
    'Layla', 'Thabo', 'Ravi', 'Linh', 'Zofia', 'Hans', 'Ines', 'Ole'])
    [1 + {0} % 23] || CASE {0} / 23 % 3 WHEN 0 THEN '' WHEN 1 THEN ' Maria'
    ELSE ' Jose' END"""
_MODALITY = """(ARRAY['CR', 'CT', 'MR', 'US', 'MG', 'XA', 'NM', 'CR, SR'])
    [1 + i % 8]"""
_DESCRIPTION = """(ARRAY['Thorax p.a.', 'CT Abdomen', 'MR Schaedel',
    'Knie links', 'Mammography', 'Sonography liver', 'Bone scan',
    'Coronary angiography', 'Hand rechts', 'Spine lumbar'])[1 + i % 10]
    || CASE WHEN i % 997 = 0 THEN ' arthrography' ELSE '' END"""
_DAY = "(current_date - (i * 7919 % 4000)::int)"
# The patient of a study; PUIDs are numbers of eight digits
_PATIENT = 'i * 7 % {patients}'

_ROWS = {
    'party_party': ("""
        id, code, name, lastname, ref, dob, gender, active, is_person,
        is_patient""", f"""
        {FIRST} + i, 'B' || i, {_GIVEN.format('i')}, {_FAMILY.format('i')},
        'P' || {FIRST} * 10 + i, date '1930-01-01' + (i * 13 % 30000)::int,
        CASE WHEN i % 2 = 0 THEN 'f' ELSE 'm' END, true, true, true
        """, 'patients'),
    'gnuhealth_patient': (
        'id, party, active', f'{FIRST} + i, {FIRST} + i, true', 'patients'),
    'gnuhealth_person_name': (
        'id, party, use, family, given', f"""
        {FIRST} + i, {FIRST} + i, 'official', {_FAMILY.format('i')},
        {_GIVEN.format('i')}
        """, 'patients'),
    'gnuhealth_orthanc_config': ("""
        id, label, domain, "user", validated, connect_timeout, read_timeout,
        retries, worklist_mode, instances_mode, sync_workers""", f"""
        {FIRST} + i, 'Archive ' || i, 'http://127.0.0.1:9/' || i, 'orthanc',
        true, 5, 30, 2, 'none', 'on_demand', 2""", 'servers'),
    'gnuhealth_orthanc_patient': ("""
        id, name, display_name, ident, uuid, bd, sex, server, patient,
        missing_since""", f"""
        {FIRST} + i, {_FAMILY.format('i')} || '^' || {_GIVEN.format('i')},
        {_FAMILY.format('i')} || ', ' || {_GIVEN.format('i')},
        'P' || {FIRST} * 10 + i, md5('patient' || i),
        date '1930-01-01' + (i * 13 % 30000)::int,
        CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END, {FIRST} + i % {{servers}},
        CASE WHEN i < {{patients}} THEN {FIRST} + i END,
        CASE WHEN i % 100 = 0 THEN now() END""", 'orthanc_patients'),
    'gnuhealth_imaging_test_request': ("""
        id, patient, date, requested_test, doctor, state, request, urgent,
        study_instance_uid, accession_number, merge_id, worklist_status,
        to_repeat, requested_at""", f"""
        {FIRST} + i, {FIRST} + i * 7 % {{patients}}, {_DAY}, {{test}},
        {{doctor}},
        CASE WHEN i % 100 < 95 THEN 'done' WHEN i % 100 < 97 THEN 'requested'
            WHEN i % 100 = 97 THEN 'draft' ELSE 'canceled' END,
        'O' || i, i % 10 = 0, '1.2.9.' || i, 'A' || {FIRST} * 10 + i,
        '1.2.9.' || i,
        CASE WHEN i % 100 < 95 THEN 'done' WHEN i % 100 < 98 THEN 'todo'
            ELSE 'canceled' END, i % 5000 = 0, {_DAY}""", 'orders'),
    'gnuhealth_imaging_procedure_step': ("""
        id, request, number, step_id, modality, station_aetitle, scheduled_at,
        description, duration, state""", f"""
        {FIRST} + i, {FIRST} + i, 1, 'S' || {FIRST} * 10 + i,
        split_part({_MODALITY}, ',', 1),
        CASE WHEN i % 100 <> 96 THEN 'AE' || i % 30 END,
        CASE WHEN i % 100 = 95 THEN current_date + interval '10 hours'
            ELSE {_DAY} + interval '10 hours' END,
        {_DESCRIPTION}, interval '15 minutes',
        CASE WHEN i % 100 < 95 THEN 'completed' WHEN i % 100 < 98
            THEN 'scheduled' WHEN i % 1000 < 990 THEN 'canceled'
            ELSE 'rejected' END""", 'orders'),
    'gnuhealth_imaging_test_result': ("""
        id, number, patient, date, requested_test, doctor, request, merge_id,
        orthanc_unreported""", f"""
        {FIRST} + i, 'R' || i, {FIRST} + i * 2 * 7 % {{patients}}, {_DAY},
        {{test}}, CASE WHEN i % 50 <> 0 THEN {{doctor}} END, {FIRST} + i * 2,
        '1.2.9.' || i * 2, i % 50 = 0""", 'results'),
    'gnuhealth_imaging_orthanc_study': ("""
        id, create_date, orthanc_patient, patient_name, patient_display_name,
        patient_id, patient_birth_date, patient_sex, date, study_time,
        study_description, study_id, accession_number, modalities, institution,
        referring_physician_name, "study_instance_UID", "orthanc_UID", server,
        last_update, stable, historical, missing_since, patient, request,
        imaging_test, matched_at, score, candidate, link_status""", f"""
        {FIRST} + i, now(), {FIRST} + i * 7 % {{orthanc_patients}},
        {_FAMILY.format('(i * 7 % {orthanc_patients})')} || '^'
        || {_GIVEN.format('(i * 7 % {orthanc_patients})')},
        {_FAMILY.format('(i * 7 % {orthanc_patients})')} || ', '
        || {_GIVEN.format('(i * 7 % {orthanc_patients})')},
        'P' || {FIRST} * 10 + i * 7 % {{orthanc_patients}},
        date '1930-01-01' + (i * 7 % {{orthanc_patients}} * 13 % 30000)::int,
        'F', {_DAY}, time '08:00' + i % 600 * interval '1 minute',
        {_DESCRIPTION}, 'ID' || i, 'A' || {FIRST} * 10 + i, {_MODALITY},
        'Hospital', 'Zuweiser^Karl', '1.2.9.' || i, md5('study' || i),
        {FIRST} + i % {{servers}}, now(), true, i % 100 BETWEEN 60 AND 79,
        CASE WHEN i % 100 = 99 THEN now() END,
        CASE WHEN i % 100 < 60 OR i % 100 >= 84
            THEN {FIRST} + {_PATIENT} END,
        CASE WHEN i < {{orders}} AND i % 100 < 60 THEN {FIRST} + i END,
        CASE WHEN i % 2 = 0 AND i < {{orders}} AND i % 100 < 60
            THEN {FIRST} + i / 2 END,
        now(), CASE WHEN i % 100 BETWEEN 80 AND 85 THEN 70 END,
        CASE WHEN i % 100 BETWEEN 80 AND 81 THEN {FIRST} + {_PATIENT} END,
        CASE WHEN i % 100 BETWEEN 60 AND 81 THEN 'unlinked'
            WHEN i % 100 BETWEEN 82 AND 83 THEN 'dismissed'
            WHEN i % 100 BETWEEN 84 AND 85 THEN 'auto_unsure'
            WHEN i % 100 BETWEEN 86 AND 90 THEN 'manual'
            ELSE 'auto_certain' END""", 'studies'),
    'gnuhealth_imaging_orthanc_study_series': ("""
        id, study, "orthanc_UID", "series_UID", series_number,
        series_description, modality, instances_count, stable""", f"""
        {FIRST} + i, {FIRST} + i / 2, md5('series' || i), '1.2.8.' || i,
        1 + i % 2, {_DESCRIPTION}, split_part({_MODALITY}, ',', 1), 100, true
        """, 'series'),
    'gnuhealth_imaging_orthanc_study_decision': ("""
        id, study, at, patient_to""", f"""
        {FIRST} + i, {FIRST} + i * 2, now(), {FIRST} + {_PATIENT}
        """, 'decisions'),
    'gnuhealth_imaging_orthanc_study_order': ("""
        id, study, request, linked_at""", f"""
        {FIRST} + i, {FIRST} + i * 50, {FIRST} + i * 3, now()
        """, 'further_orders'),
    'gnuhealth_imaging_orthanc_audit': ("""
        id, number, at, user_id, action, outcome, patient_id, puid, study_id,
        study_uid, server_id, address, detail, digest""", f"""
        {FIRST} + i, {FIRST} + i,
        now() - (i * 131 % 40000000) * interval '1 s',
        1 + i % 5,
        (ARRAY['view', 'preview', 'link', 'upload', 'query'])[1 + i % 5],
        CASE WHEN i % 100 = 0 THEN 'refused' ELSE 'success' END,
        {FIRST} + {_PATIENT}, 'P' || {FIRST} * 10 + {_PATIENT}, {FIRST} + i,
        '1.2.9.' || i, {FIRST} + i % {{servers}}, '192.0.2.' || i % 250,
        CASE WHEN i % 5 = 1 THEN 'Frame ' || i % 100 END, md5('audit' || i)
        """, 'studies'),
    }


def _sizes(studies: int) -> dict[str, int]:
    return {
        'studies': studies, 'series': 2 * studies, 'patients': studies // 10,
        'orthanc_patients': studies // 5, 'orders': studies // 4,
        'results': studies // 8, 'decisions': studies // 2,
        'further_orders': studies // 50, 'servers': 3}


def fill(cursor: Any, studies: int, test: int, doctor: int) -> Iterator[str]:
    """Fill the tables of a new database, and yield the name of each.

    Parameters
    ----------
    cursor
        Of a superuser: constraints are not checked one by one.
    studies
        How many.
    test, doctor
        The ids of an imaging test and of a health professional.
    """
    sizes = _sizes(studies)
    cursor.execute('SET session_replication_role = replica')
    for table, (columns, values, size) in _ROWS.items():
        values = values.format(test=test, doctor=doctor, **sizes)
        cursor.execute(
            f'INSERT INTO {table} ({columns}) SELECT {values}'
            f' FROM generate_series(0::bigint, {sizes[size] - 1}) i')
        yield table


def fill_database(database: str, studies: int) -> None:
    """Fill a new database, and create the indexes after it.

    Parameters
    ----------
    database
        Its name.
    studies
        How many.
    """
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    Pool.start()
    with Transaction().start(database, 0, readonly=True):
        Pool(database).init()
    with Transaction().start(
            database, 0, context={'_check_access': False}) as transaction:
        test, doctor = _test(), _doctor()
        cursor = transaction.connection.cursor()
        _drop_indexes(cursor)
        for table in fill(cursor, studies, test, doctor):
            print(table, file=sys.stderr, flush=True)
        transaction.commit()
    _create_indexes(database)


def _create_indexes(database: str) -> None:
    from trytond.pool import Pool
    from trytond.transaction import Transaction
    with Transaction().start(database, 0) as transaction:
        transaction.connection.cursor().execute(
            "SET LOCAL maintenance_work_mem = '512MB'")
        for _, Model in Pool().iterobject():
            if getattr(Model, '_table', None) in BIG_TABLES:
                Model._update_sql_indexes()
        transaction.commit()
    with Transaction().start(database, 0, autocommit=True) as transaction:
        transaction.connection.cursor().execute('VACUUM ANALYZE')


def _drop_indexes(cursor: Any) -> None:
    cursor.execute(
        'SELECT indexname FROM pg_indexes WHERE tablename = ANY(%s)'
        r" AND indexname LIKE 'idx\_%%'", (BIG_TABLES,))
    for name, in cursor.fetchall():
        cursor.execute(f'DROP INDEX "{name}"')


def _test() -> int:
    from trytond.pool import Pool
    pool = Pool()
    get_id = pool.get('ir.model.data').get_id
    test, = pool.get('gnuhealth.imaging.test').create([{
                'code': 'B', 'name': "CT of the abdomen",
                'test_type': get_id(
                    'health_imaging', 'gnuhealth_test_type_ctscan'),
                'product': get_id(
                    'health_imaging', 'product_product_ctscancharges')}])
    return test.id


def _doctor() -> int:
    from trytond.pool import Pool
    pool = Pool()
    party, = pool.get('party.party').create([{
                'name': "Cora", 'lastname': "Musterfrau", 'is_person': True,
                'is_healthprof': True, 'gender': 'f', 'fed_country': 'XXX'}])
    doctor, = pool.get('gnuhealth.healthprofessional').create(
        [{'party': party.id}])
    return doctor.id
