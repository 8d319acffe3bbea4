// Part of Consign, Apache-2.0 (see LICENSE).
// needs: apt-get install libnetfilter-queue-dev iptables (nft's own queue is not in this kernel)
#define _GNU_SOURCE
// Latency for a kernel without netem: an NFQUEUE rule holds each packet here
// and lets it go DELAY +- JITTER ms later. usage: delayq QUEUE MS JITTER REORDER%
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#define N 65536
static struct { uint64_t at; uint32_t id; } heap[N]; static int n;
static double ms, jit; static int reorder; static uint64_t last;
static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void push(uint64_t at, uint32_t id) {
  int i = n++; while (i && heap[(i - 1) / 2].at > at) { heap[i] = heap[(i - 1) / 2]; i = (i - 1) / 2; }
  heap[i].at = at; heap[i].id = id; }
static uint32_t pop(void) {
  uint32_t r = heap[0].id; typeof(heap[0]) x = heap[--n]; int i = 0;
  for (int c; (c = 2 * i + 1) < n; i = c) { if (c + 1 < n && heap[c + 1].at < heap[c].at) c++; if (heap[c].at >= x.at) break; heap[i] = heap[c]; }
  heap[i] = x; return r; }
static int cb(struct nfq_q_handle *q, struct nfgenmsg *m, struct nfq_data *d, void *u) {
  uint32_t id = ntohl(nfq_get_msg_packet_hdr(d)->packet_id);
  if (n == N) return nfq_set_verdict(q, id, NF_ACCEPT, 0, 0);
  uint64_t at = now() + (uint64_t)((ms + jit * (2.0 * rand() / RAND_MAX - 1)) * 1e6);
  if (rand() % 100 >= reorder) { if (at <= last) at = last + 1; last = at; } // keeps order unless told not to
  push(at, id); return 0; }
int main(int c, char **v) {
  if (c < 5) return 2;
  ms = atof(v[2]); jit = atof(v[3]); reorder = atoi(v[4]); static char b[1 << 17];
  struct nfq_handle *h = nfq_open(); if (!h) return perror("nfq"), 1;
  struct nfq_q_handle *q = nfq_create_queue(h, atoi(v[1]), cb, 0); if (!q) return perror("queue"), 1;
  nfq_set_mode(q, NFQNL_COPY_META, 0); nfq_set_queue_maxlen(q, N);
  int fd = nfq_fd(h); nfnl_rcvbufsiz(nfq_nfnlh(h), 16 << 20);
  for (;;) {
    struct timespec w = { 1, 0 }; uint64_t t = now();
    if (n) { uint64_t d = heap[0].at > t ? heap[0].at - t : 0; w.tv_sec = d / 1000000000; w.tv_nsec = d % 1000000000; }
    struct pollfd p = { fd, POLLIN, 0 };
    if (ppoll(&p, 1, &w, 0) > 0) { int l = recv(fd, b, sizeof b, MSG_DONTWAIT); if (l > 0) nfq_handle_packet(h, b, l); }
    for (t = now(); n && heap[0].at <= t;) nfq_set_verdict(q, pop(), NF_ACCEPT, 0, 0);
  }
}
