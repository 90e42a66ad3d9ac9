# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklists: how they are kept, and their templates."""

import datetime as dt

from trytond.i18n import gettext
from trytond.model import (
    DeactivableMixin, ModelSingleton, ModelSQL, ModelView, fields)
from trytond.pool import Pool
from trytond.pyson import Id
from trytond.transaction import without_check_access

from . import migration_templates
from .access import GuardedMixin
from .core import worklist
from .core.templates import TemplateError
from .core.values import is_short_string
from .core.worklist import WorklistError
from .exceptions import StepValidationError, WorklistTemplateError

__all__ = [
    'WorklistConfiguration', 'WorklistTemplate', 'problem_text',
    'problems_of']

_SEQUENCE_TRIES = 100


class WorklistConfiguration(
        GuardedMixin, ModelSingleton, ModelSQL, ModelView):
    "Worklist Configuration"
    __name__ = 'gnuhealth.imaging.worklist.configuration'

    accession_sequence = fields.Many2One(
        'ir.sequence', "Accession Number Sequence", required=True,
        domain=[('sequence_type', '=', Id(
                    'health_orthanc', 'sequence_type_accession_number'))],
        help="Numbers of at most 16 characters.")
    step_sequence = fields.Many2One(
        'ir.sequence', "Step ID Sequence", required=True,
        domain=[('sequence_type', '=', Id(
                    'health_orthanc', 'sequence_type_procedure_step'))],
        help="Numbers of at most 16 characters.")
    window_before = fields.TimeDelta(
        "Shown Before Start", required=True,
        domain=[('window_before', '>=', dt.timedelta())],
        help="How long before its start a step comes on the worklist.")
    window_after = fields.TimeDelta(
        "Shown After Start", required=True,
        domain=[('window_after', '>=', dt.timedelta())],
        help="How long after its start an open step stays on the worklist. "
        "Then it is overdue.")

    @classmethod
    def default_accession_sequence(cls):
        return cls._xml_id('sequence_accession_number')

    @classmethod
    def default_step_sequence(cls):
        return cls._xml_id('sequence_procedure_step')

    @staticmethod
    def _xml_id(name):
        try:
            return Pool().get('ir.model.data').get_id('health_orthanc', name)
        except KeyError:
            return None

    @staticmethod
    def default_window_before():
        return dt.timedelta(days=30)

    @staticmethod
    def default_window_after():
        return dt.timedelta(days=7)

    @classmethod
    def create(cls, vlist):
        if cls.get_singleton():
            return super().create(vlist)
        # ModelSingleton would lock the table, which restarts the transaction:
        # that of an activation cannot be. The constraint keeps a second one
        # away.
        records = super(ModelSingleton, cls).create(vlist)
        # The module was just activated
        Request = Pool().get('gnuhealth.imaging.test.request')
        Request.open_recent()
        return records

    @classmethod
    @without_check_access
    def window(cls):
        "Return from when to when steps start that are served, in UTC"
        configuration = cls(1)
        now = dt.datetime.now()
        return (
            now - configuration.window_after,
            now + configuration.window_before)

    @classmethod
    def new_accession_number(cls):
        return cls._next(
            'accession_sequence', 'gnuhealth.imaging.test.request',
            'accession_number')

    @classmethod
    def new_step_id(cls):
        return cls._next(
            'step_sequence', 'gnuhealth.imaging.procedure.step', 'step_id')

    @classmethod
    @without_check_access
    def _next(cls, name, model, field):
        Model = Pool().get(model)
        sequence = getattr(cls(1), name)
        for _ in range(_SEQUENCE_TRIES):
            value = sequence.get()
            if not is_short_string(value):
                break
            # The sequence may have been set back
            if not Model.search([(field, '=', value)], limit=1, order=[]):
                return value
        raise StepValidationError(gettext(
                'health_orthanc.msg_sequence_unusable',
                sequence=sequence.rec_name))


class WorklistTemplate(
        GuardedMixin, DeactivableMixin, ModelSQL, ModelView):
    "Worklist Template"
    __name__ = 'gnuhealth.imaging_worklist.worklist_template'
    _rec_name = 'name'

    name = fields.Char("Name", required=True)
    template_type = fields.Selection([
            ('dump2dcm', "dump2dcm"),
            ('json', "JSON"),
            ], "Kind", required=True, sort=False, translate=False,
        help="The text that the template makes: as DCMTK's dump2dcm reads "
        "it, or JSON.")
    template = fields.Text(
        "Template", required=True, help="In Genshi's language for text.")
    charset = fields.Char(
        "Character Set", required=True,
        help="As in DICOM (0008,0005), like ISO_IR 192 (UTF-8), "
        "ISO_IR 100 (Latin 1) or GB18030.")
    comment = fields.Text("Comment")
    completed = fields.Function(
        fields.Text(
            "Completed",
            help="What DICOM asks for and the template leaves out: it is "
            "added to each entry."),
        'get_completed')

    @classmethod
    def __register__(cls, module_name):
        # Migration from 5.0
        old = migration_templates.prepare_templates(cls, module_name)
        super().__register__(module_name)
        if old:
            migration_templates.convert_templates(cls)

    @staticmethod
    def default_template_type():
        return 'dump2dcm'

    @staticmethod
    def default_charset():
        return 'ISO_IR 192'

    @classmethod
    def default_template(cls, **pattern):
        return worklist.DEFAULT_TEMPLATE

    def get_completed(self, name):
        try:
            return ', '.join(self._check())
        except (TemplateError, WorklistError):
            return None

    @classmethod
    def validate_fields(cls, templates, field_names):
        super().validate_fields(templates, field_names)
        if not field_names or field_names & {
                'template', 'template_type', 'charset', 'active'}:
            for template in templates:
                if template.active:
                    template._validate_template()

    def _check(self):
        return worklist.check_template(
            self.template, self.template_type, self.charset,
            self._extra_variables())

    @classmethod
    @without_check_access
    def _extra_variables(cls):
        "Return the variables that other modules add to those of orders"
        Request = Pool().get('gnuhealth.imaging.test.request')
        requests = Request.search([], order=[('id', 'DESC')], limit=1)
        if not requests:
            return set()
        data = requests[0].get_worklist_template_data()
        return data.keys() - worklist.VARIABLES

    def _validate_template(self):
        try:
            self._check()
        except (TemplateError, WorklistError) as error:
            raise WorklistTemplateError(gettext(
                    'health_orthanc.msg_worklist_template',
                    template=self.name,
                    problem=problem_text(problems_of(error)))) from error


def problems_of(error):
    "Return what is wrong as a list of [kind, values]"
    if isinstance(error, TemplateError):
        return [[error.kind, {
                    'line': str(error.line or ''), 'detail': error.detail}]]
    return [
        [kind, {'keyword': keyword}] for kind, keyword in error.problems]


def problem_text(problems):
    return '\n'.join(
        _told(kind, **values) for kind, values in problems)


def _told(kind, line='', detail='', keyword=''):
    "Return a problem in words"
    text = gettext(
        f'health_orthanc.msg_worklist_{kind}',
        detail=detail or '…', keyword=keyword)
    if line:
        part = kind.partition('_')[0]
        text = gettext(
            f'health_orthanc.msg_worklist_line_{part}', line=line,
            problem=text)
    if detail and detail not in text:
        text += f'\n    {detail}'
    return text
