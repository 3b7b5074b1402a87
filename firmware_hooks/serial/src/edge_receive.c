#include "edge_crc.h"
#include "edge_state.h"

/* The server has `have` bytes of the request. */
static void progress(edge_link *link, uint32_t have)
{
    if (have <= link->base) {
        return;
    }
    link->base = have;
    if (link->next < have) {
        link->next = have;
    }
    link->timeouts = 0;
    link->sent_at = link->now;
    if (link->flight < MAX_FLIGHT) {
        link->flight++;
    }
    if (++link->streak >= STEADY) {
        link->streak = 0;
        link->fragment = (uint16_t)(link->fragment * 2u);
    }
    if (link->fragment > link->peer_frame) {
        link->fragment = link->peer_frame;
    }
}

static void on_welcome(edge_link *link, const uint8_t *content)
{
    if (set(link, UP) || edge_get32(content + 3) != link->nonce || content[2] != VERSION) {
        return;
    }
    link->peer_frame = edge_get16(content + 7);
    if (link->peer_frame > MAX_FRAME) {
        link->peer_frame = MAX_FRAME;
    }
    link->peer_window = link->next_credit = edge_get16(content + 12);
    link->peer_pause = edge_get16(content + 14);
    memcpy(link->digest, content + 17, sizeof link->digest);
    link->session = edge_get32(content + 25);
    link->number = link->event = link->in_number = 0;
    link->in_flags = DONE;
    link->have = 0;
    link->fragment = link->peer_frame;
    link->streak = 0;
    link->counters.sessions++;
    mark(link, UP);
    if (set(link, WAITING)) {
        edge_begin_request(link);
    }
}

static void on_state(edge_link *link, uint8_t kind, const uint8_t *content)
{
    uint32_t have = edge_get24(content + 3);
    uint16_t credit = edge_get16(content + 6);
    uint8_t number = content[2];

    if (kind & ASK) {
        edge_tell_present(link, 0);
    }
    if (kind & DONE) {
        link->next_credit = credit;
    }
    if (!set(link, WAITING)) {
        return;
    }
    if (number != link->number) {
        if (!set(link, ACKED)) {
            if ((kind & DONE) && link->base == 0) {
                link->limit = credit; /* what the next message, this one, may have */
            }
            if ((kind & GAP) && link->next) { /* this request has not been noticed */
                link->base = link->next = 0;
                edge_smaller(link);
            }
        }
        return;
    }
    if (kind & DONE) {
        link->base = link->next = link->total;
        mark(link, ACKED);
        return;
    }
    if (have > link->total) {
        return;
    }
    link->limit = have + credit;
    if ((kind & GAP) || set(link, ACKED)) {
        if (link->next > have) {
            edge_smaller(link);
        }
        link->base = link->next = have;
        link->timeouts = 0;
        unmark(link, ACKED);
    } else {
        progress(link, have);
    }
}

/* A fragment of a reply or an event. EDGE_BUSY: there is no complete message yet. */
static edge_status on_data(edge_link *link, uint8_t kind, const uint8_t *content, uint16_t length)
{
    uint8_t event = kind & EVENT;
    uint8_t number = content[2];
    uint32_t offset = edge_get24(content + 3);
    uint32_t crc;

    length = (uint16_t)(length - 6u);
    if (event ? (uint8_t)(number - link->event - 1) > 126 : !set(link, WAITING) || number != link->number) {
        link->counters.repeat++;
        edge_tell(link, event | DONE, number, offset + length);
        return EDGE_BUSY;
    }
    if (!event) {
        mark(link, ACKED); /* who answers has read the question */
    }
    if (link->in_flags != event || link->in_number != number) {
        link->in_flags = event;
        link->in_number = number;
        link->have = 0;
    }
    if (offset > link->have) {
        if (!set(link, GAP_TOLD)) {
            mark(link, GAP_TOLD);
            edge_tell(link, event | GAP, number, link->have);
        }
        return EDGE_BUSY;
    }
    if (offset < link->have) {
        link->counters.repeat++;
        edge_tell(link, event, number, link->have);
        return EDGE_BUSY;
    }
    if (length > link->settings.message_bytes - link->have) {
        return EDGE_BUSY; /* the server was told what fits */
    }
    memcpy(link->settings.message + link->have, content + 6, length);
    link->have += length;
    unmark(link, GAP_TOLD);
    if (!(kind & LAST)) {
        if (kind & ASK) {
            edge_tell(link, event, number, link->have);
        }
        return EDGE_BUSY;
    }
    crc = 0;
    if (link->have > 4u) {
        crc = edge_message_crc(link, event ? 2 : 1, number, event ? 0 : edge_get32(link->tail));
        crc = ~edge_bytes_crc(crc, link->settings.message, link->have - 4u);
    }
    if (link->have <= 4u || crc != edge_get32(link->settings.message + link->have - 4u)) {
        link->counters.message++;
        link->have = 0;
        edge_tell(link, event | GAP, number, 0);
        return EDGE_BUSY;
    }
    link->in_flags = event | DONE;
    link->message_length = (uint16_t)(link->have - 4u);
    edge_tell(link, link->in_flags, number, link->have);
    if (event) {
        link->event = number;
        return EDGE_EVENT;
    }
    unmark(link, WAITING);
    return EDGE_REPLY;
}

/* A frame that passed its CRC-16. */
static edge_status on_frame(edge_link *link)
{
    /* content lengths of HELLO to CANCEL, without CRC-16; of DATA the least */
    static const uint8_t lengths[] = {0, 0, 33, 3, 7, 8, 0};
    /* bits of `kind` that each may have set */
    static const uint8_t allowed[] = {0, 0, 0, 0, LAST | ASK | EVENT, DONE | ASK | EVENT | GAP, 0};
    const uint8_t *content = link->receiver.content;
    uint16_t length = link->receiver.length;
    uint8_t kind = content[0];
    uint8_t type = kind & TYPE;

    if (length && !(kind & SERVER)) {
        link->counters.echo++;
        return EDGE_BUSY;
    }
    if (type > CANCEL || lengths[type] == 0 || length < lengths[type] || (type != DATA && length != lengths[type]) ||
        (kind & (uint8_t)~(allowed[type] | TYPE | SERVER))) {
        link->counters.header++;
        return EDGE_BUSY;
    }
    link->counters.frames_in++;
    if (type == WELCOME) {
        if (~edge_bytes_crc(EDGE_CRC32_START, content, 29) == edge_get32(content + 29)) {
            on_welcome(link, content);
        } else {
            link->counters.message++;
        }
        return EDGE_BUSY;
    }
    if (type == RESET && content[1] == 0 && !set(link, UP)) {
        link->reset_reason = content[2];
        link->hello_wait = HELLO_LATER;
        return EDGE_BUSY;
    }
    if (!set(link, UP) || content[1] != (uint8_t)link->session) {
        link->counters.epoch++;
        return EDGE_BUSY;
    }
    link->heard_at = link->now;
    link->unanswered = 0;
    if (type == RESET) {
        link->reset_reason = content[2];
        edge_begin_hello(link, content[2] == 2 || content[2] == 4 ? HELLO_LATER : 0);
        return EDGE_BUSY;
    }
    if (type == DATA) {
        return on_data(link, kind, content, length);
    }
    on_state(link, kind, content);
    return EDGE_BUSY;
}

edge_status edge_receive(edge_link *link)
{
    for (;;) {
        int byte = link->port.read(link->port.context);
        enum edge_taken taken;

        if (byte < 0) {
            return EDGE_BUSY;
        }
        taken = edge_frame_take(&link->receiver, (uint8_t)byte);
        if (taken == EDGE_GOOD) {
            return on_frame(link);
        }
        if (taken != EDGE_TAKEN) {
            if (taken == EDGE_CRC) {
                link->counters.crc++;
            } else if (taken == EDGE_COBS) {
                link->counters.cobs++;
            } else {
                link->counters.overflow++;
            }
            if (set(link, UP) && link->receiver.length >= 4) {
                mark(link, GAP_TOLD);
                edge_tell_present(link, set(link, WAITING) ? GAP | ASK : GAP);
            }
            return EDGE_BUSY;
        }
    }
}
