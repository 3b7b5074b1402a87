/* Ask what sentences mean, without an operating system or a libc: those on the semihosting command line, separated by '|'.
 * A sentence that begins with '>' is fed into a stream, which is closed at the end; its events are printed.
 * Exit status: 0 all answered, 1 an error was answered, 2 no answer, 99 a fault. */
#include <stdint.h>

#include "board.h"
#include "edge_ask.h"
#include "semihosting.h"

#define STREAM 1u

static uint8_t frame[EDGE_FRAME_BUFFER(128)];
static uint8_t message[512];
static edge_link link;

static int port_read(void *context)
{
    (void)context;
    return board_read();
}

static int port_write(void *context, uint8_t byte)
{
    (void)context;
    return board_write(byte);
}

static uint32_t port_clock(void *context)
{
    (void)context;
    return board_clock();
}

void fault(void);
void fault(void)
{
    say("fault\n");
    quit(99);
}

static void say_number(uint32_t number)
{
    static const uint32_t tens[] = {1000000000u, 100000000u, 10000000u, 1000000u, 100000u, 10000u, 1000u, 100u, 10u, 1u};
    char text[12];
    uint32_t length = 0;
    uint32_t i;

    for (i = 0; i < 10; i++) {
        char digit = '0';

        while (number >= tens[i]) {
            number -= tens[i];
            digit++;
        }
        if (digit != '0' || length || i == 9) {
            text[length++] = digit;
        }
    }
    text[length] = '\0';
    say(text);
}

static void say_bytes(const uint8_t *bytes, uint16_t length)
{
    char text[2] = {0, 0};

    while (length--) {
        text[0] = (char)*bytes++;
        say(text);
    }
}

/* Print a reply or an event: label NAME SCORE, entity NAME SCORE START END, error CODE. */
static void show(void)
{
    edge_reader reader;
    edge_field field;
    edge_entity entity;
    uint8_t what = edge_read(&link, &reader);

    say(what == EDGE_WINDOW_EVENT ? "event" : "reply");
    while (edge_next(&reader, &field)) {
        if ((field.tag == EDGE_F_LABEL || field.tag == EDGE_F_ENTITY) && edge_read_entity(&field, &entity)) {
            say(field.tag == EDGE_F_LABEL ? "; label " : "; entity ");
            say_number(entity.score);
            if (field.tag == EDGE_F_ENTITY) {
                say(" ");
                say_number(entity.start);
                say(" ");
                say_number(entity.end);
            }
        } else if (field.tag == EDGE_F_NAME) {
            say(" ");
            say_bytes(field.value, field.length);
        } else if (field.tag == EDGE_F_CODE) {
            say("; error ");
            say_number(edge_number(&field));
        } else if (field.tag == EDGE_F_CHARACTERS) {
            say("; characters ");
            say_number(edge_number(&field));
        }
    }
    say("\n");
    if (what == EDGE_ERROR) {
        quit(1);
    }
}

static void finish(void)
{
    edge_status status;

    while ((status = edge_link_wait(&link)) == EDGE_EVENT) {
        show();
    }
    if (status != EDGE_REPLY) {
        say("no answer\n");
        quit(2);
    }
    show();
}

static void ask(const char *text, uint16_t length)
{
    static int open;

    if (length && text[0] == '>') {
        if (!open) {
            edge_open(&link, STREAM, EDGE_TAG, 32, 4, EDGE_NAMES);
            finish();
            open = 1;
        }
        edge_feed(&link, STREAM, text + 1, (uint16_t)(length - 1u));
        finish();
    } else if (length || !open) {
        edge_ask(&link, EDGE_UNDERSTAND, text, length, EDGE_NAMES);
        finish();
    } else {
        edge_close(&link, STREAM);
        finish();
        open = 0;
    }
}

int main(void)
{
    static char line[2048];
    edge_port port = {port_read, port_write, port_clock, 0};
    edge_settings settings;
    int length;
    int start = 0;
    int i;

    board_start();
    settings.frame = frame;
    settings.frame_bytes = sizeof frame;
    settings.message = message;
    settings.message_bytes = sizeof message;
    settings.window = 0;
    settings.digest = 0;
    settings.byte_us = EDGE_BYTE_US(BAUD);
    settings.pause = 1;
    settings.patience = 10000;
    settings.nonce = board_nonce();
    edge_link_start(&link, &port, &settings);
    length = command_line(line, sizeof line);
    for (i = 0; i < length && line[i] != ' '; i++) {
        /* the first word is the program's name */
    }
    for (start = ++i; i <= length; i++) {
        if (i == length || line[i] == '|' || line[i] == '\0') {
            ask(line + start, (uint16_t)(i - start));
            start = i + 1;
        }
        if (i < length && line[i] == '\0') {
            break;
        }
    }
    say("done\n");
    quit(0);
}
