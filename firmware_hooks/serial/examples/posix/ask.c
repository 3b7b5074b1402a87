/* ask PORT BAUD TEXT…: a PC as the microcontroller. Prints a line for each text; exit status 0 if all were answered.
 *
 *     cc -std=c99 -Isrc -o ask examples/posix/ask.c $(ls src/edge_?*.c)
 *     ./ask /dev/ttyUSB0 115200 "turn off the kitchen lights"
 */
/* cfmakeraw; the name is the C library's
 * NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define _DEFAULT_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "edge_ask.h"

static int port_read(void *context)
{
    int fd = *(const int *)context;
    uint8_t byte;

    return read(fd, &byte, 1) == 1 ? byte : -1;
}

static int port_write(void *context, uint8_t byte)
{
    int fd = *(const int *)context;

    return write(fd, &byte, 1) == 1;
}

static uint32_t port_clock(void *context)
{
    struct timespec now;

    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000u + (uint32_t)(now.tv_nsec / 1000000);
}

static int open_port(const char *path, long baud)
{
    static const struct {
        long baud;
        speed_t speed;
    } speeds[] = {{9600, B9600},   {19200, B19200},   {38400, B38400},   {57600, B57600},
                  {115200, B115200}, {230400, B230400}, {460800, B460800}, {921600, B921600}};
    struct termios settings;
    size_t i;
    int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || tcgetattr(fd, &settings) != 0) {
        perror(path);
        return -1;
    }
    cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    for (i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
        if (speeds[i].baud == baud) {
            (void)cfsetspeed(&settings, speeds[i].speed);
            if (tcsetattr(fd, TCSANOW, &settings) == 0) {
                return fd;
            }
            perror(path);
            return -1;
        }
    }
    (void)fprintf(stderr, "%ld is no baud rate that this example knows\n", baud);
    return -1;
}

static void show(const edge_link *link, const char *text)
{
    edge_reader reader;
    edge_field field;
    edge_entity entity;
    const char *before = "";

    if (edge_read(link, &reader) == EDGE_ERROR) {
        before = "error ";
    }
    while (edge_next(&reader, &field)) {
        if (field.tag == EDGE_F_CODE) {
            printf("%s%u", before, (unsigned)edge_number(&field));
        } else if (field.tag == EDGE_F_NAME || field.tag == EDGE_F_MESSAGE) {
            printf(" %.*s", (int)field.length, (const char *)field.value);
        } else if ((field.tag == EDGE_F_LABEL || field.tag == EDGE_F_ENTITY) && edge_read_entity(&field, &entity)) {
            uint16_t length = (uint16_t)strlen(text);
            uint16_t start = edge_utf8_at(text, length, entity.start);
            uint16_t end = edge_utf8_at(text, length, entity.end);

            printf("%s%u.%04u", before, entity.score / 10000u, entity.score % 10000u);
            if (end > start) {
                printf(" \"%.*s\"", (int)(end - start), text + start);
            }
            if (entity.index == EDGE_NO_LABEL) {
                printf(" not recognised");
            }
            before = ", ";
        }
    }
    printf("\n");
}

int main(int count, char **arguments)
{
    static uint8_t frame[EDGE_FRAME_BUFFER(256)];
    static uint8_t message[4096];
    static edge_link link;
    edge_settings settings = {0};
    edge_port port = {port_read, port_write, port_clock, NULL};
    int i;
    int fd;
    int failed = 0;
    long baud;

    if (count < 4) {
        (void)fprintf(stderr, "usage: ask PORT BAUD TEXT...\n");
        return 2;
    }
    baud = strtol(arguments[2], NULL, 10);
    fd = open_port(arguments[1], baud);
    if (fd < 0) {
        return 1;
    }
    port.context = &fd;
    settings.frame = frame;
    settings.frame_bytes = sizeof frame;
    settings.message = message;
    settings.message_bytes = sizeof message;
    settings.byte_us = EDGE_BYTE_US((unsigned long)baud);
    settings.pause = 20;
    settings.patience = 30000;
    settings.nonce = (uint32_t)time(NULL) ^ ((uint32_t)getpid() << 16);
    edge_link_start(&link, &port, &settings);
    for (i = 3; i < count; i++) {
        edge_status status;

        edge_ask(&link, EDGE_UNDERSTAND, arguments[i], (uint16_t)strlen(arguments[i]), EDGE_NAMES);
        while ((status = edge_link_poll(&link)) == EDGE_BUSY) {
            struct pollfd waiting = {fd, POLLIN, 0};

            (void)poll(&waiting, 1, 1);
        }
        if (status == EDGE_REPLY) {
            show(&link, arguments[i]);
        } else {
            printf("no answer\n");
            failed = 1;
        }
        (void)fflush(stdout);
    }
    (void)close(fd);
    return failed;
}
