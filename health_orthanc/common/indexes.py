# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes for searches by a part of a text

PostgreSQL has them with its extension pg_trgm.  Without it a search finds the
same records, but reads the whole table.
"""

import logging
import re

from sql import Column, Literal, Null, With
from sql.aggregate import Min

from trytond import backend
from trytond.model import Index, fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from .registration import inherited_names

__all__ = [
    'RepeatedChar', 'TextSearchMixin', 'UidChar', 'has_trigrams',
    'text_clause', 'uid_clause', 'word_clauses']

logger = logging.getLogger(__name__)

_EXTENSION = 'pg_trgm'
# In the context while the domain of a rule is converted
_IN_RULE = '_orthanc_uid_in_rule'
# What a client makes of a text without wildcards
_TYPED_TEXT = re.compile(r'%([^%]+)%')
# Fewer than three letters: the index knows only those that words begin with.
# Scripts from U+0900 on may not divide words
_SHORT_TEXT = re.compile(
    r'[^-\s%_\\(\u0900-\U0010ffff][^\s%_\u0900-\U0010ffff]?')
# Each takes its time where many records are compared
_BEFORE_WORDS = ['', '% ', '%-', '%(']
# At least three dots, as dates have two; fewer where there is a wildcard
_PART_OF_UID = re.compile(r'[0-9]*(\.[0-9]*){3,}')
_UID_WITH_WILDCARD = re.compile(r'[0-9%]*\.[0-9.%]*')


class TextSearchMixin:
    """A model whose columns are searched by a part of their text

    One index covers all columns in `_searched_columns`, so that a record is
    added to one only.
    """
    __slots__ = ()
    _searched_columns = frozenset()

    @classmethod
    def __register__(cls, module_name):
        super().__register__(module_name)
        _create_extension()

    @classmethod
    def _update_sql_indexes(cls):
        # In a B-tree, as trytond has it without the extension, long texts do
        # not fit, and a part of a text is not found
        indexes = cls._sql_indexes
        if has_trigrams():
            cls._sql_indexes = {
                i for i in indexes if not cls._is_covered(i)}
            cls._sql_indexes.add(cls._text_index())
        try:
            super()._update_sql_indexes()
        finally:
            cls._sql_indexes = indexes

    @classmethod
    def _is_covered(cls, index):
        "Return whether an index is for the text of one searched column"
        if len(index.expressions) != 1 or 'where' in index.options:
            return False
        (column, usage), = index.expressions
        if isinstance(column, Index.Unaccent):
            column = column._expression
        return (
            isinstance(usage, Index.Similarity)
            and isinstance(column, Column)
            and column.name in inherited_names(cls, '_searched_columns'))

    @classmethod
    def _text_index(cls):
        table = cls.__table__()
        return Index(table, *(
                (Index.Unaccent(getattr(table, name)), Index.Similarity())
                for name in sorted(inherited_names(cls, '_searched_columns'))))


class RepeatedChar(fields.Char):
    """A Char of which many records have the same text

    A part of a text is searched in the different texts, and the records by
    those that have it.  The column needs an index for ranges.
    """

    def convert_domain(self, domain, tables, Model):
        name, operator, value = domain
        if operator not in {'ilike', 'like'} or not isinstance(value, str):
            return super().convert_domain(domain, tables, Model)
        table, _ = tables[None]
        found = self._find_texts(Model, operator, value)
        return self.sql_column(table).in_(found) if found else Literal(False)

    def _find_texts(self, Model, operator, value):
        texts = self._different_texts(Model)
        Operator = fields.SQL_OPERATORS[operator]
        cursor = Transaction().connection.cursor()
        cursor.execute(*texts.select(
                texts.text, with_=[texts], where=Operator(
                    self._domain_column(operator, texts.text),
                    self._domain_value(operator, value))))
        return [text for text, in cursor]

    def _different_texts(self, Model):
        "Return a query that goes from each text to the next one"
        table, following = Model.__table__(), Model.__table__()
        texts = With('text', recursive=True)
        texts.query = table.select(
            Min(self.sql_column(table)).as_('text'))
        column = self.sql_column(following)
        texts.query |= texts.select(
            following.select(Min(column), where=column > texts.text),
            where=texts.text != Null)
        return texts


class UidChar(fields.Char):
    """A Char with a UID, of which mostly the whole is searched

    Clients search for a part of any text.  If a record has the very UID, it
    is found by the index for equality that the column needs; otherwise the
    whole table is read.  An index for parts of UIDs takes more time than all
    others together: no digit tells them apart.
    """

    def convert_domain(self, domain, tables, Model):
        name, operator, value = domain
        uid = (_typed_text(operator, value) or '').strip()
        # A rule may have such a domain itself
        if uid and not Transaction().context.get(_IN_RULE) and (
                self._is_recorded(Model, uid)):
            domain = (name, '=', uid)
        return super().convert_domain(domain, tables, Model)

    def _is_recorded(self, Model, uid):
        # What a rule hides must not change what is found.  trytond converts
        # the domain of a user without checks
        with Transaction().set_context(_check_access=True):
            rule = Pool().get('ir.rule').domain_get(
                Model.__name__, mode='read')
        with Transaction().set_context({_IN_RULE: True}):
            return bool(Model.search(
                    [(self.name, '=', uid), rule or []], limit=1, order=[]))


def text_clause(name, operator, value, words=True):
    """Return the clause with which a text without a field name finds a text.

    One or two letters find words that begin with them: an index knows nothing
    of them elsewhere.  They are looked for everywhere in scripts that do not
    divide words, and if the user types a wildcard.

    Parameters
    ----------
    name : str
        The field.
    operator : str
    value : str
        What is searched for, for example ``%Li%``.
    words : bool, optional
        False if the field has one word, such as an identifier.

    Returns
    -------
    tuple or list
    """
    text = _short_text(operator, value)
    if not text:
        return (name, operator, value)
    if not words:
        return (name, operator, f'{text}%')
    # Of most texts one comparison tells that they do not have it anywhere
    return [(name, operator, f'%{text}%'),
        ['OR', *word_clauses(name, operator, value)]]


def word_clauses(name, operator, value):
    """Return clauses of which at least one finds what `text_clause` finds.

    Parameters
    ----------
    name : str
    operator : str
    value : str

    Returns
    -------
    list of tuple
    """
    text = _short_text(operator, value)
    if not text:
        return [(name, operator, value)]
    return [(name, operator, f'{before}{text}%') for before in _BEFORE_WORDS]


def _short_text(operator, value):
    "Return the one or two letters that are searched for, or None"
    text = (_typed_text(operator, value) or '').rstrip()
    if _SHORT_TEXT.fullmatch(text):
        return text


def uid_clause(name, operator, value):
    """Return the clause with which a text without a field name finds a UID.

    A text that cannot be a part of a UID is compared with whole ones, as all
    records would be read in vain.

    Parameters
    ----------
    name : str
        The field, a `UidChar`.
    operator : str
    value : str
        What is searched for, for example ``%1.2.840%``.

    Returns
    -------
    tuple
    """
    if operator not in {'ilike', 'like'} or not isinstance(value, str):
        return (name, operator, value)
    text = value.strip('%').strip()
    pattern = _UID_WITH_WILDCARD if _typed_text(operator, value) is None \
        else _PART_OF_UID
    if not text or pattern.fullmatch(text):
        return (name, operator, value)
    return (name, '=', text)


def _typed_text(operator, value):
    "Return the text that is searched for everywhere, if it has no wildcards"
    if operator in {'ilike', 'like'} and isinstance(value, str):
        found = _TYPED_TEXT.fullmatch(value)
        if found:
            return found[1]


def has_trigrams():
    """Return whether the database has indexes for parts of texts.

    Returns
    -------
    bool
    """
    if backend.name != 'postgresql':
        return False
    database = Transaction().database
    if database.has_extension(_EXTENSION):
        return True
    if not _exists('pg_extension', 'extname'):
        return False
    # trytond has asked before the extension was created
    database._extensions[database.name].pop(_EXTENSION, None)
    return database.has_extension(_EXTENSION)


def _create_extension():
    "Create the extension, if the server has it and the role may"
    if (backend.name != 'postgresql' or _exists('pg_extension', 'extname')
            or not _exists('pg_available_extensions', 'name')):
        return
    connection = Transaction().connection
    cursor = connection.cursor()
    cursor.execute('SAVEPOINT create_extension')
    try:
        cursor.execute(f'CREATE EXTENSION IF NOT EXISTS {_EXTENSION}')
    except connection.Error as error:
        cursor.execute('ROLLBACK TO SAVEPOINT create_extension')
        logger.warning(
            "Searches by a part of a text are slow, because the role of the "
            "database may not create the extension %s (%s). A superuser may "
            "create it; then update the module.", _EXTENSION, error.pgcode)
    cursor.execute('RELEASE SAVEPOINT create_extension')


def _exists(catalog, column):
    cursor = Transaction().connection.cursor()
    cursor.execute(
        f'SELECT 1 FROM {catalog} WHERE {column} = %s', (_EXTENSION,))
    return bool(cursor.fetchone())
