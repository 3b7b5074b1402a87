/* libFuzzer: what comes over the wire is the input; it must not crash the client, nor make it wait for ever.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Isrc -o fuzz fuzz/fuzz_link.c src/edge_?*.c
 *     ./fuzz -max_total_time=600 -max_len=4096
 *
 * Byte 0 of the input chooses sizes, byte 1 what is asked. The rest is a list of blocks: a length, then bytes. In an odd block
 * the bytes come as they are; in an even one they are the content of a frame, to which epoch, CRC and COBS are added here, so
 * that the fuzzer gets past the checks. */
#include <stdlib.h>
#include <string.h>

#include "edge_ask.h"
#include "edge_bytes.h"
#include "edge_crc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern volatile uint32_t fuzz_seen; /* so that the compiler reads what need not be read */
volatile uint32_t fuzz_seen;

typedef struct wire {
    uint8_t bytes[1024];
    uint32_t length, at;
    uint32_t clock;
    uint32_t sent;
} wire;

static int wire_read(void *context)
{
    wire *w = context;

    return w->at < w->length ? w->bytes[w->at++] : -1;
}

static int wire_write(void *context, uint8_t byte)
{
    wire *w = context;

    (void)byte; /* every sixteenth is refused once */
    return ++w->sent % 16u != 0;
}

static uint32_t wire_clock(void *context)
{
    return ((const wire *)context)->clock;
}

/* A frame of this content, as the server would send it. */
static void put_frame(wire *w, const edge_link *link, const uint8_t *content, uint8_t length)
{
    edge_sender sender;
    edge_part part;
    uint8_t copy[256];

    memcpy(copy, content, length);
    if (length > 1) {
        copy[1] = edge_link_up(link) ? (uint8_t)link->session : 0;
    }
    if ((copy[0] & 7u) == 2 && length >= 33) { /* WELCOME: to this HELLO, with its CRC-32 */
        uint32_t crc = EDGE_CRC32_START;
        uint8_t i;

        copy[2] = 1;
        edge_put32(copy + 3, link->nonce);
        for (i = 0; i < 29; i++) {
            crc = edge_crc32(crc, copy[i]);
        }
        edge_put32(copy + 29, ~crc);
        length = 33;
    }
    part.bytes = copy;
    part.length = length;
    sender.head_length = 0;
    edge_frame_begin(&sender, &part, 0, length);
    w->length = w->at = 0;
    while (sender.phase) {
        w->bytes[w->length++] = edge_frame_byte(&sender);
        edge_frame_advance(&sender);
    }
}

static void read_all(const edge_link *link)
{
    edge_reader reader;
    edge_field field;
    edge_entity entity;
    uint32_t sum = edge_read(link, &reader);

    while (edge_next(&reader, &field)) {
        sum += edge_number(&field);
        sum += edge_read_entity(&field, &entity) ? entity.score : 0u;
        sum += edge_utf8_at((const char *)field.value, field.length, 3);
        sum += field.length ? field.value[field.length - 1u] : 0u;
    }
    fuzz_seen = sum;
}

static void ask(edge_link *link, uint8_t what)
{
    static const char text[] = "turn off the kitchen lights, and then, when everybody sleeps, those in the garden as well";

    switch (what % 6u) {
    case 0:
        edge_ask(link, EDGE_UNDERSTAND, text, (uint16_t)(what % sizeof text), EDGE_NAMES);
        break;
    case 1:
        edge_ask_pair(link, EDGE_ANSWER, text, 4, text, (uint16_t)(what % sizeof text), 0);
        break;
    case 2:
        edge_open(link, 1, EDGE_TAG, 32, 4, EDGE_NAMES);
        break;
    case 3:
        edge_feed(link, 1, text, sizeof text);
        break;
    case 4:
        edge_labels(link, 1, what);
        break;
    default:
        edge_link_cancel(link);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wire *w = calloc(1, sizeof *w);
    edge_link *link = malloc(sizeof *link);
    edge_settings settings = {0};
    edge_port port = {wire_read, wire_write, wire_clock, w};

    if (size > 2) {
        size_t at = 2;

        /* from the heap, so that one byte too far is seen */
        settings.frame_bytes = (uint16_t)(61u + data[0] % 193u);
        settings.message_bytes = (uint16_t)(64u + data[0] * 2u);
        settings.frame = malloc(settings.frame_bytes);
        settings.message = malloc(settings.message_bytes);
        settings.byte_us = 87;
        settings.patience = 100000;
        edge_link_start(link, &port, &settings);
        ask(link, data[1]);
        while (at < size) {
            uint8_t length = data[at];
            int polls;

            at++;
            if (length > size - at) {
                length = (uint8_t)(size - at);
            }
            w->clock += length;
            if (length & 1u) {
                memcpy(w->bytes, data + at, length);
                w->length = length;
                w->at = 0;
            } else if (length) {
                put_frame(w, link, data + at, length);
            }
            at += length;
            for (polls = 0; polls < 1000; polls++) {
                edge_status status = edge_link_poll(link);

                if (status == EDGE_REPLY || status == EDGE_EVENT) {
                    read_all(link);
                }
                if (status == EDGE_REPLY || status == EDGE_LOST || status == EDGE_TIMEOUT) {
                    ask(link, length);
                }
                if (w->at == w->length && status != EDGE_EVENT && status != EDGE_REPLY) {
                    break;
                }
            }
            if (polls == 1000) {
                abort(); /* it did not read what had come */
            }
        }
        free(settings.frame);
        free(settings.message);
    }
    free(link);
    free(w);
    return 0;
}
