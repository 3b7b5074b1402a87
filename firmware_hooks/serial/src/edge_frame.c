#include "edge_frame.h"

#include "edge_crc.h"

enum { IDLE, LEADING, CODE, BYTES, TRAILING };

#define LONGEST 254u /* bytes of a COBS piece without a zero */

void edge_receiver_start(edge_receiver *receiver, uint8_t *content, uint16_t room)
{
    receiver->content = content;
    receiver->room = room;
    receiver->length = 0;
    receiver->left = 0;
    receiver->code = 0;
    receiver->overflow = 0;
}

static void put(edge_receiver *receiver, uint8_t byte)
{
    if (receiver->length < receiver->room) {
        receiver->content[receiver->length++] = byte;
    } else {
        receiver->overflow = 1;
    }
}

/* A delimiter: what is the frame that it ends? */
static enum edge_taken finish(edge_receiver *receiver)
{
    uint16_t i;
    uint16_t crc = EDGE_CRC16_START;

    if (receiver->overflow) {
        return EDGE_OVERFLOW;
    }
    if (receiver->left) {
        return EDGE_COBS;
    }
    for (i = 0; i < receiver->length; i++) {
        crc = edge_crc16(crc, receiver->content[i]);
    }
    if (receiver->length < 2u || crc != EDGE_CRC16_RESIDUE) {
        return EDGE_CRC;
    }
    receiver->length = (uint16_t)(receiver->length - 2u);
    return EDGE_GOOD;
}

enum edge_taken edge_frame_take(edge_receiver *receiver, uint8_t byte)
{
    if (byte == 0) {
        enum edge_taken taken = receiver->code ? finish(receiver) : EDGE_TAKEN;

        receiver->code = 0;
        receiver->left = 0;
        receiver->overflow = 0;
        return taken;
    }
    if (receiver->code == 0) {
        receiver->length = 0; /* a frame begins */
    }
    if (receiver->left) {
        receiver->left--;
        put(receiver, byte);
    } else {
        if (receiver->code && receiver->code <= LONGEST) {
            put(receiver, 0);
        }
        receiver->code = byte;
        receiver->left = (uint8_t)(byte - 1u);
    }
    return EDGE_TAKEN;
}

static uint8_t content(const edge_sender *sender, uint16_t at)
{
    const edge_part *part = sender->parts;
    uint32_t i;

    if (at < sender->head_length) {
        return sender->head[at];
    }
    if (at + 2u >= sender->total) {
        return (uint8_t)(at + 2u == sender->total ? sender->crc >> 8 : sender->crc);
    }
    i = sender->offset + at - sender->head_length;
    while (i >= part->length) {
        i -= part->length;
        part++;
    }
    return part->bytes[i];
}

void edge_frame_begin(edge_sender *sender, const edge_part *parts, uint32_t offset, uint16_t length)
{
    uint16_t i;
    uint16_t crc = EDGE_CRC16_START;

    sender->parts = parts;
    sender->offset = offset;
    sender->total = (uint16_t)(sender->head_length + length + 2u);
    for (i = 0; i + 2u < sender->total; i++) {
        crc = edge_crc16(crc, content(sender, i));
    }
    sender->crc = crc ^ EDGE_CRC16_FINAL;
    sender->at = 0;
    sender->phase = LEADING;
}

uint8_t edge_frame_byte(edge_sender *sender)
{
    uint8_t n = 0;

    switch (sender->phase) {
    case CODE:
        while (n < LONGEST && sender->at + n < sender->total && content(sender, (uint16_t)(sender->at + n)) != 0) {
            n++;
        }
        sender->left = n;
        sender->code = (uint8_t)(n + 1u);
        return sender->code;
    case BYTES:
        return content(sender, sender->at);
    default:
        return 0;
    }
}

void edge_frame_advance(edge_sender *sender)
{
    switch (sender->phase) {
    case BYTES:
        sender->at++;
        sender->left--;
        break;
    case CODE:
        break;
    case LEADING:
        sender->phase = CODE;
        return;
    default:
        sender->phase = IDLE;
        return;
    }
    if (sender->left) {
        sender->phase = BYTES;
        return;
    }
    /* The piece has ended: before a zero, or the one that is imagined after the content, or because it is full. */
    if (sender->code <= LONGEST) {
        sender->at++;
        sender->phase = sender->at > sender->total ? TRAILING : CODE;
    } else {
        sender->phase = sender->at == sender->total ? TRAILING : CODE;
    }
}

void edge_frame_abort(edge_sender *sender)
{
    sender->phase = TRAILING;
}
