// Part of Consign, Apache-2.0 (see LICENSE).
// A disk with a write cache that loses it. gcc -O2 -Wall lazyfs.c -o lazyfs $(pkg-config --cflags --libs fuse3)
// lazyfs BACKING MOUNT [-f]: unsynced writes stay in memory; fsync/fdatasync puts them in BACKING and syncs.
// echo "cut KEEP% SEED [512]" > MOUNT/.cut : power loss. Of the unsynced blocks (4096 bytes, or 512 = torn pages)
// each is kept with KEEP%, in no order, the rest is lost; every later call gets EIO. Mount again to recover.
// echo "lie 1" > MOUNT/.cut : sync says yes and keeps nothing. echo "slow MS" : sync takes that long.
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define B 4096
typedef struct Blk { long n; struct Blk *next; char d[B]; } Blk;
#define H 4096
typedef struct F { char path[1024]; int fd, open; off_t size; Blk *h[H]; struct F *next; } F;
static F *files; static char back[512]; static int dead, lie, slow; static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
#define LOCK if (pthread_mutex_lock(&mu), dead) { pthread_mutex_unlock(&mu); return -EIO; }
#define RET(x) do { int r_ = (x); if (r_ < 0) r_ = -errno; pthread_mutex_unlock(&mu); return r_; } while (0)
static char *bp(const char *p) { static char b[4][2048]; static int i; char *o = b[i++ & 3]; snprintf(o, 2048, "%s%s", back, p); return o; }
static F *find(const char *p) { for (F *f = files; f; f = f->next) if (!strcmp(f->path, p)) return f; return 0; }
static F *get(const char *p) { F *f = find(p); if (f) return f; int fd = open(bp(p), O_RDWR); if (fd < 0) return 0;
  f = calloc(1, sizeof *f); snprintf(f->path, sizeof f->path, "%s", p); f->fd = fd; f->size = lseek(fd, 0, SEEK_END); f->next = files; return files = f; }
static Blk *blk(F *f, long n, int make) { Blk *b; for (b = f->h[n % H]; b && b->n != n; b = b->next); if (b || !make) return b;
  b = calloc(1, sizeof *b); b->n = n; if (pread(f->fd, b->d, B, n * B) < 0) memset(b->d, 0, B); b->next = f->h[n % H]; return f->h[n % H] = b; }
static void drop(F *f) { for (int i = 0; i < H; i++) for (Blk *b = f->h[i], *x; b; b = x) { x = b->next; free(b); } memset(f->h, 0, sizeof f->h); }
static int flush_(F *f) { for (int i = 0; i < H; i++) for (Blk *b = f->h[i]; b; b = b->next) { long l = f->size - b->n * B; if (l > B) l = B;
    if (l > 0 && pwrite(f->fd, b->d, l, b->n * B) < 0) return -1; }
  if (ftruncate(f->fd, f->size) < 0) return -1; drop(f); return fdatasync(f->fd); }
static void cut(int keep, int seed, int sec) { srand(seed); long k = 0, n = 0;
  for (F *f = files; f; f = f->next) { for (int i = 0; i < H; i++) for (Blk *b = f->h[i]; b; b = b->next) for (int o = 0; o < B; o += sec, n++)
      if (rand() % 100 < keep && b->n * B + o < f->size) { k++; if (pwrite(f->fd, b->d + o, sec, b->n * B + o) < 0) perror("cut"); } drop(f); }
  fprintf(stderr, "lazyfs: power loss, kept %ld of %ld unsynced blocks\n", k, n); dead = 1; }
static int l_getattr(const char *p, struct stat *s, struct fuse_file_info *fi) { LOCK;
  if (!strcmp(p, "/.cut")) { memset(s, 0, sizeof *s); s->st_mode = S_IFREG | 0666; s->st_nlink = 1; RET(0); }
  int r = lstat(bp(p), s); F *f = find(p); if (!r && f) s->st_size = f->size; RET(r); }
static int l_open(const char *p, struct fuse_file_info *fi) { LOCK; if (!strcmp(p, "/.cut")) RET(0); F *f = get(p); if (!f) RET(-1);
  if (fi->flags & O_TRUNC) { drop(f); f->size = 0; } RET(0); }
static int l_create(const char *p, mode_t m, struct fuse_file_info *fi) { LOCK; int fd = open(bp(p), O_RDWR | O_CREAT, m); if (fd < 0) RET(-1); close(fd); RET(get(p) ? 0 : -1); }
static int l_read(const char *p, char *o, size_t n, off_t at, struct fuse_file_info *fi) { LOCK; F *f = get(p); if (!f) RET(-1);
  if (at >= f->size) RET(0); if (n > (size_t)(f->size - at)) n = f->size - at; memset(o, 0, n); if (pread(f->fd, o, n, at) < 0) RET(-1);
  for (long b = at / B; b <= (long)(at + n - 1) / B; b++) { Blk *k = blk(f, b, 0); if (!k) continue; off_t s = b * B > at ? b * B : at, e = (b + 1) * B < at + (off_t)n ? (b + 1) * B : at + (off_t)n;
    memcpy(o + (s - at), k->d + (s - b * B), e - s); } RET((int)n); }
static int l_write(const char *p, const char *i, size_t n, off_t at, struct fuse_file_info *fi) { LOCK;
  if (!strcmp(p, "/.cut")) { int k = 0, s = 1, q = B; char c[16] = "", t[128] = ""; memcpy(t, i, n < 127 ? n : 127); sscanf(t, "%15s %d %d %d", c, &k, &s, &q);
    if (*c == 'c') cut(k, s, q); else if (*c == 'l') lie = k; else if (*c == 's') slow = k; RET((int)n); }
  F *f = get(p); if (!f) RET(-1); for (size_t d = 0; d < n;) { long b = (at + d) / B, o = (at + d) % B; size_t l = B - o < n - d ? B - o : n - d; memcpy(blk(f, b, 1)->d + o, i + d, l); d += l; }
  if (at + (off_t)n > f->size) f->size = at + n; RET((int)n); }
static int l_truncate(const char *p, off_t n, struct fuse_file_info *fi) { LOCK; if (!strcmp(p, "/.cut")) RET(0); F *f = get(p); if (!f) RET(-1);
  if (n < f->size && n % B) memset(blk(f, n / B, 1)->d + n % B, 0, B - n % B);
  if (n < f->size) for (long b = (n + B - 1) / B; b * B < f->size; b++) { Blk *k = blk(f, b, 0); if (k || b * B < lseek(f->fd, 0, SEEK_END)) memset(blk(f, b, 1)->d, 0, B); }
  f->size = n; RET(0); }
static int l_fsync(const char *p, int d, struct fuse_file_info *fi) { LOCK; F *f = get(p); int s = slow; if (s) { pthread_mutex_unlock(&mu); usleep(s * 1000); pthread_mutex_lock(&mu); }
  if (dead) { pthread_mutex_unlock(&mu); return -EIO; } RET(!f ? -1 : lie ? 0 : flush_(f)); }
static int l_fallocate(const char *p, int m, off_t o, off_t n, struct fuse_file_info *fi) { LOCK; F *f = get(p); if (!f || m) { errno = EOPNOTSUPP; RET(-1); } if (o + n > f->size) f->size = o + n; RET(0); }
static int l_unlink(const char *p) { LOCK; for (F **q = &files, *f; (f = *q); q = &f->next) if (!strcmp(f->path, p)) { *q = f->next; drop(f); close(f->fd); free(f); break; } RET(unlink(bp(p))); }
static int l_rename(const char *a, const char *b, unsigned fl) { pthread_mutex_lock(&mu); int dd = dead; pthread_mutex_unlock(&mu); if (dd) return -EIO; struct stat s; if (!lstat(bp(b), &s) && S_ISREG(s.st_mode)) l_unlink(b); LOCK; F *f = find(a); if (f) snprintf(f->path, sizeof f->path, "%s", b); RET(rename(bp(a), bp(b))); }
static int l_mkdir(const char *p, mode_t m) { LOCK; RET(mkdir(bp(p), m)); }
static int l_rmdir(const char *p) { LOCK; RET(rmdir(bp(p))); }
static int l_readdir(const char *p, void *b, fuse_fill_dir_t fill, off_t o, struct fuse_file_info *fi, enum fuse_readdir_flags fl) { LOCK; DIR *d = opendir(bp(p)); if (!d) RET(-1); for (struct dirent *e; (e = readdir(d));) fill(b, e->d_name, 0, 0, 0); closedir(d); RET(0); }
static int l_statfs(const char *p, struct statvfs *s) { LOCK; RET(statvfs(back, s)); }
static int l_chmod(const char *p, mode_t m, struct fuse_file_info *fi) { LOCK; RET(chmod(bp(p), m)); }
static int l_utimens(const char *p, const struct timespec t[2], struct fuse_file_info *fi) { LOCK; RET(utimensat(AT_FDCWD, bp(p), t, 0)); }
static void *l_init(struct fuse_conn_info *c, struct fuse_config *k) { k->hard_remove = 1; k->attr_timeout = k->entry_timeout = 0; k->direct_io = !getenv("LAZYFS_CACHED"); return 0; }
static const struct fuse_operations ops = { .getattr = l_getattr, .open = l_open, .create = l_create, .read = l_read, .write = l_write, .truncate = l_truncate, .fsync = l_fsync, .fallocate = l_fallocate, .unlink = l_unlink,
  .rename = l_rename, .mkdir = l_mkdir, .rmdir = l_rmdir, .readdir = l_readdir, .statfs = l_statfs, .chmod = l_chmod, .utimens = l_utimens, .init = l_init };
int main(int c, char **v) { if (c < 3) return 2; if (!realpath(v[1], back)) return perror(v[1]), 1; v[1] = v[0]; return fuse_main(c - 1, v + 1, &ops, 0); }
