#!/bin/sh
# Installs edge-runtime from the boot partition, on the first start of a Raspberry Pi OS card (edge-flash card).
#
#   first-boot.sh arm    what cloud-init (vendor-data) or the kernel's command line (systemd.run=) starts: puts a unit in
#                        place that does the rest in an ordinary start, as often as it takes
#   first-boot.sh run    what that unit starts
#
# EDGE_ROOT: another root than /, for tests.
set -u
ROOT=${EDGE_ROOT:-}
HERE=$(cd "$(dirname "$0")" && pwd)
BOOT=$(dirname "$HERE")
UNIT=edge-runtime-first-boot.service
WANTS=$ROOT/etc/systemd/system/multi-user.target.wants
LOG=$HERE/log.txt
TRIES=3 # of a start that is cut off, or of a card that is full: then somebody has to look at the log

say() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*" >> "$LOG"; }

disarm() {
    rm -f "$WANTS/$UNIT" "$ROOT/etc/systemd/system/$UNIT"
    rm -f "$HERE/order.json" "$HERE/payload.tar.gz" "$HERE/on_board.py" "$HERE/tries"
    if [ -f "$BOOT/vendor-data" ] && grep -q edge-runtime/first-boot.sh "$BOOT/vendor-data"; then
        rm -f "$BOOT/vendor-data"
    fi
    sync
}

case ${1:-arm} in
arm)
    mkdir -p "$WANTS"
    cp "$HERE/$UNIT" "$ROOT/etc/systemd/system/$UNIT"
    chmod 644 "$ROOT/etc/systemd/system/$UNIT"
    ln -sf "../$UNIT" "$WANTS/$UNIT"
    sync
    # only now, so that a start that is cut off is repeated
    if grep -q "systemd.run=[^ ]*/edge-runtime/first-boot.sh" "$BOOT/cmdline.txt" 2> /dev/null; then
        sed 's# systemd\.run=[^ ]*/edge-runtime/first-boot\.sh##' "$BOOT/cmdline.txt" > "$BOOT/cmdline.new"
        if ! grep -q "systemd\.run=" "$BOOT/cmdline.new"; then
            # these came with ours
            sed -i 's# systemd\.run_success_action=reboot##; s# systemd\.unit=kernel-command-line\.target##' "$BOOT/cmdline.new"
        fi
        sync
        mv "$BOOT/cmdline.new" "$BOOT/cmdline.txt"
        sync
    else
        systemctl daemon-reload
        systemctl start --no-block "$UNIT"
    fi
    ;;
run)
    [ -f "$HERE/order.json" ] || { disarm; exit 0; }
    TRIED=$(($(cat "$HERE/tries" 2> /dev/null || echo 0) + 1))
    echo "$TRIED" > "$HERE/tries"
    sync
    say "installing, try $TRIED of $TRIES"
    if python3 -I "$HERE/on_board.py" < "$HERE/order.json" >> "$LOG" 2>&1; then
        say "installed"
        disarm
    elif [ "$TRIED" -ge "$TRIES" ]; then
        say "given up; the reason is above. edge-flash ssh installs on the running system"
        disarm
    else
        sync
        exit 1
    fi
    ;;
esac
exit 0
