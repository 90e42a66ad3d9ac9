# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of worklist items"""


from trytond.i18n import gettext
from trytond.model import DeactivableMixin, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedMixin
from ..common.exceptions import WorklistTemplateError
from ..common.registration import LayeredMixin
from ..core.worklist import item as worklist
from ..core.worklist.element_values import WorklistError
from ..core.worklist.template import TemplateError
from .variables import reach

__all__ = [
    'WorklistTemplate', 'describe_problems', 'list_problems']


class WorklistTemplate(
        LayeredMixin, GuardedMixin, DeactivableMixin, ModelSQL, ModelView):
    "Worklist Template"
    __name__ = 'gnuhealth.imaging_worklist.worklist_template'
    _rec_name = 'name'

    name = fields.Char("Name", required=True)
    template_type = fields.Selection([
            ('dump2dcm', "dump2dcm"),
            ('json', "JSON"),
            ], "Type", required=True, sort=False, translate=False,
        help="The format of the text that the template generates: for "
        "dump2dcm of DCMTK, or JSON.")
    template = fields.Text(
        "Template", required=True, help="A Genshi text template.")
    charset = fields.Char(
        "Character Set", required=True,
        help="Specific Character Set (0008,0005), for example ISO_IR 192 "
        "(UTF-8), ISO_IR 100 (Latin 1) or GB18030.")
    comment = fields.Text("Comment")
    completed = fields.Function(
        fields.Text(
            "Added Attributes",
            help="Attributes that DICOM requires and the template omits. They "
            "are added to each worklist item."),
        'get_completed')
    preview = fields.Function(
        fields.Text(
            "Preview",
            help="What the template makes of a sample order, or what is wrong "
            "with it."),
        'on_change_with_preview')

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
            return ', '.join(self._check_template())
        except (TemplateError, WorklistError):
            return None

    @fields.depends('template', 'template_type', 'charset')
    def on_change_with_preview(self, name=None):
        """Return the item of a sample order, for those who edit templates.

        A template is code: nobody else may have one rendered.
        """
        access = Pool().get('ir.model.access').get_access([self.__name__])
        if not self.template or (
                Transaction().user and not access[self.__name__]['write']):
            return None
        try:
            self._check_template()
            data = self._sample_data()
            data.pop('reachable', None)
            return worklist.render_sample(
                self.template, self.template_type, self.charset,
                data.keys() - worklist.VARIABLES)
        except (TemplateError, WorklistError) as error:
            return describe_problems(list_problems(error))

    @classmethod
    def validate_fields(cls, templates, field_names):
        super().validate_fields(templates, field_names)
        if not field_names or field_names & {
                'template', 'template_type', 'charset', 'active'}:
            for template in templates:
                if template.active:
                    template.check_renders()

    def _check_template(self):
        data = self._sample_data()
        more = data.pop('reachable', None)
        return worklist.check_template(
            self.template, self.template_type, self.charset,
            data.keys() - worklist.VARIABLES, reach(more))

    @classmethod
    @without_check_access
    def _sample_data(cls):
        "Return the variables of an order, with those of other modules"
        Request = Pool().get('gnuhealth.imaging.test.request')
        requests = Request.search([], order=[('id', 'DESC')], limit=1)
        if not requests:
            return {}
        return dict(requests[0].get_worklist_template_data())

    def check_renders(self):
        """Check that the template can be used.

        Raises
        ------
        WorklistTemplateError
            It names what is wrong, or what it may not read.
        """
        try:
            self._check_template()
        except (TemplateError, WorklistError) as error:
            raise WorklistTemplateError(gettext(
                    'health_orthanc.msg_worklist_template',
                    template=self.name,
                    problem=describe_problems(
                        list_problems(error)))) from error


def list_problems(error):
    """Return the problems that an error of a template reports.

    Parameters
    ----------
    error : TemplateError or WorklistError

    Returns
    -------
    list of list
        The kind and the values of each message; serializable as JSON.
    """
    if isinstance(error, TemplateError):
        return [[error.kind, {
                    'line': str(error.line or ''), 'detail': error.detail}]]
    return [
        [kind, {'keyword': keyword}] for kind, keyword in error.problems]


def describe_problems(problems):
    """Return problems as text in the user's language.

    Parameters
    ----------
    problems : list of list
        The result of `list_problems`.

    Returns
    -------
    str
        One problem a line.
    """
    return '\n'.join(
        _describe_problem(kind, **values) for kind, values in problems)


def _describe_problem(kind, line='', detail='', keyword=''):
    "Return the message for a problem"
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
