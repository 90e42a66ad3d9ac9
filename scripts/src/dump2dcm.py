# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program dump2dcm of dcmtk, which makes files from templates."""
import re
import shutil
import subprocess
from pathlib import Path

from pydicom.charset import convert_encodings, encode_string
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from .dicom_file import BadDicom, differences, read_dicom
from .worklist import WorklistItem

CONVERSION_TIMEOUT = 30  # seconds for one call
LONGEST_LINE = 65536  # that dump2dcm accepts
MAXIMUM_KEYWORDS = 5  # in one message
# A line of dump2dcm: everything before the value, the VR, value, the rest
LINE = re.compile(
    r'(\s*\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)\s+([A-Z]{2})\s+\[)(.*)(\].*)')


def convert(item: WorklistItem, expected: Dataset, path: Path) -> str | None:
    """Let dump2dcm write a file, and compare it with the expected dataset.

    Returns
    -------
    str or None
        Why the file cannot be used, in one line; what follows in other lines
        may hold patient data.  None if it can be used.
    """
    program = shutil.which('dump2dcm')
    if not program:
        return "dump2dcm is not installed"
    try:
        text = encode_dump(item.text, item.charset)
    except (LookupError, ValueError):
        return "a text cannot be written in its character set"
    try:
        ended = subprocess.run(
            [program, '+te', '+l', str(LONGEST_LINE), '/dev/stdin', path],
            input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=CONVERSION_TIMEOUT, start_new_session=True)
        detail = ended.stdout.decode('utf-8', 'replace').strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"dump2dcm cannot be run\n{type(error).__name__}"
    # Its exit code is 0 also after errors in the text.
    if ended.returncode or not path.exists():
        return f"dump2dcm failed\n{detail}"
    try:
        changed = differences(expected, read_dicom(path.read_bytes()))
    except BadDicom:
        return f"dump2dcm did not write a worklist file\n{detail}"
    if changed:
        keywords = ', '.join(changed[:MAXIMUM_KEYWORDS])
        return f"dump2dcm changed {keywords}\n{detail}"
    return None


def encode_dump(text: str, charset: str) -> bytes:
    """Return the input of dump2dcm in a Specific Character Set.

    Each value is encoded on its own, because code extensions end with it
    (PS3.5 6.1.2.5).

    Raises
    ------
    LookupError, ValueError
        If the character set is unknown, or lacks a character.
    """
    encodings = convert_encodings(charset.split('\\'))
    lines = []
    for line in text.split('\n'):
        match = LINE.fullmatch(line)
        if not match:
            lines.append(line.encode('ascii', 'replace'))
            continue
        # A comment after the value may hold any character.
        before, vr, value, after = match.groups()
        values = b'\\'.join(
            PersonName(part).encode(encodings) if vr == 'PN'
            else encode_string(part, encodings)
            for part in value.split('\\'))
        lines.append(
            before.encode() + values + after.encode('ascii', 'replace'))
    return b'\n'.join(lines)
