# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachments, notes and e-mails of records that follow rules

trytond asks who reads or changes one by its id only for the access to the
model of its record.  Here the record itself must be readable, too, and a
search does not even count what belongs to others.
"""

from sql.conditionals import Case

from trytond.i18n import gettext
from trytond.model import ModelSQL
from trytond.model.exceptions import AccessError
from trytond.pool import Pool, PoolMeta
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import Transaction

from .access import GuardedRecordsMixin, check_references
from .application import MODULE

__all__ = ['Attachment', 'Avatar', 'Email', 'Log', 'Note', 'guarded_models']


def guarded_models():
    """Return the names of the models whose records are guarded.

    Those of this module and those that it extends.
    """
    pool = Pool()
    names = {cls.__name__ for cls in pool.classes['model'][MODULE]}
    return sorted(
        name for name in names if not name.startswith('ir.')
        and issubclass(pool.get(name), ModelSQL))


def _is_checked():
    transaction = Transaction()
    return bool(transaction.user and transaction.check_access)


class ResourceGuardMixin(GuardedRecordsMixin):
    "Something that belongs to a record, by its field `resource`"
    __slots__ = ()

    @classmethod
    def search(
            cls, domain, offset=0, limit=None, order=None, count=False,
            **kwargs):
        if _is_checked():
            check_references(cls, domain)
            hidden = cls._hidden('read')
            if hidden:
                # In SQL: offset and limit would tell how many there are
                domain = [domain, ('id', 'not in', hidden)]
        return super().search(
            domain, offset=offset, limit=limit, order=order, count=count,
            **kwargs)

    @classmethod
    def check_access(cls, ids, mode='read'):
        super().check_access(ids, mode=mode)
        if _is_checked():
            cls._check_resources([int(id_) for id_ in ids], mode)

    @classmethod
    def _check_resources(cls, ids, mode):
        hidden = cls._hidden('read' if mode == 'read' else 'write')
        if not hidden:
            return
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        for sub_ids in grouped_slice(ids):
            cursor.execute(*table.select(
                    table.id, where=reduce_ids(table.id, sub_ids)
                    & table.id.in_(hidden), limit=1))
            if cursor.fetchone():
                raise AccessError(gettext(
                        'ir.msg_access_rule_error', **cls.__names__()))

    @classmethod
    def _hidden(cls, mode):
        """Return a query of the ids that the user may not reach.

        Parameters
        ----------
        mode : str
            ``'read'`` or ``'write'``.

        Returns
        -------
        Select or None
            None if there are none.
        """
        table = cls.__table__()
        where = None
        for condition in cls._hidden_conditions(table, mode):
            where = condition if where is None else where | condition
        if where is None:
            return None
        return table.select(table.id, where=where)

    @classmethod
    def _hidden_conditions(cls, table, mode):
        pool = Pool()
        Rule = pool.get('ir.rule')
        names = guarded_models()
        access = pool.get('ir.model.access').get_access(names)
        for name in names:
            of_model = table.resource.like(f'{name},%')
            if not access[name]['read'] or not access[name][mode]:
                yield of_model
            elif Rule.domain_get(name, mode=mode):
                # The cast fails for texts without an id
                id_ = Case(
                    (of_model, cls.resource.sql_id(table.resource, cls)))
                yield of_model & ~id_.in_(Rule.query_get(name, mode=mode))


class Attachment(ResourceGuardMixin, metaclass=PoolMeta):
    __name__ = 'ir.attachment'


class Note(ResourceGuardMixin, metaclass=PoolMeta):
    __name__ = 'ir.note'

    @classmethod
    def write(cls, notes, values, *args):
        # trytond checks nothing if a note is only marked as read
        cls.check_read(notes)
        super().write(notes, values, *args)


class Email(ResourceGuardMixin, metaclass=PoolMeta):
    __name__ = 'ir.email'


class Avatar(ResourceGuardMixin, metaclass=PoolMeta):
    __name__ = 'ir.avatar'


class Log(ResourceGuardMixin, metaclass=PoolMeta):
    __name__ = 'ir.model.log'

    @classmethod
    def _check_resources(cls, ids, mode):
        # trytond itself writes what users have done
        if mode == 'read':
            super()._check_resources(ids, mode)
