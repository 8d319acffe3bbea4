// Part of Consign, Apache-2.0 (see LICENSE).
// LD_PRELOAD disk faults for one path. gcc -shared -fPIC -O2 -o iofault.so iofault.c -ldl
// IOFAULT_PATH=part of the file's path   IOFAULT_CTL=file holding "MODE [AFTER]", read when it changes
// MODE: none | sync-eio (fsync/fdatasync fail) | sync-lie (say yes, sync nothing) | slow MS (sleep in sync)
//       write-eio | enospc | torn (the write stores half its bytes, then the process dies) | die (dies before the sync)
// AFTER: let that many matching calls pass first.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
static char mode[32] = "none"; static long after, arg; static struct timespec seen;
#define REAL(n) typeof(&n) real = (typeof(&n))dlsym(RTLD_NEXT, #n)
static int hit(int fd, const char *kind) {
  char l[64], p[4096]; const char *want = getenv("IOFAULT_PATH"), *ctl = getenv("IOFAULT_CTL"); struct stat s;
  if (!want || !ctl) return 0;
  snprintf(l, sizeof l, "/proc/self/fd/%d", fd); ssize_t n = readlink(l, p, sizeof p - 1); if (n < 0) return 0;
  p[n] = 0; if (!strstr(p, want) || stat(ctl, &s)) return 0;
  if (s.st_mtim.tv_nsec != seen.tv_nsec || s.st_mtim.tv_sec != seen.tv_sec) {
    seen = s.st_mtim; FILE *f = fopen(ctl, "r"); after = arg = 0; strcpy(mode, "none");
    if (f) { if (fscanf(f, "%31s %ld", mode, &arg) > 1) after = arg; fclose(f); } }
  int sync = *kind == 's';
  if (sync ? !(!strncmp(mode, "sync", 4) || !strcmp(mode, "slow") || !strcmp(mode, "die")) : !(!strcmp(mode, "write-eio") || !strcmp(mode, "enospc") || !strcmp(mode, "torn"))) return 0;
  if (!strcmp(mode, "slow")) { usleep(arg * 1000); return 0; }
  if (after-- > 0) return 0;
  fprintf(stderr, "iofault: %s on %s\n", mode, p); if (!strcmp(mode, "die")) kill(getpid(), SIGKILL); return 1; }
static int sync_(int fd, int (*real)(int)) { if (!hit(fd, "s")) return real(fd); if (!strcmp(mode, "sync-lie")) return 0; errno = EIO; return -1; }
int fsync(int fd) { REAL(fsync); return sync_(fd, real); }
int fdatasync(int fd) { REAL(fdatasync); return sync_(fd, real); }
static ssize_t fail(void) { errno = *mode == 'e' ? ENOSPC : EIO; return -1; }
ssize_t write(int fd, const void *b, size_t n) { REAL(write); if (!hit(fd, "w")) return real(fd, b, n);
  if (*mode != 't') return fail(); real(fd, b, n / 2); kill(getpid(), SIGKILL); return -1; }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { REAL(pwrite64); if (!hit(fd, "w")) return real(fd, b, n, o);
  if (*mode != 't') return fail(); real(fd, b, n / 2, o); kill(getpid(), SIGKILL); return -1; }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { return pwrite64(fd, b, n, o); }
ssize_t writev(int fd, const struct iovec *v, int c) { REAL(writev); if (!hit(fd, "w")) return real(fd, v, c);
  if (*mode != 't') return fail(); real(fd, v, c / 2); kill(getpid(), SIGKILL); return -1; }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); return hit(fd, "w") ? (int)fail() : real(fd, n); }
int ftruncate(int fd, off_t n) { return ftruncate64(fd, n); }
