/* A debugger, or QEMU, that prints, gives arguments and ends the program. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

/* Print. */
void say(const char *text);

/* The command line, at most `room` bytes with its end; its length. */
int command_line(char *text, int room);

/* End with an exit status. */
void quit(int status) __attribute__((noreturn));

#endif
