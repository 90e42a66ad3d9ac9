/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in French */

export const FR = {
    files: "Sélectionner des fichiers",
    folder: "Sélectionner un dossier",
    drop: "ou déposez ici des fichiers, des dossiers ou une archive ZIP",
    cancel: "Arrêter",
    retry: "Envoyer les fichiers restants",
    clear: "Vider la liste",
    list: "Fichiers sélectionnés",
    name: "Fichier",
    size: "Taille",
    patient: "Patient",
    state: "État",
    new: "Lecture en cours",
    waiting: "En attente",
    sending: "Envoi\u00A0: {percent}\u00A0%",
    received: "Reçu",
    refused: "Refusé",
    skipped: "Ignoré",
    failed: "Non envoyé",
    archive: "Archive ZIP",
    total: "Fichiers\u00A0: {count} ({size})",
    progress: "Fichiers traités\u00A0: {done} sur {count} ({percent}\u00A0%)",
    counts: "{state}\u00A0: {count}",
    several: "Les images appartiennent à {count} patients différents.",
    more: "Fichiers non affichés\u00A0: {count}",
    reading: "Lecture des fichiers en cours…",
    finished: "Tous les fichiers ont été reçus. Vérifiez à la page suivante " +
        "à qui appartiennent les images.",
    unfinished: "Fichiers non envoyés\u00A0: {count}. Envoyez les fichiers " +
        "restants ou continuez sans eux.",
    packed: "Les fichiers seront envoyés lorsque vous passerez à la page " +
        "suivante.",
    too_many: "Sans la route de téléversement de health_orthanc, vous " +
        "pouvez envoyer {size} au maximum. Sélectionnez moins de fichiers " +
        "ou demandez à l'administrateur d'activer la route.",
    canceled: "Arrêté",
    unreadable: "Le fichier ne peut pas être lu.",
    too_large: "Le fichier est plus gros que ne l'autorise l'administrateur.",
    forbidden: "Vous ne pouvez pas téléverser de fichiers.",
    unreachable: "GNU Health est injoignable. Réessayez plus tard.",
    logged_out: "Vous n'êtes plus connecté.",
    full: "Le serveur n'a pas de place pour les fichiers. Téléversez moins " +
        "de fichiers à la fois ou demandez à l'administrateur.",
    lost: "Ce téléversement a expiré. Envoyez à nouveau tous les fichiers.",
    error: "La requête a échoué (statut HTTP {status}).",
};
