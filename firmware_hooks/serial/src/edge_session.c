#include "edge_crc.h"
#include "edge_state.h"

uint32_t edge_message_crc(const edge_link *link, uint8_t class, uint8_t number, uint32_t bound)
{
    uint8_t prefix[10];
    edge_put32(prefix, link->session);
    prefix[4] = class;
    prefix[5] = number;
    edge_put32(prefix + 6, bound);
    return edge_bytes_crc(EDGE_CRC32_START, prefix, sizeof prefix);
}

uint32_t edge_bytes_crc(uint32_t crc, const uint8_t *bytes, uint32_t length)
{
    while (length--) {
        crc = edge_crc32(crc, *bytes++);
    }
    return crc;
}

void edge_tell(edge_link *link, uint8_t kind, uint8_t number, uint32_t have)
{
    link->state_kind = (uint8_t)(STATE | kind);
    link->state_number = number;
    link->state_have = have;
}

void edge_tell_present(edge_link *link, uint8_t kind)
{
    if ((link->in_flags & DONE) && set(link, WAITING)) {
        edge_tell(link, kind, link->number, 0);
    } else {
        edge_tell(link, (uint8_t)(kind | link->in_flags), link->in_number, link->have);
    }
}

void edge_begin_hello(edge_link *link, uint16_t wait)
{
    unmark(link, UP);
    link->state_kind = 0;
    link->nonce++;
    link->hello_wait = wait;
    link->sent_at = link->now;
    if (set(link, WAITING) && set(link, ONCE)) {
        unmark(link, WAITING);
        mark(link, FAILED);
    }
}

void edge_begin_request(edge_link *link)
{
    uint32_t crc;
    uint8_t i;

    link->number++;
    link->base = link->next = 0;
    link->limit = link->next_credit;
    link->flight = FIRST_FLIGHT;
    link->timeouts = link->unanswered = 0;
    unmark(link, ACKED);
    crc = edge_message_crc(link, 0, link->number, 0);
    for (i = 0; link->parts[i].bytes != link->tail; i++) {
        crc = edge_bytes_crc(crc, link->parts[i].bytes, link->parts[i].length);
    }
    edge_put32(link->tail, ~crc);
    link->sent_at = link->heard_at = link->now;
}

void edge_smaller(edge_link *link)
{
    link->counters.retry++;
    link->streak = 0;
    link->flight = 1;
    link->fragment = (uint16_t)(link->fragment / 2u);
    if (link->fragment < EDGE_MIN_FRAME) {
        link->fragment = EDGE_MIN_FRAME;
    }
}
