#include "edge_bytes.h"

uint16_t edge_get16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | (uint16_t)((uint16_t)bytes[1] << 8));
}

uint32_t edge_get24(const uint8_t *bytes)
{
    return edge_get16(bytes) | ((uint32_t)bytes[2] << 16);
}

uint32_t edge_get32(const uint8_t *bytes)
{
    return edge_get24(bytes) | ((uint32_t)bytes[3] << 24);
}

void edge_put16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

void edge_put24(uint8_t *bytes, uint32_t value)
{
    edge_put16(bytes, (uint16_t)value);
    bytes[2] = (uint8_t)(value >> 16);
}

void edge_put32(uint8_t *bytes, uint32_t value)
{
    edge_put24(bytes, value);
    bytes[3] = (uint8_t)(value >> 24);
}
