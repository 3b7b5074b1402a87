/* Ask a local edge-runtime server what somebody wants:
 *
 *     cc -std=c99 -O2 -o ask ask.c
 *     ./ask /run/edge-runtime/edge.sock "turn off the kitchen lights" ["another text" ...]
 *
 * C99 and POSIX sockets, nothing else. Prints each intent and its slots. Status 1: the server cannot be reached, or
 * refused a text.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LONGEST_REPLY = 4 << 20, /* bytes; limits.reply_bytes of hello */
    PENDING = 128,           /* requests without a reply that a connection may have; limits.pending */
    SECONDS = 10             /* to wait for anything */
};

/* ---- JSON, as far as it is needed here. All of it works on text that ends with a zero byte. ---- */

static const char *blank(const char *at) {
    while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')
        at++;
    return at;
}

/* What follows the string that begins at `at`; NULL if there is none. */
static const char *after_string(const char *at) {
    if (*at++ != '"')
        return NULL;
    for (; *at && *at != '"'; at++)
        if (*at == '\\' && !*++at)
            return NULL;
    return *at ? at + 1 : NULL;
}

/* What follows the value that begins at `at`; NULL if it does not end. */
static const char *after_value(const char *at) {
    int depth = 0;
    do {
        at = blank(at);
        if (*at == '"') {
            if (!(at = after_string(at)))
                return NULL;
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else if (*at) {
            at += strcspn(at, ",:]}\" \t\r\n");
        } else {
            return NULL;
        }
    } while (depth > 0);
    return at;
}

/* The value of a field of the object at `at`; NULL if `at` is no object or has no such field. */
static const char *field(const char *at, const char *name) {
    size_t length = strlen(name);
    if (!at || *(at = blank(at)) != '{')
        return NULL;
    at = blank(at + 1);
    while (*at == '"') {
        const char *key = at + 1, *end = after_string(at);
        if (!end || *(at = blank(end)) != ':')
            return NULL;
        at = blank(at + 1);
        if ((size_t)(end - key) == length + 1 && !strncmp(key, name, length))
            return at;
        if (!(at = after_value(at)) || *(at = blank(at)) != ',')
            return NULL;
        at = blank(at + 1);
    }
    return NULL;
}

/* One character in UTF-8. */
static void put_character(unsigned long code, FILE *out) {
    if (code < 0x80) {
        putc((int)code, out);
    } else if (code < 0x800) {
        putc((int)(0xC0 | code >> 6), out);
    } else if (code < 0x10000) {
        putc((int)(0xE0 | code >> 12), out);
        putc((int)(0x80 | (code >> 6 & 0x3F)), out);
    } else {
        putc((int)(0xF0 | code >> 18), out);
        putc((int)(0x80 | (code >> 12 & 0x3F)), out);
        putc((int)(0x80 | (code >> 6 & 0x3F)), out);
    }
    if (code >= 0x80)
        putc((int)(0x80 | (code & 0x3F)), out);
}

/* Print the string at `at` without its quotes and escapes; "?" if there is none. */
static void print_string(const char *at, FILE *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (!at || *at != '"' || !after_string(at)) {
        putc('?', out);
        return;
    }
    for (at++; *at != '"'; at++) {
        if (*at != '\\') {
            putc(*at, out);
        } else if (*++at == 'u') {
            unsigned int high = 0, low = 0;
            if (sscanf(at + 1, "%4x", &high) != 1)
                return;
            at += 4;
            if (high >= 0xD800 && high < 0xDC00 && sscanf(at + 1, "\\u%4x", &low) == 1) {
                at += 6;
                put_character(0x10000UL + ((high - 0xD800UL) << 10) + (low - 0xDC00UL), out);
            } else {
                put_character(high, out);
            }
        } else {
            const char *found = strchr(from, *at);
            putc(found ? to[found - from] : *at, out);
        }
    }
}

/* Write text as a JSON string. It has to be UTF-8; the server refuses it otherwise. */
static void write_string(const char *text, FILE *out) {
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            putc(*text, out);
    }
    putc('"', out);
}

/* ---- The conversation. ---- */

static int fail(const char *what) {
    fprintf(stderr, "error %s: %s\n", what, errno ? strerror(errno) : "the server ended the connection");
    return 1;
}

static int connected(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = SECONDS};
    int descriptor;
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    if ((descriptor = socket(AF_UNIX, SOCK_STREAM, 0)) < 0)
        return -1;
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) ||
        connect(descriptor, (struct sockaddr *)&address, sizeof address)) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

/* Print a reply; 1 if it is an error. */
static int show(const char *reply) {
    const char *error = field(reply, "error"), *result = field(reply, "result"), *intent, *slot;
    if (error) {
        fputs("error ", stderr);
        print_string(field(error, "code"), stderr);
        fputs(": ", stderr);
        print_string(field(error, "message"), stderr);
        putc('\n', stderr);
        return 1;
    }
    intent = field(result, "intent");
    if (!intent || *intent != '"') {
        puts("not recognised");
        return 0;
    }
    print_string(intent, stdout);
    putchar('\n');
    slot = field(result, "slots");
    for (slot = slot && *slot == '[' ? blank(slot + 1) : NULL; slot && *slot == '{'; slot = blank(slot + 1)) {
        fputs("  ", stdout);
        print_string(field(slot, "type"), stdout);
        fputs(": ", stdout);
        print_string(field(slot, "text"), stdout);
        putchar('\n');
        if (!(slot = after_value(slot)) || *(slot = blank(slot)) != ',')
            break;
    }
    return 0;
}

/* Ask all texts at once and print the replies in the texts' order, whatever order they come in. */
static int ask(FILE *from, FILE *to, char **texts, int count) {
    char **replies = calloc((size_t)count, sizeof *replies), *line = malloc(LONGEST_REPLY + 2);
    int left, status = 0;
    if (!replies || !line)
        return fail("memory");
    for (int id = 0; id < count; id++) {
        fprintf(to, "{\"id\":%d,\"op\":\"understand\",\"text\":", id);
        write_string(texts[id], to);
        fputs("}\n", to);
    }
    if (fflush(to))
        return fail("sending");
    for (left = count; left > 0; left--) {
        const char *name;
        char *end;
        long id;
        errno = 0;
        if (!fgets(line, LONGEST_REPLY + 2, from) || !strchr(line, '\n'))
            return fail("receiving");
        name = field(line, "id");
        id = name ? strtol(name, &end, 10) : -1;
        if (!name || end == name || id < 0 || id >= count || replies[id]) { /* concerns the whole connection */
            status = show(line) | 1;
            break;
        }
        replies[id] = strdup(line);
    }
    for (int id = 0; id < count; id++) {
        if (replies[id])
            status |= show(replies[id]);
        free(replies[id]);
    }
    free(replies);
    free(line);
    return status;
}

int main(int count, char **arguments) {
    int descriptor, status;
    FILE *from, *to;
    if (count < 3 || count - 2 > PENDING) {
        fprintf(stderr, "usage: ask SOCKET TEXT... (at most %d)\n", PENDING);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* a server that has gone is an error, not the end of this program */
    if ((descriptor = connected(arguments[1])) < 0)
        return fail(arguments[1]);
    if (!(from = fdopen(descriptor, "r")) || !(to = fdopen(dup(descriptor), "w")))
        return fail("memory");
    status = ask(from, to, arguments + 2, count - 2);
    fclose(to);
    fclose(from);
    return status;
}
