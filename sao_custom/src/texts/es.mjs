/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Texts in Spanish */

export const ES = {
    files: "Seleccionar archivos",
    folder: "Seleccionar carpeta",
    drop: "o arrastre aquí archivos, carpetas o un archivo ZIP",
    cancel: "Detener",
    retry: "Enviar los archivos restantes",
    clear: "Vaciar la lista",
    list: "Archivos seleccionados",
    name: "Archivo",
    size: "Tamaño",
    patient: "Paciente",
    state: "Estado",
    new: "Leyendo",
    waiting: "En espera",
    sending: "Enviando: {percent} %",
    received: "Recibido",
    refused: "Rechazado",
    skipped: "Omitido",
    failed: "No enviado",
    archive: "Archivo ZIP",
    total: "Archivos: {count} ({size})",
    progress: "Archivos procesados: {done} de {count} ({percent} %)",
    counts: "{state}: {count}",
    several: "Las imágenes son de {count} pacientes distintos.",
    more: "Archivos no mostrados: {count}",
    reading: "Leyendo los archivos…",
    finished: "Se han recibido todos los archivos. Compruebe en la página " +
        "siguiente de quién son las imágenes.",
    unfinished: "Archivos no enviados: {count}. Envíe los archivos " +
        "restantes o continúe sin ellos.",
    packed: "Los archivos se enviarán cuando continúe a la página siguiente.",
    too_many: "Sin la ruta de subida de health_orthanc se pueden enviar " +
        "como máximo {size}. Seleccione menos archivos o pida al " +
        "administrador que habilite la ruta.",
    canceled: "Detenido",
    unreadable: "No se puede leer el archivo.",
    too_large: "El archivo es más grande de lo que permite el administrador.",
    forbidden: "No tiene permiso para subir archivos.",
    unreachable: "No se puede acceder a GNU Health. Inténtelo de nuevo más " +
        "tarde.",
    logged_out: "Su sesión ha terminado.",
    full: "El servidor no tiene espacio para los archivos. Suba menos " +
        "archivos a la vez o pregunte al administrador.",
    lost: "Esta subida ha caducado. Envíe de nuevo todos los archivos.",
    error: "La petición ha fallado (estado HTTP {status}).",
};
