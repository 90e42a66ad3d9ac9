# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""*View* as a browser goes on with it: page, files, metadata and a frame."""
import re
from urllib.parse import urljoin

import requests

from .site import DATABASE, Site

__all__ = ['fetch_frame']

TIMEOUT = 120
_JSON = {'Accept': 'application/dicom+json'}
_FRAME = {'Accept':
    'multipart/related; type=application/octet-stream; transfer-syntax=*'}


class _Browser:

    def __init__(self, session: requests.Session):
        self._session = session
        session.headers['Sec-Fetch-Site'] = 'same-origin'

    def ask(
            self, url: str, data: str | None = None,
            headers: dict[str, str] | None = None) -> requests.Response:
        answer = self._session.request(
            'GET' if data is None else 'POST', url, data=data,
            headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer


def fetch_frame(site: Site, url: str, uid: str) -> bytes:
    """Return the first frame of a study, fetched as the viewer does it.

    Parameters
    ----------
    url
        What *View* opens.
    uid
        Study Instance UID.

    Raises
    ------
    requests.RequestException
        Something on the way is not there.
    ValueError
        It is there for those who have no ticket, too.
    """
    page, _, ticket = url.partition('#')
    with site.session() as session:
        browser = _Browser(session)
        browser.ask(page)
        opened = browser.ask(
            urljoin(page, 'viewer-session'), data=ticket).json()
        _ask_for_viewer(browser, urljoin(page, opened['address']))
        root = (
            f"{site.url}/{DATABASE}/orthanc/dicomweb/{opened['server']}"
            '/dicom-web')
        series = f'{root}/studies/{uid}/series'
        found = browser.ask(series, headers=_JSON).json()
        one = f"{series}/{found[0]['0020000E']['Value'][0]}"
        images = browser.ask(f'{one}/metadata', headers=_JSON).json()
        frame = (
            f"{one}/instances/{images[0]['00080018']['Value'][0]}/frames/1")
        part = browser.ask(frame, headers=_FRAME).content
    with site.session() as session:
        status = session.get(frame, timeout=TIMEOUT).status_code
        if status != 401:
            raise ValueError(f"{status} without a session")
    return part.partition(b'\r\n\r\n')[2].rpartition(b'\r\n--')[0]


def _ask_for_viewer(browser: _Browser, address: str) -> None:
    """Fetch the page of the viewer, and its own scripts."""
    page = browser.ask(address).text
    scripts = re.findall(r'src="(/[^"]+)"', page)
    if not scripts:
        raise ValueError("The page of the viewer names no script")
    for script in scripts:
        browser.ask(urljoin(address, script))
