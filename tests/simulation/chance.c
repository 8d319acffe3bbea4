/* Part of Consign, Apache-2.0 (see LICENSE).
 *
 * Preloaded into a simulation's process: everything that a library draws from the system's entropy
 * comes from a seed instead, so that hashers, ids and schedulers are the same when the seed is run
 * again. Each thread has its own beginning, the same one: what other threads draw changes nothing.
 * SplitMix64; not for anything but simulations.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static __thread uint64_t state;
static __thread int begun;

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    (void)flags;
    if (!begun) {
        const char *seed = getenv("CONSIGN_CHANCE");
        state = seed ? strtoull(seed, NULL, 10) : 0;
        begun = 1;
    }
    unsigned char *at = buffer;
    for (size_t left = length; left > 0;) {
        uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        size_t taken = left < sizeof z ? left : sizeof z;
        memcpy(at, &z, taken);
        at += taken;
        left -= taken;
    }
    return (ssize_t)length;
}

int getentropy(void *buffer, size_t length) {
    getrandom(buffer, length, 0);
    return 0;
}
