/* SPDX-FileCopyrightText: 2026 health_orthanc contributors
   SPDX-License-Identifier: GPL-3.0-or-later */

/* Files in what was chosen or dropped

   Each is found as an object with its `path` and its `file`, which is null
   if the browser cannot read it. */

const DROPPED_BATCH = 64;

const entry_file = entry => new Promise(
    (resolve, reject) => entry.file(resolve, reject));

const entry_batch = reader => new Promise(
    (resolve, reject) => reader.readEntries(resolve, reject));

const collator = new Intl.Collator(undefined, {numeric: true});

// A browser returns the content of a folder in parts
async function read_folder(entry) {
    const reader = entry.createReader();
    const found = [];
    for (;;) {
        const batch = await entry_batch(reader);
        if (!batch.length) {
            return found.sort((one, other) => collator.compare(
                one.fullPath, other.fullPath));
        }
        found.push(...batch);
    }
}

/**
 * Yield all files below entries of the File System API, folder by folder.
 *
 * @param {FileSystemEntry[]} entries
 */
export async function* walk(entries) {
    const stack = entries.slice().reverse();
    while (stack.length) {
        const entry = stack.pop();
        const path = entry.fullPath.replace(/^\//, '');
        try {
            if (entry.isDirectory) {
                for (const child of (await read_folder(entry)).reverse()) {
                    stack.push(child);
                }
            } else {
                yield {path: path, file: await entry_file(entry)};
            }
        } catch (error) {
            if (!(error instanceof DOMException)) {
                throw error;
            }
            yield {path: path, file: null};
        }
    }
}

/**
 * Return the files chosen in an input, ordered by path.
 *
 * @param {FileList} files
 */
export function list_selected(files) {
    return Array.from(files, file => ({
        path: file.webkitRelativePath || file.name, file: file,
    })).sort((one, other) => collator.compare(one.path, other.path));
}

/**
 * Report the files that were dropped, batch by batch.
 *
 * It must be called from within the event: the browser empties `transfer`
 * afterwards.
 *
 * @param {DataTransfer} transfer
 * @param {function(Object[])} add - called for each batch
 */
export async function read_dropped(transfer, add) {
    const entries = Array.from(transfer.items || [])
        .filter(item => item.kind === 'file')
        .map(item => item.webkitGetAsEntry());
    if (!entries.length || !entries.every(Boolean)) {
        add(Array.from(
            transfer.files, file => ({path: file.name, file: file})));
        return;
    }
    let found = [];
    for await (const item of walk(entries)) {
        found.push(item);
        if (found.length === DROPPED_BATCH) {
            add(found);
            found = [];
        }
    }
    add(found);
}
