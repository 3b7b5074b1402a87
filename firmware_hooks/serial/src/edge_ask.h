/* The compact messages of docs/serial.md: asking, and reading replies field by field where they lie. */
#ifndef EDGE_ASK_H
#define EDGE_ASK_H

#include "edge_link.h"

#ifdef __cplusplus
extern "C" {
#endif

enum edge_operation {
    EDGE_ASK = 0x01, EDGE_UNDERSTAND, EDGE_CLASSIFY, EDGE_TAG, EDGE_ANSWER, EDGE_EMBED, EDGE_FILL, EDGE_CHOOSE,
    EDGE_OPEN = 0x10, EDGE_FEED, EDGE_CLOSE, EDGE_DROP,
    EDGE_INFO = 0x18, EDGE_HEALTH, EDGE_LABELS,
    EDGE_WINDOW_EVENT = 0x70,
    EDGE_REPLY_TO = 0x80, /* plus the operation */
    EDGE_ERROR = 0xFF
};

enum edge_tag {
    EDGE_F_TEXT = 0x01, EDGE_F_PAIR, EDGE_F_CHOICE, EDGE_F_TOP_K, EDGE_F_MODEL, EDGE_F_DEADLINE, EDGE_F_DATA, EDGE_F_STREAM,
    EDGE_F_WINDOW, EDGE_F_OVERLAP, EDGE_F_EVENTS, EDGE_F_TASK, EDGE_F_QUESTION, EDGE_F_OPTIONS, EDGE_F_TABLE, EDGE_F_FIRST,
    EDGE_F_LABEL = 0x41, EDGE_F_ENTITY, EDGE_F_NAME, EDGE_F_VECTOR, EDGE_F_TOKEN, EDGE_F_TOOK, EDGE_F_WINDOWS,
    EDGE_F_CHARACTERS, EDGE_F_TRUNCATED, EDGE_F_INDEX, EDGE_F_START, EDGE_F_END, EDGE_F_TOKENS, EDGE_F_CANCELLED,
    EDGE_F_DIGEST, EDGE_F_MAX_LENGTH, EDGE_F_MAX_CHARACTERS, EDGE_F_COUNT, EDGE_F_VERSION, EDGE_F_STATE, EDGE_F_UPTIME,
    EDGE_F_CODE, EDGE_F_MESSAGE
};

enum edge_code {
    EDGE_BAD_REQUEST = 1, EDGE_TOO_LONG, EDGE_UNKNOWN_MODEL, EDGE_NO_SUCH_HEAD, EDGE_OVERLOADED, EDGE_DEADLINE,
    EDGE_CANCELLED, EDGE_FORBIDDEN, EDGE_UNAVAILABLE, EDGE_INTERNAL, EDGE_STALE, EDGE_OTHER = 255
};

#define EDGE_NAMES 1u           /* options: names beside indices */
#define EDGE_TIMES 2u           /* options: EDGE_F_TOOK */
#define EDGE_NO_LABEL 0xFFFFu   /* the index where a text is not recognised */

/* A text operation (EDGE_ASK to EDGE_CHOOSE). `text` stays where it is until the request has ended, so does the pair. */
void edge_ask(edge_link *link, uint8_t operation, const char *text, uint16_t length, uint8_t options);
void edge_ask_pair(edge_link *link, uint8_t operation, const char *text, uint16_t length, const char *pair,
                   uint16_t pair_length, uint8_t options);

/* Streams: `stream` is a number of one's own; `task` EDGE_UNDERSTAND to EDGE_EMBED, or 0 for the model's own; `window` and
 * `overlap` in tokens, `window` 0: the model's own. */
void edge_open(edge_link *link, uint8_t stream, uint8_t task, uint16_t window, uint16_t overlap, uint8_t options);
void edge_feed(edge_link *link, uint8_t stream, const void *bytes, uint16_t length);
void edge_close(edge_link *link, uint8_t stream);
void edge_drop(edge_link *link, uint8_t stream);

/* EDGE_INFO or EDGE_HEALTH. */
void edge_about(edge_link *link, uint8_t operation);

/* Names of labels (table 0) or entity types (1) from number `first` on. */
void edge_labels(edge_link *link, uint8_t table, uint16_t first);

/* Reading: edge_read after EDGE_REPLY or EDGE_EVENT, then edge_next as long as it is 1. */
typedef struct edge_reader {
    const uint8_t *at;
    uint16_t left;
} edge_reader;

typedef struct edge_field {
    const uint8_t *value;
    uint16_t length;
    uint8_t tag;
} edge_field;

/* Byte 0 of the message: EDGE_REPLY_TO + operation, EDGE_WINDOW_EVENT or EDGE_ERROR. */
uint8_t edge_read(const edge_link *link, edge_reader *reader);

/* The next field: 1; 0 at the end, or where a field is longer than what is left. */
int edge_next(edge_reader *reader, edge_field *field);

/* A field's value as a number of 1 to 4 bytes. */
uint32_t edge_number(const edge_field *field);

typedef struct edge_entity {
    uint32_t start, end; /* characters; 0 in a label */
    uint16_t index;
    uint16_t score; /* ten-thousandths */
} edge_entity;

/* An EDGE_F_LABEL or EDGE_F_ENTITY; 0 where it is too short. */
int edge_read_entity(const edge_field *field, edge_entity *entity);

/* Where character number `characters` begins in UTF-8 text, in bytes; at most `length`. */
uint16_t edge_utf8_at(const char *text, uint16_t length, uint32_t characters);

#ifdef __cplusplus
}
#endif

#endif
