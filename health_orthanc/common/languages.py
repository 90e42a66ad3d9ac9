# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Portuguese (Brazil), which Tryton 7.0 does not know

GNU Health and this module are translated into it.  Tryton's own texts are
those of its parent, Portuguese, which Brazilians have translated.
"""

from trytond.pool import PoolMeta
from trytond.transaction import Transaction

__all__ = ['Lang']

_BRAZIL = {
    'code': 'pt_BR',
    'name': "Portuguese (Brazil)",
    'active': True,
    'translatable': False,
    'direction': 'ltr',
    'date': '%d/%m/%Y',
    'am': '',
    'pm': '',
    'grouping': '[3, 3, 0]',
    'decimal_point': ',',
    'thousands_sep': '.',
    'mon_grouping': '[3, 3, 0]',
    'mon_decimal_point': ',',
    'mon_thousands_sep': '.',
    'p_sign_posn': 1,
    'n_sign_posn': 1,
    'negative_sign': '-',
    'positive_sign': '',
    'p_cs_precedes': True,
    'n_cs_precedes': True,
    'p_sep_by_space': True,
    'n_sep_by_space': True,
    }


class Lang(metaclass=PoolMeta):
    __name__ = 'ir.lang'

    @classmethod
    def __register__(cls, module_name):
        super().__register__(module_name)
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        # A hospital may have made it
        cursor.execute(*table.select(
                table.id, where=table.code == _BRAZIL['code']))
        if not cursor.fetchone():
            cursor.execute(*table.insert(
                    [getattr(table, name) for name in _BRAZIL],
                    [list(_BRAZIL.values())]))
