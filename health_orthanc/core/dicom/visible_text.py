# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside, made visible for people."""

import re

__all__ = ['DISPLAY_LIMIT', 'visible_text']

# Characters of a value that is shown beside another one
DISPLAY_LIMIT = 200

# Control characters, line and paragraph separators, characters without
# width or that change the direction of text, and lone surrogates
_HIDDEN = re.compile(
    '[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e'
    '\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]')


def visible_text(text: str | None, limit: int = DISPLAY_LIMIT) -> str:
    """Return a text in one line, in which no character is hidden.

    Invisible characters are replaced by their code points, as in ``[U+202E]``.

    Parameters
    ----------
    text : str or None
    limit : int
        Characters; a longer text ends with an ellipsis.
    """
    text = text or ''
    shown = _HIDDEN.sub(
        lambda found: f'[U+{ord(found[0]):04X}]', text[:limit + 1])
    return shown if len(shown) <= limit else f'{shown[:limit - 1]}…'
