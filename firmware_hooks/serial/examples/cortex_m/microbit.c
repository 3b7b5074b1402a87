/* BBC micro:bit (nRF51822, Cortex-M0): its UART on the pins of the USB interface, TIMER0 counts microseconds. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CLOCK 0x40000000u
#define UART 0x40002000u
#define TIMER0 0x40008000u
#define RNG 0x4000D000u
#define TASKS_HFCLKSTART REGISTER(CLOCK + 0x000u)
#define EVENTS_HFCLKSTARTED REGISTER(CLOCK + 0x100u)
#define TASKS_STARTRX REGISTER(UART + 0x000u)
#define TASKS_STARTTX REGISTER(UART + 0x008u)
#define EVENTS_RXDRDY REGISTER(UART + 0x108u)
#define EVENTS_TXDRDY REGISTER(UART + 0x11Cu)
#define UART_ENABLE REGISTER(UART + 0x500u)
#define UART_PSELTXD REGISTER(UART + 0x50Cu)
#define UART_PSELRXD REGISTER(UART + 0x514u)
#define UART_RXD REGISTER(UART + 0x518u)
#define UART_TXD REGISTER(UART + 0x51Cu)
#define UART_BAUDRATE REGISTER(UART + 0x524u)
#define UART_115200 0x01D7E000u
#define TIMER_START REGISTER(TIMER0 + 0x000u)
#define TIMER_CAPTURE REGISTER(TIMER0 + 0x040u)
#define TIMER_BITMODE REGISTER(TIMER0 + 0x508u)
#define TIMER_PRESCALER REGISTER(TIMER0 + 0x510u)
#define TIMER_CC REGISTER(TIMER0 + 0x540u)
#define RNG_START REGISTER(RNG + 0x000u)
#define RNG_READY REGISTER(RNG + 0x100u)
#define RNG_VALUE REGISTER(RNG + 0x508u)
#define PIN_TXD 24u
#define PIN_RXD 25u

static uint8_t sending;

void systick(void)
{
    /* the nRF51 has none */
}

void board_start(void)
{
    TASKS_HFCLKSTART = 1;
    while (!EVENTS_HFCLKSTARTED) {
    }
    UART_PSELTXD = PIN_TXD;
    UART_PSELRXD = PIN_RXD;
    UART_BAUDRATE = UART_115200;
    UART_ENABLE = 4;
    TASKS_STARTRX = 1;
    TASKS_STARTTX = 1;
    TIMER_BITMODE = 3;   /* 32 bits */
    TIMER_PRESCALER = 4; /* 16 MHz / 2^4 */
    TIMER_START = 1;
}

int board_read(void)
{
    if (!EVENTS_RXDRDY) {
        return -1;
    }
    EVENTS_RXDRDY = 0;
    return (int)(UART_RXD & 0xFFu);
}

int board_write(uint8_t byte)
{
    if (sending && !EVENTS_TXDRDY) {
        return 0;
    }
    EVENTS_TXDRDY = 0;
    sending = 1;
    UART_TXD = byte;
    return 1;
}

/* The timer's 32 bits of microseconds wrap every 71 minutes: only differences are added up. */
uint32_t board_clock(void)
{
    static uint32_t milliseconds;
    static uint32_t microseconds;
    uint32_t passed;

    TIMER_CAPTURE = 1;
    passed = TIMER_CC - microseconds;
    while (passed >= 1000u) {
        passed -= 1000u;
        microseconds += 1000u;
        milliseconds++;
    }
    return milliseconds;
}

uint32_t board_nonce(void)
{
    uint32_t nonce = 0;
    int i;

    RNG_START = 1;
    for (i = 0; i < 4; i++) {
        while (!RNG_READY) {
        }
        RNG_READY = 0;
        nonce = nonce << 8 | (RNG_VALUE & 0xFFu);
    }
    return nonce;
}
