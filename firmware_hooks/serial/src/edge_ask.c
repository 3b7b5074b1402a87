#include "edge_ask.h"

#include "edge_bytes.h"

/* Requests are written into link->head: at most 1 (operation) + 4 (stream) + 4 (task) + 5 + 5 (window, overlap) +
 * 4 (options) = 23 bytes, or 1 + 4 + 2 × 3 with texts that stay outside. */
typedef struct writer {
    edge_link *link;
    uint8_t length;
} writer;

static void put_head(writer *to, uint8_t tag, uint16_t length)
{
    uint8_t *at = to->link->head + to->length;

    at[0] = tag;
    edge_put16(at + 1, length);
    to->length = (uint8_t)(to->length + 3u);
}

static void put_number(writer *to, uint8_t tag, uint16_t value, uint8_t length)
{
    put_head(to, tag, length);
    edge_put16(to->link->head + to->length, value);
    to->length = (uint8_t)(to->length + length);
}

static void begin(writer *to, edge_link *link, uint8_t operation)
{
    to->link = link;
    to->length = 1;
    link->head[0] = operation;
}

static void send(const writer *from, uint8_t flags)
{
    edge_part part;

    part.bytes = from->link->head;
    part.length = from->length;
    edge_link_send(from->link, &part, 1, flags);
}

void edge_ask(edge_link *link, uint8_t operation, const char *text, uint16_t length, uint8_t options)
{
    edge_ask_pair(link, operation, text, length, 0, 0, options);
}

void edge_ask_pair(edge_link *link, uint8_t operation, const char *text, uint16_t length, const char *pair,
                   uint16_t pair_length, uint8_t options)
{
    writer to;
    edge_part parts[4];
    uint8_t count = 2;

    begin(&to, link, operation);
    if (options) {
        put_number(&to, EDGE_F_OPTIONS, options, 1);
    }
    put_head(&to, EDGE_F_TEXT, length);
    parts[0].bytes = link->head;
    parts[0].length = to.length;
    parts[1].bytes = (const uint8_t *)text;
    parts[1].length = length;
    if (pair) {
        parts[2].bytes = link->head + to.length;
        parts[2].length = 3;
        put_head(&to, EDGE_F_PAIR, pair_length);
        parts[3].bytes = (const uint8_t *)pair;
        parts[3].length = pair_length;
        count = 4;
    }
    edge_link_send(link, parts, count, 0);
}

void edge_open(edge_link *link, uint8_t stream, uint8_t task, uint16_t window, uint16_t overlap, uint8_t options)
{
    writer to;

    begin(&to, link, EDGE_OPEN);
    put_number(&to, EDGE_F_STREAM, stream, 1);
    if (task) {
        put_number(&to, EDGE_F_TASK, task, 1);
    }
    if (window) {
        put_number(&to, EDGE_F_WINDOW, window, 2);
        put_number(&to, EDGE_F_OVERLAP, overlap, 2);
    }
    if (options) {
        put_number(&to, EDGE_F_OPTIONS, options, 1);
    }
    send(&to, EDGE_ONCE);
}

void edge_feed(edge_link *link, uint8_t stream, const void *bytes, uint16_t length)
{
    writer to;
    edge_part parts[2];

    begin(&to, link, EDGE_FEED);
    put_number(&to, EDGE_F_STREAM, stream, 1);
    put_head(&to, EDGE_F_DATA, length);
    parts[0].bytes = link->head;
    parts[0].length = to.length;
    parts[1].bytes = bytes;
    parts[1].length = length;
    edge_link_send(link, parts, 2, EDGE_ONCE);
}

static void about_stream(edge_link *link, uint8_t operation, uint8_t stream)
{
    writer to;

    begin(&to, link, operation);
    put_number(&to, EDGE_F_STREAM, stream, 1);
    send(&to, EDGE_ONCE);
}

void edge_close(edge_link *link, uint8_t stream)
{
    about_stream(link, EDGE_CLOSE, stream);
}

void edge_drop(edge_link *link, uint8_t stream)
{
    about_stream(link, EDGE_DROP, stream);
}

void edge_about(edge_link *link, uint8_t operation)
{
    writer to;

    begin(&to, link, operation);
    send(&to, 0);
}

void edge_labels(edge_link *link, uint8_t table, uint16_t first)
{
    writer to;

    begin(&to, link, EDGE_LABELS);
    put_number(&to, EDGE_F_TABLE, table, 1);
    put_number(&to, EDGE_F_FIRST, first, 2);
    send(&to, 0);
}

uint8_t edge_read(const edge_link *link, edge_reader *reader)
{
    reader->at = link->settings.message + 1;
    reader->left = (uint16_t)(link->message_length - 1u);
    return link->settings.message[0];
}

int edge_next(edge_reader *reader, edge_field *field)
{
    if (reader->left < 3) {
        return 0;
    }
    field->tag = reader->at[0];
    field->length = edge_get16(reader->at + 1);
    field->value = reader->at + 3;
    if (field->length > reader->left - 3u) {
        reader->left = 0;
        return 0;
    }
    reader->at += 3u + field->length;
    reader->left = (uint16_t)(reader->left - 3u - field->length);
    return 1;
}

uint32_t edge_number(const edge_field *field)
{
    uint32_t value = 0;
    uint16_t i = field->length < 4u ? field->length : 4u;

    while (i--) {
        value = value << 8 | field->value[i];
    }
    return value;
}

int edge_read_entity(const edge_field *field, edge_entity *entity)
{
    if (field->length < 4u || (field->tag == EDGE_F_ENTITY && field->length < 12u)) {
        return 0;
    }
    entity->index = edge_get16(field->value);
    entity->score = edge_get16(field->value + 2);
    entity->start = entity->end = 0;
    if (field->tag == EDGE_F_ENTITY) {
        entity->start = edge_get32(field->value + 4);
        entity->end = edge_get32(field->value + 8);
    }
    return 1;
}

uint16_t edge_utf8_at(const char *text, uint16_t length, uint32_t characters)
{
    uint16_t i;

    for (i = 0; i < length; i++) {
        if (((uint8_t)text[i] & 0xC0u) != 0x80u && characters-- == 0) {
            break;
        }
    }
    return i;
}
