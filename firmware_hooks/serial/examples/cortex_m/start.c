/* Vectors and start-up code: what comes before main, and what the compiler may call. */
#include <stddef.h>
#include <stdint.h>

extern uint32_t stack_top, data_source, data_start, data_end, bss_start, bss_end;

int main(void);
void reset(void);
void systick(void);
void fault(void);
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);

void reset(void)
{
    /* by distance: to the compiler, each of the linker's symbols is an object of its own */
    (void)memcpy(&data_start, &data_source, (size_t)((uintptr_t)&data_end - (uintptr_t)&data_start));
    (void)memset(&bss_start, 0, (size_t)((uintptr_t)&bss_end - (uintptr_t)&bss_start));
    (void)main();
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, (const void *)reset, (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault,
    (const void *)fault, 0, 0, 0, 0, (const void *)fault, 0, 0, (const void *)fault, (const void *)systick,
};

void *memcpy(void *to, const void *from, size_t length)
{
    uint8_t *a = to;
    const uint8_t *b = from;

    while (length--) {
        *a++ = *b++;
    }
    return to;
}

void *memset(void *to, int byte, size_t length)
{
    uint8_t *a = to;

    while (length--) {
        *a++ = (uint8_t)byte;
    }
    return to;
}
