/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in English */

export const EN = {
    files: "Select Files",
    folder: "Select Folder",
    drop: "or drop files, folders or a ZIP archive here",
    cancel: "Stop",
    retry: "Send Remaining Files",
    clear: "Clear List",
    list: "Selected files",
    name: "File",
    size: "Size",
    patient: "Patient",
    state: "State",
    new: "Reading",
    waiting: "Waiting",
    sending: "Sending: {percent}%",
    received: "Received",
    refused: "Refused",
    skipped: "Skipped",
    failed: "Not sent",
    archive: "ZIP archive",
    total: "Files: {count} ({size})",
    progress: "Files processed: {done} of {count} ({percent}%)",
    counts: "{state}: {count}",
    several: "The images belong to {count} different patients.",
    more: "Files not listed: {count}",
    reading: "Reading the files…",
    finished: "All files have been received. Check on the next page whose " +
        "images they are.",
    unfinished: "Files not sent: {count}. Send the remaining files, or " +
        "continue without them.",
    packed: "The files will be sent when you continue to the next page.",
    too_many: "Without the upload route of health_orthanc, at most {size} " +
        "can be sent. Select fewer files, or ask the administrator to " +
        "enable the route.",
    canceled: "Stopped",
    unreadable: "The file cannot be read.",
    too_large: "The file is larger than the administrator allows.",
    forbidden: "You are not allowed to upload.",
    unreachable: "GNU Health cannot be reached. Try again later.",
    logged_out: "You are no longer logged in.",
    full: "The server has no space for the files. Upload fewer files at a " +
        "time, or ask the administrator.",
    lost: "This upload has expired. Send all files again.",
    error: "The request failed (HTTP status {status}).",
};
