# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migration of worklist templates from health_imaging_worklist"""

from sql import Null
from sql.conditionals import Coalesce

from ..common.registration import around_registration
from ..core.dicom.charsets import UNICODE, find_charset
from ..core.worklist.element_values import WorklistError
from ..core.worklist.item import check_template
from ..core.worklist.template import TemplateError
from ..worklist.variables import reach
from .tables import add_note, execute, is_older

__all__ = ['check_templates', 'convert_templates', 'prepare_templates']

# The kinds of errors of templates that run Python code
_PROGRAMS = {'template_python', 'template_call'}
# The former default had a digit zero in place of the letter O
_MISSPELT, _SPELT = 'IS0_IR', 'ISO_IR'


def prepare_templates(Template, module_name):
    """Complete templates and repair their character sets.

    Returns
    -------
    bool
        Whether `convert_templates` must be called.
    """
    if not is_older(Template, module_name, 'active'):
        return False
    table = Template.__table__()
    execute(table.update(
            [table.template_type], ['dump2dcm'],
            where=Coalesce(table.template_type, '') == ''))
    for id_, name, *before in execute(table.select(
                table.id, table.name, table.charset, table.template,
                order_by=table.id)).fetchall():
        charset, template = before
        after = [_repaired(charset), template.replace(_MISSPELT, _SPELT)]
        if after != before:
            execute(table.update(
                    [table.charset, table.template], after,
                    where=table.id == id_))
            add_note('charset', record=f'{Template.__name__},{id_}',
                template=name)
    return True


def _repaired(charset):
    "Return the defined term of a character set, or an unknown one as it is"
    try:
        return find_charset((charset or '').strip() or UNICODE).term
    except ValueError:
        return charset


def convert_templates(Template):
    "Activate the former templates, except those that run Python code"
    table = Template.__table__()
    execute(table.update([table.active], [True], where=table.active == Null))
    ids = [id_ for id_, in execute(table.select(table.id, order_by=table.id))]
    add_note('templates', len(ids))
    check_templates(Template, ids)


def check_templates(Template, ids):
    """Note invalid templates, and deactivate those that run Python code.

    Parameters
    ----------
    Template : WorklistTemplate
        The class.
    ids : iterable of int
    """
    table = Template.__table__()
    for id_ in ids:
        (name, *template), = execute(table.select(
                table.name, table.template, table.template_type,
                table.charset, where=table.id == id_))
        try:
            check_template(*template, reach=reach())
        except TemplateError as error:
            kind = 'check'
            if error.kind in _PROGRAMS:
                kind = 'python'
                execute(table.update(
                        [table.active], [False], where=table.id == id_))
        except WorklistError:
            kind = 'check'
        else:
            continue
        add_note(f'template_{kind}', record=f'{Template.__name__},{id_}',
            template=name)


@around_registration('gnuhealth.imaging_worklist.worklist_template')
def _adapt_templates(WorklistTemplate, module_name):
    # Migration from 5.0
    old = prepare_templates(WorklistTemplate, module_name)
    yield
    if old:
        convert_templates(WorklistTemplate)
