/* Little-endian numbers in bytes, wherever they lie; and what moves bytes. */
#ifndef EDGE_BYTES_H
#define EDGE_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* All that is needed of a libc; where there is none there is no <string.h> either. */
void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);

uint16_t edge_get16(const uint8_t *bytes);
uint32_t edge_get24(const uint8_t *bytes);
uint32_t edge_get32(const uint8_t *bytes);
void edge_put16(uint8_t *bytes, uint16_t value);
void edge_put24(uint8_t *bytes, uint32_t value);
void edge_put32(uint8_t *bytes, uint32_t value);

#endif
