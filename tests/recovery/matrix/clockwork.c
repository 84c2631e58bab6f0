/* A wall clock that is as many seconds off as the first eight bytes of the file that CLOCKWORK names say, for every
 * process that is started with this library in LD_PRELOAD, from one call to the next. CLOCK_MONOTONIC is not touched. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *seconds_off;

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("CLOCKWORK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *seconds_off, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) seconds_off = mapped;
    close(file);
}

static time_t off(void) { return seconds_off ? (time_t)*seconds_off : 0; }

int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, which, now);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += off();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec fine;
    if (clock_gettime(CLOCK_REALTIME, &fine)) return -1;
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec fine;
    if (clock_gettime(CLOCK_REALTIME, &fine)) return -1;
    if (told) *told = fine.tv_sec;
    return fine.tv_sec;
}
