# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The widget for files of the upload dialog, in the schema of views."""

from lxml import etree

from trytond.pool import PoolMeta

__all__ = ['View']

_RELAX_NG = 'http://relaxng.org/ns/structure/1.0'
# Of attributes that only some clients know
CLIENT = 'urn:health_orthanc:client'


class View(metaclass=PoolMeta):
    __name__ = 'ir.ui.view'

    @classmethod
    def get_rng(cls, type_):
        """Allow a widget that not all clients have.

        A form that names an unknown one does not open in the web client.
        With a namespace the web client passes over it unless `custom.js` is
        there; GNU Health's client looks at local names only.
        """
        rng = super().get_rng(type_)
        names = {'rng': _RELAX_NG}
        for fields in rng.xpath(
                '//rng:define[@name="field"]/rng:element'
                '[not(rng:optional/rng:attribute[@ns=$ns])]',
                namespaces=names, ns=CLIENT):
            optional = etree.Element(f'{{{_RELAX_NG}}}optional')
            etree.SubElement(
                optional, f'{{{_RELAX_NG}}}attribute', name='widget',
                ns=CLIENT)
            fields.insert(1, optional)
        return rng
