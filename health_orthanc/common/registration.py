# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration of models that several rooms extend"""

from collections import defaultdict
from contextlib import ExitStack, contextmanager

from trytond.pool import Pool

__all__ = [
    'LayeredMixin', 'around_registration', 'inherited_names', 'is_ours',
    'is_own']

_PACKAGE = __name__.removesuffix('common.registration')
_adaptations = defaultdict(list)


def around_registration(model):
    """Return a decorator that runs a generator around a registration.

    The generator function gets the class and the name of the module.  It
    yields once; trytond then adapts the table to the fields of the class.

    Parameters
    ----------
    model : str
        The name of a model with `LayeredMixin`.
    """
    def decorate(func):
        _adaptations[model].append(contextmanager(func))
        return func
    return decorate


class LayeredMixin:
    """A model that several rooms of this module extend

    trytond registers the class of each room.  Only the last one has all
    fields.  The others are skipped, so that conversions see a complete table.
    """
    __slots__ = ()

    @classmethod
    def __setup__(cls):
        super().__setup__()
        if is_own(cls):
            # trytond takes the model's name from the docstring of the class
            cls.__doc__ = _lowest(cls).__doc__

    @classmethod
    def __register__(cls, module_name):
        if Pool().get(cls.__name__) is not cls:
            return
        with ExitStack() as stack:
            for adaptation in _adaptations[cls.__name__]:
                stack.enter_context(adaptation(cls, module_name))
            super().__register__(module_name)


def inherited_names(cls, attribute):
    """Return the union of a set of names over all bases of a class.

    Parameters
    ----------
    attribute : str
        The class attribute that holds the set.

    Returns
    -------
    frozenset of str
    """
    return frozenset().union(
        *(vars(base).get(attribute, ()) for base in cls.__mro__))


def is_own(cls):
    """Return whether this module has made a model, and not only extended it.

    Parameters
    ----------
    cls : type

    Returns
    -------
    bool
    """
    return is_ours(_lowest(cls))


def is_ours(cls):
    """Return whether this module defines a class, or a layer of a model.

    Parameters
    ----------
    cls : type

    Returns
    -------
    bool
    """
    return cls.__module__.startswith(_PACKAGE)


def _lowest(cls):
    "Return the class that made the model"
    return [base for base in cls.__mro__ if '__name__' in vars(base)][-1]
