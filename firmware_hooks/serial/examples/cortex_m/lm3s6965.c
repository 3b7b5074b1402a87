/* Stellaris LM3S6965 (Cortex-M3): UART0 is a PL011, SysTick counts milliseconds. Runs on its internal 12 MHz oscillator. */
#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define RCGC1 REGISTER(0x400FE104u)
#define RCGC2 REGISTER(0x400FE108u)
#define GPIOA_AFSEL REGISTER(0x40004420u)
#define GPIOA_DEN REGISTER(0x4000451Cu)
#define UART0 0x4000C000u
#define UART_DATA REGISTER(UART0)
#define UART_FLAGS REGISTER(UART0 + 0x18u)
#define UART_DIVISOR REGISTER(UART0 + 0x24u)
#define UART_FRACTION REGISTER(UART0 + 0x28u)
#define UART_LINE REGISTER(UART0 + 0x2Cu)
#define UART_CONTROL REGISTER(UART0 + 0x30u)
#define RECEIVE_EMPTY 0x10u
#define TRANSMIT_FULL 0x20u
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define CLOCK_HZ 12000000u

static volatile uint32_t milliseconds;

void systick(void)
{
    milliseconds++;
}

void board_start(void)
{
    RCGC1 |= 1u; /* UART0 */
    RCGC2 |= 1u; /* port A, its pins 0 and 1 */
    GPIOA_AFSEL |= 3u;
    GPIOA_DEN |= 3u;
    UART_DIVISOR = CLOCK_HZ / (16u * BAUD);
    UART_FRACTION = (CLOCK_HZ % (16u * BAUD) * 64u + 8u * BAUD) / (16u * BAUD);
    UART_LINE = 0x70u;     /* 8 bits, FIFOs on */
    UART_CONTROL = 0x301u; /* UART, transmitter and receiver on */
    SYSTICK_RELOAD = CLOCK_HZ / 1000u - 1u;
    SYSTICK_CONTROL = 7u; /* on, with its interrupt, from the processor's clock */
}

int board_read(void)
{
    return UART_FLAGS & RECEIVE_EMPTY ? -1 : (int)(UART_DATA & 0xFFu);
}

int board_write(uint8_t byte)
{
    if (UART_FLAGS & TRANSMIT_FULL) {
        return 0;
    }
    UART_DATA = byte;
    return 1;
}

uint32_t board_clock(void)
{
    return milliseconds;
}

uint32_t board_nonce(void)
{
    return REGISTER(0x20003F00u); /* RAM that nothing has written yet: what was in it when the power came */
}
