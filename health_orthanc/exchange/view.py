# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that only some clients know, in the view schema"""

from lxml import etree

from trytond.pool import PoolMeta

from ..common.views import CLIENT

__all__ = ['View']

_RELAX_NG = 'http://relaxng.org/ns/structure/1.0'
_ATTRIBUTES = {
    # `lines`: a column of a list that shows all lines of its text;
    # `code`: a text in a font of fixed width, with the numbers of its lines
    'field': ['widget', 'lines', 'code'],
    # What the list says while it is empty
    'tree': ['empty'],
    # The working hours, at which the calendar opens
    'calendar': ['day_start', 'day_end'],
    }


class View(metaclass=PoolMeta):
    __name__ = 'ir.ui.view'

    @classmethod
    def get_rng(cls, type_):
        """Return the schema, with the attributes in our namespace.

        The web client cannot open a form with an unknown widget.  It ignores
        an attribute in a namespace, unless `custom.js` is installed; GNU
        Health's client only uses the local name.
        """
        rng = super().get_rng(type_)
        names = {'rng': _RELAX_NG}
        for element, attributes in _ATTRIBUTES.items():
            for found in rng.xpath(
                    f'//rng:define[@name="{element}"]/rng:element'
                    '[not(rng:optional/rng:attribute[@ns=$ns])]',
                    namespaces=names, ns=CLIENT):
                for name in attributes:
                    optional = etree.Element(f'{{{_RELAX_NG}}}optional')
                    etree.SubElement(
                        optional, f'{{{_RELAX_NG}}}attribute', name=name,
                        ns=CLIENT)
                    found.insert(1, optional)
        return rng
