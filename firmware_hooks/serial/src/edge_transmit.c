#include "edge_crc.h"
#include "edge_state.h"

/* Milliseconds that so many bytes take on the wire: divided by 1000 as 33/32768, for there may be no divider. */
static uint32_t wire_time(const edge_link *link, uint32_t bytes)
{
    uint32_t microseconds = bytes * link->settings.byte_us;

    return (microseconds + microseconds / 32u) / 1024u + 1u;
}

static void send_frame(edge_link *link, uint8_t kind, uint8_t length, uint16_t piece)
{
    link->sender.head[0] = kind;
    link->sender.head[1] = set(link, UP) ? (uint8_t)link->session : 0;
    link->sender.head_length = length;
    if (piece) {
        mark(link, FRAGMENT);
    }
    edge_frame_begin(&link->sender, link->parts, link->next, piece);
    link->next += piece;
    link->counters.frames_out++;
}

static void send_hello(edge_link *link)
{
    const edge_settings *settings = &link->settings;
    uint8_t *head = link->sender.head;
    uint32_t wait = 4u * wire_time(link, 34);

    head[0] = HELLO;
    head[1] = 0;
    head[2] = VERSION;
    edge_put32(head + 3, link->nonce);
    edge_put16(head + 7, (uint16_t)(settings->frame_bytes + 3u));
    edge_put24(head + 9, settings->message_bytes);
    edge_put16(head + 12, settings->window);
    edge_put16(head + 14, settings->pause);
    head[16] = 1;
    memset(head + 17, 0, 8);
    if (settings->digest) {
        memcpy(head + 17, settings->digest, 8);
    }
    edge_put32(head + 25, ~edge_bytes_crc(EDGE_CRC32_START, head, 25));
    link->hello_wait = wait > HELLO_EVERY ? (uint16_t)wait : HELLO_EVERY;
    send_frame(link, HELLO, 29, 0);
}

static void send_state(edge_link *link)
{
    uint8_t *head = link->sender.head;
    uint32_t credit = link->settings.window;
    uint32_t room = link->settings.message_bytes - link->state_have;

    if (!(link->state_kind & DONE) && room < credit) {
        credit = room;
    }
    head[2] = link->state_number;
    edge_put24(head + 3, link->state_have);
    edge_put16(head + 6, (uint16_t)credit);
    send_frame(link, link->state_kind, 8, 0);
    link->state_kind = 0;
}

/* Bytes of the request that may be sent now. */
static uint32_t may_send(const edge_link *link)
{
    uint32_t end = link->base + (uint32_t)link->flight * (link->fragment - AROUND);

    end = end < link->limit ? end : link->limit;
    end = end < link->total ? end : link->total;
    return end > link->next ? end - link->next : 0;
}

static void send_fragment(edge_link *link, uint32_t piece)
{
    uint8_t kind = DATA | ASK;

    if (piece > link->fragment - AROUND) {
        piece = link->fragment - AROUND;
    }
    if (piece == link->total - link->next) {
        kind |= LAST;
    }
    link->sender.head[2] = link->number;
    edge_put24(link->sender.head + 3, link->next);
    send_frame(link, kind, 6, (uint16_t)piece);
}

/* No STATE came for what was sent. */
static void check_timeout(edge_link *link)
{
    uint32_t flight = link->next - link->base;
    uint32_t wait = wire_time(link, flight + flight / 2u + link->settings.frame_bytes + 2u * STATE_SIZE);
    uint8_t i;

    wait += (uint32_t)link->settings.pause + link->peer_pause;
    for (i = 0; i < link->timeouts && wait < MAX_WAIT; i++) {
        wait *= 2u;
    }
    if (link->now - link->sent_at < wait) {
        return;
    }
    link->counters.timeout++;
    link->sent_at = link->now;
    if (++link->timeouts > MAX_TIMEOUTS) {
        edge_begin_hello(link, 0);
        return;
    }
    link->next = link->base;
    edge_smaller(link);
}

/* Nothing has been heard for a while: is the server there? */
static void check_alive(edge_link *link)
{
    if (link->now - link->heard_at < ALIVE_EVERY) {
        return;
    }
    link->heard_at = link->now;
    if (++link->unanswered > MAX_UNANSWERED) {
        edge_begin_hello(link, 0);
    } else {
        edge_tell_present(link, ASK);
        mark(link, CANCEL_DUE);
    }
}

/* Begin the frame that is due, if one is. */
static void choose(edge_link *link)
{
    if (!set(link, UP)) {
        if (set(link, WAITING) && link->now - link->sent_at >= link->hello_wait) {
            send_hello(link);
        }
        return;
    }
    if (set(link, WAITING)) {
        if (set(link, ACKED) || link->next >= link->limit) {
            check_alive(link);
        }
        if (!set(link, ACKED) && link->next > link->base) {
            check_timeout(link);
        }
    }
    if (!set(link, UP)) {
        return;
    }
    if (link->state_kind) {
        send_state(link);
    } else if (set(link, WAITING) && set(link, ACKED) && set(link, CANCELLING) && set(link, CANCEL_DUE)) {
        unmark(link, CANCEL_DUE);
        link->sender.head[2] = link->number;
        send_frame(link, CANCEL, 3, 0);
    } else if (set(link, WAITING) && !set(link, ACKED) && may_send(link)) {
        send_fragment(link, may_send(link));
    }
}

void edge_transmit(edge_link *link)
{
    for (;;) {
        if (link->sender.phase == 0) {
            choose(link);
            if (link->sender.phase == 0) {
                return;
            }
        }
        if (!link->port.write(link->port.context, edge_frame_byte(&link->sender))) {
            return;
        }
        edge_frame_advance(&link->sender);
        if (link->sender.phase == 0) {
            if (set(link, FRAGMENT) || !set(link, UP)) {
                link->sent_at = link->now;
            }
            unmark(link, FRAGMENT);
        }
    }
}
