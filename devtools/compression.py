# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images with lossless compression, as devices store them."""
import io
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID, JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless)

from .orthanc import to_bytes

__all__ = ['COMPRESSIONS']

TIMEOUT = 60


def _with_dcmtk(program: str, *options: str) -> Callable[[Dataset], bytes]:
    def compress(image: Dataset) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            plain, packed = Path(folder, 'plain'), Path(folder, 'packed')
            plain.write_bytes(to_bytes(image))
            subprocess.run(
                [program, *options, plain, packed], check=True,
                timeout=TIMEOUT)
            return packed.read_bytes()
    return compress


def _jpeg_2000(image: Dataset) -> bytes:
    """Return the file with what Pillow's OpenJPEG makes of its pixels."""
    packed = pydicom.dcmread(io.BytesIO(to_bytes(image)))
    pixels = np.frombuffer(packed.PixelData, '<u2').reshape(
        packed.Rows, packed.Columns)
    # Its codec knows gray values without a sign
    assert packed.BitsAllocated == 16 and not packed.PixelRepresentation
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(
        stream, 'JPEG2000', irreversible=False, no_jp2=True)
    packed.PixelData = encapsulate([stream.getvalue()])
    packed['PixelData'].is_undefined_length = True
    packed.file_meta.TransferSyntaxUID = JPEG2000Lossless
    stream = io.BytesIO()
    packed.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


# By name: the transfer syntax, and what makes a file in it of an image
COMPRESSIONS: dict[str, tuple[UID, Callable[[Dataset], bytes]]] = {
    'JPEG 2000': (JPEG2000Lossless, _jpeg_2000),
    'JPEG-LS': (JPEGLSLossless, _with_dcmtk('dcmcjpls')),
    'JPEG Lossless': (JPEGLosslessSV1, _with_dcmtk('dcmcjpeg')),
    'RLE': (RLELossless, _with_dcmtk('dcmcrle')),
    }
