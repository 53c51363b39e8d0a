/* Lets system calls on files below one directory fail: preloaded by tests/torture/syscalls.py, which sees to the rest.

   Calls are counted from torture_arm() on. The one of a number fails, and those after it too if so wished. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char below[PATH_MAX], what[PATH_MAX + 64];
static long count, first;
static int is_armed, error_number, goes_on;

void torture_arm(const char *directory, long number, int error, int lasting) {
    snprintf(below, sizeof below, "%s", directory);
    what[0] = 0;
    count = 0;
    first = number;
    error_number = error;
    goes_on = lasting;
    is_armed = 1;
}

long torture_disarm(void) {
    is_armed = 0;
    return count;
}

const char *torture_failed(void) { return what; }

static int fails(const char *call, const char *path) {
    if (strncmp(path, below, strlen(below))) return 0;
    long number = count++;
    if (first < 0 || number < first || (number > first && !goes_on)) return 0;
    if (number == first) snprintf(what, sizeof what, "%s %s", call, path + strlen(below));
    int error = error_number;
    if (error == EMFILE && strcmp(call, "open")) error = EIO; /* only what opens can run out of descriptors */
    if (error == ENOSPC && (!strcmp(call, "read") || !strcmp(call, "unlink"))) error = EIO;
    if (!strcmp(call, "mmap")) error = ENOMEM;
    errno = error;
    return 1;
}

static int path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int fails_fd(const char *call, int descriptor) {
    char path[PATH_MAX];
    if (!is_armed) return 0;
    int before = errno;
    if (path_of(descriptor, path) && fails(call, path)) return 1;
    errno = before;
    return 0;
}

static int fails_at(const char *call, int directory, const char *name) {
    char path[2 * PATH_MAX];
    if (!is_armed) return 0;
    if (name[0] == '/') return fails(call, name);
    int before = errno;
    if (directory == AT_FDCWD ? getcwd(path, PATH_MAX) != NULL : path_of(directory, path)) {
        strcat(path, "/");
        strncat(path, name, PATH_MAX - 2);
        if (fails(call, path)) return 1;
    }
    errno = before;
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE                                     \
    mode_t mode = 0;                             \
    if (flags & (O_CREAT | O_TMPFILE)) {         \
        va_list rest;                            \
        va_start(rest, flags);                   \
        mode = (mode_t)va_arg(rest, int);        \
        va_end(rest);                            \
    }

int open(const char *path, int flags, ...) {
    MODE return fails_at("open", AT_FDCWD, path) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE return fails_at("open", AT_FDCWD, path) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int directory, const char *path, int flags, ...) {
    MODE return fails_at("open", directory, path) ? -1 : REAL(openat)(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) {
    MODE return fails_at("open", directory, path) ? -1 : REAL(openat64)(directory, path, flags, mode);
}
ssize_t write(int fd, const void *data, size_t size) {
    return fails_fd("write", fd) ? -1 : REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return fails_fd("write", fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return fails_fd("write", fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int number) {
    return fails_fd("write", fd) ? -1 : REAL(writev)(fd, parts, number);
}
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
    return fails_fd("write", out) ? -1 : REAL(sendfile)(out, in, at, size);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
    return fails_fd("write", out) ? -1 : REAL(sendfile64)(out, in, at, size);
}
ssize_t read(int fd, void *data, size_t size) { return fails_fd("read", fd) ? -1 : REAL(read)(fd, data, size); }
ssize_t pread(int fd, void *data, size_t size, off_t at) {
    return fails_fd("read", fd) ? -1 : REAL(pread)(fd, data, size, at);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
    return fails_fd("read", fd) ? -1 : REAL(pread64)(fd, data, size, at);
}
int fsync(int fd) { return fails_fd("fsync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_fd("fsync", fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { return fails_fd("ftruncate", fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails_fd("ftruncate", fd) ? -1 : REAL(ftruncate64)(fd, size); }
int rename(const char *old, const char *new) {
    return fails_at("rename", AT_FDCWD, old) ? -1 : REAL(rename)(old, new);
}
int renameat(int from, const char *old, int to, const char *new) {
    return fails_at("rename", from, old) ? -1 : REAL(renameat)(from, old, to, new);
}
int mkdir(const char *path, mode_t mode) { return fails_at("mkdir", AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int directory, const char *path, mode_t mode) {
    return fails_at("mkdir", directory, path) ? -1 : REAL(mkdirat)(directory, path, mode);
}
int unlink(const char *path) { return fails_at("unlink", AT_FDCWD, path) ? -1 : REAL(unlink)(path); }
int unlinkat(int directory, const char *path, int flags) {
    return fails_at("unlink", directory, path) ? -1 : REAL(unlinkat)(directory, path, flags);
}
int rmdir(const char *path) { return fails_at("unlink", AT_FDCWD, path) ? -1 : REAL(rmdir)(path); }
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t at) {
    return fd >= 0 && fails_fd("mmap", fd) ? MAP_FAILED : REAL(mmap)(address, size, protection, flags, fd, at);
}
void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t at) {
    return fd >= 0 && fails_fd("mmap", fd) ? MAP_FAILED : REAL(mmap64)(address, size, protection, flags, fd, at);
}
