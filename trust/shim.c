/* Stands before the C library's calls on files: counts them, records them, and lets one of them fail.
 *
 * With the GNU C library it also counts the memory that a thread holds.
 *
 * Loaded with LD_PRELOAD; the process itself steers it through the functions at the end (ctypes). It can also
 * be told to stop itself (SIGSTOP) just before the n-th call that changes something in a folder, where
 * kill -9 finds it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum mode { ONCE = 0, FOR_GOOD = 1, HALF = 2 };

/* Of the initial-exec kind no function is called to find it: a sanitizer that stands before and has not begun yet
 * would be that function. */
#define OF_THIS_THREAD static __thread __attribute__((tls_model("initial-exec")))
OF_THIS_THREAD int armed; /* only the thread that armed it is counted: BLAS may have others */
static long nth, calls, budget = -1;
static int error_number, mode;
static char failed[32];

static int recording;
static char *entries;
static size_t entries_size, entries_room;

static char stop_folder[4096];
static long stop_at, changes;
static unsigned char watched[1024]; /* file descriptors of files in the folder */

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Whether this call is to fail; it is counted. */
static int fails(const char *name) {
  if (!armed) return 0;
  calls++;
  if (nth == 0 || calls < nth || (calls > nth && mode != FOR_GOOD) || mode == HALF) return 0;
  if (!failed[0]) snprintf(failed, sizeof failed, "%s", name);
  errno = error_number;
  return 1;
}

static void append(const void *data, size_t size) {
  if (entries_size + size > entries_room) {
    entries_room = 2 * (entries_size + size);
    entries = realloc(entries, entries_room);
    if (!entries) abort();
  }
  memcpy(entries + entries_size, data, size);
  entries_size += size;
}

/* One entry: "name fd number size1 size2\n", then the two texts. */
static void note(const char *name, int fd, long number, const char *one, const void *two, size_t size) {
  char head[128];
  int saved = errno;
  if (armed && recording) {
    size_t length = one ? strlen(one) : 0;
    append(head, snprintf(head, sizeof head, "%s %d %ld %zu %zu\n", name, fd, number, length, size));
    if (one) append(one, length);
    if (two) append(two, size);
  }
  errno = saved;
}

static int in_folder(const char *path) {
  return stop_at && path && strncmp(path, stop_folder, strlen(stop_folder)) == 0;
}

static int is_watched(int fd) { return fd >= 0 && fd < (int)sizeof watched && watched[fd]; }

/* A change of the folder is about to be made. */
static void change(int here) {
  if (here && stop_at && ++changes == stop_at) raise(SIGSTOP);
}

static int opened(const char *path, int flags, int fd) {
  if (fd >= 0 && fd < (int)sizeof watched) watched[fd] = in_folder(path) && (flags & O_ACCMODE) != O_RDONLY;
  if (fd >= 0) note("open", fd, flags, path, NULL, 0);
  return fd;
}

#define OPEN(name)                                            \
  int name(const char *path, int flags, ...) {                \
    va_list rest;                                             \
    va_start(rest, flags);                                    \
    mode_t bits = flags &O_CREAT ? va_arg(rest, mode_t) : 0;  \
    va_end(rest);                                             \
    if (fails("open")) return -1;                             \
    change((flags & O_CREAT) && in_folder(path));             \
    return opened(path, flags, NEXT(name)(path, flags, bits)); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                  \
  int name(int at, const char *path, int flags, ...) {                \
    va_list rest;                                                     \
    va_start(rest, flags);                                            \
    mode_t bits = flags &O_CREAT ? va_arg(rest, mode_t) : 0;          \
    va_end(rest);                                                     \
    if (fails("open")) return -1;                                     \
    change((flags & O_CREAT) && in_folder(path));                     \
    return opened(path, flags, NEXT(name)(at, path, flags, bits));    \
  }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
  if (fails("write")) return -1;
  if (armed && mode == HALF && calls == nth && size > 1) size /= 2;
  if (armed && budget >= 0) {
    if (budget == 0 && size) {
      errno = ENOSPC;
      return -1;
    }
    if ((long)size > budget) size = budget;
    budget -= size;
  }
  change(is_watched(fd));
  ssize_t done = NEXT(write)(fd, data, size);
  if (done > 0) note("write", fd, -1, NULL, data, done);
  return done;
}

int close(int fd) {
  int fail = fails("close"); /* a close that fails has closed all the same, as on Linux */
  if (fd >= 0 && fd < (int)sizeof watched) watched[fd] = 0;
  int done = NEXT(close)(fd);
  note("close", fd, 0, NULL, NULL, 0);
  if (fail) errno = error_number;
  return fail ? -1 : done;
}

#define ON_FD(name)                                        \
  int name(int fd) {                                       \
    if (fails(#name)) return -1;                           \
    change(is_watched(fd));                                \
    int done = NEXT(name)(fd);                             \
    if (done == 0) note("fsync", fd, 0, NULL, NULL, 0);    \
    return done;                                           \
  }
ON_FD(fsync)
ON_FD(fdatasync)

#define TWO_PATHS(name)                                                    \
  int name(const char *from, const char *to) {                             \
    if (fails(#name)) return -1;                                           \
    change(in_folder(to));                                                 \
    int done = NEXT(name)(from, to);                                       \
    if (done == 0) note(#name, -1, 0, from, to, strlen(to));               \
    return done;                                                           \
  }
TWO_PATHS(rename)
TWO_PATHS(link)

int renameat(int from_at, const char *from, int to_at, const char *to) {
  if (fails("rename")) return -1;
  change(in_folder(to));
  int done = NEXT(renameat)(from_at, from, to_at, to);
  if (done == 0) note("rename", -1, 0, from, to, strlen(to));
  return done;
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
  if (fails("link")) return -1;
  change(in_folder(to));
  int done = NEXT(linkat)(from_at, from, to_at, to, flags);
  if (done == 0) note("link", -1, 0, from, to, strlen(to));
  return done;
}

int unlink(const char *path) {
  if (fails("unlink")) return -1;
  change(in_folder(path));
  int done = NEXT(unlink)(path);
  if (done == 0) note("unlink", -1, 0, path, NULL, 0);
  return done;
}

int unlinkat(int at, const char *path, int flags) {
  if (fails("unlink")) return -1;
  change(in_folder(path));
  int done = NEXT(unlinkat)(at, path, flags);
  if (done == 0) note("unlink", -1, 0, path, NULL, 0);
  return done;
}

int chmod(const char *path, mode_t bits) { return fails("chmod") ? -1 : NEXT(chmod)(path, bits); }
int fchmod(int fd, mode_t bits) { return fails("chmod") ? -1 : NEXT(fchmod)(fd, bits); }
int fchmodat(int at, const char *path, mode_t bits, int flags) {
  return fails("chmod") ? -1 : NEXT(fchmodat)(at, path, bits, flags);
}

#define TRUNCATE(name, offset)                                       \
  int name(int fd, offset length) {                                  \
    if (fails("ftruncate")) return -1;                               \
    change(is_watched(fd));                                          \
    int done = NEXT(name)(fd, length);                               \
    if (done == 0) note("ftruncate", fd, length, NULL, NULL, 0);     \
    return done;                                                     \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SEEK(name, offset)                                             \
  offset name(int fd, offset place, int whence) {                      \
    if (fails("lseek")) return -1;                                     \
    offset done = NEXT(name)(fd, place, whence);                       \
    if (done >= 0) note("lseek", fd, done, NULL, NULL, 0);             \
    return done;                                                       \
  }
SEEK(lseek, off_t)
SEEK(lseek64, off64_t)

#define STAT(name, about)                                                 \
  int name(const char *path, struct about *to) {                          \
    return fails("stat") ? -1 : NEXT(name)(path, to);                     \
  }
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)
int fstat(int fd, struct stat *to) { return fails("stat") ? -1 : NEXT(fstat)(fd, to); }
int fstat64(int fd, struct stat64 *to) { return fails("stat") ? -1 : NEXT(fstat64)(fd, to); }
ssize_t read(int fd, void *to, size_t size) { return fails("read") ? -1 : NEXT(read)(fd, to, size); }
ssize_t readlink(const char *path, char *to, size_t size) {
  return fails("readlink") ? -1 : NEXT(readlink)(path, to, size);
}
int mkdir(const char *path, mode_t bits) { return fails("mkdir") ? -1 : NEXT(mkdir)(path, bits); }

#if defined(__GLIBC__) && defined(COUNT_HEAP)
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

OF_THIS_THREAD int heap_counted;
OF_THIS_THREAD long heap_held, heap_peak;

static void *held(void *block) {
  if (heap_counted && block) {
    heap_held += malloc_usable_size(block);
    if (heap_held > heap_peak) heap_peak = heap_held;
  }
  return block;
}

static void *given_back(void *block) {
  if (heap_counted && block) heap_held -= malloc_usable_size(block);
  return block;
}

void *malloc(size_t size) { return held(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return held(__libc_calloc(count, size)); }
void free(void *block) { __libc_free(given_back(block)); }
void *realloc(void *block, size_t size) {
  long before = heap_counted && block ? (long)malloc_usable_size(block) : 0;
  void *moved = __libc_realloc(block, size);
  if (moved || !size) heap_held -= before;
  return held(moved);
}
void *memalign(size_t alignment, size_t size) { return held(__libc_memalign(alignment, size)); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **to, size_t alignment, size_t size) {
  void *block = memalign(alignment, size);
  if (block) *to = block;
  return block ? 0 : ENOMEM;
}

/* From now on count what this thread holds. */
void shim_heap_count(void) { heap_held = heap_peak = 0, heap_counted = 1; }

/* Stop; return the most bytes that were held at once, beyond those from before. */
long shim_heap_peak(void) {
  heap_counted = 0;
  return heap_peak;
}
#endif

/* From now on count this thread's calls; call number n (0: none) fails with this error. */
void shim_arm(long n, int error, int how, long bytes, int record) {
  nth = n, error_number = error, mode = how, budget = bytes, recording = record;
  calls = 0, failed[0] = 0, entries_size = 0;
  armed = 1;
}

/* Stop counting; return how many calls there were. */
long shim_disarm(void) {
  armed = 0;
  return calls;
}

/* Stop this process before change number n of what lies in the folder; 0: never. */
void shim_stop(const char *folder, long n) {
  snprintf(stop_folder, sizeof stop_folder, "%s", folder);
  stop_at = n, changes = 0;
}

const char *shim_failed(void) { return failed; }
const char *shim_entries(void) { return entries; }
long shim_entries_size(void) { return entries_size; }
