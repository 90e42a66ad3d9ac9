# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from lxml import etree

from trytond import backend
from trytond.model import dualmethod
from trytond.pool import PoolMeta
from trytond.transaction import Transaction

__all__ = ['Cron', 'View']

_RELAX_NG = 'http://relaxng.org/ns/structure/1.0'
# Of attributes that only some clients know
CLIENT = 'urn:health_orthanc:client'


class Cron(metaclass=PoolMeta):
    __name__ = 'ir.cron'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.method.selection.extend([
                ('gnuhealth.orthanc.config|synchronize_all',
                    "Synchronise Orthanc Servers"),
                ('gnuhealth.orthanc.config|reconcile_all',
                    "Reconcile Orthanc Servers"),
                ('gnuhealth.orthanc.notification|process_pending',
                    "Work off Notifications of Orthanc"),
                ('gnuhealth.imaging_orthanc.study.correction|process_pending',
                    "Carry on Corrections of Identity in Orthanc"),
                ('gnuhealth.orthanc.config|synchronize_worklists',
                    "Update Worklists of Orthanc Servers"),
                ])

    @dualmethod
    def save(cls, crons):
        super().save(crons)
        transaction = Transaction()
        # SQLite has one writer. The scheduler's own transaction would keep
        # all others out, its next job included, from the first job on that
        # it saves until the last one has run.
        if (backend.name == 'sqlite' and transaction.user == 0
                and transaction.context.get('_skip_warnings')):
            transaction.commit()


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
