# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OHIF viewer that GNU Health serves"""

import logging
from pathlib import Path
from urllib.parse import quote

from trytond.config import config

from ..core.installed_viewer import NotInstalled, find_viewer

__all__ = ['files_path', 'get_viewer', 'is_installed', 'pages_path']

logger = logging.getLogger('trytond.modules.health_orthanc.viewing')


def get_viewer():
    """Return the viewer in the folder of the configuration.

    Returns
    -------
    InstalledViewer or None
        None if there is none.
    """
    folder = config.get('health_orthanc', 'viewer_path', default='').strip()
    if not folder:
        return None
    try:
        return find_viewer(Path(folder))
    except NotInstalled as error:
        logger.warning("No viewer: %s", error)
        return None


def is_installed():
    "Return whether there is a viewer"
    return get_viewer() is not None


def _viewer_path(database):
    return f"/{quote(database, safe='')}/orthanc/viewer/"


def pages_path(database, server):
    """Return the path of the viewer's page for a server.

    Parameters
    ----------
    database : str
    server : int

    Returns
    -------
    str
    """
    return f'{_viewer_path(database)}{server}/'


def files_path(database, revision):
    """Return the path of the viewer's files.

    Parameters
    ----------
    database : str
    revision : str

    Returns
    -------
    str
    """
    return f'{_viewer_path(database)}files/{revision}/'
