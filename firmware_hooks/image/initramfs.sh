#!/bin/busybox sh
# The first program: loads the modules that the hardware asks for until the disk is there that root=PARTUUID= names, and
# hands over to what is on it. Where it does not come, the board starts again: nobody may be near to see it wait.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

for word in $(cat /proc/cmdline); do
    case $word in
        root=PARTUUID=*) partuuid=${word#root=PARTUUID=} ;;
    esac
done

modprobe -q -a squashfs

# The partition of a disk with an MBR: the signature at byte 440 of the disk, a dash, two digits of its number.
partition() {
    for disk in /sys/class/block/*; do
        if [ -e "$disk/partition" ] || [ ! -e "$disk/size" ] || [ "$(cat "$disk/size")" = 0 ]; then continue; fi
        signature=$(dd if="/dev/${disk##*/}" bs=1 skip=440 count=4 2> /dev/null | hexdump -e '1/4 "%08x"')
        if [ "$signature" != "${partuuid%-*}" ]; then continue; fi
        for each in "$disk"/*/partition; do
            if [ "$(printf %02x "$(cat "$each")")" = "${partuuid#*-}" ]; then
                each=${each%/partition}
                echo "/dev/${each##*/}"
                return
            fi
        done
    done
}

tries=0
while :; do
    find /sys/devices -name modalias -exec cat {} + 2> /dev/null | sort -u | xargs modprobe -q -a 2> /dev/null
    root=$(partition)
    if [ -n "$root" ]; then break; fi
    tries=$((tries + 1))
    if [ $tries -gt 150 ]; then
        echo "no partition $partuuid after 30 seconds; starting again" > /dev/kmsg
        reboot -f
    fi
    usleep 200000
done

if ! mount -t squashfs -o ro "$root" /root; then
    echo "the root file system on $root cannot be mounted; starting again in 10 seconds" > /dev/kmsg
    sleep 10
    reboot -f
fi
for folder in dev proc sys; do mount --move "/$folder" "/root/$folder"; done
exec switch_root /root /sbin/init
