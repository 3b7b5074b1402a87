/* Preloaded into a process: notes the calls that change files below one folder, and ends or fails the process at one.
 *
 *     void interpose_arm(const char *root, int log, long at, int error);
 *
 * From then on each such call is written to `log` once it was made. Call number `at` (from 1) is not made: the process is
 * killed, or, with an `error`, this call and all later ones that take room on the disk fail with that errno.
 *
 * A record in the log: struct head, then two strings. Calls that are not known here (writev, mmap …) go unnoticed; the
 * harness compares what the log says with what is on the disk, and would see that. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, SYMLINK, TRUNCATE };
enum { FILES = 4096 };

struct head {
    uint32_t call, first, second; /* what, and the lengths of two strings */
    uint32_t flags;
    uint64_t inode, offset;
};

static char root[4096];
static size_t root_length;
static int log_file = -1, failure;
static long calls, stop;
static char tracked[FILES];

void interpose_arm(const char *folder, int log, long at, int error) {
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    calls = 0;
    stop = at;
    failure = error;
    log_file = log;
}

static int ours(const char *path) {
    return log_file >= 0 && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int file_is_ours(int fd) {
    return log_file >= 0 && fd >= 0 && fd < FILES && tracked[fd];
}

static void must(int good) {
    if (!good)
        abort();
}

/* Whether the next call is to fail. `room`: it takes room on the disk. */
static int due(int room) {
    calls++;
    if (!failure && calls == stop)
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    if (failure && calls >= stop && room) {
        errno = failure;
        return 1;
    }
    return 0;
}

static void note(uint32_t call, uint32_t flags, uint64_t inode, uint64_t offset, const void *first, size_t length,
                 const char *second) {
    struct head head = {call, (uint32_t)length, second ? (uint32_t)strlen(second) : 0, flags, inode, offset};
    int before = errno;
    must(syscall(SYS_write, log_file, &head, sizeof head) == sizeof head);
    must(syscall(SYS_write, log_file, first, length) == (long)length);
    must(syscall(SYS_write, log_file, second ? second : "", head.second) == (long)head.second);
    errno = before;
}

static uint64_t inode_of(int fd) {
    struct stat state;
    must(!fstat(fd, &state));
    return state.st_ino;
}

/* A call that changes nothing, because something is or is not there, does not count. */
static int is_there(const char *path) {
    struct stat state;
    return !lstat(path, &state);
}

static int opened(const char *path, int flags, mode_t mode) {
    int changes, fd;

    if (!ours(path))
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    changes = (flags & O_TRUNC) || ((flags & O_CREAT) && !is_there(path));
    if (changes && due(1))
        return -1;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd < 0)
        return fd;
    must(fd < FILES);
    tracked[fd] = 1;
    if (changes)
        note(OPEN, (uint32_t)flags, inode_of(fd), 0, path, strlen(path), NULL);
    return fd;
}

#define MODE_OF(flags)                                                                                                 \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags)
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE_OF(flags)
    return opened(path, flags, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < FILES)
        tracked[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

ssize_t write(int fd, const void *data, size_t size) {
    uint64_t offset;
    ssize_t written;

    if (!file_is_ours(fd))
        return syscall(SYS_write, fd, data, size);
    if (due(1))
        return -1;
    offset = (uint64_t)lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    written = syscall(SYS_write, fd, data, size);
    if (written > 0)
        note(WRITE, 0, inode_of(fd), offset, data, (size_t)written, NULL);
    return written;
}

static int synced(int fd, long call) {
    int result;

    if (!file_is_ours(fd))
        return (int)syscall(call, fd);
    if (due(0))
        return -1;
    result = (int)syscall(call, fd);
    if (!result)
        note(SYNC, 0, inode_of(fd), 0, "", 0, NULL);
    return result;
}

int fsync(int fd) {
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd) {
    return synced(fd, SYS_fdatasync);
}

int ftruncate64(int fd, off64_t size) {
    int result;

    if (!file_is_ours(fd))
        return (int)syscall(SYS_ftruncate, fd, size);
    if (due(0))
        return -1;
    result = (int)syscall(SYS_ftruncate, fd, size);
    if (!result)
        note(TRUNCATE, 0, inode_of(fd), (uint64_t)size, "", 0, NULL);
    return result;
}

int rename(const char *from, const char *to) {
    int result;

    if (!ours(from) && !ours(to))
        return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    must(ours(from) && ours(to));
    if (due(1))
        return -1;
    result = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    if (!result)
        note(RENAME, 0, 0, 0, from, strlen(from), to);
    return result;
}

static int removed(const char *path, int flags, uint32_t call) {
    int result;

    if (!ours(path) || !is_there(path))
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    if (due(0))
        return -1;
    result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    if (!result)
        note(call, 0, 0, 0, path, strlen(path), NULL);
    return result;
}

int unlink(const char *path) {
    return removed(path, 0, UNLINK);
}

int rmdir(const char *path) {
    return removed(path, AT_REMOVEDIR, RMDIR);
}

int mkdir(const char *path, mode_t mode) {
    struct stat state;
    int result;

    if (!ours(path) || is_there(path))
        return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (due(1))
        return -1;
    result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (!result) {
        must(!lstat(path, &state));
        note(MKDIR, 0, state.st_ino, 0, path, strlen(path), NULL);
    }
    return result;
}

int symlink(const char *target, const char *path) {
    struct stat state;
    int result;

    if (!ours(path) || is_there(path))
        return (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
    if (due(1))
        return -1;
    result = (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
    if (!result) {
        must(!lstat(path, &state));
        note(SYMLINK, 0, state.st_ino, 0, path, strlen(path), target);
    }
    return result;
}
