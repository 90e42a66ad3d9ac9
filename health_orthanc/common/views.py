# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of views that only our extension of the web client reads"""

__all__ = ['CLIENT', 'set_client_attribute']

# The namespace of attributes that only some clients know
CLIENT = 'urn:health_orthanc:client'


def set_client_attribute(element, name, value):
    """Set an attribute that other clients ignore.

    Parameters
    ----------
    element : Element
        Of a view.
    name : str
    value : str
    """
    element.set(f'{{{CLIENT}}}{name}', value)
