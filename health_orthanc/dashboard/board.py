# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boards show only what their user may read"""

from lxml import etree

from trytond.pool import Pool, PoolMeta

from ..common.access import may_read

__all__ = ['View']


class View(metaclass=PoolMeta):
    __name__ = 'ir.ui.view'

    def view_get(self, model=None):
        """Return the view, a board without what the user may not read.

        A client would show an error for each of its panels.
        """
        result = super().view_get(model=model)
        if result['type'] != 'board' or self.module != 'health_orthanc':
            return result
        tree = etree.fromstring(result['arch'])
        for panel in tree.xpath('//action'):
            if not _is_readable(panel.get('name')):
                panel.getparent().remove(panel)
        return {
            **result,
            'arch': etree.tostring(tree, encoding='utf-8').decode('utf-8')}


def _is_readable(xml_id):
    "Return whether the user may read the records of a panel"
    pool = Pool()
    ActWindow = pool.get('ir.action.act_window')
    module, name = xml_id.split('.')
    action = ActWindow(pool.get('ir.model.data').get_id(module, name))
    models = [action.res_model]
    models.extend(getattr(
            pool.get(action.res_model), '_counted_models', ()))
    return all(map(may_read, models))
