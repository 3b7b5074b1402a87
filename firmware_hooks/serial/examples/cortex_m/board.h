/* What the example needs of a board. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define BAUD 115200

/* Clocks, UART and timer. */
void board_start(void);

/* A byte from the UART, or -1. */
int board_read(void);

/* 1 if the UART took the byte, 0 if it cannot now. */
int board_write(uint8_t byte);

/* Milliseconds since board_start. */
uint32_t board_clock(void);

/* Whatever differs from one start to the next. */
uint32_t board_nonce(void);

#endif
