# Steps one after another, and lanes of steps side by side; sourced by .ci/run.
#
#   step NAME…            from here on, what is done is called so
#   together LANE…        runs the functions lane_LANE at the same time and returns when all have ended
#
# A lane's output is held back until its step ends, and then shown in one piece. The first lane that fails ends the others
# and the script, and its step is named last. Wants `set -eu`, and BUILD, a folder.

STEP=start
LOG=

step() {
    show
    STEP=$*
    printf '\n== %s (%d s)\n' "$STEP" "$SECONDS"
}

# What a lane has said since its last step, in one piece.
show() {
    if [ -n "$LOG" ] && [ -s "$LOG" ]; then
        flock "$BUILD/terminal" cat "$LOG" >&3
        : > "$LOG"
    fi
}

failed() { printf '\n== FAILED in: %s (%d s)\n' "$STEP" "$SECONDS"; }

lane() {
    set +m
    LOG=$(mktemp "$BUILD/lane.XXXXXX")
    # appending, so that `show` can empty the file
    exec 3>&1 >> "$LOG" 2>&1
    trap 'status=$?; trap - EXIT; show; [ $status = 0 ] || echo "$STEP" > "$BUILD/failed"; exit $status' EXIT
    trap 'trap - EXIT; show; exit 143' TERM
    "lane_$1"
}

together() {
    local name others pid ended status pids=()
    # a process group for each lane, so that all of it can be ended
    set -m
    for name in "$@"; do
        (lane "$name") &
        pids+=($!)
    done
    set +m
    trap 'for pid in "${pids[@]}"; do kill -- "-$pid" 2> /dev/null || true; done; exit 130' INT TERM
    while [ ${#pids[@]} -gt 0 ]; do
        ended='' status=0
        wait -n -p ended "${pids[@]}" || status=$?
        others=()
        for pid in "${pids[@]}"; do [ "$pid" = "$ended" ] || others+=("$pid"); done
        pids=("${others[@]}")
        if [ $status != 0 ]; then
            for pid in "${pids[@]}"; do kill -- "-$pid" 2> /dev/null || true; done
            wait || true
            STEP=$(cat "$BUILD/failed")
            failed >&2
            exit 1
        fi
    done
    trap - INT TERM
}
