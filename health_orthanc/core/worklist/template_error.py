# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of worklist templates"""

__all__ = ['TemplateError', 'Unreachable']


class TemplateError(ValueError):
    """A template, or the text rendered from it, that cannot be used

    Attributes
    ----------
    kind : str
        ``'template_…'`` if the template is wrong, ``'result_…'`` if the text
        rendered from it is.
    line : int or None
        From 1, in the template or in the rendered text.
    detail : str
        A name, a tag or a part of the template.
    """

    def __init__(
            self, kind: str, line: int | None = None, detail: str = ''):
        super().__init__(kind, line, detail)
        self.kind = kind
        self.line = line
        self.detail = detail


class Unreachable(AttributeError):
    """A field of a record that templates may not read"""
