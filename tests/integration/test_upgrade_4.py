# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database of gnuhealth-orthanc 4.2 that never had 5.0."""
import sqlite3
from contextlib import closing

import pytest

from devtools.tryton import MODULE

from .tables import dump
from .upgraded import SERVER, STUDY

# What is left of 4.x in a database of 5.0 is moved in test_upgrade
pytestmark = pytest.mark.release

# As Tryton 6.0 made them
TABLES = """
    CREATE TABLE {table} (
        id INTEGER PRIMARY KEY AUTOINCREMENT, create_uid INTEGER,
        create_date TIMESTAMP, write_uid INTEGER, write_date TIMESTAMP,
        {columns})
    """
COLUMNS = {
    'gnuhealth_orthanc_config':
    'label VARCHAR, domain VARCHAR, "user" VARCHAR, password VARCHAR, '
    'last BIGINT, sync_time TIMESTAMP, validated BOOLEAN',
    'gnuhealth_orthanc_patient':
    'patient INTEGER, name VARCHAR, bd DATE, ident VARCHAR, uuid VARCHAR, '
    'server INTEGER',
    'gnuhealth_orthanc_study':
    'patient INTEGER, uuid VARCHAR, description VARCHAR, date DATE, '
    'ident VARCHAR, institution VARCHAR, ref_phys VARCHAR, req_phys VARCHAR, '
    'server INTEGER, imaging_test INTEGER',
    }
ROWS = """
    INSERT INTO party_party (id, code, name, ref, is_person, is_patient)
        VALUES (101, 'B1', 'Erika', 'ERI1', 1, 1);
    INSERT INTO gnuhealth_patient (id, party) VALUES (102, 101);
    INSERT INTO gnuhealth_orthanc_config (id, label, domain, user, password)
        VALUES (1, 'First', 'http://a.example.org:8042/', 'u', 'secret'),
            (2, 'Second', 'http://a.example.org:8042/', 'u', 'secret');
    INSERT INTO gnuhealth_orthanc_patient
            (id, patient, name, ident, uuid, server)
        VALUES (1, 102, 'Muster^Erika', 'ERI1', 'p1', 1),
            (2, 102, 'Muster^E.', 'HOSP-1', 'p2', 2);
    INSERT INTO gnuhealth_orthanc_study
            (id, patient, uuid, description, date, ref_phys, server)
        VALUES (5, 1, 's1', 'CT Head', '2019-05-17', 'Zuweiser^Karl', 1),
            (6, 2, 's1', NULL, NULL, NULL, 2);
    INSERT INTO ir_note (message, resource)
        VALUES ('Remark', 'gnuhealth.orthanc.study,6');
    """


@pytest.fixture(scope='module')
def tables(prepared_tryton) -> dict[str, dict[int, dict]]:
    """The rows after an update."""
    tryton = prepared_tryton('sqlite', 'health_imaging').copy('four')
    with closing(sqlite3.connect(tryton.sqlite_file)) as connection:
        for table, columns in COLUMNS.items():
            connection.execute(TABLES.format(table=table, columns=columns))
        connection.executescript(ROWS)
    tryton.update(MODULE)
    try:
        yield dump(tryton)
    finally:
        tryton.drop()


def test_servers_of_one_address_are_separated(tables):
    assert {
        (row['label'], row['domain'], bool(row['active']))
        for row in tables[SERVER].values()} == {
            ('First', 'http://a.example.org:8042', True),
            ('Second', 'http://a.example.org:8042/ (2)', False)}


def test_studies_are_brought(tables):
    first, second = sorted(
        tables[STUDY].values(), key=lambda row: row['server'])
    assert (
        first['date'], first['requested_procedure_description'],
        first['referring_physician_name'], first['patient_display_name']) == (
            '2019-05-17', "CT Head", "Zuweiser^Karl", "Muster, Erika")
    assert [
        (row['patient'], row['link_status']) for row in [first, second]] == [
            (102, 'auto_unsure'), (102, 'manual')]
    assert first['orthanc_UID'] == second['orthanc_UID'] == 's1'
    note, = tables['ir_note'].values()
    assert note['resource'] == (
        f"gnuhealth.imaging_orthanc.study,{second['id']}")
    assert 'gnuhealth_orthanc_study' not in tables
