/* What edge_link.c, edge_receive.c and edge_transmit.c share; not for users of the link. */
#ifndef EDGE_STATE_H
#define EDGE_STATE_H

#include "edge_bytes.h"
#include "edge_link.h"

/* types and flags of frames */
enum { HELLO = 1, WELCOME, RESET, DATA, STATE, CANCEL };

#define TYPE 0x07u
#define SERVER 0x08u
#define LAST 0x10u
#define DONE 0x10u
#define ASK 0x20u
#define EVENT 0x40u
#define GAP 0x80u

#define VERSION 1u
#define AROUND 11u         /* bytes of a DATA frame that are no message, for frames of up to 256 */
#define STATE_SIZE 13u     /* bytes on the wire */
#define MAX_FRAME 256u     /* sent; beyond it a second COBS byte is needed, and gains are small */
#define HELLO_EVERY 300u   /* ms */
#define HELLO_LATER 2000u  /* ms, when the server stops or speaks another version */
#define ALIVE_EVERY 1000u  /* ms without a good frame until the server is asked whether it is there */
#define MAX_WAIT 2000u     /* ms, doubled time-outs end here */
#define MAX_TIMEOUTS 8u    /* in a row, until the session is taken for lost */
#define MAX_UNANSWERED 5u
#define FIRST_FLIGHT 2u    /* fragments under way at once, before the server has been heard … */
#define MAX_FLIGHT 8u      /* … and at most: 2 KB, 20 ms at a million baud */
#define STEADY 8u          /* fragments acknowledged until larger ones are tried */

/* edge_link.flags */
#define UP 0x01u        /* there is a session */
#define WAITING 0x02u   /* a request has no reply */
#define ONCE 0x04u      /* it is not to be repeated in another session */
#define ACKED 0x08u     /* the server has it whole */
#define GAP_TOLD 0x10u  /* of the hole at `have` */
#define FAILED 0x20u    /* EDGE_LOST has to be said */
#define FRAGMENT 0x40u  /* what is being sent is one */
#define CANCELLING 0x80u
#define CANCEL_DUE 0x100u

static inline int set(const edge_link *link, uint16_t flag)
{
    return (link->flags & flag) != 0;
}

static inline void mark(edge_link *link, uint16_t flag)
{
    link->flags = (uint16_t)(link->flags | flag);
}

static inline void unmark(edge_link *link, uint16_t flag)
{
    link->flags = (uint16_t)(link->flags & (uint16_t)~flag);
}

/* edge_receive.c: take bytes until a frame, good or bad, is whole. */
edge_status edge_receive(edge_link *link);

/* edge_transmit.c: send what is due, until nothing is or the port takes no more. */
void edge_transmit(edge_link *link);

/* edge_session.c */

/* CRC-32 of a message begins with what it is, which is not sent; `class`: 0 request, 1 reply, 2 event. */
uint32_t edge_message_crc(const edge_link *link, uint8_t class, uint8_t number, uint32_t bound);
uint32_t edge_bytes_crc(uint32_t crc, const uint8_t *bytes, uint32_t length);

/* A STATE is due; a later one replaces an earlier one, for it knows more. */
void edge_tell(edge_link *link, uint8_t kind, uint8_t number, uint32_t have);

/* A STATE about what is coming in, or is waited for, or came last. */
void edge_tell_present(edge_link *link, uint8_t kind);

/* There is no session; say HELLO after `wait` ms if anything is asked. */
void edge_begin_hello(edge_link *link, uint16_t wait);

/* Send the request from its beginning, as the next message of the session. */
void edge_begin_request(edge_link *link);

/* Something was lost: send smaller frames. */
void edge_smaller(edge_link *link);

#endif
