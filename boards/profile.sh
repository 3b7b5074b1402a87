#!/bin/sh
# What every board's profile.sh does: run `edge-boards profile` for the board that is named, installed or from a clone.
#   boards/profile.sh BOARD [options of edge-boards profile]
set -eu
board=$1
shift
if [ -n "${PYTHON:-}" ] || ! command -v edge-boards > /dev/null; then
    root=$(cd "$(dirname "$0")/.." && pwd)
    PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m boards.cli profile --board "$board" "$@"
fi
exec edge-boards profile --board "$board" "$@"
