# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worklist as GNU Health sends it."""
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from .json_rpc import Client, NoAnswer

METHOD = 'model.gnuhealth.imaging.procedure.step.get_worklist'
PREFIX, SUFFIX = 'gnuhealth-', '.wl'
NAME = re.compile(PREFIX + r'[A-Za-z0-9_-]{1,64}')


@dataclass(frozen=True)
class WorklistItem:
    """An open step, and the content of its file.

    Attributes
    ----------
    id
        Of the step in GNU Health.
    index
        Of its last change, in GNU Health's numbering of all changes.
    name
        Of the file, without its suffix.
    kind
        Of the template: ``dump2dcm`` or ``json``.
    text, charset
        The filled-in template, and its Specific Character Set.
    dicom
        The file as GNU Health has made it.
    """
    id: str
    index: int
    name: str
    kind: str
    text: str
    charset: str
    dicom: bytes

    @classmethod
    def from_answer(cls, value: Any) -> 'WorklistItem':
        """Return the item of a decoded JSON object.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the object is not a worklist item.
        """
        item = cls(
            str(value['id']), value['index'], value['name'], value['kind'],
            value['text'], value['charset'], value['dicom'])
        texts = [item.name, item.kind, item.text, item.charset]
        if not all(isinstance(text, str) for text in texts) \
                or not isinstance(item.index, int) \
                or not isinstance(item.dicom, bytes):
            raise TypeError
        if not NAME.fullmatch(item.name):
            raise ValueError
        return item

    @property
    def digest(self) -> str:
        """Of all that its file is made from."""
        digest = hashlib.sha256(self.dicom)
        for part in [self.kind, self.text, self.charset]:
            digest.update(b'\0' + part.encode('utf-8', 'surrogatepass'))
        return digest.hexdigest()


@dataclass
class Listing:
    """The open steps, and those items that have changed.

    Attributes
    ----------
    index : int
        Of the last change that is included.
    complete : bool
        Whether the items are those of all open steps.
    items : dict
        Changed items by the id of the step.
    open : set
        The ids of all open steps.
    """
    index: int = 0
    complete: bool = False
    items: dict[str, WorklistItem] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)


def fetch(client: Client, since: int, known: Collection[str]) -> Listing:
    """Return the changes after the index `since`, or the complete worklist.

    Parameters
    ----------
    known
        The ids of the steps whose files are known.  If others are open and
        have not changed, the worklist is complete.

    Raises
    ------
    NoAnswer
        If GNU Health's answer is not a worklist.
    """
    listing = read_pages(client, since)
    if not listing.complete and listing.open - set(known) - set(listing.items):
        listing = read_pages(client, 0)
    if listing.complete and listing.open - set(listing.items):
        raise NoAnswer("The answer of GNU Health is not complete.")
    return listing


def read_pages(client: Client, since: int) -> Listing:
    listing = Listing(complete=not since)
    while True:
        page = client.call(METHOD, since, {})
        try:
            more = add_page(listing, page, since)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NoAnswer(
                "The answer of GNU Health is not a worklist.") from None
        if not more:
            return listing
        since = listing.index


def add_page(listing: Listing, page: Any, since: int) -> bool:
    """Add a page of the answer; return whether another one follows."""
    if since and not page['since']:
        listing.items.clear()
        listing.complete = True
    elif page['since'] != since:
        raise ValueError
    for value in page['entries']:
        item = WorklistItem.from_answer(value)
        listing.items[item.id] = item
    listing.index = int(page['index'])
    if not page['more']:
        listing.open = set(map(str, page['open']))
        return False
    if listing.index <= page['since']:
        raise ValueError  # The pages would never end.
    return True
