#!/bin/sh
# Profile this board: latency, operators, load, memory and ten minutes at full load (docs/profiling.md).
#   boards/generic-x86-64/profile.sh [-o FOLDER] [--quick] [--minutes N] [--model M]
exec "$(dirname "$0")/../profile.sh" generic-x86-64 "$@"
