# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of models that several rooms make up, and what adapts old ones."""

from collections import defaultdict
from contextlib import ExitStack, contextmanager

from trytond.pool import Pool

__all__ = ['LayeredMixin', 'around_registration', 'inherited_names']

_PACKAGE = __name__.removesuffix('common.registration')
_adaptations = defaultdict(list)


def around_registration(model):
    """Have a generator function run around the registration of a model.

    It is called with the class and the name of the module, and yields once:
    when the table is adapted to the fields of the class.

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
    """A model that other rooms of this module extend

    trytond registers each layer of it.  Only the last one has all fields: the
    table is made once, and what converts an old table sees it whole.
    """
    __slots__ = ()

    @classmethod
    def __setup__(cls):
        super().__setup__()
        lowest = [base for base in cls.__mro__ if '__name__' in vars(base)][-1]
        if lowest.__module__.startswith(_PACKAGE):
            # trytond names a model by the docstring of the class itself
            cls.__doc__ = lowest.__doc__

    @classmethod
    def __register__(cls, module_name):
        if Pool().get(cls.__name__) is not cls:
            return
        with ExitStack() as stack:
            for adaptation in _adaptations[cls.__name__]:
                stack.enter_context(adaptation(cls, module_name))
            super().__register__(module_name)


def inherited_names(cls, attribute):
    "Return the names that all layers of a class have in a set"
    return frozenset().union(
        *(vars(base).get(attribute, ()) for base in cls.__mro__))
