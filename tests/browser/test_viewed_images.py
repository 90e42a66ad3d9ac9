# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many images, earlier ones beside them, and compressed ones in the viewer."""
from collections.abc import Iterator

import numpy as np
import pytest
from pydicom.dataset import Dataset

from devtools import hospital, samples
from devtools.compression import COMPRESSIONS
from devtools.process import wait_until

from .clinic import study_of
from .viewer import (
    PATIENCE, expect_place, expect_series, is_head, line, opened, scroll,
    series_list, show_series, thumbnail, view_button, wait_for_head)

SLICES = 100
# Of whom the other tests say nothing
PERSON = hospital.PATIENTS[4].in_dicom()

pytestmark = pytest.mark.release


def open_study(client, clinic, patient) -> None:
    clinic.synchronize()
    client.open_record(clinic.study(patient.name))
    client.field('patient_id').wait_for()


def test_a_hundred_slices_and_an_earlier_study(physician, clinic):
    for days, count, name in [(400, 2, "Last year"), (0, SLICES, "Today")]:
        clinic.orthanc.upload(study_of(
                'CT', PERSON, days, 9, series=1, instances=count,
                StudyDescription=f"CT {name}", SeriesDescription=name))
    open_study(physician, clinic, PERSON)
    with opened(physician, view_button(physician, "Today")) as viewer:
        wait_for_head(viewer)
        expect_place(viewer, 1, SLICES)
        seen = {tuple(line(viewer))}
        for number in range(2, SLICES + 1):
            scroll(viewer)
            expect_place(viewer, number, SLICES)
            # Each is another image
            assert wait_until(
                lambda: tuple(line(viewer)) not in seen, PATIENCE / 1000)
            seen.add(tuple(line(viewer)))
        wait_for_head(viewer)
        viewer.locator('[data-cy="Layout"]').click()
        viewer.locator('[data-cy="Layout-1-0"]').click()
        viewer.locator('[data-cy="viewport-pane"]').nth(1).click()
        series_list(viewer).get_by_text("CT Last year").click()
        thumbnail(viewer, "Last year").dblclick()
        wait_for_head(viewer, 1)
        expect_series(viewer, "Last year", 1)
        expect_series(viewer, "Today", 0)
        wait_for_head(viewer)


def _pairs(patient) -> Iterator[Dataset | bytes]:
    """Yield images plain and compressed in series of their own."""
    images = study_of(
        'CT', patient, 0, 9, series=2 * len(COMPRESSIONS), instances=1,
        StudyDescription="CT compressed")
    for number, (name, (_, compress)) in enumerate(COMPRESSIONS.items()):
        plain, packed = images[2 * number:2 * number + 2]
        # Each pair shows something else
        pixels = np.frombuffer(plain.PixelData, '<u2').reshape(64, 64)
        plain.PixelData = np.roll(pixels, 2 * number, axis=1).tobytes()
        packed.PixelData = plain.PixelData
        plain.SeriesDescription = f"{name} plain"
        packed.SeriesDescription = f"{name} packed"
        yield plain
        yield compress(packed)


def test_compressed_images_are_shown_as_they_are(clerk, clinic):
    patient = samples.Patient("Viel^Formate", 'MANY-2', '19700101', 'F')
    clinic.orthanc.upload(_pairs(patient))
    open_study(clerk, clinic, patient)
    with opened(clerk, view_button(clerk, "RLE packed")) as viewer:
        wait_for_head(viewer)
        expected = {}
        for name in COMPRESSIONS:
            show_series(viewer, f"{name} plain")
            expected[name] = new_line(viewer, expected.values())
        for name in COMPRESSIONS:
            show_series(viewer, f"{name} packed")
            assert wait_until(
                lambda: line(viewer) == expected[name], PATIENCE / 1000), name


def new_line(viewer, former) -> list[int]:
    """Return the line of an image that is shown in the end."""
    found: list[list[int]] = []

    def shown() -> bool:
        found.append(line(viewer))
        return found[-2:] == found[-1:] * 2 and found[-1] not in former
    assert wait_until(shown, PATIENCE / 1000, 0.5)
    assert is_head(viewer)
    return found[-1]
