#include "edge_link.h"

#include "edge_state.h"

static void read_clock(edge_link *link)
{
    link->now = link->port.clock(link->port.context);
}

void edge_link_start(edge_link *link, const edge_port *port, const edge_settings *settings)
{
    memset(link, 0, sizeof *link);
    link->port = *port;
    link->settings = *settings;
    link->nonce = settings->nonce;
    if (link->settings.window == 0 || link->settings.window > settings->message_bytes) {
        link->settings.window = settings->message_bytes;
    }
    edge_receiver_start(&link->receiver, settings->frame, settings->frame_bytes);
}

void edge_link_send(edge_link *link, const edge_part *parts, uint8_t count, uint8_t flags)
{
    uint8_t i;

    read_clock(link);
    if (set(link, FRAGMENT)) {
        edge_frame_abort(&link->sender); /* of the former request */
    }
    link->total = 4;
    for (i = 0; i < count; i++) {
        link->parts[i] = parts[i];
        link->total += parts[i].length;
    }
    link->parts[i].bytes = link->tail;
    link->parts[i].length = 4;
    unmark(link, FAILED | ONCE | CANCELLING);
    mark(link, flags & EDGE_ONCE ? WAITING | ONCE : WAITING);
    link->begun_at = link->now;
    if (set(link, UP)) {
        edge_begin_request(link);
    }
}

edge_status edge_link_poll(edge_link *link)
{
    edge_status status;

    read_clock(link);
    status = edge_receive(link);
    edge_transmit(link);
    if (status != EDGE_BUSY) {
        return status;
    }
    if (set(link, FAILED)) {
        unmark(link, FAILED);
        return EDGE_LOST;
    }
    if (!set(link, WAITING)) {
        return link->sender.phase ? EDGE_BUSY : EDGE_IDLE;
    }
    if (link->now - link->begun_at >= link->settings.patience) {
        unmark(link, WAITING);
        return EDGE_TIMEOUT;
    }
    return EDGE_BUSY;
}

edge_status edge_link_wait(edge_link *link)
{
    edge_status status;

    do {
        status = edge_link_poll(link);
    } while (status == EDGE_BUSY);
    while (link->sender.phase && link->now - link->begun_at < link->settings.patience) {
        edge_transmit(link); /* what says that the reply has come */
        read_clock(link);
    }
    return status;
}

void edge_link_cancel(edge_link *link)
{
    mark(link, CANCELLING | CANCEL_DUE);
}

int edge_link_up(const edge_link *link)
{
    return set(link, UP);
}
