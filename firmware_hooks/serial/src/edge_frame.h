/* Frames: bytes from the wire to checked content, and content to bytes for the wire (docs/serial.md, "Bytes", "Frames"). */
#ifndef EDGE_FRAME_H
#define EDGE_FRAME_H

#include <stdint.h>

#define EDGE_HEAD 33u     /* content of the longest frame that is no DATA (HELLO), and then some */
#define EDGE_PARTS 5u     /* pieces of memory that a message may lie in, its CRC-32 among them */
#define EDGE_MIN_FRAME 32 /* fragments are not cut smaller: eleven bytes are around each */

/* What edge_frame_take makes of a byte. */
enum edge_taken { EDGE_TAKEN, EDGE_GOOD, EDGE_CRC, EDGE_COBS, EDGE_OVERFLOW };

/* A receiver of frames. `content` holds `length` bytes, CRC-16 excluded, after EDGE_GOOD and until the next byte. */
typedef struct edge_receiver {
    uint8_t *content;
    uint16_t room;
    uint16_t length;
    uint8_t left; /* bytes until the next code byte */
    uint8_t code; /* of the piece being read; 0 at the beginning of a frame */
    uint8_t overflow;
} edge_receiver;

/* `content`: memory for a frame's content, CRC-16 included. */
void edge_receiver_start(edge_receiver *receiver, uint8_t *content, uint16_t room);

/* Take a byte from the wire. Damaged frames of less than 4 bytes are EDGE_CRC or EDGE_COBS with `length` below 4. */
enum edge_taken edge_frame_take(edge_receiver *receiver, uint8_t byte);

typedef struct edge_part {
    const uint8_t *bytes;
    uint16_t length;
} edge_part;

/* A sender of frames: content is a head and a stretch of a message, both left where they are while they are sent. */
typedef struct edge_sender {
    uint8_t head[EDGE_HEAD];
    uint8_t head_length;
    uint8_t phase; /* 0: nothing to send */
    uint8_t left;  /* bytes of the piece until the next code byte */
    uint8_t code;
    uint16_t crc;
    uint16_t at;    /* in the content */
    uint16_t total; /* of the content, CRC-16 included */
    uint32_t offset;
    const edge_part *parts; /* of the message */
} edge_sender;

/* Begin a frame of `head` (filled by the caller, `head_length` set) and `length` bytes of the message from `offset` on. */
void edge_frame_begin(edge_sender *sender, const edge_part *parts, uint32_t offset, uint16_t length);

/* The byte to send, while `phase` is not 0. */
uint8_t edge_frame_byte(edge_sender *sender);

/* It was sent: go on. */
void edge_frame_advance(edge_sender *sender);

/* End the frame here; it is damaged then. */
void edge_frame_abort(edge_sender *sender);

#endif
