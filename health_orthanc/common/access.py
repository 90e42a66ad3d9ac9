# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access checks beyond those of trytond"""

from functools import wraps

from trytond.i18n import gettext
from trytond.model import fields
from trytond.model.exceptions import AccessError
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.tools.domain_inversion import is_leaf
from trytond.transaction import (
    Transaction, check_access, inactive_records, without_check_access)

from .exceptions import DecisionAccessError
from .registration import inherited_names

__all__ = [
    'GuardedMixin', 'GuardedRecordsMixin', 'GuardedSearchMixin',
    'HiddenButtonsMixin', 'HiddenFieldsMixin', 'ReadonlyMixin',
    'RestrictedFormMixin', 'RestrictedWizardMixin', 'SealedChar', 'SealedText',
    'apply_rules', 'check_references', 'check_write', 'find_readable',
    'may_press', 'may_read', 'must_ask', 'rule_query', 'warning_name']

# RPC methods that return values of the record which the client names
_UNCHECKED_CALLS = {
    'autocomplete', 'get_copy_to_resources', 'on_change', 'on_change_notify',
    'on_change_with', 'on_scan_code', 'pre_validate', 'resources'}


class _SealedMixin:
    "A column that only our code can read, and nobody can search or sort by"

    def convert_domain(self, domain, tables, Model):
        self._refuse(Model)

    def convert_order(self, name, tables, Model):
        self._refuse(Model)

    def _refuse(self, Model):
        # Repeated searches could reveal the value character by character
        raise AccessError(gettext(
                'ir.msg_access_rule_field_error',
                **Model.__names__(self.name)))


class SealedChar(_SealedMixin, fields.Char):
    "A Char for a secret: nobody can search or sort by it"


class SealedText(_SealedMixin, fields.Text):
    "A Text for a secret: nobody can search or sort by it"


class GuardedSearchMixin:
    """Check the access to what a search compares and orders by

    trytond checks the fields of dotted names, but neither those of a
    ``where`` clause nor that a relation is compared with a text or ordered
    by: all of these tell what is in records that the user may not read.
    """
    __slots__ = ()

    @classmethod
    def search(
            cls, domain, offset=0, limit=None, order=None, count=False,
            **kwargs):
        if Transaction().check_access:
            _check_where(cls, domain)
            for name, *_ in order or []:
                _check_order(cls, name)
        return super().search(
            domain, offset=offset, limit=limit, order=order, count=count,
            **kwargs)


def _check_where(Model, domain, nested=False):
    if is_leaf(domain):
        _check_leaf(Model, domain, nested)
    elif isinstance(domain, (list, tuple)):
        for clause in domain:
            _check_where(Model, clause, nested)


def _check_leaf(Model, clause, nested):
    pool = Pool()
    ModelAccess = pool.get('ir.model.access')
    FieldAccess = pool.get('ir.model.field.access')
    name, _, rest = clause[0].partition('.')
    if nested:
        FieldAccess.check(Model.__name__, [name], 'read')
    field = Model._fields[name]
    if field._type == 'reference' and rest and len(clause) > 3:
        Target = pool.get(clause[3])
        ModelAccess.check(Target.__name__, 'read')
        _check_where(
            Target, [(rest, *clause[1:3], *clause[4:])], nested=True)
        return
    where = clause[1].endswith('where')
    if not hasattr(field, 'get_target') or not (
            where or rest or _has_text(clause[2])):
        return
    Target = field.get_target()
    ModelAccess.check(Target.__name__, 'read')
    if where or rest:
        _check_where(
            Target, [(rest, *clause[1:])] if rest else clause[2], nested=True)


def _has_text(value):
    "Return whether a relation is compared with a name of records"
    if isinstance(value, (list, tuple)):
        return any(map(_has_text, value))
    return isinstance(value, str)


def _check_order(Model, name):
    pool = Pool()
    FieldAccess = pool.get('ir.model.field.access')
    name, _, rest = name.partition('.')
    field = Model._fields.get(name)
    if field is None:
        return
    FieldAccess.check(Model.__name__, [name], 'read')
    if hasattr(field, 'get_target'):
        Target = field.get_target()
        pool.get('ir.model.access').check(Target.__name__, 'read')
        _check_rules(Model, Target)
        if rest:
            _check_order(Target, rest)


def _is_everything(domain):
    "Return whether all records fulfill a domain"
    if not domain:
        return True
    if is_leaf(domain):
        return False
    if domain[0] == 'OR':
        return any(map(_is_everything, domain[1:]))
    return all(map(_is_everything, [d for d in domain if d != 'AND']))


def _check_rules(Model, Target):
    """Check that an order tells nothing of records that are not read.

    Where the own records follow the same rules, whose relations are read
    too, there are none.
    """
    Rule = Pool().get('ir.rule')
    if not _is_everything(Rule.domain_get(Target.__name__, mode='read')) and (
            not Rule.domain_get(Model.__name__, mode='read')):
        raise AccessError(gettext(
                'ir.msg_access_rule_error', **Target.__names__()))


def check_references(Model, domain):
    """Check what a search compares in the records that references lead to.

    Parameters
    ----------
    Model : ModelSQL
    domain : list
    """
    if is_leaf(domain):
        name = domain[0].partition('.')[0]
        field = Model._fields.get(name)
        if field is not None and field._type == 'reference':
            _check_leaf(Model, domain, nested=False)
    elif isinstance(domain, (list, tuple)):
        for clause in domain:
            check_references(Model, clause)


class GuardedRecordsMixin:
    """Check the access to the records that RPC methods return values of

    trytond assumes that methods like ``on_change`` only use the values that
    the client sent.  The record completes these values, so that they reveal
    fields that the user may not read.
    """
    __slots__ = ()

    @classmethod
    def __post_setup__(cls):
        super().__post_setup__()
        for name, rpc in cls.__rpc__.items():
            if name in _UNCHECKED_CALLS or name.startswith('on_change_'):
                rpc.decorator = _with_read_check(cls, rpc.decorator)

    @classmethod
    def export_data(cls, records, *args, **kwargs):
        # trytond treats rules on related records as fulfilled
        if Transaction().check_access:
            cls.check_read(records)
        return super().export_data(records, *args, **kwargs)

    @classmethod
    def check_read(cls, records):
        "Check that the user may read the model and the records"
        Pool().get('ir.model.access').check(cls.__name__, 'read')
        ids = [r.id for r in records if r.id is not None and r.id >= 0]
        if ids:
            cls.read(ids, ['id'])


class HiddenButtonsMixin:
    """Leave out of views the buttons that the user may not press

    trytond shows them in gray.  In models of other modules only our buttons,
    which `_hidden_buttons` lists, are left out.
    """
    __slots__ = ()
    _hidden_buttons = frozenset()

    @classmethod
    def parse_view(cls, tree, *args, **kwargs):
        names = inherited_names(cls, '_hidden_buttons') or cls._buttons.keys()
        for element in tree.xpath('//button'):
            name = element.get('name')
            if name in names and not may_press(cls, name):
                element.getparent().remove(element)
        return super().parse_view(tree, *args, **kwargs)


def may_press(Model, name):
    """Return whether the user may press a button.

    Parameters
    ----------
    Model : ModelView
    name : str
        The button.

    Returns
    -------
    bool
    """
    pool = Pool()
    groups = pool.get('ir.model.button').get_groups(Model.__name__, name)
    if groups:
        return not groups.isdisjoint(pool.get('res.user').get_groups())
    return pool.get('ir.model.access').get_access(
        [Model.__name__])[Model.__name__]['write']


def may_read(model):
    """Return whether the user may read a model, whoever asks.

    Parameters
    ----------
    model : str

    Returns
    -------
    bool
    """
    ModelAccess = Pool().get('ir.model.access')
    return ModelAccess.get_access([model])[model]['read']


def apply_rules(model, ids):
    """Return those of the ids that record rules let the current user see.

    Whether the user may read the model is not checked.

    Parameters
    ----------
    model : str
    ids : iterable of int

    Returns
    -------
    set of int
    """
    pool = Pool()
    with check_access():
        domain = pool.get('ir.rule').domain_get(model, mode='read')
    if not domain:
        return set(ids)
    found = set()
    with without_check_access(), inactive_records():
        for sub_ids in grouped_slice(list(ids)):
            found.update(r.id for r in pool.get(model).search(
                    [('id', 'in', list(sub_ids)), domain], order=[]))
    return found


def find_readable(model, ids):
    """Return those of the ids that the current user may read, whoever asks.

    Parameters
    ----------
    model : str
    ids : iterable of int

    Returns
    -------
    set of int
    """
    return apply_rules(model, ids) if may_read(model) else set()


def rule_query(model):
    """Return a query of the records that record rules let the user see.

    Parameters
    ----------
    model : str

    Returns
    -------
    Select or None
        None if nothing restricts the records.
    """
    pool = Pool()
    domain = pool.get('ir.rule').domain_get(model, mode='read')
    if _is_everything(domain):
        return None
    with without_check_access(), inactive_records():
        return pool.get(model).search(domain, order=[], query=True)


def warning_name(kind, records):
    """Return the name under which users agree to a warning on records.

    Parameters
    ----------
    kind : str
    records : list of Model

    Returns
    -------
    str
    """
    return Pool().get('res.user.warning').format(kind, records)


@without_check_access
def must_ask(name):
    """Return whether the current user has yet to agree to a warning.

    An agreement is used up.  trytond does this with the rights of the user,
    who may not delete it.

    Parameters
    ----------
    name : str
        Returned by `warning_name`.

    Returns
    -------
    bool
    """
    return Pool().get('res.user.warning').check(name)


class GuardedMixin(
        HiddenButtonsMixin, GuardedRecordsMixin, GuardedSearchMixin):
    "Check the access to records, and what searches tell of others"
    __slots__ = ()

    @classmethod
    def delete(cls, records):
        # Checked first: the reason that prevents the deletion may be
        # confidential
        cls.check_delete()
        super().delete(records)

    @classmethod
    def check_delete(cls):
        "Check that the user may delete records of the model"
        Pool().get('ir.model.access').check(cls.__name__, 'delete')


def _with_read_check(cls, decorator):
    def decorate(func):
        if decorator:
            func = decorator(func)

        @wraps(func)
        def wrapper(*args, **kwargs):
            first = args[0] if args else None
            records = first if isinstance(first, list) else [first]
            cls.check_read([r for r in records if isinstance(r, cls)])
            return func(*args, **kwargs)
        return wrapper
    return decorate


class ReadonlyMixin(GuardedMixin):
    "Records that no user may change or delete, only our code"
    __slots__ = ()

    @classmethod
    def write(cls, *args):
        Pool().get('ir.model.access').check(cls.__name__, 'write')
        cls._refuse_users()
        super().write(*args)

    @classmethod
    def delete(cls, records):
        cls.check_delete()
        cls._refuse_users()
        super().delete(records)

    @classmethod
    def _refuse_users(cls):
        if Transaction().check_access:
            raise DecisionAccessError.readonly()


class RestrictedWizardMixin:
    """Restrict a wizard to the groups of its actions

    The client sends the id of the action; trytond lets everybody run the
    wizard under an id that does not exist.

    A wizard for records of certain models lists these in `_record_models`.
    The client sends the record when it executes a state, but not when it
    creates the session.
    """
    __slots__ = ()
    _record_models = frozenset()

    @classmethod
    def check_access(cls):
        transaction = Transaction()
        if not transaction.user:
            return
        with transaction.set_context(action_id=None):
            cls._check_groups()
            if transaction.context.get('active_model'):
                cls._check_record()
            super().check_access()

    @classmethod
    def execute(cls, session_id, data, state_name):
        if Transaction().user:
            cls._check_record()
        return super().execute(session_id, data, state_name)

    @classmethod
    def _check_groups(cls):
        _check_wizard(cls.__name__)

    @classmethod
    def _check_record(cls):
        context = Transaction().context
        model = context.get('active_model')
        if cls._record_models and (
                model not in cls._record_models
                or context.get('active_id') is None):
            raise AccessError(gettext(
                    'ir.msg_access_wizard_model_error',
                    wizard=cls.__name__, model=model or '–'))


def _check_wizard(name):
    "Check that the user is in a group of the actions of a wizard"
    pool = Pool()
    ActionWizard = pool.get('ir.action.wizard')
    User = pool.get('res.user')
    if not ActionWizard.get_groups(name).intersection(User.get_groups()):
        raise AccessError(gettext(
                'ir.msg_access_wizard_error', wizard=name))


class RestrictedFormMixin:
    """Restrict the RPC methods of a form to the groups of its wizard

    Their results reveal values of records; trytond lets everybody call them.
    """
    __slots__ = ()
    _wizard = None

    @classmethod
    def __post_setup__(cls):
        super().__post_setup__()
        for rpc in cls.__rpc__.values():
            rpc.decorator = _with_wizard_check(cls._wizard, rpc.decorator)


def _with_wizard_check(wizard, decorator):
    def decorate(func):
        if decorator:
            func = decorator(func)

        @wraps(func)
        def wrapper(*args, **kwargs):
            if Transaction().user:
                _check_wizard(wizard)
            return func(*args, **kwargs)
        return wrapper
    return decorate


def check_write(Model, names):
    """Check that the user may write fields.

    It is called before an error message could reveal values of the record.

    Parameters
    ----------
    Model : ModelSQL
    names : iterable of str
        The fields.

    Raises
    ------
    AccessError
    """
    pool = Pool()
    pool.get('ir.model.access').check(Model.__name__, 'write')
    pool.get('ir.model.field.access').check(
        Model.__name__, list(names), 'write')


class HiddenFieldsMixin:
    """Leave out of `fields_get` the fields that the user may not read

    Scripts read all fields that it lists: without this, a user who may not
    read one of ours could not open GNU Health's own records.
    """
    __slots__ = ()
    _hidden_fields = frozenset()

    @classmethod
    def fields_get(cls, fields_names=None, level=0):
        FieldAccess = Pool().get('ir.model.field.access')
        definitions = super().fields_get(
            fields_names=fields_names, level=level)
        hidden = inherited_names(cls, '_hidden_fields')
        for name in hidden & definitions.keys():
            if not FieldAccess.check(
                    cls.__name__, [name], 'read', raise_exception=False):
                del definitions[name]
        return definitions
