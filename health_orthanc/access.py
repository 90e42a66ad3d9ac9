# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that are only there for those who may read them."""

from trytond.pool import Pool

__all__ = ['HiddenFieldsMixin']


class HiddenFieldsMixin:
    """Leave out of `fields_get` what the user may not read

    Scripts read every field that it tells: for a user who may not read one of
    ours, GNU Health's own records would not open at all.
    """
    __slots__ = ()
    _hidden_fields = frozenset()

    @classmethod
    def fields_get(cls, fields_names=None, level=0):
        FieldAccess = Pool().get('ir.model.field.access')
        definitions = super().fields_get(
            fields_names=fields_names, level=level)
        for name in cls._hidden_fields & definitions.keys():
            if not FieldAccess.check(
                    cls.__name__, [name], 'read', raise_exception=False):
                del definitions[name]
        return definitions
