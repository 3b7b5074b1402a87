/* The two checksums of docs/serial.md, byte by byte and without tables: 1 KB of table would cost more than they do. */
#ifndef EDGE_CRC_H
#define EDGE_CRC_H

#include <stdint.h>

#define EDGE_CRC16_START 0xFFFFu
#define EDGE_CRC16_FINAL 0xFFFFu   /* XOR */
#define EDGE_CRC16_RESIDUE 0x1D0Fu /* of content and CRC, the final XOR left out */
#define EDGE_CRC32_START 0xFFFFFFFFu /* and the result is inverted */

uint16_t edge_crc16(uint16_t crc, uint8_t byte);
uint32_t edge_crc32(uint32_t crc, uint8_t byte);

#endif
