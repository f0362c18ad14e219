/* The kernel's random bytes, or the clock's where there are none yet. */
#include "common/amqp/jitter.h"

#include "common/base/clock.h"

#include <sys/random.h>

uint32_t jitter_random(void)
{
    uint32_t number = 0;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number)) {
        number = (uint32_t)clock_monotonic_us();
    }
    return number;
}
