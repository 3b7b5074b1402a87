#include "edge_crc.h"

/* CRC-16/GENIBUS without a loop: x^16 + x^12 + x^5 + 1 is sparse enough to shift by eight bits at once. */
uint16_t edge_crc16(uint16_t crc, uint8_t byte)
{
    uint16_t x = (uint16_t)((crc >> 8) ^ byte);

    x ^= (uint16_t)(x >> 4);
    return (uint16_t)((uint16_t)(crc << 8) ^ (uint16_t)(x << 12) ^ (uint16_t)(x << 5) ^ x);
}

/* CRC-32/ISO-HDLC. */
uint32_t edge_crc32(uint32_t crc, uint8_t byte)
{
    uint8_t bit;

    crc ^= byte;
    for (bit = 0; bit < 8; bit++) {
        crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
    return crc;
}
