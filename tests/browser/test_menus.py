# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from playwright.sync_api import expect

from .clinic import NOBODY

RECORDS = ["Health", "Medical Imaging", "Orthanc"]
CONFIGURATION = ["Health", "Configuration", "Medical Imaging", "Orthanc"]


def test_physician(physician):
    assert physician.entries(*RECORDS) == [
        "Linked Patients", "Linked Studies", "Notices: Wrong Patient"]


@pytest.mark.release
def test_clerk(clerk):
    assert clerk.entries(*RECORDS) == [
        "Patients", "Studies", "To Review", "Review", "Scheduled Steps",
        "Step Calendar", "Wrong Patient", "Notices: Wrong Patient",
        "Daily Schedule", "Upload Images", "Get New Studies"]
    assert "Configuration" not in clerk.entries("Health")


def test_privacy_officer(log_in_as):
    officer = log_in_as('privacy')
    assert officer.entries(*CONFIGURATION) == ["Who Saw It"]
    assert "Medical Imaging" not in officer.entries("Health")


@pytest.mark.release
def test_radiographer(radiographer):
    assert radiographer.entries(*RECORDS) == [
        "Scheduled Steps", "Step Calendar", "Daily Schedule"]


def test_administrator(administrator):
    assert administrator.entries(*CONFIGURATION) == [
        "Add Orthanc Server", "Servers", "Worklist Templates",
        "Worklist Configuration", "Matching", "Viewers", "Dismissal Rules",
        "Review Historical Studies", "Full Synchronization", "Health",
        "Warnings", "Synchronizations", "Notifications",
        "Synchronization Failures", "Replaced Patients", "Deletions",
        "Upgrade Report", "Database Identity"]


def test_user_without_groups(log_in_as):
    nobody = log_in_as(NOBODY)
    expect(nobody.page.locator('#menu')).not_to_contain_text("Orthanc")
