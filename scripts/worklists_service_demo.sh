#!/bin/bash
# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A worklist server for trying: what does a modality ask, what does it get?

set -euo pipefail

port=4243
aet=GNUHEALTH
verbosity=-v
reject=-efr

help() {
    cat <<'HELP'
Usage: worklists_service_demo.sh [-a AET] [-p PORT] [-d] FOLDER
       worklists_service_demo.sh FOLDER PORT

Serve the worklist files of FOLDER with wlmscpfs of dcmtk, and print what is
asked and answered, until Ctrl-C. FOLDER is the one that
update_worklists_database.py keeps in step. Nothing is written but an empty
file "lockfile" in FOLDER, which wlmscpfs insists on.

The second call is that of GNU Health 4: FOLDER holds a folder of worklist
files for each AE title that is called, and whole datasets are printed.

  -a AET   the AE title that is called (default: GNUHEALTH)
  -p PORT  the port (default: 4243)
  -d       print whole datasets
  -h       print this

An example, in another terminal:

  findscu -v -W -aec GNUHEALTH 127.0.0.1 4243 -k PatientName= -k PatientID= \
      -k 'ScheduledProcedureStepSequence[0].Modality=CT'

This is for trying only. wlmscpfs cannot be bound to one address: it answers
everybody who reaches this machine on that port, without asking who it is.
Close the port with a firewall, or give it a network of its own:

  unshare --user --map-root-user --net \
      sh -c 'ip link set lo up; exec worklists_service_demo.sh FOLDER'

Only programs within that network reach it then (nsenter -t PID -U -n ...).
HELP
}

fail() {
    printf 'worklists_service_demo.sh: %s\n' "$*" >&2
    exit 2
}

while getopts a:p:dh option; do
    case $option in
        a) aet=$OPTARG ;;
        p) port=$OPTARG ;;
        d) verbosity=-d ;;
        h) help; exit 0 ;;
        *) help >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))

root=
server=
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$root" ] || rm -rf "$root"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

is_aet() {
    [[ $1 =~ ^[A-Za-z0-9_.-]{1,16}$ && $1 != . && $1 != .. ]]
}

command -v wlmscpfs >/dev/null || fail "install dcmtk: wlmscpfs is missing"
case $# in
    1)
        [ -d "$1" ] || fail "there is no folder $1"
        is_aet "$aet" \
            || fail "an AE title has up to 16 letters, digits, _, - and ."
        folder=$(cd "$1" && pwd -P)
        # wlmscpfs looks for the files in a folder that is named as the AE
        # title.
        root=$(mktemp -d)
        ln -s "$folder" "$root/$aet"
        served=$root
        ;;
    2)
        [ -d "$1" ] || fail "there is no folder $1"
        folder=$(cd "$1" && pwd -P)
        served=$folder
        port=$2
        verbosity=-d
        reject=-dfr
        aet=
        for path in "$folder"/*/; do
            name=$(basename "$path")
            ! is_aet "$name" || aet+="$name "
        done
        [ -n "$aet" ] || fail "$1 has no folder named as an AE title"
        ;;
    *)
        help >&2
        exit 2
        ;;
esac
[[ $port =~ ^[0-9]{1,5}$ ]] || fail "$port is no port"
for name in $aet; do
    { : >>"$served/$name/lockfile"; } 2>/dev/null \
        || fail "cannot write in $folder"
done

printf 'Serving %s as %s on port %s; Ctrl-C ends.\n' \
    "$folder" "${aet% }" "$port"
# Without -csk answers would come without their character set.
wlmscpfs "$verbosity" -csk "$reject" -dfp "$served" "$port" &
server=$!
wait "$server"
