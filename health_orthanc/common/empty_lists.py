# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an empty list says would be in it, and what to do

The texts are messages.  Their XML id begins with ``msg_empty_`` and goes on
with that of a tab, or of an action that is shown on a board; otherwise with
``list_`` and the name of a model, for its lists without tabs.
"""

import json

from lxml import etree

from trytond.i18n import gettext
from trytond.pool import Pool, PoolMeta

from .access import may_read
from .application import MODULE
from .views import set_client_attribute

__all__ = ['View', 'empty_texts']

_PREFIX = 'msg_empty_'


class View(metaclass=PoolMeta):
    __name__ = 'ir.ui.view'

    def view_get(self, model=None):
        """Return the view, a list with its texts for our web client."""
        result = super().view_get(model=model)
        texts = {}
        if result['type'] == 'tree' and model and may_read(model):
            texts = empty_texts(model)
        if not texts:
            return result
        tree = etree.fromstring(result['arch'])
        set_client_attribute(
            tree, 'empty', json.dumps(texts, ensure_ascii=False))
        return {
            **result,
            'arch': etree.tostring(tree, encoding='utf-8').decode('utf-8')}


def empty_texts(model):
    """Return the texts for the lists of a model, in the user's language.

    Parameters
    ----------
    model : str

    Returns
    -------
    dict
        ``titles`` by the names of tabs and actions, ``list`` for other lists,
        ``search`` for a search that finds nothing.  It is empty if the model
        has none.
    """
    pool = Pool()
    known = {
        data.fs_id for data in pool.get('ir.model.data').search([
                ('module', '=', MODULE),
                ('model', '=', 'ir.message'),
                ('fs_id', 'like', f'{_PREFIX}%'),
                ])}
    texts = {'titles': {
            name: _text(fs_id) for name, fs_id in _named(model)
            if _PREFIX + fs_id in known}}
    fs_id = 'list_' + model.replace('.', '_')
    if _PREFIX + fs_id in known:
        texts['list'] = _text(fs_id)
    if not texts['titles'] and 'list' not in texts:
        return {}
    return {**texts, 'search': _text('search')}


def _text(fs_id):
    return gettext(f'{MODULE}.{_PREFIX}{fs_id}')


def _named(model):
    "Yield the names of tabs and actions on a model, with their XML ids"
    ActWindow = Pool().get('ir.action.act_window')
    actions = ActWindow.search([('res_model', '=', model)])
    yield from _with_xml_ids(actions)
    yield from _with_xml_ids([
            d for action in actions for d in action.act_window_domains])


def _with_xml_ids(records):
    if not records:
        return
    found = Pool().get('ir.model.data').search([
            ('model', '=', records[0].__name__),
            ('db_id', 'in', [r.id for r in records]),
            ])
    fs_ids = {data.db_id: data.fs_id for data in found}
    for record in records:
        if record.id in fs_ids:
            yield record.name, fs_ids[record.id]
