# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hospital with gnuhealth-orthanc 5.0.4 gets our module in its place.

Each kind of database is made with the old module once and kept in the cache.
"""
import datetime as dt
import signal
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from trytond.modules.health_orthanc.core.secrets import unseal

from devtools.hospital import PATIENTS
from devtools.orthanc import Orthanc
from devtools.process import StartError
from devtools.tryton import MODULE, Tryton

from . import inside, interrupted, old_hospital
from .agent import Agent
from .old_hospital import EJEMPLO, EXEMPLE, KOFI, MANY, MUSTER
from .tables import dump, schema
from .upgraded import SERVER, STUDY, Upgraded, make_old_database

# Two hospitals are made and updated for it.  What the updates do is tested
# with the module, too
pytestmark = pytest.mark.release
WORKLIST = 'health_imaging_worklist'
PATIENT = 'gnuhealth_orthanc_patient'
SERIES = 'gnuhealth_imaging_orthanc_study_series'
INSTANCE = 'gnuhealth_imaging_orthanc_series_instances'
STUDY_4 = 'gnuhealth_orthanc_study'
TEMPLATE = 'gnuhealth_imaging_worklist_worklist_template'
NOTE = 'gnuhealth_orthanc_upgrade_note'
MIRRORS = [SERVER, PATIENT, STUDY, SERIES, INSTANCE]
# What Tryton writes at each update
VOLATILE = {'ir_cache', 'ir_lang'}
GONE = old_hospital.GONE_URL
# Studies that were recorded elsewhere, too
TWINS = {'by PUID', 'unlinked'}
IN_4 = {'by PUID', 'bare', 'by hand', 'doubled', *old_hospital.ONLY_4}

CASES = [('sqlite', False), ('postgresql', False), ('postgresql', True)]


@pytest.fixture(
    scope='module', params=CASES,
    ids=lambda case: case[0] + '-worklist' * case[1])
def upgraded(request, tmp_path_factory) -> Iterator[Upgraded]:
    """An upgraded database; tests change copies of it only."""
    backend, worklist = request.param
    folder = tmp_path_factory.mktemp('old')
    options = {'name': f'old{CASES.index(request.param)}'}
    if backend == 'postgresql':
        options['postgresql'] = request.getfixturevalue('postgresql')
    make_old_database(folder, [WORKLIST] * worklist, **options)
    keys = [Fernet.generate_key().decode()] * worklist
    tryton = Tryton(
        folder, sections={MODULE: {'fernet_key': ' '.join(keys)}}, **options)
    yield Upgraded(tryton, worklist, keys)
    tryton.drop()


def test_servers_are_kept(upgraded):
    servers = upgraded.servers
    assert {
        label: (row['domain'], row['proxy_domain'], row['active'])
        for label, row in servers.items()} == {
            'Main': ('http://main.example.org:8042', None, True),
            'Second': (
                old_hospital.SECOND_URL, 'https://images.example.org/orthanc',
                True),
            'Slash': (old_hospital.SECOND_SLASH_URL, None, True),
            GONE: (GONE, None, False),
            'unknown': ('unknown', None, False),
            }
    for old in upgraded.before[SERVER].values():
        new = upgraded.after[SERVER][old['id']]
        assert (new['label'], new['user'], new['validated']) == (
            old['label'], old['user'], old['validated'])
    assert servers['Main']['validated']


def test_next_run_of_a_server_reconciles(upgraded):
    for row in upgraded.servers.values():
        assert row['last_changed_index'] is None
        assert row['reconciliation_position'] is None
        # Nothing from before the upgrade is put up for review
        assert str(row['start_date']) <= str(dt.date.today())
        assert str(row['start_date']) > '2026-03-02'


def test_servers_can_be_used(upgraded):
    identifiers = set()
    for row in upgraded.servers.values():
        assert (row['connect_timeout'], row['read_timeout']) == (5, 60)
        assert (row['retries'], row['instances_mode']) == (2, 'on_demand')
        identifiers.add(row['identifier'])
    assert len(identifiers - {None}) == 5


def test_passwords_are_protected(upgraded):
    for label, password in old_hospital.PASSWORDS.items():
        row = upgraded.servers[label]
        assert 'password' not in row
        assert unseal(row['sealed_password'], upgraded.keys) == password
        assert (password in row['sealed_password']) != upgraded.worklist


def test_no_study_is_lost(upgraded):
    twins = {
        id_ for id_, row in upgraded.before[STUDY].items()
        if row['server'] == old_hospital.TWIN_URL}
    assert len(upgraded.before[STUDY]) >= 200
    assert upgraded.before[STUDY].keys() - twins == (
        upgraded.after[STUDY].keys() - upgraded.added)
    moved = {
        'server', 'date', 'performing_physician_name', 'patient',
        'imaging_test'}
    for (_, name), new in upgraded.studies.items():
        if new['id'] in upgraded.added:
            continue
        old = upgraded.before[STUDY][new['id']]
        completed = set(moved)
        if name in TWINS:
            completed |= {'notes', 'merge_comment'}
        if name in IN_4:
            completed |= {'merge_comment'} | {
                column for column in old if not old[column]}
        assert {name: new[name] for name in old if name not in completed} == {
            name: value if name == 'notes' else value or None
            for name, value in old.items() if name not in completed}
        assert name in IN_4 or new['referring_physician_name'] == (
            old['performing_physician_name'] or None)
        assert new['performing_physician_name'] is None
        assert not new.keys() & {'server_url', 'date_text'}


def test_studies_that_were_recorded_twice_are_one(upgraded):
    rows = upgraded.studies
    assert rows['Main', 'by PUID']['notes'] == (
        "Notes on by PUID\nTwin of by PUID")
    assert rows['Main', 'by PUID']['merge_comment'] == EXEMPLE.puid
    assert rows['Main', 'unlinked']['notes'] == (
        "Notes on unlinked\nTwin of unlinked")


def test_studies_find_their_servers(upgraded):
    on_main = set(old_hospital.studies(upgraded.worklist))
    assert set(upgraded.studies) == {
        *(('Main', name) for name in on_main),
        *(('Second', name) for name in [
                *old_hospital.DATES, *MANY, 'only in 4.x', 'torn in 4.x']),
        ('Slash', 'proper'), (GONE, 'gone'), ('unknown', 'nowhere in 4.x')}
    assert upgraded.studies[GONE, 'gone']['notes'] == "Notes on gone"


def test_links_tell_who_made_them(upgraded):
    expected = {
        ('Main', 'by PUID'): (MUSTER, 'auto_unsure'),
        ('Main', 'mistaken'): (KOFI, 'auto_unsure'),
        ('Main', 'by hand'): (EJEMPLO, 'manual'),
        ('Main', 'result by hand'): (EJEMPLO, 'manual'),
        (GONE, 'gone'): (EXEMPLE, 'manual'),
        ('Main', 'unlinked'): (EXEMPLE, 'manual'),
        ('Main', 'doubled'): (EXEMPLE, 'manual'),
        ('Second', 'only in 4.x'): (MUSTER, 'auto_unsure'),
        ('Second', 'torn in 4.x'): (EXEMPLE, 'auto_unsure'),
        **{('Second', name): (
                PATIENTS[number % len(PATIENTS)], 'manual')
            for number, name in enumerate(MANY) if number % 3 == 0},
        }
    if upgraded.worklist:
        expected['Main', 'by merge id'] = EXEMPLE, 'auto_unsure'
    for key, row in upgraded.studies.items():
        person, status = expected.get(key, (None, 'unlinked'))
        assert (upgraded.puid(row['patient']), row['link_status']) == (
            person and person.puid, status), key
        assert row['decided_by'] is None
        # What was linked before waits for a person, all other is matched
        assert bool(row['matched_at']) == bool(person)


def test_results_keep_their_studies(upgraded):
    results = {
        row['comment']: row['id'] for row in
        upgraded.after['gnuhealth_imaging_test_result'].values()}
    assert len(results) == 2 + upgraded.worklist
    for (_, name), row in upgraded.studies.items():
        if name in {'doubled', 'torn in 4.x'}:
            name = 'other in 4.x'
        assert row['imaging_test'] == results.get(name)


def test_dates_become_dates(upgraded):
    found = {
        name: (row['date'] and str(row['date']), row['malformed_tags'])
        for (label, name), row in upgraded.studies.items()
        if label == 'Second' and name in old_hospital.DATES}
    assert found == {
        'empty': (None, None),
        'none': (None, None),
        'proper': ('2024-01-31', None),
        'dashes': ('2024-01-31', None),
        'month 13': (None, 'StudyDate: 2024-13-45'),
        'February 30': (None, 'StudyDate: 20240230'),
        }
    assert str(upgraded.studies['Second', 'many 5']['date']) == '2023-06-17'


def test_names_and_modalities_are_shown(upgraded):
    found = {
        name: (row['patient_display_name'], row['modalities'])
        for (_, name), row in upgraded.studies.items()}
    assert found['result by hand'] == ("Ejemplo Núñez, Juan José", 'CT')
    assert found['bare'] == ("Nameless", 'CT')
    assert found['proper'] == ("Alt, Anna", 'MR')
    assert found['only in 4.x'] == ("Muster, Erika", None)


def test_doubles_are_merged(upgraded):
    before, after = upgraded.before, upgraded.after
    assert len(before[SERIES]) == len(after[SERIES]) + 1 + len(TWINS)
    assert len(before[INSTANCE]) == len(after[INSTANCE]) + 3
    for table, parent in [(SERIES, 'study'), (INSTANCE, 'series')]:
        assert max(Counter(
                (row[parent], row['orthanc_UID'])
                for row in after[table].values()).values()) == 1
        assert {row['orthanc_UID'] for row in after[table].values()} == {
            row['orthanc_UID'] for row in before[table].values()}


def test_series_keep_notes_and_instances(upgraded):
    notes = {
        row['notes'] for row in upgraded.after[SERIES].values()
        if row['notes']}
    assert notes == {
        "Notes on a series\nTwin of by PUID", "Twin of unlinked",
        "First notes\nSecond notes"}
    for row in upgraded.after[SERIES].values():
        held = [
            instance for instance in upgraded.after[INSTANCE].values()
            if instance['series'] == row['id']]
        assert row['instances_count'] == len(held)
        assert len(held) == (2 if row['modality'] == 'CT' else 0)


def test_attachments_and_notes_are_kept(upgraded):
    doubled, = [
        row for row in upgraded.after[SERIES].values()
        if row['notes'] and row['notes'].startswith("First")]
    instances = [
        row for row in upgraded.after[INSTANCE].values()
        if row['series'] == doubled['id'] and row['instance_number'] == 1]
    study = upgraded.studies['Main', 'by hand']
    found = upgraded.resources('ir_attachment')
    assert found['double.txt'] == (
        f"{old_hospital.SERIES},{doubled['id']}")
    assert [found['double instance.txt']] == [
        f"{old_hospital.INSTANCE},{row['id']}" for row in instances]
    assert found['by hand.txt'] == f"{old_hospital.STUDY},{study['id']}"
    assert {
        name: resource for name, resource in found.items()
        if name.endswith(' of 4.x.txt') and 'patient' not in name} == {
            f'{name} of 4.x.txt': f"{old_hospital.STUDY},{row['id']}"
            for (_, name), row in upgraded.studies.items() if name in IN_4}
    old = upgraded.before['ir_attachment']
    assert upgraded.after['ir_attachment'].keys() == old.keys()
    assert {
        f'Remark on {name.removesuffix(".txt")}': resource
        for name, resource in found.items()} == upgraded.resources('ir_note')


def test_patients_of_4_are_kept(upgraded):
    rows = upgraded.by_name(PATIENT, 'ident')
    found = {
        ident: (upgraded.puid(row['patient']), row['display_name'],
            bool(row['decided_by']))
        for ident, row in rows.items()}
    assert found == {
        MUSTER.puid: (MUSTER.puid, "Muster, Erika", False),
        # A person's decision, that synchronisation respects
        'HOSP-1': (EJEMPLO.puid, "Ejemplo, Juan", True),
        'HOSP-3': (None, "Besuch, Ada", False),
        }
    assert rows['HOSP-1']['server'] == upgraded.servers['Main']['id']
    assert str(rows['HOSP-1']['bd']) == '1976-03-14'


def test_studies_of_4_are_brought(upgraded):
    assert len(upgraded.before[STUDY_4]) == len(IN_4)
    assert not upgraded.after.keys() & {STUDY_4, old_hospital.TEMPLATE_4}
    assert len(upgraded.added) == len(old_hospital.ONLY_4)
    for (_, name), row in upgraded.studies.items():
        if name in IN_4:
            assert (
                row['study_id'], row['requested_procedure_description'],
                row['requesting_physician']) == ('S-4', "CT Head", None)
            assert row['date'] and row['institution']
    new = upgraded.studies['Second', 'only in 4.x']
    muster = upgraded.by_name(PATIENT, 'ident')[MUSTER.puid]
    assert (str(new['date']), new['institution']) == (
        '2019-05-17', "Old Wing")
    assert (new['patient_id'], new['orthanc_patient']) == (
        MUSTER.puid, muster['id'])
    assert new['merge_comment'] == 'RequestedProcedureID: RP-4'


def test_other_links_of_4_are_told(upgraded):
    comments = {
        name: upgraded.studies[key]['merge_comment']
        for key in upgraded.studies for name in [key[1]]
        if name in {'by hand', 'torn in 4.x', 'only in 4.x'}}
    number, = [
        row['number']
        for row in upgraded.after['gnuhealth_imaging_test_result'].values()
        if row['comment'] == 'other in 4.x']
    # 5.0's link wins
    assert comments['by hand'] == (
        f"Shown by his passport; 4.x: {EXEMPLE.puid}, {number}")
    assert comments['torn in 4.x'].startswith(f'4.x: {MUSTER.puid}')


def test_templates_are_kept_and_repaired(upgraded):
    rows = upgraded.by_name(TEMPLATE, 'name')
    found = {
        name: (row['charset'], row['template_type'], bool(row['active']))
        for name, row in rows.items()}
    expected = {'Chinese': ('GBK', 'dump2dcm', True)}
    if upgraded.worklist:
        expected.update({
                'Plain': ('ISO_IR 192', 'dump2dcm', True),
                'Program': ('ISO_IR 100', 'dump2dcm', False)})
        assert rows['Plain']['template'] == old_hospital.PLAIN.replace(
            'IS0', 'ISO')
        assert rows['Program']['template'] == old_hospital.PYTHON
    assert found.items() >= expected.items()
    test, = [
        row for row in upgraded.after['gnuhealth_imaging_test'].values()
        if row['code'] == 'CTH']
    assert test['imaging_worklist_template'] == rows['Chinese']['id']
    assert 'worklist_template' not in test


def test_administrators_are_told(upgraded):
    told = Counter()
    for row in upgraded.after[NOTE].values():
        told[row['kind']] += row['count']
    studies = len(upgraded.before[STUDY])
    expected = {
        'servers': 3, 'server_gone': 2, 'patients': 3,
        'studies': studies - 2, 'twins': 2, 'twin': 1, 'date': 2,
        'studies_4': 3, 'studies_4_known': 4, 'link': 2,
        'series': len(upgraded.before[SERIES]), 'series_doubles': 3,
        'instances_doubles': 3,
        'templates_4': 1,
        }
    if upgraded.worklist:
        expected.update(templates=2, charset=1, template_python=1)
    assert told.items() >= expected.items()
    assert told['manual'] + told['review'] == len([
            row for row in upgraded.after[STUDY].values() if row['patient']])
    attention = {
        row['kind'] for row in upgraded.after[NOTE].values()
        if row['attention']}
    assert attention == {'server_gone', 'twin', 'date', 'link', 'review'} | (
        {'template_python'} if upgraded.worklist else set())


def test_records_of_other_modules_are_left(upgraded):
    tables = {
        'gnuhealth_imaging_test_request', 'gnuhealth_imaging_test_result',
        'gnuhealth_patient', 'party_party', 'ir_cron', 'res_user'}
    for table in tables:
        for id_, old in upgraded.before[table].items():
            new = upgraded.after[table][id_]
            assert {name: new[name] for name in old} == old


def test_members_keep_their_groups(upgraded):
    def members(tables):
        groups = {
            row['fs_id']: row['db_id']
            for row in tables['ir_model_data'].values()
            if row['model'] == 'res.group'}
        logins = {
            id_: row['login'] for id_, row in tables['res_user'].items()}
        return {
            name: {
                logins[row['user']]
                for row in tables['res_user-res_group'].values()
                if row['group'] == groups[name]}
            for name in [
                'group_imaging_orthanc', 'group_imaging_orthanc_admin']}

    assert members(upgraded.before) == members(upgraded.after) == {
        'group_imaging_orthanc': {'clerk', 'administrator', 'admin'},
        'group_imaging_orthanc_admin': {'administrator', 'admin', 'only'},
        }


def own_records(tables: dict) -> set[tuple[str, str]]:
    return {
        (row['fs_id'], row['model'])
        for row in tables['ir_model_data'].values()
        if row['module'] == MODULE}


def access(tables: dict) -> Counter:
    """Return the rights on our models, with names in place of ids."""
    models = {
        id_: row['model'] for id_, row in tables['ir_model'].items()}
    groups = {id_: row['name'] for id_, row in tables['res_group'].items()}
    return Counter(
        (models[row['model']], groups.get(row['group']), bool(row['active']),
            *(bool(row[f'perm_{what}'])
                for what in ['read', 'write', 'create', 'delete']))
        for row in tables['ir_model_access'].values()
        if '.orthanc.' in models[row['model']]
        or 'imaging_orthanc' in models[row['model']])


@pytest.fixture
def new_database(upgraded, prepared_tryton) -> Tryton:
    extras = [WORKLIST] if upgraded.worklist else []
    return prepared_tryton(
        'postgresql' if upgraded.tryton.postgresql else 'sqlite', MODULE,
        *extras)


def test_tables_are_those_of_a_new_database(upgraded, new_database):
    tables = [
        name for name in upgraded.after
        if name.startswith(
            ('gnuhealth_orthanc', 'gnuhealth_imaging_orthanc'))]
    assert set(tables) > set(MIRRORS)
    assert schema(upgraded.tryton, tables) == schema(new_database, tables)


def test_views_and_rights_are_those_of_a_new_database(
        upgraded, new_database):
    new = dump(new_database)
    assert own_records(upgraded.after) == own_records(new)
    assert access(upgraded.after) == access(new)


def test_nobody_without_a_group_has_rights(upgraded):
    open_before = [
        right for right in access(upgraded.before)
        if right[1] is None and any(right[3:])]
    assert open_before
    assert not [
        right for right in access(upgraded.after)
        if right[1] is None and any(right[3:])]


def test_user_of_the_old_scheduler_is_harmless(upgraded):
    user, = [
        row for row in upgraded.after['res_user'].values()
        if row['login'] == 'user_cron_orthanc']
    assert not user['active']
    assert not [
        row for row in upgraded.after['res_user-res_group'].values()
        if row['user'] == user['id']]


def test_second_update_changes_nothing(upgraded):
    upgraded.tryton.admin('-u', MODULE)
    again = dump(upgraded.tryton)
    assert again.keys() == upgraded.after.keys()
    for table in again.keys() - VOLATILE:
        assert again[table] == upgraded.after[table], table


# Whose records an update makes new ones of
RECORDS = {
    old_hospital.CONFIG: SERVER,
    old_hospital.STUDY: STUDY,
    'gnuhealth.imaging_worklist.worklist_template': TEMPLATE,
    }
# Where updates are killed, and whether anything of them is kept
KILLED = [
    (f'trytond.modules.{MODULE}.migration.series:convert_instances', False),
    # All is loaded, and next comes what has transactions of its own
    ('trytond.model:ModelSQL._update_sql_indexes', True),
    ]
# What is made anew each time, and the moment it was made
CHANCE = {
    'identifier', 'sealed_password', 'at', 'matched_at', 'create_date',
    'write_date'}


@pytest.mark.parametrize(
    'upgraded', [CASES[0], CASES[-1]],
    indirect=True)
def test_update_goes_on_after_kill(upgraded, tmp_path):
    tryton = Interrupted(
        tmp_path, postgresql=upgraded.tryton.postgresql, name='killed')
    make_old_database(
        tmp_path, [WORKLIST] * upgraded.worklist, name=tryton.name,
        postgresql=upgraded.tryton.postgresql)
    try:
        before = dump(tryton)
        for function, kept in KILLED:
            tryton.kill_at(function)
            assert (dump(tryton) == before) != kept
        tryton.admin('-u', MODULE)
        after = dump(tryton)
    finally:
        tryton.drop()
    expected = without_chance(upgraded.after, upgraded.before)
    for table, rows in without_chance(after, before).items():
        assert rows == expected[table], table


class Interrupted(Tryton):
    """A database whose update is killed."""
    _function = None

    def kill_at(self, function: str) -> None:
        self._function = function
        with pytest.raises(StartError) as raised:
            self.admin('-u', MODULE)
        assert raised.value.__cause__.returncode == -signal.SIGKILL
        self._function = None

    def _command(self, name: str) -> list:
        command = super()._command(name)
        if self._function:
            command[:0] = [
                sys.executable, interrupted.__file__, self._function]
        return command


def without_chance(tables: dict, before: dict) -> dict[str, list[dict]]:
    """Return what the update made; PostgreSQL gives no id twice."""
    named = {
        (model, id_): f'{model} new {number}'
        for model, table in RECORDS.items()
        for number, id_ in enumerate(sorted(
                tables[table].keys() - before.get(table, {}).keys()))}

    def common(name: str, value: object) -> object:
        if name == 'server':
            return named.get((old_hospital.CONFIG, value), value)
        if name in {'record', 'resource'}:
            model, _, id_ = (value or '').partition(',')
            return named.get((model, int(id_ or 0)), value)
        return value

    return {
        table: sorted((
                {name: common(name, value)
                    for name, value in row.items()
                    if name not in CHANCE and (
                        name != 'id' or row['id'] in before.get(table, {}))}
                for row in tables[table].values()), key=repr)
        for table in [*MIRRORS, TEMPLATE, NOTE, 'ir_attachment', 'ir_note']}


def test_next_synchronization_finds_all(upgraded, orthanc):
    for study in old_hospital.studies(upgraded.worklist).values():
        orthanc.upload(study)
    tryton = upgraded.tryton.copy('synchronized')
    try:
        with Agent(tryton) as agent:
            first, second = synchronize(upgraded, agent, orthanc)
        tables = dump(tryton)
    finally:
        tryton.drop()
    studies = len(old_hospital.studies(upgraded.worklist))
    assert changes(first) == {
        # Those of 4.x are known already
        'patients_created': studies - 3,
        'studies_updated': studies,
        'series_updated': 2 * studies,
        }
    assert not changes(second)
    assert_same_records(upgraded, tables)
    assert_links_and_notes_are_kept(upgraded, tables)
    main = tables[SERVER][upgraded.servers['Main']['id']]
    assert main['version'] and main['validated']


def synchronize(
        upgraded: Upgraded, agent: Agent, orthanc: Orthanc) -> list[dict]:
    """Let *Main* be this Orthanc; return a first run and a full one."""
    server = upgraded.servers['Main']['id']
    agent.call(inside.write, old_hospital.CONFIG, [server], {
            'domain': orthanc.url, 'user': orthanc.user,
            'password': orthanc.password, 'instances_mode': 'always'})
    runs = [
        agent.call(inside.synchronize, server, kind)
        for kind in ['incremental', 'full']]
    for run in runs:
        assert run['state'] == 'done', run['error']
    return runs


def changes(run: dict) -> dict[str, int]:
    return {
        name: count for name, count in run.items()
        if count and name.endswith(
            ('_created', '_updated', '_missing', 'failures_count'))}


def assert_same_records(upgraded: Upgraded, tables: dict) -> None:
    for table in [STUDY, SERIES, INSTANCE]:
        assert tables[table].keys() == upgraded.after[table].keys()
        assert not [
            row['id'] for row in tables[table].values()
            if row['missing_since']]


def assert_links_and_notes_are_kept(
        upgraded: Upgraded, tables: dict) -> None:
    for table, names in [
            (STUDY, ['server', 'patient', 'imaging_test', 'link_status',
                    'notes', 'merge_comment', 'merge_id']),
            (SERIES, ['study', 'notes']),
            (INSTANCE, ['series']),
            (PATIENT, ['server', 'patient']),
            ]:
        for id_, old in upgraded.after[table].items():
            assert {name: tables[table][id_][name] for name in names} == {
                name: old[name] for name in names}
    for table in ['ir_attachment', 'ir_note']:
        assert tables[table] == upgraded.after[table]
