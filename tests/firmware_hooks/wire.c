/* A port whose wire is two buffers in memory and whose clock is a variable: for tests that move the bytes themselves. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "edge_ask.h"

#define WIRE 65536u

typedef struct wire {
    uint8_t in[WIRE], out[WIRE];
    uint32_t in_length, in_at, out_length, out_room;
    uint32_t clock;
    uint8_t frame[253], message[4096];
    edge_link link;
} wire;

static int wire_read(void *context)
{
    wire *w = context;

    return w->in_at < w->in_length ? w->in[w->in_at++] : -1;
}

static int wire_write(void *context, uint8_t byte)
{
    wire *w = context;

    if (w->out_length >= w->out_room) {
        return 0;
    }
    w->out[w->out_length++] = byte;
    return 1;
}

static uint32_t wire_clock(void *context)
{
    return ((wire *)context)->clock;
}

wire *wire_new(uint32_t frame, uint32_t message, uint32_t window, uint32_t byte_us, uint32_t patience, uint32_t nonce)
{
    wire *w = calloc(1, sizeof *w);
    edge_port port = {wire_read, wire_write, wire_clock, w};
    edge_settings settings = {0};

    settings.frame = w->frame;
    settings.frame_bytes = (uint16_t)EDGE_FRAME_BUFFER(frame);
    settings.message = w->message;
    settings.message_bytes = (uint16_t)message;
    settings.window = (uint16_t)window;
    settings.byte_us = (uint16_t)byte_us;
    settings.pause = 5;
    settings.patience = patience;
    settings.nonce = nonce;
    w->out_room = WIRE;
    edge_link_start(&w->link, &port, &settings);
    return w;
}

void wire_free(wire *w)
{
    free(w);
}

edge_link *wire_link(wire *w)
{
    return &w->link;
}

/* Put bytes on the wire to the client, behind those that it has not read. */
void wire_put(wire *w, const uint8_t *bytes, uint32_t length)
{
    w->in_length -= w->in_at;
    memmove(w->in, w->in + w->in_at, w->in_length);
    w->in_at = 0;
    memcpy(w->in + w->in_length, bytes, length);
    w->in_length += length;
}

/* Poll at a time until all that came is read, or something is to be said. */
int wire_poll(wire *w, uint32_t clock)
{
    int status;

    w->clock = clock;
    do {
        status = (int)edge_link_poll(&w->link);
    } while ((status == EDGE_BUSY || status == EDGE_IDLE) && w->in_at < w->in_length);
    return status;
}

/* Take what the client has sent. */
uint32_t wire_take(wire *w, uint8_t *bytes)
{
    uint32_t length = w->out_length;

    memcpy(bytes, w->out, length);
    w->out_length = 0;
    return length;
}

void wire_room(wire *w, uint32_t room)
{
    w->out_room = room;
}

const uint8_t *wire_message(const wire *w)
{
    return w->message;
}

uint32_t wire_message_length(const wire *w)
{
    return w->link.message_length;
}

/* crc, cobs, overflow, header, echo, epoch, message, repeat, timeout, retry, sessions */
void wire_counters(const wire *w, uint32_t *counters)
{
    memcpy(counters, &w->link.counters.crc, 10 * sizeof(uint32_t));
    counters[10] = w->link.counters.sessions;
}

/* For the vectors: a receiver on its own, and a sender of any content. */
enum edge_taken receiver_take(edge_receiver *receiver, const uint8_t *bytes, uint32_t length, uint32_t *taken)
{
    enum edge_taken result = EDGE_TAKEN;

    for (*taken = 0; *taken < length && result == EDGE_TAKEN;) {
        result = edge_frame_take(receiver, bytes[(*taken)++]);
    }
    return result;
}

edge_receiver *receiver_new(uint16_t room)
{
    edge_receiver *receiver = malloc(sizeof *receiver + room);

    edge_receiver_start(receiver, (uint8_t *)(receiver + 1), room);
    return receiver;
}

uint32_t receiver_content(const edge_receiver *receiver, uint8_t *bytes)
{
    memcpy(bytes, receiver->content, receiver->length);
    return receiver->length;
}

void receiver_free(edge_receiver *receiver)
{
    free(receiver);
}

uint32_t sender_frame(const uint8_t *head, uint8_t head_length, const uint8_t *piece, uint16_t length, uint8_t *out)
{
    edge_sender sender;
    edge_part part = {piece, length};
    uint32_t sent = 0;

    memcpy(sender.head, head, head_length);
    sender.head_length = head_length;
    edge_frame_begin(&sender, &part, 0, length);
    while (sender.phase) {
        out[sent++] = edge_frame_byte(&sender);
        edge_frame_advance(&sender);
    }
    return sent;
}
