/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in German */

export const DE = {
    files: "Dateien wählen",
    folder: "Ordner wählen",
    drop: "oder Dateien, Ordner oder ein ZIP hierher ziehen",
    send: "Senden",
    cancel: "Anhalten",
    retry: "Fehlgeschlagenes erneut senden",
    clear: "Leeren",
    list: "Gewählte Dateien",
    name: "Datei",
    size: "Größe",
    patient: "Patient",
    state: "Status",
    new: "Wird gelesen",
    waiting: "Zu senden",
    sending: "{percent} %",
    stored: "Gespeichert",
    present: "Schon vorhanden",
    refused: "Abgelehnt",
    skipped: "Übergangen",
    failed: "Nicht gesendet",
    archive: "Archiv",
    total: "{count} Dateien, {size}",
    progress: "{done} von {count} Dateien, {percent} %",
    counts: "{state}: {count}",
    several: "Dies sind Bilder von {count} Patienten.",
    more: "{count} weitere Dateien sind nicht aufgeführt.",
    ready: "Prüfen Sie die Patienten, drücken Sie dann „Senden“.",
    finished: "Alle Dateien sind gesendet. Weiter geht es auf der " +
        "nächsten Seite.",
    unfinished: "{count} Dateien sind nicht gesendet. Senden Sie " +
        "sie erneut, oder fahren Sie ohne sie fort.",
    packed: "Die Dateien gehen mit der nächsten Seite mit.",
    too_many: "Auf diesem Weg nimmt der Server höchstens {size}. " +
        "Wählen Sie weniger Dateien, oder bitten Sie die " +
        "Administration um die Route von health_orthanc.",
    server: "Wählen Sie zuerst den Server.",
    canceled: "Angehalten",
    unreadable: "Die Datei kann nicht gelesen werden.",
    too_large: "Die Datei ist größer als erlaubt.",
    forbidden: "Sie dürfen auf diesen Server nichts hochladen.",
    unreachable: "GNU Health ist nicht erreichbar. Senden Sie es " +
        "später erneut.",
    logged_out: "Sie sind abgemeldet.",
    lost: "Der Server hat diesen Vorgang verloren. Senden Sie alle " +
        "Dateien erneut.",
    error: "Der Server antwortet {status}.",
};
