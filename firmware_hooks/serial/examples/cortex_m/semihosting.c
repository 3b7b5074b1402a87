/* ARM's "Semihosting for AArch32 and AArch64", operations 0x04, 0x15 and 0x20. */
#include "semihosting.h"

static int call(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void say(const char *text)
{
    (void)call(0x04, text);
}

int command_line(char *text, int room)
{
    uint32_t block[2];

    block[0] = (uint32_t)(uintptr_t)text;
    block[1] = (uint32_t)room;
    return call(0x15, block) == 0 ? (int)block[1] : 0;
}

void quit(int status)
{
    uint32_t block[2];

    block[0] = 0x20026; /* the application has ended */
    block[1] = (uint32_t)status;
    for (;;) {
        (void)call(0x20, block);
    }
}
