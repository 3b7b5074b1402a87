/* A microcontroller asks a board over a UART: the client's side of docs/serial.md.
 *
 * No allocation, no libc: memory is given once, bytes go through two callbacks, time comes from a third. One request at a
 * time. Either wait for its reply (edge_link_wait) or call edge_link_poll from the main loop, at least once in `pause` ms.
 */
#ifndef EDGE_LINK_H
#define EDGE_LINK_H

#include <stdint.h>

#include "edge_frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Microseconds that a byte takes on the wire, for settings.byte_us; computed by the compiler. */
#define EDGE_BYTE_US(baud) ((uint16_t)((10000000UL + (baud) / 2) / (baud)))

/* Content that the frame buffer must hold for frames of `size` bytes on the wire, up to 256. */
#define EDGE_FRAME_BUFFER(size) ((size) - 3)

typedef struct edge_port {
    int (*read)(void *context);                 /* the next byte that has come, or -1 */
    int (*write)(void *context, uint8_t byte);  /* 1: taken; 0: not now */
    uint32_t (*clock)(void *context);           /* milliseconds; may start anywhere and wraps */
    void *context;
} edge_port;

typedef struct edge_settings {
    uint8_t *frame;         /* memory for the content of a received frame … */
    uint8_t *message;       /* memory for a received message, CRC-32 included … */
    const uint8_t *digest;  /* 8 bytes, of the model whose labels are compiled in; NULL: none are */
    uint32_t patience;      /* ms until a request is given up; must be below 2^31 */
    uint32_t nonce;         /* as different after each start as can be had: unused RAM, an ADC's noise, a counter in flash */
    uint16_t frame_bytes;   /* … 61 to 253: EDGE_FRAME_BUFFER(64 to 256) */
    uint16_t message_bytes; /* … at least 64 */
    uint16_t window;        /* bytes of a message that may come unacknowledged; 0: message_bytes. Less where bytes are
                               lost when they come too fast: what the UART's buffer holds, less 11 for each frame */
    uint16_t byte_us;       /* EDGE_BYTE_US(baud) */
    uint16_t pause;         /* ms, at most, between two calls of edge_link_poll */
} edge_settings;

typedef enum edge_status {
    EDGE_IDLE,    /* nothing is being asked */
    EDGE_BUSY,    /* wait: poll again */
    EDGE_REPLY,   /* the reply is in link->message, link->message_length bytes, until the next poll */
    EDGE_EVENT,   /* an event of a stream is, likewise */
    EDGE_TIMEOUT, /* no reply within settings.patience; given up */
    EDGE_LOST     /* the session ended, and the request's stream with it */
} edge_status;

/* Counted since edge_link_start; docs/serial.md, "Counters". */
typedef struct edge_counters {
    uint32_t frames_in, frames_out, sessions;
    uint32_t crc, cobs, overflow, header, echo, epoch, message, repeat, timeout, retry;
} edge_counters;

/* Fields in the order of their size: the smaller the offset, the shorter Thumb's instructions. */
typedef struct edge_link {
    uint8_t number;       /* of the request */
    uint8_t in_flags;     /* of the message that is coming in, or came last: event, done */
    uint8_t in_number;
    uint8_t event;        /* last one that is complete */
    uint8_t state_kind;   /* of the STATE to be sent; 0: none */
    uint8_t state_number;
    uint8_t flight;       /* fragments that may be under way */
    uint8_t streak;       /* fragments acknowledged without damage */
    uint8_t timeouts;     /* in a row */
    uint8_t unanswered;   /* questions in a row */
    uint8_t reset_reason; /* of the last RESET */
    uint8_t tail[4];      /* the request's CRC-32 */
    uint8_t digest[8];    /* of the server's first model, once there is a session */
    uint16_t flags;       /* edge_state.h */
    uint16_t message_length; /* of the reply or event, after EDGE_REPLY or EDGE_EVENT */
    uint16_t peer_frame;
    uint16_t peer_window;
    uint16_t peer_pause;
    uint16_t hello_wait;  /* ms until the next HELLO */
    uint16_t next_credit; /* that the next request begins with */
    uint16_t fragment;    /* size of the frames sent */
    uint32_t now;         /* ms, when edge_link_poll was called */
    uint32_t session;
    uint32_t nonce;
    uint32_t begun_at;    /* the request */
    uint32_t sent_at;     /* the last fragment, or HELLO */
    uint32_t heard_at;    /* the last good frame, or the last question after it */
    uint32_t total;       /* bytes of the request, CRC-32 included */
    uint32_t base;        /* the peer has so many */
    uint32_t next;        /* sent so far */
    uint32_t limit;       /* may be sent: base + credit */
    uint32_t have;        /* of the message that is coming in */
    uint32_t state_have;
    edge_receiver receiver;
    edge_settings settings;
    edge_port port;
    edge_counters counters;
    edge_sender sender;
    edge_part parts[EDGE_PARTS];
    uint8_t head[24];     /* the request's first fields, for edge_ask.h */
} edge_link;

/* Set up; nothing is sent yet. */
void edge_link_start(edge_link *link, const edge_port *port, const edge_settings *settings);

/* What edge_link_send may be told. */
#define EDGE_ONCE 1u /* it belongs to a stream: when the session is lost, fail rather than ask again in the next */

/* Begin a request: a body (compact or JSON) in up to EDGE_PARTS - 1 pieces, which must stay as they are until it has ended.
 * Whatever is being asked is given up; the server takes it back. The pieces' number is counted by the caller. */
void edge_link_send(edge_link *link, const edge_part *parts, uint8_t count, uint8_t flags);

/* Work off what has come and send what is due, as far as the callbacks go without waiting. */
edge_status edge_link_poll(edge_link *link);

/* Poll until something other than EDGE_BUSY is to be said and all is sent. */
edge_status edge_link_wait(edge_link *link);

/* Ask the server to take the request back; its reply is then `cancelled`, or what it would have been. */
void edge_link_cancel(edge_link *link);

/* Whether there is a session. */
int edge_link_up(const edge_link *link);

#ifdef __cplusplus
}
#endif

#endif
