# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration of studies and templates from 4.x

Version 4 has separate tables of studies and templates, which 5.0 did not use.
Each table is dropped after its rows were migrated.
"""

import re

from sql import Cast, Column, Literal, Null, Table
from sql.aggregate import Max, Min
from sql.conditionals import Coalesce, NullIf
from sql.operators import Concat

from trytond import backend
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.registration import around_registration
from ..core.dicom.charsets import UNICODE, find_charset
from .links import convert_links, copy_links
from .servers import create_lost_server
from .tables import add_note, count_rows, execute, move_resources
from .templates import check_templates

__all__ = ['move_studies', 'move_templates']

# The names that fields of studies had in 4.x
_TEXTS = {
    'study_instance_UID': 'instance_uid',
    'study_id': 'ident',
    'requested_procedure_description': 'description',
    'merge_id': 'merge_id',
    'institution': 'institution',
    'referring_physician_name': 'ref_phys',
    'requesting_physician': 'req_phys',
    }
_STAMPS = ['create_uid', 'create_date', 'write_uid', 'write_date']
_ENCODINGS = {
    'gbk': 'GBK', 'gb2312': 'GBK', 'gb18030': 'GB18030',
    'latin1': 'ISO_IR 100', 'latin-1': 'ISO_IR 100',
    'iso-8859-1': 'ISO_IR 100'}
_CHARSET_LINE = re.compile(r'^\s*\(0008,0005\)\s+\w\w\s+\[([^]$]+)\]', re.M)


class _OldTable:
    """The table of a model of 4.x

    Columns that an earlier 4.x did not have are empty.
    """

    def __init__(self, model):
        self.model = model
        self.name = model.replace('.', '_')
        self.exists = backend.TableHandler.table_exist(self.name)
        self._columns = self._column_names() if self.exists else set()

    def _column_names(self):
        cursor = execute(self.rows().select(limit=1))
        return {column[0] for column in cursor.description}

    def rows(self):
        return Table(self.name)

    def column(self, rows, name):
        if name not in self._columns:
            return Literal(None)
        return Column(rows, name)

    def text(self, rows, name):
        "Return a text column with NULL for '', None if it does not exist"
        if name in self._columns:
            return NullIf(Column(rows, name), '')

    def add_columns(self, *names):
        "Add temporary columns of integers"
        cursor = Transaction().connection.cursor()
        for name in names:
            cursor.execute(
                f'ALTER TABLE "{self.name}" ADD COLUMN "{name}" INTEGER')

    def drop(self):
        # SQLite has no CASCADE; on PostgreSQL a custom module may refer to the
        # table
        backend.TableHandler.drop_table(
            self.model, self.name, cascade=backend.name == 'postgresql')


# Studies


def move_studies(Study, module_name):
    """Migrate the studies of 4.x.

    Parameters
    ----------
    Study : Study
        The class.
    module_name : str

    Returns
    -------
    bool
        Whether the table of 4.x existed.
    """
    old = _OldTable('gnuhealth.orthanc.study')
    if not old.exists:
        return False
    migrated = _Studies(Study, old)
    if migrated.count():
        migrated.assign_targets()
        migrated.insert()
        migrated.complete()
        migrated.link(module_name)
        migrated.move()
    old.drop()
    return True


class _Studies:
    """The studies of 4.x during their migration

    Temporary columns of the old table are ``server_id`` and ``study_id``, the
    targets of a row, and ``is_open``: the target was not linked.
    """

    def __init__(self, Study, old):
        pool = Pool()
        self._Study = Study
        self._old = old
        self._rows = old.rows()
        self._study = Study.__table__()
        self._patient = pool.get('gnuhealth.orthanc.patient').__table__()
        self._result = pool.get('gnuhealth.imaging.test.result').__table__()

    def count(self, where=None):
        return count_rows(self._rows, where)

    def assign_targets(self):
        "Find the server and the existing study of each row"
        self._old.add_columns('server_id', 'study_id', 'is_open')
        rows, patient, study = self._rows, self._patient, self._study
        execute(rows.update([rows.server_id], [rows.server]))
        nowhere = rows.server_id == Null
        execute(rows.update(
                [rows.server_id], [patient.server], from_=[patient],
                where=nowhere & (rows.patient == patient.id)))
        known = study.select(
            study.orthanc_UID, Min(study.server).as_('server'),
            group_by=study.orthanc_UID)
        execute(rows.update(
                [rows.server_id], [known.server], from_=[known],
                where=nowhere & (rows.uuid == known.orthanc_UID)))
        serverless = self.count(nowhere)
        if serverless:
            server = create_lost_server(None)
            execute(rows.update([rows.server_id], [server], where=nowhere))
            add_note(
                'server_gone', serverless,
                f'gnuhealth.orthanc.config,{server}')
        self._find()
        add_note('studies_4_known', self.count(rows.study_id != Null))

    def _find(self):
        rows, study = self._rows, self._study
        execute(rows.update(
                [rows.study_id], [study.id], from_=[study],
                where=(rows.server_id == study.server)
                & (rows.uuid == study.orthanc_UID)))

    def insert(self):
        "Insert the studies that 5.0 does not have"
        old, study, patient = self._old, self._study, self._patient
        first, rows = old.rows(), self._rows
        new = first.select(
            Min(first.id), where=first.study_id == Null,
            group_by=[first.server_id, first.uuid])
        columns = {
            **{name: Column(rows, name) for name in _STAMPS},
            'server': rows.server_id,
            'orthanc_UID': rows.uuid,
            'orthanc_patient': rows.patient,
            'patient_name': patient.name,
            'patient_display_name': patient.display_name,
            'patient_id': patient.ident,
            'patient_birth_date': patient.bd,
            'link_status': Literal('unlinked'),
            }
        inserted = execute(study.insert(
                [Column(study, name) for name in columns],
                rows.join(
                    patient, 'LEFT', condition=rows.patient == patient.id
                    ).select(
                    *columns.values(), where=rows.id.in_(new),
                    order_by=rows.id))).rowcount
        add_note('studies_4', inserted)
        self._find()

    def complete(self):
        "Fill the empty fields of the studies from 4.x"
        old, study, rows = self._old, self._study, self._rows
        values = {
            'date': rows.date,
            'orthanc_patient': rows.patient,
            **{name: text for name, of_old in _TEXTS.items()
                if (text := old.text(rows, of_old)) is not None},
            }
        execute(study.update(
                [Column(study, name) for name in values],
                [Coalesce(Column(study, name), value)
                    for name, value in values.items()],
                from_=[rows], where=study.id == rows.study_id))
        procedure = old.text(rows, 'requested_procedure_id')
        if procedure is not None:
            text = Concat('RequestedProcedureID: ', procedure)
            execute(study.update(
                    [study.merge_comment], [Coalesce(Concat(
                                NullIf(study.merge_comment, ''),
                                Concat('; ', text)), text)],
                    from_=[rows],
                    where=(study.id == rows.study_id) & (procedure != Null)))

    def link(self, module_name):
        "Link unlinked studies, and note differing links"
        study, rows = self._study, self._rows
        execute(rows.update(
                [rows.is_open], [1], from_=[study],
                where=(rows.study_id == study.id)
                & (study.patient == Null) & (study.imaging_test == Null)))
        other = copy_links(study, self._links(), '4.x: ')
        convert_links(
            study, module_name,
            rows.select(rows.study_id, where=rows.is_open == 1),
            puid_length=1)
        # The result and the images belong to different patients
        conflicting = copy_links(study, self._patients(), '4.x: ')
        for ids in grouped_slice([id_ for id_, _ in conflicting]):
            opened = rows.select(
                rows.study_id, where=(rows.is_open == 1)
                & rows.study_id.in_(list(ids)))
            execute(study.update(
                    [study.link_status], ['auto_unsure'],
                    where=study.id.in_(opened)))
        for id_, text in other + conflicting:
            add_note(
                'link', record=f'{self._Study.__name__},{id_}', other=text)

    def _links(self):
        rows, patient, result = self._rows, self._patient, self._result
        linked = Coalesce(result.patient, patient.patient)
        return (rows
            .join(patient, 'LEFT', condition=rows.patient == patient.id)
            .join(result, 'LEFT', condition=rows.imaging_test == result.id)
            .select(
                rows.study_id.as_('kept'), linked.as_('patient'),
                rows.imaging_test, where=linked != Null))

    def _patients(self):
        rows, patient, result = self._rows, self._patient, self._result
        return (rows
            .join(patient, condition=rows.patient == patient.id)
            .join(result, condition=rows.imaging_test == result.id)
            .select(
                rows.study_id.as_('kept'), patient.patient,
                Cast(Null, 'INTEGER').as_('imaging_test'),
                where=patient.patient != result.patient))

    def move(self):
        move_resources(
            self._rows, self._old.model, self._rows.id,
            self._Study.__name__, self._rows.study_id)


# Templates


def move_templates(Test, module_name):
    """Migrate the worklist templates of 4.4, and their use by study types.

    Parameters
    ----------
    Test : ImagingTest
        The class.
    module_name : str
    """
    old = _OldTable('gnuhealth.orthanc.worklist.template')
    if not old.exists:
        return
    rows = old.rows()
    found = execute(rows.select(
            rows.id, rows.name, rows.template,
            old.column(rows, 'dump_file_encoding'),
            old.column(rows, 'comment'), order_by=rows.id)).fetchall()
    migrated = {
        id_: _migrate_template(*template) for id_, *template in found}
    add_note('templates_4', len(migrated))
    _use_templates(Test, module_name, migrated)
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    for id_, new in migrated.items():
        source = rows.select(rows.id, where=rows.id == id_)
        move_resources(
            source, old.model, source.id, Template.__name__, Literal(new))
    check_templates(Template, sorted(migrated.values()))
    old.drop()


def _migrate_template(name, text, encoding, comment):
    "Return the id of the equal or created template"
    Template = Pool().get('gnuhealth.imaging_worklist.worklist_template')
    table = Template.__table__()
    same = execute(table.select(
            Min(table.id),
            where=(table.name == name) & (table.template == text)))
    (id_,), = same.fetchall()
    if id_ is None:
        execute(table.insert(
                [table.name, table.template, table.comment, table.charset,
                    table.template_type, table.active],
                [[name, text, comment, _charset(text, encoding),
                    'dump2dcm', True]]))
        (id_,), = execute(table.select(Max(table.id)))
    return id_


def _charset(text, encoding):
    "Return the character set in a template of 4.x, or of its encoding"
    found = _CHARSET_LINE.search(text)
    for name in [found and found[1], _ENCODINGS.get((encoding or '').lower())]:
        try:
            if name:
                return find_charset(name).term
        except ValueError:
            continue
    return UNICODE


def _use_templates(Test, module_name, migrated):
    table, table_h = Test.__table__(), Test.__table_handler__(module_name)
    if not table_h.column_exist('worklist_template'):
        return
    for id_, new in migrated.items():
        execute(table.update(
                [table.imaging_worklist_template], [new],
                where=(table.worklist_template == id_)
                & (table.imaging_worklist_template == Null)))
    table_h.drop_column('worklist_template')


@around_registration('gnuhealth.imaging.test')
def _adapt_study_types(ImagingTest, module_name):
    yield
    # Migration from 4.4
    move_templates(ImagingTest, module_name)
