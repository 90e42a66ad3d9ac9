# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worklist files written by this module and by pydicom.

Each item is rendered from the default template for the first time, from
variables to the bytes of its file, as GNU Health does after an order was
placed or changed.  The file is written in two ways:

- *ours*: `core.worklist.dicom_file.to_file`, with the encoder of
  `core.dicom.charsets`;
- *pydicom*: `pydicom.dcmwrite`, with its own encoder.

Reading from and writing to the database is not part of it.  The figures are
milliseconds of processor time per item, medians of the repetitions; *end to
end* includes the rendering.  The two ways take turns, so that another load of
the machine concerns both.

A second table compares the bytes of names in several character sets.
"""
import argparse
import io
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable

import pydicom
from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import PersonName

from trytond.modules.health_orthanc.core.dicom.charsets import find_charset
from trytond.modules.health_orthanc.core.worklist.default_template import (
    DEFAULT_TEMPLATE)
from trytond.modules.health_orthanc.core.worklist.dicom_file import (
    encode_text, to_file)
from trytond.modules.health_orthanc.core.worklist.item import render
from trytond.modules.health_orthanc.core.worklist.samples import FULL

KIND = 'dump2dcm'
NAMES = ['SAMPLE^ANNA', 'Bëtz^Ana', 'Люкceмбypг', '山田^太郎', '홍^길동']
WORKLIST_FIND = '1.2.840.10008.5.1.4.31'
# The examples of PS3.5 annexes H to K, and combinations of sets
CHARSETS = [
    ('ISO_IR 100', 'Buc^Jérôme'),
    ('ISO_IR 144', 'Люкceмбypг'),
    ('ISO_IR 166', 'นามสกุล'),
    ('ISO_IR 13', 'ﾔﾏﾀﾞ^ﾀﾛｳ'),
    ('ISO_IR 192', 'Wang^XiaoDong=王^小东'),
    ('GB18030', 'Wang^XiaoDong=王^小东'),
    ('\\ISO 2022 IR 87', 'Yamada^Tarou=山田^太郎=やまだ^たろう'),
    ('ISO 2022 IR 13\\ISO 2022 IR 87', 'ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう'),
    ('\\ISO 2022 IR 149', 'Hong^Gildong=洪^吉洞=홍^길동'),
    ('\\ISO 2022 IR 58', 'Zhang^XiaoDong=张^小东'),
    ('ISO 2022 IR 100\\ISO 2022 IR 144', 'Jérôme Люк'),
    ('\\ISO 2022 IR 100\\ISO 2022 IR 126', 'Jérôme Διον'),
    ]


def write_pydicom(dataset: Dataset) -> bytes:
    """Return the bytes of a worklist file as pydicom writes it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = WORKLIST_FIND
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=['sample'])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


WAYS: dict[str, Callable[[Dataset], bytes]] = {
    'ours': to_file, 'pydicom': write_pydicom}


def measure(
        items: int, write: Callable[[Dataset], bytes]) -> tuple[float, float]:
    """Return seconds per item, end to end and for the writing alone."""
    writing = 0.
    start = time.process_time()
    for number in range(items):
        dataset = render(DEFAULT_TEMPLATE, KIND, {
                **FULL, 'AccessionNumber': f'A{number:09}',
                'PatientName': NAMES[number % len(NAMES)]}).dataset
        before = time.process_time()
        content = write(dataset)
        writing += time.process_time() - before
        if content[128:132] != b'DICM':
            raise ValueError("no DICOM file was written")
    total = time.process_time() - start
    return total / items, writing / items


def compare_charsets() -> list[dict[str, object]]:
    """Return the bytes that both encoders make of names (PN)."""
    rows = []
    for term, name in CHARSETS:
        ours = encode_text(name, 'PN', find_charset(term))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            theirs = PersonName(name).encode(
                convert_encodings(term.split('\\')))
        rows.append({
                'charset': term, 'name': name, 'ours': repr(ours),
                'pydicom': repr(theirs), 'equal': ours == theirs})
    return rows


def run(items: int, repeat: int) -> dict:
    figures: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for write in WAYS.values():
        measure(10, write)
    for _ in range(repeat):
        for way, write in WAYS.items():
            figures[way].append(measure(items, write))
    return {
        'cores': os.cpu_count(), 'items': items, 'repeat': repeat,
        'pydicom': pydicom.__version__,
        'seconds': {
            way: dict(zip(
                    ['end_to_end', 'writing'],
                    map(statistics.median, zip(*found))))
            for way, found in figures.items()},
        'charsets': compare_charsets()}


def report(results: dict) -> str:
    lines = ['| ms per item | end to end | writing |', '|---|---:|---:|']
    for way, seconds in results['seconds'].items():
        lines.append('| {} | {:.2f} | {:.2f} |'.format(
                way, *(1000 * value for value in seconds.values())))
    ours, theirs = (s['end_to_end'] for s in results['seconds'].values())
    lines += [
        '', f"With pydicom, an item takes {theirs / ours - 1:.0%} longer.",
        '', '| character set | ours | pydicom |', '|---|---|---|']
    for row in results['charsets']:
        theirs = 'the same' if row['equal'] else f"`{row['pydicom']}`"
        lines.append(f"| `{row['charset']}` | `{row['ours']}` | {theirs} |")
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='./dev bench encoding', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--items', type=int, default=1000,
        help="items of one repetition (default: %(default)s)")
    parser.add_argument('--repeat', type=int, default=5)
    parser.add_argument(
        '--json', action='store_true', help="print JSON instead of tables")
    options = parser.parse_args()
    results = run(options.items, options.repeat)
    print(json.dumps(results, indent=2, ensure_ascii=False)
        if options.json else report(results))


if __name__ == '__main__':
    main()
