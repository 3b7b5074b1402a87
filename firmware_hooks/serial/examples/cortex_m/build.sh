#!/bin/sh
# build.sh FOLDER: lm3s6965evb.elf (Cortex-M3) and microbit.elf (Cortex-M0) into FOLDER. Needs gcc-arm-none-eabi, no newlib.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh FOLDER}
mkdir -p "$out"
build() {
    "${CC:-arm-none-eabi-gcc}" -mcpu="$1" -mthumb -Os -std=c99 -Wall -Wextra -Wconversion -Werror -ffreestanding -fno-builtin \
        -ffunction-sections -nostdlib -nostartfiles -static -T "$here/cortex_m.ld" -Wl,--gc-sections -Wl,--build-id=none \
        -I"$here/../../src" -o "$out/$3.elf" "$here/$2.c" "$here/main.c" "$here/semihosting.c" "$here/start.c" \
        "$here"/../../src/*.c
}
build cortex-m3 lm3s6965 lm3s6965evb
build cortex-m0 microbit microbit
